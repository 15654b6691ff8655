"""``python -m tests.benchmarks``: see docs/performance.md. Linux, with Go.

Makes .venv when this Python lacks what is compared with.
"""

import importlib.util
import os
import sys
from pathlib import Path

from tests.bootstrap import STAMP, VENV, run_module, wanted_stamp

NEEDED = ("mm_asgi", "fastapi", "granian", "grpc", "httptools", "httpx", "uvicorn", "uvloop")


def main(argv: list[str]) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        in_venv = (
            Path(sys.prefix) == VENV and STAMP.is_file() and STAMP.read_text() == wanted_stamp()
        )
        if in_venv:
            sys.exit(
                f"benchmarks: {', '.join(missing)} missing; "
                f"{sys.executable} -m pip install --group dev --editable ."
            )
        run_module("tests.benchmarks", argv)
    # Only now: it imports what may have been missing.
    from tests.benchmarks.command import run

    return run(argv)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # `| head`; Python would complain once more when it closes stdout
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
