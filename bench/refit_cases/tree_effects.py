"""Checks the effects of a refit on a tree by Python's compiler, pyflakes and digests."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pyflakes.api import check
from pyflakes.messages import Message, UndefinedLocal, UndefinedName
from pyflakes.reporter import Reporter


def digests(tree: Path) -> dict[str, str]:
    """Return the digest of every file of a tree, without the files of the refit's runs."""
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tree.rglob("*"))
        if path.is_file() and not path.is_symlink() and ".argosy" not in path.parts
    }


def compiles(path: Path) -> bool:
    """Return whether Python compiles a file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError):
            return False
    return True


def undefined_names(path: Path) -> Counter[str]:
    """Return the number of times that pyflakes reports each name of a file as undefined."""
    seen = _CollectingReporter()
    check(path.read_bytes().decode("utf-8", "replace"), str(path), seen)
    return seen.names


def new_undefined(before: dict[str, Counter[str]], tree: Path, paths: Iterable[str]) -> int:
    """Return how many names are newly undefined in `paths`."""
    return sum((undefined_names(tree / path) - before[path]).total() for path in paths)


class _CollectingReporter(Reporter):  # type: ignore[misc]
    def __init__(self) -> None:
        self.names: Counter[str] = Counter()

    def unexpectedError(  # noqa: N802 - the name is pyflakes'
        self, filename: str, msg: str
    ) -> None:
        """Report no names for a file that cannot be read."""

    def syntaxError(  # noqa: N802
        self, filename: str, msg: str, lineno: int, offset: int, text: str
    ) -> None:
        """Report no names for a file that does not parse."""

    def flake(self, message: Message) -> None:
        if isinstance(message, UndefinedName | UndefinedLocal):
            self.names[str(message.message_args[0])] += 1
