"""A door: ``python -m ebm_exp.logger.report`` is ``python -m ebm_exp.report``."""

import runpy

if __name__ == "__main__":
    runpy.run_module("ebm_exp.report", run_name="__main__")
