"""Train an energy-based model: ``python train.py [group=choice …] [key=value …]``; see README.md."""

from ebm_exp.cli.script import run

if __name__ == "__main__":
    run("train")
