"""Evaluate a trained run: ``python evaluate.py run=<run directory> [evaluator=[…]] [key=value …]``; see README.md."""

from ebm_exp.cli.script import run

if __name__ == "__main__":
    run("evaluate")
