"""``python3 -m tests``: pytest, with the arguments given, in a .venv that is made when missing."""

import sys

from tests.bootstrap import run_module

if __name__ == "__main__":
    run_module("pytest", sys.argv[1:])
