"""Hydra's sweepers of ebm-exp: grids and searches that go on after a kill; the work is done in ``ebm_exp.sweeper``."""
