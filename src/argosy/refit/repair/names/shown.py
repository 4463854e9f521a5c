"""What the rest of a tree shows of a name: who imports it from where, and who binds it otherwise."""

from __future__ import annotations

import ast
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

import msgspec

from argosy.refit.file import module_name
from argosy.source.facts import collector_paused
from argosy.source.modules import Finder, Folders, is_installed, is_standard
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, read_source

_NAMED = re.compile(r"^\s*([A-Za-z][\w.-]*)")
# Distributions whose module has another name; only such as are common enough to be told by heart.
_MODULES = {
    "pyzmq": "zmq",
    "pyyaml": "yaml",
    "pillow": "PIL",
    "opencv-python": "cv2",
    "scikit-learn": "sklearn",
}


class Origin(msgspec.Struct, frozen=True):
    """Where a name is imported from. text: the statement; files: how many have it."""

    text: str
    module: str
    files: int


class Bringing(msgspec.Struct, frozen=True):
    """One file's import of a name. used: the attributes that it reads of it."""

    path: str
    text: str
    module: str
    taken: str
    used: frozenset[str]


class Shown:
    """The names of a tree that were asked for. Holds no trees."""

    def __init__(self, root: str, required: Collection[str] = ()) -> None:
        self.root = root
        self.bringings: dict[str, list[Bringing]] = {}
        self.assigned_in: dict[str, set[str]] = {}
        self.held: dict[str, set[str]] = {}
        self.required = frozenset(required)
        self._finder = Finder([root], (), Folders())

    def exists(self, module: str) -> bool:
        """Return whether a module is in the tree, comes with Python, is installed, or is required."""
        top = module.split(".")[0]
        if not top:
            return False
        if self._finder.find(top) is not None:
            return self._finder.find(module) is not None
        return is_standard(top) or top in self.required or is_installed(top)

    def holds(self, module: str, name: str) -> bool:
        """Return whether a module exists and, when it is the tree's own, could be read and binds `name`."""
        if not self.exists(module):
            return False
        found = self._finder.find(module)
        if found is None:
            return True
        if found.kind != "source":
            return not name
        path = os.path.relpath(found.path, self.root).replace(os.sep, "/")
        return path in self.held and (not name or name in self.held[path])

    def origin(self, name: str, path: str, used: frozenset[str]) -> Origin | None:
        """Return what a file that uses `name` is to import, or None where the tree does not tell.

        path: of the file, relative to the root; used: the attributes that it reads of the name.
        """
        folder = os.path.dirname(path)
        if any(
            os.path.dirname(other) == folder and other != path for other in self.assigned_in.get(name, ())
        ):
            # A script of the same role makes its own: a generic name, which an import would be wrong for.
            return None
        known = [item for item in self.bringings.get(name, ()) if self.holds(item.module, item.taken)]
        top = path.split("/")[0]
        near = [item for item in known if item.path.split("/")[0] == top and "/" in item.path]
        alike = [item for item in known if used and used & item.used]
        for group in (known, near, alike):
            texts = Counter(item.text for item in group)
            if len(texts) == 1:
                text = next(iter(texts))
                if texts[text] >= 2 or self._finder.find(group[0].module) is not None:
                    return Origin(text, group[0].module, texts[text])
        return None


def read_shown(root: str, paths: Iterable[str], names: Collection[str]) -> Shown:
    """Return what the files at `paths` (relative to `root`) show of `names`; broken ones show nothing."""
    shown = Shown(root, _required(root))
    words = re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in sorted(names)) + rb")\b")
    with collector_paused():
        for path in paths:
            source = read_source(os.path.join(root, path))
            if names and isinstance(source, Source) and words.search(source.data):
                parsed = parse(source, is_compiled=False)
                if isinstance(parsed, Parsed):
                    _take(shown, path, parsed, names)
    return shown


def attributes_of(tree: ast.AST, name: str) -> frozenset[str]:
    """Return the attributes that are read of `name` anywhere in `tree`."""
    return frozenset(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    )


def _take(shown: Shown, path: str, parsed: Parsed, names: Collection[str]) -> None:
    used: dict[str, set[str]] = {}
    brought: list[tuple[str, str, str, str]] = []
    held = shown.held.setdefault(path, set())
    for name, is_assigned in _bound(parsed.tree.body):
        held.add(name)
        if is_assigned and name in names:
            shown.assigned_in.setdefault(name, set()).add(path)
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            brought += [item for item in _brought(node, path) if item[0] in names]
    for name, text, module, taken in brought:
        item = Bringing(path, text, module, taken, frozenset(used.get(name, ())))
        shown.bringings.setdefault(name, []).append(item)


def _brought(node: ast.Import | ast.ImportFrom, path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (name that is bound, statement for it alone, module, name that is taken from it)."""
    for alias in node.names:
        suffix = f" as {alias.asname}" if alias.asname else ""
        if isinstance(node, ast.Import):
            if alias.asname or "." not in alias.name:
                yield alias.asname or alias.name, f"import {alias.name}{suffix}", alias.name, ""
            continue
        module = node.module or ""
        if node.level:
            parts = module_name(path).split(".")
            is_package = path.endswith("__init__.py")
            parts = parts[: len(parts) - node.level + is_package]
            module = ".".join([*parts, module]) if module else ".".join(parts)
        yield alias.asname or alias.name, f"from {module} import {alias.name}{suffix}", module, alias.name


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, bool]]:
    """Yield the names that a module's own statements bind, and whether by an assignment."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, False
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0], False
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from ((item.id, True) for item in ast.walk(target) if isinstance(item, ast.Name))
        elif isinstance(node, ast.If | ast.For | ast.While | ast.With):
            yield from _bound(node.body)
            yield from _bound(getattr(node, "orelse", []))
        elif isinstance(node, ast.Try):
            for part in (
                node.body,
                *(handler.body for handler in node.handlers),
                node.orelse,
                node.finalbody,
            ):
                yield from _bound(part)


def _required(root: str) -> set[str]:
    """Return the top modules that the requirement files at the root, and one folder below, name."""
    found: set[str] = set()
    folders = [root, *(entry.path for entry in os.scandir(root) if entry.is_dir(follow_symlinks=False))]
    for folder in folders:
        try:
            names = [
                name
                for name in os.listdir(folder)
                if name.startswith("requirements") and name.endswith(".txt")
            ]
        except OSError:
            continue
        for name in names:
            with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
                for line in file:
                    match = _NAMED.match(line)
                    if match:
                        word = match[1].lower()
                        found.add(_MODULES.get(word, match[1].replace("-", "_")))
    return found
