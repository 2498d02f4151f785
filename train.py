"""Train an energy-based model: ``python train.py [group=choice …] [key=value …]``; see README.md."""

from ebm_exp.cli.commands import train

if __name__ == "__main__":
    train()
