"""Collects how a tree uses names: who imports them from where, and who binds them otherwise."""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from argosy.refit.core.source_file import module_name
from argosy.source.module_finder import DirectoryListings, ModuleFinder, is_installed, is_standard
from argosy.source.python_parser import Parsed, parse, pause_gc
from argosy.source.python_source import SourceText, read_source

# How a module defines a name: a function, a class, data, or an import.
DefinitionKind = Literal["def", "class", "data", "import"]

_REQUIREMENT_NAME = re.compile(r"^\s*([A-Za-z][\w.-]*)")
# Distributions whose module has another name; only very common ones.
_MODULES_BY_PACKAGE = {
    "pyzmq": "zmq",
    "pyyaml": "yaml",
    "pillow": "PIL",
    "opencv-python": "cv2",
    "scikit-learn": "sklearn",
}


# Builtins of Python 2: read after a version check, and missing for a reason.
PYTHON2_BUILTINS = frozenset(
    {"apply", "basestring", "buffer", "cmp", "coerce", "execfile", "file", "intern", "long", "raw_input"}
    | {"reduce", "reload", "unichr", "unicode", "xrange"}
)


class NameOrigin(msgspec.Struct, frozen=True):
    """Where a name is imported from. import_statement: the statement. file_count: how many files have it."""

    import_statement: str
    module: str
    file_count: int


class NameImport(msgspec.Struct, frozen=True):
    """One file's import of a name. attributes: the attributes of it that the file reads."""

    path: str
    import_statement: str
    module: str
    imported_name: str
    attributes: frozenset[str]


class ProjectNames:
    """The requested names of a tree. Keeps no syntax trees.

    bindings: what the modules that mention one of the names bind at top level, by path, and how. makers: by
    name and function, the files that bind the name by calling the function without arguments.
    """

    def __init__(self, root: str, required: Collection[str] = ()) -> None:
        self.root = root
        self.imports: dict[str, list[NameImport]] = {}
        self.assigned_in: dict[str, set[str]] = {}
        self.bindings: dict[str, dict[str, DefinitionKind]] = {}
        self.makers: dict[str, dict[str, set[str]]] = {}
        self.required = frozenset(required)
        self._finder = ModuleFinder([root], (), DirectoryListings())

    def module_exists(self, module: str) -> bool:
        """Return whether a module is in the tree, comes with Python, is installed, or is required."""
        top = module.split(".")[0]
        if not top:
            return False
        if self._finder.find(top) is not None:
            return self._finder.find(module) is not None
        return is_standard(top) or top in self.required or is_installed(top)

    def module_has_name(self, module: str, name: str) -> bool:
        """Return whether a module exists and, if it is in the tree, can be read and binds `name`."""
        if not self.module_exists(module):
            return False
        found = self._finder.find(module)
        if found is None:
            return True
        if found.kind != "source":
            return not name
        path = os.path.relpath(found.path, self.root).replace(os.sep, "/")
        return path in self.bindings and (not name or name in self.bindings[path])

    def definition_kind(self, module: str, name: str) -> DefinitionKind | None:
        """Return how a module of the tree defines a name; None if it does not, or is not in the tree."""
        found = self._finder.find(module)
        if found is None or found.kind != "source":
            return None
        path = os.path.relpath(found.path, self.root).replace(os.sep, "/")
        return self.bindings.get(path, {}).get(name)

    def find_origin(self, name: str, path: str, attributes: frozenset[str]) -> NameOrigin | None:
        """Return the import for a file that uses `name`, or None if the tree does not determine it.

        path: of the file, relative to the root. attributes: those of the name that the file reads.
        """
        folder = os.path.dirname(path)
        if name in PYTHON2_BUILTINS or any(
            os.path.dirname(other) == folder and other != path for other in self.assigned_in.get(name, ())
        ):
            # A script of the same type defines its own: a generic name, for which an import would be wrong.
            return None
        known = [
            item
            for item in self.imports.get(name, ())
            if self.module_has_name(item.module, item.imported_name)
        ]
        top = _top_folder(path)
        same_folder = [item for item in known if top and _top_folder(item.path) == top]
        same_attributes = [item for item in known if attributes and attributes & item.attributes]
        for group in (known, same_folder, same_attributes):
            if len({item.import_statement for item in group}) == 1 and self._is_conclusive(
                group, top, attributes
            ):
                return NameOrigin(group[0].import_statement, group[0].module, len(group))
        return None

    def _is_conclusive(self, group: Sequence[NameImport], top: str, attributes: frozenset[str]) -> bool:
        """Return whether the files that import a name alike are evidence enough for one more.

        top: the top-level folder of the file. Several files must do so, unless the module of the tree defines
        the name; the name must not be private to its package; and no attribute may be read of a function.
        """
        module, imported_name = group[0].module, group[0].imported_name
        kind = self.definition_kind(module, imported_name) if imported_name else None
        if kind == "def" and attributes:
            return False
        is_local = self._finder.find(module) is not None
        package = module.split(".")[0]
        is_near = not is_local or top == package or any(_top_folder(item.path) != package for item in group)
        is_defined = is_local and (not imported_name or kind in ("def", "class"))
        return is_near and (is_defined or len(group) >= 2)

    def defining_module(self, name: str, modules: Collection[str]) -> str | None:
        """Return the one of `modules`, from which a file imports other names, that defines `name`.

        None if none does, or more than one, or if the definition is neither a function nor a class.
        """
        if name in PYTHON2_BUILTINS:
            return None
        found = [
            module
            for module in sorted(set(modules))
            if self.definition_kind(module, name) in ("def", "class")
        ]
        return found[0] if len(found) == 1 else None


def read_project_names(
    root: str, paths: Iterable[str], names: Collection[str], repaired: Mapping[str, SourceText] | None = None
) -> ProjectNames:
    """Return how the files at `paths` (relative to `root`) use `names`; broken files are skipped.

    repaired: sources that replace those on disk, by path: broken files after repair.
    """
    project_names = ProjectNames(root, _required_modules(root))
    pattern = re.compile(rb"\b(?:" + b"|".join(re.escape(name.encode()) for name in sorted(names)) + rb")\b")
    with pause_gc():
        for path in paths:
            source = (repaired or {}).get(path) or read_source(os.path.join(root, path))
            if names and isinstance(source, SourceText) and pattern.search(source.data):
                parsed = parse(source, is_compiled=False)
                if isinstance(parsed, Parsed):
                    _collect_file(project_names, path, parsed, names)
    return project_names


def attributes_read(tree: ast.AST, name: str) -> frozenset[str]:
    """Return the attributes of `name` that are read anywhere in `tree`."""
    return frozenset(
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name
    )


def _collect_file(project_names: ProjectNames, path: str, parsed: Parsed, names: Collection[str]) -> None:
    attributes: dict[str, set[str]] = {}
    imports: list[tuple[str, str, str, str]] = []
    bindings = project_names.bindings.setdefault(path, {})
    for name, kind in _bound_names(parsed.tree.body):
        bindings.setdefault(name, kind)
        if kind == "data" and name in names:
            project_names.assigned_in.setdefault(name, set()).add(path)
    for name, function in _parameterless_calls(parsed.tree.body):
        if name in names:
            project_names.makers.setdefault(name, {}).setdefault(function, set()).add(path)
    for node in ast.walk(parsed.tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            attributes.setdefault(node.value.id, set()).add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports += [item for item in _imported_names(node, path) if item[0] in names]
    for name, text, module, imported_name in imports:
        item = NameImport(path, text, module, imported_name, frozenset(attributes.get(name, ())))
        project_names.imports.setdefault(name, []).append(item)


def _parameterless_calls(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield (name, function) of each `name = function()` in a block."""
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            call = node.value
            if isinstance(call.func, ast.Name) and not call.args and not call.keywords:
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        yield target.id, call.func.id


def _imported_names(node: ast.Import | ast.ImportFrom, path: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield (bound name, statement for it alone, module, imported name)."""
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


def _bound_names(body: list[ast.stmt]) -> Iterator[tuple[str, DefinitionKind]]:
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
            yield from _bound_names(_nested_statements(node))


def _nested_statements(node: ast.stmt) -> list[ast.stmt]:
    """Return the statements in all blocks of another statement."""
    if not isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
        return []
    handlers = getattr(node, "handlers", [])
    parts = (node.body, *(handler.body for handler in handlers))
    rest = [*getattr(node, "orelse", []), *getattr(node, "finalbody", [])]
    return [item for part in parts for item in part] + rest


def _top_folder(path: str) -> str:
    """Return the top-level folder of a file, empty for a file at the root."""
    first, _, rest = path.partition("/")
    return first if rest else ""


def _required_modules(root: str) -> set[str]:
    """Return the top-level modules that requirement files at the root, and one folder below, list."""
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
                    match = _REQUIREMENT_NAME.match(line)
                    if match:
                        package = match[1].lower()
                        found.add(_MODULES_BY_PACKAGE.get(package, match[1].replace("-", "_")))
    return found
