"""Composing, checking, building and reading configs. Hydra is imported here and nowhere else in the package."""
