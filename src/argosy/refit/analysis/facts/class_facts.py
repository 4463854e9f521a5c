"""The classes of a module: their bases, what they define, and what they assign on `self`.

The facts contain no line numbers, so that few edits change them.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import msgspec

from argosy.refit.analysis.socket_uses import SELF_NAMES, enclosing_class
from argosy.refit.core.fact import FactKind
from argosy.refit.core.source_file import PythonFile
from argosy.refit.core.source_tree import SourceTree
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope


class ClassFacts(msgspec.Struct, frozen=True, array_like=True):
    """One class.

    bases: by the names that imports resolve to (`common.base_agent.BaseAgent`); as written if the module
    defines them.
    methods: in source order. assigned: the attributes that it assigns on self. read_only: those that it only
    reads.
    """

    bases: tuple[str, ...]
    methods: tuple[str, ...]
    assigned: tuple[str, ...]
    read_only: tuple[str, ...]


class TreeClass(msgspec.Struct, frozen=True):
    """A class of the tree: the file that defines it, its qualified name, its facts."""

    path: str
    name: str
    facts: ClassFacts


def collect(file: PythonFile) -> dict[str, ClassFacts] | None:
    classes = file.nodes(ast.ClassDef)
    if not classes:
        return None
    assigned: dict[int, set[str]] = {}
    read: dict[int, set[str]] = {}
    for node, scope in file.nodes(ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in SELF_NAMES:
            owner = enclosing_class(scope)
            if owner is not None:
                accesses = read if isinstance(node.ctx, ast.Load) else assigned
                accesses.setdefault(id(owner.node), set()).add(node.attr)
    found: dict[str, ClassFacts] = {}
    for cls, scope in classes:
        bases = tuple(_base_name(file, base, scope) for base in cls.bases)
        methods = [item.name for item in cls.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
        assigned_here = assigned.get(id(cls), set())
        name = ".".join(filter(None, [scope.qualified_name(), cls.name]))
        found[name] = ClassFacts(
            tuple(filter(None, bases)),
            tuple(dict.fromkeys(methods)),
            tuple(sorted(assigned_here)),
            tuple(sorted(read.get(id(cls), set()) - assigned_here)),
        )
    return found


CLASS_FACTS = FactKind("class facts", dict[str, ClassFacts], collect)


def find_ancestors(tree: SourceTree, path: str, name: str) -> list[TreeClass]:
    """Return the ancestors of a class that the tree defines, nearest first."""
    start = tree.facts(CLASS_FACTS).get(path, {}).get(name)
    found: dict[tuple[str, str], TreeClass] = {}
    pending = [TreeClass(path, name, start)] if start is not None else []
    while pending:
        cls = pending.pop(0)
        for base in cls.facts.bases:
            ancestor = find_base(tree, cls, base)
            if ancestor is not None and (ancestor.path, ancestor.name) not in found:
                found[ancestor.path, ancestor.name] = ancestor
                pending.append(ancestor)
    return list(found.values())


def _base_name(file: PythonFile, base: ast.expr, scope: NameScope) -> str:
    """Return a base's name: where its import leads, else as written; empty if it is not a name."""
    node = base.value if isinstance(base, ast.Subscript) else base
    origin = file.origin(node, scope)
    if origin is None:
        return dotted_name(node)
    if origin.name.startswith("."):
        return _absolute_name(file, origin.name)
    return origin.name


def _absolute_name(file: PythonFile, name: str) -> str:
    dots = len(name) - len(name.lstrip("."))
    parts = file.module.split(".")
    is_package = file.path.endswith("__init__.py")
    kept_parts = len(parts) - dots + is_package
    return ".".join([*parts[: max(kept_parts, 0)], name[dots:]])


def find_base(
    tree: SourceTree, cls: TreeClass, base: str, *, is_guess_allowed: bool = True
) -> TreeClass | None:
    """Return the class that a base names: of the same file, of the named module, else the only namesake.

    is_guess_allowed: whether the last of these counts.
    """
    classes = tree.facts(CLASS_FACTS)
    path, own_name = cls.path, cls.name
    enclosing_name = own_name.rpartition(".")[0]
    for name in (f"{enclosing_name}.{base}" if enclosing_name else base, base):
        if name != own_name and name in classes.get(path, {}):
            return TreeClass(path, name, classes[path][name])
    module, _, name = base.rpartition(".")
    found = tree.module_finder(path).find(module) if module else None
    if found is not None and found.kind == "source":
        at = tree.relative_path(found.path)
        if name in classes.get(at, {}):
            return TreeClass(at, name, classes[at][name])
    paths = tree.compute_once(_paths_by_class_name).get(name, ()) if module and is_guess_allowed else ()
    return TreeClass(paths[0], name, classes[paths[0]][name]) if len(paths) == 1 else None


def _paths_by_class_name(tree: SourceTree) -> Mapping[str, tuple[str, ...]]:
    """Return the files that define a class, by the name of the class."""
    found: dict[str, list[str]] = {}
    for path, classes in tree.facts(CLASS_FACTS).items():
        for name in classes:
            found.setdefault(name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}
