"""An experiment pipeline for energy-based models: p(x; θ) ∝ exp(−E(x; θ))."""

__version__ = "0.1.0"
