"""What the rest of a tree shows of a name: who imports it from where, and who binds it otherwise."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.refit.file import module_name
from argosy.source.collector import collector_paused
from argosy.source.modules import Finder, Folders, is_installed, is_standard
from argosy.source.parse import Parsed, parse
from argosy.source.text import Source, read_source

# How a module makes a name: a function, a class, data, or what it has imported itself.
Made = Literal["def", "class", "data", "import"]

_NAMED = re.compile(r"^\s*([A-Za-z][\w.-]*)")
# Distributions whose module has another name; only such as are common enough to be told by heart.
_MODULES = {
    "pyzmq": "zmq",
    "pyyaml": "yaml",
    "pillow": "PIL",
    "opencv-python": "cv2",
    "scikit-learn": "sklearn",
}


# Builtins of Python 2: read where a version was asked for first, and missing for a reason.
OLD_BUILTINS = frozenset(
    {"apply", "basestring", "buffer", "cmp", "coerce", "execfile", "file", "intern", "long", "raw_input"}
    | {"reduce", "reload", "unichr", "unicode", "xrange"}
)


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
    """The names of a tree that were asked for. Holds no trees.

    held: what the modules that mention one of the names bind at their top, by path, and how.
    made_by: by name and function, the files that make the name by calling that without arguments.
    """

    def __init__(self, root: str, required: Collection[str] = ()) -> None:
        self.root = root
        self.bringings: dict[str, list[Bringing]] = {}
        self.assigned_in: dict[str, set[str]] = {}
        self.held: dict[str, dict[str, Made]] = {}
        self.made_by: dict[str, dict[str, set[str]]] = {}
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

    def made(self, module: str, name: str) -> Made | None:
        """Return how a module of the tree makes a name; None when it is not of the tree, or does not."""
        found = self._finder.find(module)
        if found is None or found.kind != "source":
            return None
        path = os.path.relpath(found.path, self.root).replace(os.sep, "/")
        return self.held.get(path, {}).get(name)

    def origin(self, name: str, path: str, used: frozenset[str]) -> Origin | None:
        """Return what a file that uses `name` is to import, or None where the tree does not tell.

        path: of the file, relative to the root; used: the attributes that it reads of the name.
        """
        folder = os.path.dirname(path)
        if name in OLD_BUILTINS or any(
            os.path.dirname(other) == folder and other != path for other in self.assigned_in.get(name, ())
        ):
            # A script of the same role makes its own: a generic name, which an import would be wrong for.
            return None
        known = [item for item in self.bringings.get(name, ()) if self.holds(item.module, item.taken)]
        top = _top_folder(path)
        near = [item for item in known if top and _top_folder(item.path) == top]
        alike = [item for item in known if used and used & item.used]
        for group in (known, near, alike):
            if len({item.text for item in group}) == 1 and self._is_told_by(group, top, used):
                return Origin(group[0].text, group[0].module, len(group))
        return None

    def _is_told_by(self, group: Sequence[Bringing], top: str, used: frozenset[str]) -> bool:
        """Return whether the files that import a name, all alike, say enough for one more.

        top: the folder of the root that the file is in. Several must do so, unless the module of the tree
        defines the name; nobody takes it out of a package that keeps it for itself; and no attribute is read
        of what is a function.
        """
        module, taken = group[0].module, group[0].taken
        made = self.made(module, taken) if taken else None
        if made == "def" and used:
            return False
        is_local = self._finder.find(module) is not None
        home = module.split(".")[0]
        is_near = not is_local or top == home or any(_top_folder(item.path) != home for item in group)
        is_defined = is_local and (not taken or made in ("def", "class"))
        return is_near and (is_defined or len(group) >= 2)

    def beside(self, name: str, modules: Collection[str]) -> str | None:
        """Return the one of `modules`, from which a file takes other names, that defines `name`.

        None when none does, or more than one, or when what it makes is no function and no class.
        """
        if name in OLD_BUILTINS:
            return None
        found = [module for module in sorted(set(modules)) if self.made(module, name) in ("def", "class")]
        return found[0] if len(found) == 1 else None


def read_shown(
    root: str, paths: Iterable[str], names: Collection[str], mended: Mapping[str, Source] | None = None
) -> Shown:
    """Return what the files at `paths` (relative to `root`) show of `names`; broken ones show nothing.

    mended: sources that stand for those of the disk, by path: broken files as they will be.
    """
    shown = Shown(root, _required(root))
    words = re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in sorted(names)) + rb")\b")
    with collector_paused():
        for path in paths:
            source = (mended or {}).get(path) or read_source(os.path.join(root, path))
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
    held = shown.held.setdefault(path, {})
    for name, made in _bound(parsed.tree.body):
        held.setdefault(name, made)
        if made == "data" and name in names:
            shown.assigned_in.setdefault(name, set()).add(path)
    for name, maker in _called(parsed.tree.body):
        if name in names:
            shown.made_by.setdefault(name, {}).setdefault(maker, set()).add(path)
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            used.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            brought += [item for item in _brought(node, path) if item[0] in names]
    for name, text, module, taken in brought:
        item = Bringing(path, text, module, taken, frozenset(used.get(name, ())))
        shown.bringings.setdefault(name, []).append(item)


def _called(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield (name, function) of each `name = function()` in a block."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Name) and not call.args and not call.keywords:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        yield target.id, call.func.id


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


def _bound(body: list[ast.stmt]) -> Iterator[tuple[str, Made]]:
    """Yield the names that a module's own statements bind, and how."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, "def"
        elif isinstance(node, ast.ClassDef):
            yield node.name, "class"
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name.split(".")[0], "import"
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                yield from ((item.id, "data") for item in ast.walk(target) if isinstance(item, ast.Name))
        else:
            yield from _bound(_inner(node))


def _inner(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements in the blocks of another statement, all of its branches."""
    if not isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
        return []
    handlers = getattr(node, "handlers", [])
    parts = (node.body, *(handler.body for handler in handlers))
    rest = [*getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
    return [item for part in parts for item in part] + rest


def _top_folder(path: str) -> str:
    """Return the folder of the root that a file is in, empty for one beside no folder."""
    first, _, rest = path.partition("/")
    return first if rest else ""


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
