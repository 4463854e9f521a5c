"""Where a file names the class of contexts, and what becomes of it there.

It is called, so that a context is made; it is asked for, as in `isinstance` or an annotation, so that none
is; or it goes where this file does not show who calls it: into a `partial`, a dict, an attribute, a subclass.
Names that stand for it are followed to where they are called.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from argosy.refit.contextnames import find_foreign_names, find_names
from argosy.refit.file import PythonFile
from argosy.source import flow
from argosy.source.scopes import Scope

Finder = Callable[[PythonFile], Iterator[tuple[ast.expr, Scope, str, bool]]]


class Named(msgspec.Struct, frozen=True):
    """What names the class at one place.

    source: the expression in the file that takes it from pyzmq. name: in full, such as `zmq.Context`.
    is_sure: imports, and names that are bound once, lead there.
    """

    source: ast.expr
    name: str
    is_sure: bool


class ContextSite(msgspec.Struct, frozen=True):
    """One call that makes a context of its own. source, name, is_sure: as in `Named`, of what is called."""

    call: ast.Call
    scope: Scope
    source: ast.expr
    name: str
    is_sure: bool


class Handout(msgspec.Struct, frozen=True):
    """One place where the class goes out of sight, so that contexts may be made of it which nobody sees.

    told: what is done there, as `is handed to `partial``. is_factory: nothing is done with it but to call it.
    """

    node: ast.expr
    scope: Scope
    source: ast.expr
    name: str
    told: str
    is_factory: bool = False


class Question(msgspec.Struct, frozen=True):
    """One place where the class is asked about. is_type: it says of which type something is, no more."""

    node: ast.expr
    source: ast.expr
    name: str
    is_type: bool


class ContextClass:
    """What a file does with the class of contexts.

    sites: the calls that make contexts. handouts: where it goes out of sight. In the order of the source.
    questions: where something is asked about it. exchanged: where it, or a part of it, gets another value.
    """

    def __init__(self, file: PythonFile, find: Finder = find_names) -> None:
        self.file = file
        self.sites: list[ContextSite] = []
        self.handouts: list[Handout] = []
        self.questions: list[Question] = []
        self.exchanged: list[ast.expr] = []
        self._seen: set[ast.AST] = set()
        for node, scope, name, is_sure in find(file):
            self._follow(node, scope, Named(node, name, is_sure))
        self.sites.sort(key=lambda site: (site.call.lineno, site.call.col_offset))
        self.handouts.sort(key=lambda handout: (handout.node.lineno, handout.node.col_offset))

    def _follow(self, node: ast.expr, scope: Scope, named: Named) -> None:
        """Tell what becomes of the class at `node`, an expression whose value it is."""
        if node in self._seen:
            return
        self._seen.add(node)
        if isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            self.exchanged.append(node)
            return
        around = self.file.parent(node)
        if isinstance(around, ast.Call) and around.func is node:
            self.sites.append(ContextSite(around, scope, named.source, named.name, named.is_sure))
        elif isinstance(around, ast.Call | ast.keyword):
            self._given(node, scope, named, around)
        elif isinstance(around, ast.Assign | ast.AnnAssign | ast.NamedExpr) and around.value is node:
            self._assigned(node, scope, named, around)
        elif _is_passed_on(around, node):
            assert isinstance(around, ast.expr)
            is_sure = named.is_sure and isinstance(around, ast.Subscript)
            self._follow(around, scope, msgspec.structs.replace(named, is_sure=is_sure))
        else:
            self._other(node, scope, named, around)

    def _other(self, node: ast.expr, scope: Scope, named: Named, around: ast.AST | None) -> None:
        """Tell of the class where it is neither called nor given to something that may call it at once."""
        if isinstance(around, ast.Attribute):
            self._attribute(around, scope, named)
        elif self._is_type(node):
            self._ask(node, named, is_type=True)
        elif self._is_asked(node, around):
            self._ask(node, named)
        elif not isinstance(around, _UNUSED):
            self._away(node, scope, named, _told(around))

    def _away(
        self, node: ast.expr, scope: Scope, named: Named, told: str, *, is_factory: bool = False
    ) -> None:
        self.handouts.append(Handout(node, scope, named.source, named.name, told, is_factory))

    def _ask(self, node: ast.expr, named: Named, *, is_type: bool = False) -> None:
        self.questions.append(Question(node, named.source, named.name, is_type))

    def _attribute(self, around: ast.Attribute, scope: Scope, named: Named) -> None:
        if not isinstance(around.ctx, ast.Load):
            self.exchanged.append(around)
        elif around.attr in ("__new__", "__call__"):
            self._away(around, scope, named, f"makes contexts by `{around.attr}`")

    def _is_type(self, node: ast.expr) -> bool:
        """Return whether the class stands in an annotation, or within the brackets of a type."""
        inner: ast.AST = node
        for around in self.file.ancestors(node):
            if isinstance(around, ast.arg):
                return True
            if isinstance(around, ast.AnnAssign):
                return around.annotation is inner
            if isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
                return around.returns is inner
            if isinstance(around, ast.Subscript) and around.slice is inner and self._is_generic(around.value):
                return True
            if not isinstance(around, _OF_TYPES):
                return False
            inner = around
        return False

    def _is_generic(self, node: ast.expr) -> bool:
        root = flow.dotted(node)
        if root in ("dict", "list", "set", "tuple", "type"):
            return True
        imports = (statement for statement, _ in self.file.nodes(ast.ImportFrom))
        return root.partition(".")[0] in ("typing", "typing_extensions") or any(
            statement.module in _TYPES and any(root == (each.asname or each.name) for each in statement.names)
            for statement in imports
        )

    def _is_asked(self, node: ast.expr, around: ast.AST | None) -> bool:
        """Return whether the class is only compared, looked up by, or asked for here."""
        if isinstance(around, ast.Compare | ast.BinOp | ast.MatchClass | ast.ExceptHandler):
            return True
        if isinstance(around, ast.Subscript):
            return around.slice is node
        if isinstance(around, ast.Dict):
            return any(key is node for key in around.keys)
        if isinstance(around, ast.Tuple | ast.List | ast.Set):
            above = self.file.parent(around)
            if isinstance(above, ast.Call) and around in above.args:
                return _asks(above)
            return not isinstance(above, ast.Tuple | ast.List | ast.Set) and self._is_asked(around, above)
        return False

    # -- names that stand for it -----------------------------------------------------------------

    def _assigned(
        self, node: ast.expr, scope: Scope, named: Named, around: ast.Assign | ast.AnnAssign | ast.NamedExpr
    ) -> None:
        if isinstance(around, ast.NamedExpr):
            self._follow(around, scope, named)
        for target in around.targets if isinstance(around, ast.Assign) else [around.target]:
            owner = scope.owner_of(target.id) if isinstance(target, ast.Name) else None
            if owner is None or owner.kind not in ("module", "function"):
                self._away(node, scope, named, f"is kept in `{ast.unparse(target)}`")
            elif isinstance(target, ast.Name) and not self._alias(target.id, owner, named):
                self._away(node, scope, named, f"is kept in `{target.id}`")

    def _alias(self, name: str, owner: Scope, named: Named) -> bool:
        """Follow a name that stands for the class; return whether anything uses it here."""
        is_used = False
        told = msgspec.structs.replace(named, is_sure=named.is_sure and len(owner.bindings[name]) == 1)
        for scope in owner.walk():
            for use in scope.uses:
                if use.name != name or scope.owner_of(name) is not owner:
                    continue
                if isinstance(use.node.ctx, ast.Load):
                    is_used = True
                    if use.is_evaluated:
                        self._follow(use.node, scope, told)
        return is_used

    # -- calls that get it -----------------------------------------------------------------------

    def _given(self, node: ast.expr, scope: Scope, named: Named, around: ast.Call | ast.keyword) -> None:
        call = around if isinstance(around, ast.Call) else self.file.parent(around)
        word = around.arg or "" if isinstance(around, ast.keyword) else ""
        if isinstance(call, ast.ClassDef):
            self._away(node, scope, named, f"is given to the class `{call.name}`")
            return
        assert isinstance(call, ast.Call)
        written = flow.dotted(call.func)
        origin = self.file.origin(call.func, scope)
        meant = origin.name if origin is not None else ""
        if not meant and scope.owner_of(written) is None:
            meant = f"builtins.{written}"
        is_first = bool(call.args) and call.args[0] is node
        if meant in _TYPING:
            self._ask(node, named, is_type=True)
        elif _asks(call) or _is_trait(call, meant) or self._is_registered(call):
            self._ask(node, named)
        elif is_first and (meant in _SETTING or written in _SETTING):
            self.exchanged.append(node)
        elif word in _SPECS or meant in _LOOKING or (is_first and _is_mock(meant)):
            return
        else:
            is_factory = word in _FACTORIES or (is_first and meant in _CALLING)
            told = f"is handed to `{written or ast.unparse(call.func)}`"
            self._away(node, scope, named, told, is_factory=is_factory)

    def _is_registered(self, call: ast.Call) -> bool:
        """Return whether a call is the `@show.register(zmq.Context)` of a generic function."""
        above = self.file.parent(call)
        is_decorator = isinstance(above, ast.FunctionDef) and call in above.decorator_list
        return is_decorator and isinstance(call.func, ast.Attribute) and call.func.attr == "register"


class ForeignContextClass(ContextClass):
    """The same of every `Context` that comes by way of another module, and may be pyzmq's."""

    def __init__(self, file: PythonFile) -> None:
        super().__init__(file, find_foreign_names)


def find_context_class(file: PythonFile) -> ContextClass:
    """Return what a file does with the class of contexts; computed once for all that ask."""
    return file.derived(ContextClass)


def find_foreign_context_class(file: PythonFile) -> ContextClass:
    """Return what a file does with what it takes as `Context` from modules that are not pyzmq's."""
    return file.derived(ForeignContextClass)


def _asks(call: ast.Call) -> bool:
    return flow.dotted(call.func).rpartition(".")[2] in _ASKING


def _is_passed_on(around: ast.AST | None, node: ast.expr) -> bool:
    """Return whether the value of what is around the class may be the class."""
    if isinstance(around, ast.Subscript):
        return around.value is node  # `zmq.Context[zmq.Socket]`
    if isinstance(around, ast.IfExp):
        return around.test is not node
    return isinstance(around, ast.BoolOp)


def _told(around: ast.AST | None) -> str:
    if isinstance(around, ast.ClassDef):
        return f"is the base of `{around.name}`"
    return _PLACES.get(type(around), "is used in a way that is not known")


_TYPES: Final = ("typing", "typing_extensions", "collections.abc")
_OF_TYPES: Final = (ast.BinOp, ast.Constant, ast.List, ast.Subscript, ast.Tuple)
_UNUSED: Final = (ast.Expr, ast.If, ast.While, ast.Assert, ast.UnaryOp, ast.FormattedValue, ast.IfExp)
_PLACES: Final[dict[type[ast.AST] | type[None], str]] = {
    ast.Return: "is returned",
    ast.Lambda: "is returned",
    ast.Yield: "is yielded",
    ast.Tuple: "is put in a tuple",
    ast.List: "is put in a list",
    ast.Set: "is put in a set",
    ast.Dict: "is put in a dict",
    ast.Starred: "is handed to a call",
    ast.arguments: "is a default argument",
}
_ASKING: Final = frozenset({"isinstance", "issubclass", "assertIsInstance", "assertNotIsInstance"})
_TYPING: Final = frozenset(
    f"{module}.{name}"
    for module in ("typing", "typing_extensions")
    for name in ("cast", "TypeVar", "NewType")
)
_LOOKING: Final = frozenset(
    f"builtins.{name}"
    for name in (
        "callable",
        "dir",
        "getattr",
        "hasattr",
        "hash",
        "help",
        "id",
        "print",
        "repr",
        "str",
        "super",
        "type",
        "vars",
    )
)
_SETTING: Final = frozenset(
    {"builtins.setattr", "builtins.delattr", "unittest.mock.patch.object", "mock.patch.object"}
    | {"monkeypatch.setattr", "monkeypatch.delattr", "mocker.patch.object"}
)
_SPECS: Final = frozenset({"autospec", "spec", "spec_set"})
_FACTORIES: Final = frozenset({"default_factory"})
_CALLING: Final = frozenset({"functools.partial", "builtins.map"})
_MOCKS: Final = frozenset(
    {"AsyncMock", "MagicMock", "Mock", "NonCallableMagicMock", "NonCallableMock", "create_autospec"}
)


def _is_mock(meant: str) -> bool:
    module, _, name = meant.rpartition(".")
    return module in ("unittest.mock", "mock") and name in _MOCKS


def _is_trait(call: ast.Call, meant: str) -> bool:
    """Return whether a call is the `Instance(zmq.Context)` of traitlets, which checks and makes none."""
    is_trait = meant in ("traitlets.Instance", "traitlets.traitlets.Instance")
    return (
        is_trait
        and len(call.args) == 1
        and not any(each.arg in (None, "args", "kw") for each in call.keywords)
    )
