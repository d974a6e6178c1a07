"""Checks what ruff and mypy do not see: names of files in prose, names of classes, errors in docstrings.

`python .ci/check_names.py [CHECKOUT]` prints a line for each problem and ends with 1 if there is one.
"""

# ruff: noqa: INP001, T201 - a script that talks to people

import sys
from pathlib import Path

import class_names
import file_names
import raised_errors
from sources import Sources

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Run all checks, of another checkout if one is given."""
    sources = Sources(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    checks = (file_names.check, class_names.check, raised_errors.check)
    problems = [problem for check in checks for problem in check(sources)]
    for problem in sorted(problems):
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
