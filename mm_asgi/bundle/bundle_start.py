#!/usr/bin/env python3
"""Written by mm-asgi bundle. It starts the plugin with the packages of this bundle.

It runs on any Python 3, so that one which cannot run the plugin is a sentence: of what is printed
here, a server shows its admin the first line.
"""

import json
import os
import platform
import runpy
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
LIBRARIES = os.path.join(FOLDER, "lib")
OLDEST = (3, 11)


def find_fault(stamp: "dict[str, object]") -> str:
    """Return why this Python cannot run the bundle; empty: it can."""
    here = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if stamp["pure"]:
        fits, needed = sys.version_info[:2] >= OLDEST, "3.11 or newer"
    else:
        fits = here == stamp["python"] and platform.machine() == stamp["machine"]
        needed = f"{stamp['python']} on {stamp['platform']}"
    has = f"the server has Python {here} on {platform.machine()} ({sys.executable})"
    return "" if fits else f"this bundle needs Python {needed}, and {has}"


def main() -> None:
    """Run the plugin's own start file."""
    with open(os.path.join(LIBRARIES, "mm_asgi_bundle.json"), encoding="utf-8") as file:
        stamp = json.load(file)
    fault = find_fault(stamp)
    if fault:
        sys.stdout.write(fault + "\n")
        sys.exit(1)
    start = os.path.join(FOLDER, stamp["start"])
    sys.argv[0] = start
    sys.path[0] = os.path.dirname(start)
    sys.path.insert(1, LIBRARIES)
    runpy.run_path(start, run_name="__main__")


if __name__ == "__main__":
    main()
