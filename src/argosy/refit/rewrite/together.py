"""Which files of a tree may be loaded into one process, by their imports.

Made of the bytes of all files by patterns, like the index: an import is taken for one of each file that its
name can mean, whatever the search path, so two files that are said to be apart are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

_FROM: Final = re.compile(
    rb"^[ \t]*from[ \t]+\.*([\w.]*)[ \t]+import[ \t]*(\([^)]*\)|[^\r\n;]*)", re.MULTILINE
)
_IMPORT: Final = re.compile(rb"^[ \t]*import[ \t]+([^\r\n;]+)", re.MULTILINE)
_CALLED: Final = re.compile(rb"(?:import_module|__import__)\(\s*[rfb]?[\"'][.]*([\w.]+)")
_NAME: Final = re.compile(rb"[\w.]+")


class Together:
    """The import graph of a tree. files: by their paths, with `/`; their bytes."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self._by_last: dict[str, list[str]] = {}
        for path in files:
            self._by_last.setdefault(_dotted(path).rpartition(".")[2], []).append(path)
        self._imports = {path: frozenset(self._imported(data)) for path, data in files.items()}
        self._importers: dict[str, set[str]] = {}
        for path, imported in self._imports.items():
            for other in imported:
                self._importers.setdefault(other, set()).add(path)

    def met_by(self, path: str) -> set[str]:
        """Return the files that may be in one process with a file, itself among them."""
        above = _reached([path], self._importers)
        return _reached(above, self._imports)

    def _imported(self, data: bytes) -> Iterator[str]:
        for name in _names(data):
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                whole = ".".join(parts[:length])
                for path in self._by_last.get(parts[length - 1], ()):
                    dotted = _dotted(path)
                    if dotted == whole or dotted.endswith(f".{whole}"):
                        yield path


def _dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _names(data: bytes) -> Iterator[str]:
    """Yield the dotted names of modules that a file may import, those of its `from` lines with each name."""
    for match in _FROM.finditer(data):
        module = match[1].decode("ascii", "replace").strip(".")
        for name in _NAME.findall(match[2]):
            yield f"{module}.{name.decode('ascii', 'replace')}".strip(".")
        yield from [module] if module else []
    for match in _IMPORT.finditer(data):
        yield from (name.decode("ascii", "replace") for name in _NAME.findall(match[1]))
    for match in _CALLED.finditer(data):
        yield match[1].decode("ascii", "replace")


def _reached(starts: Iterable[str], steps: Mapping[str, Iterable[str]]) -> set[str]:
    found = set(starts)
    todo = list(found)
    while todo:
        for step in steps.get(todo.pop(), ()):
            if step not in found:
                found.add(step)
                todo.append(step)
    return found
