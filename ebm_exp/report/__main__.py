"""``python -m ebm_exp.report <run or sweep>``: writes report.html there and prints its path."""

import argparse
import sys

from ebm_exp.config.errors import UserError
from ebm_exp.report import write_report
from ebm_exp.terminal import complain, printable


def main() -> None:
    """Write the reports of the directories on the command line."""
    parser = argparse.ArgumentParser(prog="python -m ebm_exp.report", description=__doc__)
    parser.add_argument("path", nargs="+", help="directory of a run or a sweep")
    parser.add_argument("--trust", action="store_true", help="follow links in it")
    given = parser.parse_args()
    try:
        for path in given.path:
            print(printable(str(write_report(path, given.trust))))
    except UserError as error:
        complain(str(error))
        sys.exit(2)


if __name__ == "__main__":
    main()
