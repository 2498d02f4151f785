"""An experiment pipeline for energy-based models: p(x; θ) ∝ exp(−E(x; θ)).

>>> run = fit(x, "experiment=table", "trainer.max_steps=500")  # doctest: +SKIP
>>> run = load_run("outputs/table/2026-11-29_12-00-00")  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ebm_exp.cli.fit import fit
    from ebm_exp.run.load import load_run
    from ebm_exp.run.loaded import LoadedRun

__version__ = "0.3.0"
__all__ = ["LoadedRun", "__version__", "fit", "load_run"]


def __getattr__(name: str) -> Any:  # late: the command line imports what it needs alone
    if name == "fit":
        from ebm_exp.cli.fit import fit

        return fit
    if name in ("LoadedRun", "load_run"):
        from ebm_exp import run

        return getattr(run, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
