"""Draw from a trained run: ``python sample.py run=<run directory> [mode=…] [n_samples=64] [key=value …]``."""

from ebm_exp.cli.script import run

if __name__ == "__main__":
    run("sample")
