"""An attribute is read on self, and nothing sets it

It raises an AttributeError when it is read. Checked for classes whose whole family is in the tree: no class
of it sets or defines the name, no base or derived class does, and no file sets it from outside. The message
says whether the constructor or `run` leads to it: then the start may fail.

Not reported where a base is outside the tree, where `setattr` or `__dict__` may set anything, and for names
that `hasattr` or `getattr` check.

Instead: restore it. If a class of the same name elsewhere in the tree has it, the hint says where.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from argosy.refit.analysis.facts.class_facts import CLASS_FACTS, TreeClass, find_ancestors, find_base
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.refit.core.source_tree import SourceTree
from argosy.source.ast_children import children
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

_EMPTY_BASES = frozenset({"object", "ABC", "abc.ABC", "Generic", "typing.Generic", "Protocol"})
_BUILTIN_ATTRIBUTES = frozenset(dir(type)) | {"__dict__", "__annotations__", "__name__", "__qualname__"}
_START_METHODS = ("__init__", "run")


def check(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report each name once for a class, at the place that a start reaches first."""
    members = tree.fact(CLASS_MEMBERS, path)
    for name, own in (members.classes if members is not None else {}).items():
        if not own.undefined_reads:
            continue
        family = _find_family(tree, path, name)
        if family is None:
            continue
        defined = (
            {item for each in family for item in each.defined}
            | tree.compute_once(_names_set_from_outside)
            | _BUILTIN_ATTRIBUTES
        )
        reached = _methods_reached_at_start(family)
        first: dict[str, MemberRead] = {}
        for read in sorted(own.undefined_reads, key=lambda item: (item.method not in reached, item.line)):
            first.setdefault(read.name, read)
        for read in first.values():
            if read.name not in defined:
                yield _make_finding(tree, path, name, read, reached.get(read.method, ""))


def _make_finding(tree: SourceTree, path: str, cls: str, read: MemberRead, start: str) -> Finding:
    last = cls.rpartition(".")[2]
    consequence = f": `{start}` leads there" if start else ""
    other_paths = [
        place for place in tree.compute_once(_paths_by_member).get((last, read.name), ()) if place != path
    ]
    hint = f"the class `{last}` in {other_paths[0]} has it" if other_paths else ""
    message = f"`{cls}.{read.method}` reads `self.{read.name}`, and nothing sets it{consequence}"
    return Finding(path, read.line, read.column, "", message, symbol=f"{cls}.{read.name}", hint=hint)


def _find_family(tree: SourceTree, path: str, name: str) -> list[ClassMembers] | None:
    """Return a class and all that may share an object with it: its bases, its subclasses, and their bases.

    None if one of them is open or outside the tree, or if nothing constructs a class of the family: it may be
    a mixin for classes elsewhere.
    """
    ancestries = tree.compute_once(_find_ancestries)
    own = (path, name)
    keys: set[tuple[str, str]] = set()
    for key, ancestry in ancestries.items():
        if key == own or own in ancestry.ancestors:
            if not ancestry.is_complete:
                return None
            keys |= {key, *ancestry.ancestors}
    files = tree.facts(CLASS_MEMBERS)
    found = [files[at].classes[inner] for at, inner in keys]
    is_complete = not any(item.has_dynamic_attributes for item in found) and any(
        "__init__" in item.defined for item in found
    )
    return found if is_complete else None


class _Ancestry(NamedTuple):
    """The bases of a class, transitively. is_complete: all of them are in the tree."""

    ancestors: frozenset[tuple[str, str]]
    is_complete: bool


def _find_ancestries(tree: SourceTree) -> Mapping[tuple[str, str], _Ancestry]:
    """Return the ancestry of each class of the tree."""
    found: dict[tuple[str, str], _Ancestry] = {}
    for path, classes in tree.facts(CLASS_FACTS).items():
        for name in classes:
            ancestors = find_ancestors(tree, path, name)
            ancestor_keys = frozenset((item.path, item.name) for item in ancestors)
            every = [TreeClass(path, name, classes[name]), *ancestors]
            is_complete = all(
                base in _EMPTY_BASES or find_base(tree, item, base, is_guess_allowed=False) is not None
                for item in every
                for base in item.facts.bases
            )
            found[path, name] = _Ancestry(ancestor_keys, is_complete)
    return found


def _names_set_from_outside(tree: SourceTree) -> frozenset[str]:
    return frozenset(name for item in tree.facts(CLASS_MEMBERS).values() for name in item.set_from_outside)


def _paths_by_member(tree: SourceTree) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """Return the files that define a member, by class and member name."""
    found: dict[tuple[str, str], list[str]] = {}
    for path, item in tree.facts(CLASS_MEMBERS).items():
        for cls, members in item.classes.items():
            for name in members.defined:
                found.setdefault((cls.rpartition(".")[2], name), []).append(path)
    return {key: tuple(paths) for key, paths in found.items()}


def _methods_reached_at_start(family: list[ClassMembers]) -> dict[str, str]:
    """Return the methods that a start calls or passes on, each with the method it starts from."""
    found: dict[str, str] = {}
    for start in _START_METHODS:
        pending = [start]
        while pending:
            method = pending.pop()
            if method not in found:
                found[method] = start
                pending += [name for item in family for name in item.calls.get(method, ())]
    return found


# -- members of classes ------------------------------------------------------------------------------


class MemberRead(msgspec.Struct, frozen=True, array_like=True):
    """An attribute that is read on self and that the class neither sets nor defines; its first place."""

    name: str
    line: int
    column: int
    method: str


class ClassMembers(msgspec.Struct, frozen=True, array_like=True):
    """One class, by its own source.

    defined: what it sets on self or defines. undefined_reads: what it only reads, each name once per method.
    calls: by method, the other methods that it names on self. has_dynamic_attributes: anything may be set on
    it (`setattr` with an unknown name, `__getattr__`, a metaclass, an unknown decorator).
    """

    defined: tuple[str, ...]
    undefined_reads: tuple[MemberRead, ...]
    calls: dict[str, tuple[str, ...]]
    has_dynamic_attributes: bool


class FileMembers(msgspec.Struct, frozen=True, array_like=True):
    """The classes of a file by qualified name, and the attributes that it sets on anything but self."""

    classes: dict[str, ClassMembers]
    set_from_outside: tuple[str, ...]


_TRANSPARENT_DECORATORS = frozenset({"dataclass", "final", "runtime_checkable", "total_ordering"})
_REFLECTION_CALLS = frozenset({"hasattr", "getattr", "setattr", "delattr", "vars"})


def collect(file: PythonFile) -> FileMembers | None:
    classes: dict[str, ClassMembers] = {}
    methods = _FileMethodUses(file).by_class
    for node, scope in file.nodes(ast.ClassDef):
        name = ".".join(filter(None, [scope.qualified_name(), node.name]))
        classes[name] = _read_members(file, node, methods.get(node, []))
    set_from_outside = {
        node.attr
        for node, _ in file.nodes(ast.Attribute)
        if isinstance(node.ctx, ast.Store) and not _is_self(node.value)
    }
    set_from_outside |= {name for node, _ in file.nodes(ast.Call) if (name := _name_set_by_call(node))}
    return FileMembers(classes, tuple(sorted(set_from_outside))) if classes or set_from_outside else None


class _MethodUses:
    """The uses of `self` in one method, under the name that the method gives it.

    attributes, calls: the nodes in the method, including nested functions but not other classes.
    """

    def __init__(self, name: str, self_name: str) -> None:
        self.name = name
        self.self_name = self_name
        self.attributes: list[ast.Attribute] = []
        self.calls: list[ast.Call] = []


class _FileMethodUses:
    """The methods of a file. by_class: by class, those that use `self`, in source order."""

    def __init__(self, file: PythonFile) -> None:
        self.by_class: dict[ast.AST, list[_MethodUses]] = {}
        self._by_scope: dict[NameScope, _MethodUses | None] = {}
        for attribute, scope in file.nodes(ast.Attribute):
            if type(attribute.value) is ast.Name:
                method = self.method_at(scope)
                if method is not None and attribute.value.id == method.self_name:
                    method.attributes.append(attribute)
        for call, scope in file.nodes(ast.Call):
            if type(call.func) is ast.Name and call.func.id in _REFLECTION_CALLS:
                method = self.method_at(scope)
                if method is not None:
                    method.calls.append(call)

    def method_at(self, scope: NameScope) -> _MethodUses | None:
        """Return the method that a scope is or is in, if the name of `self` still means the object there."""
        if scope not in self._by_scope:
            self._by_scope[scope] = self._create(scope)
        return self._by_scope[scope]

    def _create(self, scope: NameScope) -> _MethodUses | None:
        parent, node = scope.parent, scope.node
        while parent is not None and parent.kind == "parameters":
            parent = parent.parent
        if parent is None or scope.kind in ("class", "parameters"):
            return None
        if parent.kind != "class":
            outer = self.method_at(parent)
            return None if outer is None or _has_parameter(node, outer.self_name) else outer
        self_name = _self_name(node) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
        if not self_name:
            return None
        method = _MethodUses(scope.name, self_name)
        self.by_class.setdefault(parent.node, []).append(method)
        return method


def _read_members(file: PythonFile, cls: ast.ClassDef, methods: list[_MethodUses]) -> ClassMembers:
    defined = set(_class_body_names(cls))
    # The last place in the first method of a name, for each attribute.
    last_reads: dict[tuple[str, str], tuple[ast.Attribute, _MethodUses]] = {}
    calls: dict[str, set[str]] = {}
    reflected: set[str] = set()
    has_dynamic_attributes = bool(cls.keywords) or not all(
        _is_transparent(item) for item in cls.decorator_list
    )
    for method in methods:
        for call in method.calls:
            names = _reflected_names(call, method.self_name)
            has_dynamic_attributes |= names is None
            reflected |= names or set()
        for node in method.attributes:
            has_dynamic_attributes |= node.attr == "__dict__"
            if not isinstance(node.ctx, ast.Load):
                defined.add(node.attr)
                continue
            calls.setdefault(method.name, set()).add(node.attr)
            known_read = last_reads.get((node.attr, method.name))
            if known_read is None or known_read[1] is method:
                last_reads[node.attr, method.name] = node, method
    has_dynamic_attributes |= bool({"__getattr__", "__getattribute__", "__slots__"} & defined)
    undefined_reads = [
        MemberRead(name, node.lineno, file.parsed.column(node), method)
        for (name, method), (node, _) in sorted(last_reads.items(), key=lambda item: item[0])
        if name not in defined and name not in reflected
    ]
    own = {name: tuple(sorted(named & defined)) for name, named in sorted(calls.items()) if named & defined}
    return ClassMembers(
        tuple(sorted(defined | reflected)), tuple(undefined_reads), own, has_dynamic_attributes
    )


def _self_name(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """Return what a method calls its object; empty for a static method."""
    parameters = [*method.args.posonlyargs, *method.args.args]
    is_static = any(dotted_name(item).endswith("staticmethod") for item in method.decorator_list)
    return parameters[0].arg if parameters and not is_static else ""


def _has_parameter(node: ast.AST, name: str) -> bool:
    """Return whether this is a function with a parameter of that name."""
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return False
    return any(item.arg == name for item in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs))


def _class_body_names(cls: ast.ClassDef) -> Iterator[str]:
    """Yield the names that a class body binds, including conditional ones."""
    pending: list[ast.AST] = list(cls.body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).split(".")[0]
        else:
            pending += children(node)


def _is_transparent(decorator: ast.expr) -> bool:
    node = decorator.func if isinstance(decorator, ast.Call) else decorator
    return (
        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
    ) in _TRANSPARENT_DECORATORS


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _reflected_names(node: ast.Call, self_name: str) -> set[str] | None:
    """Return the names that a call reads or sets on self by name; None if it may be any."""
    function_name = node.func.id if isinstance(node.func, ast.Name) else ""
    if function_name not in _REFLECTION_CALLS or not node.args or not _is_name(node.args[0], self_name):
        return set()
    name_argument = node.args[1] if len(node.args) > 1 else None
    if isinstance(name_argument, ast.Constant):
        return {str(name_argument.value)}
    return set() if function_name in ("hasattr", "getattr") else None


def _name_set_by_call(node: ast.Call) -> str:
    """Return the name that a `setattr` or `patch.object` sets, if it is a literal."""
    function_name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    name_argument = node.args[1] if function_name in ("setattr", "object") and len(node.args) > 1 else None
    return (
        str(name_argument.value)
        if isinstance(name_argument, ast.Constant) and isinstance(name_argument.value, str)
        else ""
    )


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


CLASS_MEMBERS = FactKind("class members", FileMembers, collect)


RULE = Rule(
    code="S105",
    title="attribute that nothing sets",
    action="report",
    fact_kinds=(CLASS_MEMBERS,),
    shared_fact_kinds=(CLASS_MEMBERS, CLASS_FACTS),
    check_links=check,
)

MUST = (
    RuleCase(
        "class A:\n    def __init__(self):\n        self.begin()\n\n"
        "    def begin(self):\n        self.loop()  # <--\n"
    ),
    RuleCase(
        files={
            "a.py": "from base import Base\n\nclass A(Base):\n"
            "    def f(self):\n        return self.x + self.y  # <--\n",
            "base.py": "class Base:\n    def __init__(self):\n        self.x = 1\n",
        }
    ),
)
MUST_NOT = (
    RuleCase(
        "class A:\n    def __init__(self): pass\n\n    def f(self):\n        return self.x\n\n"
        "class B(A):\n    x = 1\n"
    ),
    RuleCase("class A:\n    def f(self):\n        return self.x\n\na = A()\na.x = 1\n"),
    RuleCase(
        "class A:\n    def __init__(self, **more):\n        self.__dict__.update(more)\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("class A:\n    def f(self):\n        return self.x if hasattr(self, 'x') else 0\n"),
    RuleCase(
        "from gone import A as Old\n\nclass A(Old):\n    def __init__(self): pass\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("from gone import Base\n\nclass A(Base):\n    def f(self):\n        return self.x\n"),
    RuleCase(
        "class A:\n    def __getattr__(self, name):\n        return 1\n\n"
        "    def f(self):\n        return self.x\n"
    ),
    RuleCase("def mark(cls): return cls\n\n@mark\nclass A:\n    def f(self):\n        return self.x\n"),
    RuleCase("class Mixin:\n    def f(self):\n        return self.x\n"),
    RuleCase("class A:\n    def f(self):\n        return self.__class__, self.__doc__\n"),
)
