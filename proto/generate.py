"""Write the files that follow from the wire contract.

    python proto/generate.py                 write all of them
    python proto/generate.py protocol api    write those of the named generators only
    python proto/generate.py --check         change nothing; name what differs and exit 1

    protocol    mm_asgi/protocol, the messages, from the .proto files
    api         the API client, mm_asgi/types.py and docs/reference/api.md, from the .proto files,
                tables/api.tsv and api.toml
    netrpc      mm_asgi/wire/netrpc/tables.py, Go's structs beside the messages, from the .proto
                files, netrpc/*.tsv and netrpc.toml
    gohost      tests/gohost/pb, the Go messages of the test host, from the .proto files; needs Go

A generator is a module `write_NAME.py` beside this one. It imports nothing of mm_asgi: the package
follows from the contract and never the other way round.
"""

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sources import ROOT, GenerateError, require_pinned_tools

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

GENERATORS = ("protocol", "api", "netrpc", "gohost")


class Generator(Protocol):
    """What a module `write_NAME.py` has."""

    OWNED: "Sequence[str]"
    """Patterns of all files that the generator writes, from the root of a tree."""

    def generate(self, root: Path, scratch: Path) -> dict[str, bytes]:
        """Return the files by their path from the root.

        Args:
            root: the tree that is written or compared; a file may keep a part of what is there.
            scratch: an empty folder for intermediate files.

        Raises:
            GenerateError: the sources do not fit together, or a tool failed.
        """


def main(argv: "Sequence[str] | None" = None) -> int:
    """Run the generators that the arguments name; return the process's exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", type=generator_name)
    parser.add_argument("--check", action="store_true", help="compare only, exit 1 on a difference")
    parser.add_argument("--root", type=Path, default=ROOT, help="another tree to write or compare")
    options = parser.parse_args(argv)
    different = False
    try:
        require_pinned_tools()
        for name in options.names or GENERATORS:
            different |= run(name, options.root, check=options.check)
    except GenerateError as error:
        say(f"generate: {error}")
        return 2
    if different and options.check:
        say("generate: not what the contract says; run python proto/generate.py")
        return 1
    return 0


def generator_name(argument: str) -> str:
    # argparse's own `choices` refuses an empty list of names, in Python 3.11 at least.
    if argument not in GENERATORS:
        raise argparse.ArgumentTypeError(
            f"there is no generator {argument!r}; expected one of {', '.join(GENERATORS)}"
        )
    return argument


def run(name: str, root: Path, *, check: bool) -> bool:
    """Compare what one generator writes with a tree, and mend the tree unless `check` is set.

    Returns:
        whether anything differed.
    """
    # Here and not at the top: the modules need the tools, which are looked for first.
    generator = cast("Generator", import_module(f"write_{name}"))
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generator.generate(root, Path(scratch))
    found = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for pattern in generator.OWNED
        for path in root.glob(pattern)
    }
    differences = compare(fresh, found)
    for path, what in differences.items():
        say(f"{what}: {path}")
    if not check:
        install(fresh, differences, root)
    return bool(differences)


def compare(fresh: dict[str, bytes], found: dict[str, bytes]) -> dict[str, str]:
    """Return what is wrong with each file that is not as generated."""
    words = {(True, False): "missing", (False, True): "extra", (True, True): "differs"}
    return {
        path: words[path in fresh, path in found]
        for path in sorted(fresh.keys() | found.keys())
        if fresh.get(path) != found.get(path)
    }


def install(fresh: dict[str, bytes], paths: "Iterable[str]", root: Path) -> None:
    """Write the files of these paths, and remove those that are not generated any more."""
    for path in paths:
        target = root / path
        if path in fresh:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(fresh[path])
        else:
            target.unlink()


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main())
