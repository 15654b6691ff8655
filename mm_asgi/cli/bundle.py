"""``mm-asgi bundle``: the archive that a server takes, with all that the plugin needs."""

import argparse
import sys
from pathlib import Path

from mm_asgi.errors import BundleError

__all__ = ["HELP", "NAME", "add_arguments", "run"]

NAME = "bundle"
HELP = "write the archive that a server takes, with all packages"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "%(prog)s [-o FILE] [--platform NAME]"
    parser.add_argument(
        "-o", "--output", metavar="FILE", default="", help="the archive [default ID-VERSION.tar.gz]"
    )
    parser.add_argument(
        "--platform",
        metavar="NAME",
        default="",
        help="the server's: linux-amd64 or linux-arm64 [default: that of the settings, linux-amd64]",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the bundle of the working directory, and return the exit code."""
    # Imported here, since a host waits for `serve`.
    from mm_asgi.bundle.make_bundle import LARGE, make_bundle

    output = Path(arguments.output) if arguments.output else None
    try:
        made = make_bundle(Path.cwd(), output, arguments.platform)
    except (BundleError, OSError) as error:
        sys.stderr.write(f"mm-asgi: {error}\n")
        return 1
    for name, size in sorted(made.sizes.items(), key=lambda pair: (-pair[1], pair[0])):
        sys.stdout.write(f"{size / 1e6:8.1f} MB  {name}\n")
    where = "any machine" if made.is_pure else f"Python {made.python} on {made.platform}"
    sys.stdout.write(
        f"wrote {made.path.name}: {made.files} files of the app, {len(made.sizes)} packages,"
        f" {made.size / 1e6:.1f} MB, for {where}\n"
    )
    if not made.requirements:
        sys.stdout.write(
            "it holds no package but mm_asgi's own, since neither dependencies of [project] in"
            " pyproject.toml nor requirements.txt names any\n"
        )
    if made.size > LARGE:
        sys.stdout.write(
            "a server takes no upload over its MaxFileSize, 100 MB unless it was changed\n"
        )
    return 0
