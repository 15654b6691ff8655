"""Which ``mm_asgi`` a measured process imports: this tree's, another checkout's, compiled or not."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests import compiled
from tests.benchmarks.processes import ROOT, BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HERE", "Tree", "checkout"]


@dataclass(frozen=True)
class Tree:
    """A checkout whose package is measured; apps and tools are always this tree's own.

    Attributes:
        name: as tables spell it.
        root: the checkout's folder.
    """

    name: str
    root: Path

    @contextlib.contextmanager
    def python_path(self, *, compiled_too: bool = False) -> Iterator[str]:
        """Make the PYTHONPATH that leads to this tree's package and to this clone's tests.

        Raises:
            BenchmarkError: the compiled package cannot be built; the text says why.
        """
        with tempfile.TemporaryDirectory(prefix="tree-") as folder:
            if compiled_too:
                try:
                    package = compiled.build(self.root)
                except compiled.CompileError as error:
                    raise BenchmarkError(str(error)) from None
            elif self.root == ROOT:
                package = ROOT
            else:
                # A link: the checkout's own tests must not hide this clone's.
                package = Path(folder)
                (package / "mm_asgi").symlink_to(self.root / "mm_asgi")
            yield os.pathsep.join(dict.fromkeys((str(package), str(ROOT))))


HERE = Tree("here", ROOT)


def checkout(text: str) -> Tree:
    """Return the tree that a command line's ``--against`` names.

    Raises:
        BenchmarkError: the folder holds no ``mm_asgi``.
    """
    root = Path(text).resolve()
    if not (root / "mm_asgi" / "__init__.py").is_file():
        raise BenchmarkError(f"--against: {text} holds no mm_asgi, expected a checkout of it")
    return Tree("there", root)
