"""``python -m ebm_exp.report <run or sweep>``: writes report.html there and prints its path."""

import argparse
import sys

from ebm_exp.config.errors import UserError
from ebm_exp.report import write_report


def main() -> None:
    """Write the reports of the directories on the command line."""
    parser = argparse.ArgumentParser(prog="python -m ebm_exp.report", description=__doc__)
    parser.add_argument("path", nargs="+", help="directory of a run or a sweep")
    try:
        for path in parser.parse_args().path:
            print(write_report(path))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
