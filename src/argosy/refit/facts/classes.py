"""The classes of a module: their bases, what they define, and what they keep on `self`.

Says nothing of lines, so that few edits change it.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.refit.sockets import SELF, class_of
from argosy.refit.tree import Tree
from argosy.source import flow
from argosy.source.scopes import Scope


class ClassFacts(msgspec.Struct, frozen=True, array_like=True):
    """One class.

    bases: by the names that imports lead to (`common.base_agent.BaseAgent`); as written where the module
    itself defines them. methods: in the order of the source. kept: the attributes that it assigns on self.
    read: those that it only reads.
    """

    bases: tuple[str, ...]
    methods: tuple[str, ...]
    kept: tuple[str, ...]
    read: tuple[str, ...]


class Relative(msgspec.Struct, frozen=True):
    """A class of the tree: the file that defines it, its qualified name, its facts."""

    path: str
    name: str
    facts: ClassFacts


def collect(file: PythonFile) -> dict[str, ClassFacts] | None:
    classes = file.nodes(ast.ClassDef)
    if not classes:
        return None
    kept: dict[int, set[str]] = {}
    read: dict[int, set[str]] = {}
    for node, scope in file.nodes(ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in SELF:
            owner = class_of(scope)
            if owner is not None:
                where = read if isinstance(node.ctx, ast.Load) else kept
                where.setdefault(id(owner.node), set()).add(node.attr)
    found: dict[str, ClassFacts] = {}
    for cls, scope in classes:
        bases = tuple(_written(file, base, scope) for base in cls.bases)
        methods = [item.name for item in cls.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
        stored = kept.get(id(cls), set())
        name = ".".join(filter(None, [scope.qualified_name(), cls.name]))
        found[name] = ClassFacts(
            tuple(filter(None, bases)),
            tuple(dict.fromkeys(methods)),
            tuple(sorted(stored)),
            tuple(sorted(read.get(id(cls), set()) - stored)),
        )
    return found


CLASSES = FactKind("classes", dict[str, ClassFacts], collect)


def bases_of(tree: Tree, path: str, name: str) -> list[Relative]:
    """Return the bases of a class that the tree has, and theirs, nearest first."""
    start = tree.facts(CLASSES).get(path, {}).get(name)
    found: dict[tuple[str, str], Relative] = {}
    todo = [Relative(path, name, start)] if start is not None else []
    while todo:
        cls = todo.pop(0)
        for base in cls.facts.bases:
            relative = find_base(tree, cls, base)
            if relative is not None and (relative.path, relative.name) not in found:
                found[relative.path, relative.name] = relative
                todo.append(relative)
    return list(found.values())


def _written(file: PythonFile, base: ast.expr, scope: Scope) -> str:
    """Return a base's name: where its import leads, else as it is written; empty for what is no name."""
    node = base.value if isinstance(base, ast.Subscript) else base
    origin = file.origin(node, scope)
    if origin is None:
        return flow.dotted(node)
    if origin.name.startswith("."):
        return _absolute(file, origin.name)
    return origin.name


def _absolute(file: PythonFile, name: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    parts = file.module.split(".")
    is_package = file.path.endswith("__init__.py")
    kept = len(parts) - dots + is_package
    return ".".join([*parts[: max(kept, 0)], name[dots:]])


def find_base(tree: Tree, cls: Relative, base: str, *, is_guessed: bool = True) -> Relative | None:
    """Return the class that a base names: of its own file, of the module, else the only one so called.

    is_guessed: whether the last of these counts.
    """
    classes = tree.facts(CLASSES)
    path, inside = cls.path, cls.name
    around = inside.rpartition(".")[0]
    for name in (f"{around}.{base}" if around else base, base):
        if name != inside and name in classes.get(path, {}):
            return Relative(path, name, classes[path][name])
    module, _, name = base.rpartition(".")
    found = tree.finder(path).find(module) if module else None
    if found is not None and found.kind == "source":
        at = tree.relative(found.path)
        if name in classes.get(at, {}):
            return Relative(at, name, classes[at][name])
    homes = tree.derived(_homes).get(name, ()) if module and is_guessed else ()
    return Relative(homes[0], name, classes[homes[0]][name]) if len(homes) == 1 else None


def _homes(tree: Tree) -> Mapping[str, tuple[str, ...]]:
    """Return the files that define a class, by the name of the class."""
    found: dict[str, list[str]] = {}
    for path, classes in tree.facts(CLASSES).items():
        for name in classes:
            found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}
