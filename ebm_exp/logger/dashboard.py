"""A door: ``python -m ebm_exp.logger.dashboard`` is ``python -m ebm_exp.report.dashboard``."""

import runpy

if __name__ == "__main__":
    runpy.run_module("ebm_exp.report.dashboard", run_name="__main__")
