"""What train.py, sample.py and evaluate.py run: a command, or a line on where its packages are."""

import sys


def run(command: str) -> None:
    """Run a command of ``commands``; exit code 2 where this Python has not the packages that it needs."""
    try:
        from ebm_exp.cli import commands
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ebm_exp"):
            raise
        print(
            f"{sys.executable} has no {error.name}: `source .venv/bin/activate` takes the Python that make installed "
            "into, `pip install .` installs into this one",
            file=sys.stderr,
        )
        sys.exit(2)
    getattr(commands, command)()
