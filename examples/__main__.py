"""``python3 -m examples [NAME]``: an example behind the simulated host, for a browser.

Makes .venv when it is missing. What follows NAME goes to ``mm-asgi dev``.
"""

import sys
from pathlib import Path

from tests.bootstrap import run_module

FOLDER = Path(__file__).resolve().parent
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/plugin.py"))


def main(argv: list[str]) -> None:
    """Run the named example, FastAPI's when none is named."""
    name, *rest = argv if argv and not argv[0].startswith("-") else ["fastapi", *argv]
    if name not in NAMES:
        sys.exit(f"examples: there is no {name!r}; expected one of {', '.join(NAMES)}")
    run_module("mm_asgi", ["dev", *rest], FOLDER / name)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # while .venv is being made
        sys.exit(130)
