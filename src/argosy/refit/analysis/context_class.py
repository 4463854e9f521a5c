"""The uses of the class `zmq.Context` in a file.

It is called, which creates a context; it is inspected, as in `isinstance` or an annotation, which creates
none; or it escapes to where its calls are not visible: a `partial`, a dict, an attribute, a subclass. Names
that stand for it are followed to where they are called.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from argosy.refit.analysis.context_names import find_context_names, find_foreign_context_names
from argosy.refit.core.source_file import PythonFile
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

ContextNameFinder = Callable[[PythonFile], Iterator[tuple[ast.expr, NameScope, str, bool]]]


class ClassReference(msgspec.Struct, frozen=True):
    """What names the class at one place.

    source: the expression in the file that takes it from pyzmq. name: the full name, such as `zmq.Context`.
    is_sure: it is resolved by imports and names that are bound once.
    """

    source: ast.expr
    name: str
    is_sure: bool


class ContextCreation(msgspec.Struct, frozen=True):
    """One call that creates a context.

    source, name, is_sure: as in `ClassReference`, of the called expression.
    """

    call: ast.Call
    scope: NameScope
    source: ast.expr
    name: str
    is_sure: bool


class EscapedReference(msgspec.Struct, frozen=True):
    """One place where the class escapes, so that contexts may be created from it out of sight.

    description: what is done there, as `is passed to `partial``. is_factory: it can only be called there.
    """

    node: ast.expr
    scope: NameScope
    source: ast.expr
    name: str
    description: str
    is_factory: bool = False


class UseSite(msgspec.Struct, frozen=True):
    """One place where the class is inspected. is_type_position: it only names a type."""

    node: ast.expr
    source: ast.expr
    name: str
    is_type_position: bool


class ContextClassUses:
    """The uses of the class of contexts in a file.

    creations: the calls that create contexts. escapes: the places where it escapes. Both in source order.
    use_sites: where it is inspected. replacements: where it, or a part of it, is replaced.
    """

    def __init__(self, file: PythonFile, find_names: ContextNameFinder = find_context_names) -> None:
        self.file = file
        self.creations: list[ContextCreation] = []
        self.escapes: list[EscapedReference] = []
        self.use_sites: list[UseSite] = []
        self.replacements: list[ast.expr] = []
        self._followed: set[ast.AST] = set()
        for node, scope, name, is_sure in find_names(file):
            self._follow(node, scope, ClassReference(node, name, is_sure))
        self.creations.sort(key=lambda site: (site.call.lineno, site.call.col_offset))
        self.escapes.sort(key=lambda escape: (escape.node.lineno, escape.node.col_offset))

    def _follow(self, node: ast.expr, scope: NameScope, reference: ClassReference) -> None:
        """Record the uses of the class at `node`, an expression whose value it is."""
        if node in self._followed:
            return
        self._followed.add(node)
        if isinstance(node, ast.Name | ast.Attribute) and not isinstance(node.ctx, ast.Load):
            self.replacements.append(node)
            return
        parent = self.file.parent(node)
        if isinstance(parent, ast.Call) and parent.func is node:
            self.creations.append(
                ContextCreation(parent, scope, reference.source, reference.name, reference.is_sure)
            )
        elif isinstance(parent, ast.Call | ast.keyword):
            self._classify_argument(node, scope, reference, parent)
        elif isinstance(parent, ast.Assign | ast.AnnAssign | ast.NamedExpr) and parent.value is node:
            self._classify_assignment(node, scope, reference, parent)
        elif _is_value_of_parent(parent, node):
            assert isinstance(parent, ast.expr)
            is_sure = reference.is_sure and isinstance(parent, ast.Subscript)
            self._follow(parent, scope, msgspec.structs.replace(reference, is_sure=is_sure))
        else:
            self._classify_other(node, scope, reference, parent)

    def _classify_other(
        self, node: ast.expr, scope: NameScope, reference: ClassReference, parent: ast.AST | None
    ) -> None:
        """Record a use of the class that neither calls it nor assigns it to something that may call it."""
        if isinstance(parent, ast.Attribute):
            self._classify_attribute(parent, scope, reference)
        elif self._is_type_position(node):
            self._add_use_site(node, reference, is_type_position=True)
        elif self._is_inspected(node, parent):
            self._add_use_site(node, reference)
        elif not isinstance(parent, _DISCARDING_NODES):
            self._add_escape(node, scope, reference, _describe_escape(parent))

    def _add_escape(
        self,
        node: ast.expr,
        scope: NameScope,
        reference: ClassReference,
        description: str,
        *,
        is_factory: bool = False,
    ) -> None:
        self.escapes.append(
            EscapedReference(node, scope, reference.source, reference.name, description, is_factory)
        )

    def _add_use_site(
        self, node: ast.expr, reference: ClassReference, *, is_type_position: bool = False
    ) -> None:
        self.use_sites.append(UseSite(node, reference.source, reference.name, is_type_position))

    def _classify_attribute(
        self, attribute: ast.Attribute, scope: NameScope, reference: ClassReference
    ) -> None:
        if not isinstance(attribute.ctx, ast.Load):
            self.replacements.append(attribute)
        elif attribute.attr in ("__new__", "__call__"):
            self._add_escape(attribute, scope, reference, f"creates contexts by `{attribute.attr}`")

    def _is_type_position(self, node: ast.expr) -> bool:
        """Return whether the class stands in an annotation, or within the brackets of a type."""
        inner: ast.AST = node
        for ancestor in self.file.ancestors(node):
            if isinstance(ancestor, ast.arg):
                return True
            if isinstance(ancestor, ast.AnnAssign):
                return ancestor.annotation is inner
            if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef):
                return ancestor.returns is inner
            if (
                isinstance(ancestor, ast.Subscript)
                and ancestor.slice is inner
                and self._is_generic(ancestor.value)
            ):
                return True
            if not isinstance(ancestor, _TYPE_NODES):
                return False
            inner = ancestor
        return False

    def _is_generic(self, node: ast.expr) -> bool:
        written_name = dotted_name(node)
        if written_name in ("dict", "list", "set", "tuple", "type"):
            return True
        imports = (statement for statement, _ in self.file.nodes(ast.ImportFrom))
        return written_name.partition(".")[0] in ("typing", "typing_extensions") or any(
            statement.module in _TYPING_MODULES
            and any(written_name == (each.asname or each.name) for each in statement.names)
            for statement in imports
        )

    def _is_inspected(self, node: ast.expr, parent: ast.AST | None) -> bool:
        """Return whether the class is only compared, used as a key, or tested."""
        if isinstance(parent, ast.Compare | ast.BinOp | ast.MatchClass | ast.ExceptHandler):
            return True
        if isinstance(parent, ast.Subscript):
            return parent.slice is node
        if isinstance(parent, ast.Dict):
            return any(key is node for key in parent.keys)
        if isinstance(parent, ast.Tuple | ast.List | ast.Set):
            grandparent = self.file.parent(parent)
            if isinstance(grandparent, ast.Call) and parent in grandparent.args:
                return _is_type_test(grandparent)
            return not isinstance(grandparent, ast.Tuple | ast.List | ast.Set) and self._is_inspected(
                parent, grandparent
            )
        return False

    # -- names that stand for it -----------------------------------------------------------------

    def _classify_assignment(
        self,
        node: ast.expr,
        scope: NameScope,
        reference: ClassReference,
        assignment: ast.Assign | ast.AnnAssign | ast.NamedExpr,
    ) -> None:
        if isinstance(assignment, ast.NamedExpr):
            self._follow(assignment, scope, reference)
        for target in assignment.targets if isinstance(assignment, ast.Assign) else [assignment.target]:
            owner = scope.owner_of(target.id) if isinstance(target, ast.Name) else None
            if owner is None or owner.kind not in ("module", "function"):
                self._add_escape(node, scope, reference, f"is stored in `{ast.unparse(target)}`")
            elif isinstance(target, ast.Name) and not self._follow_alias(target.id, owner, reference):
                self._add_escape(node, scope, reference, f"is stored in `{target.id}`")

    def _follow_alias(self, name: str, owner: NameScope, reference: ClassReference) -> bool:
        """Follow a name that stands for the class; return whether anything uses it here."""
        is_used = False
        alias_reference = msgspec.structs.replace(
            reference, is_sure=reference.is_sure and len(owner.bindings[name]) == 1
        )
        for scope in owner.walk():
            for use in scope.uses:
                if use.name != name or scope.owner_of(name) is not owner:
                    continue
                if isinstance(use.node.ctx, ast.Load):
                    is_used = True
                    if use.is_evaluated:
                        self._follow(use.node, scope, alias_reference)
        return is_used

    # -- calls that get it -----------------------------------------------------------------------

    def _classify_argument(
        self, node: ast.expr, scope: NameScope, reference: ClassReference, parent: ast.Call | ast.keyword
    ) -> None:
        call = parent if isinstance(parent, ast.Call) else self.file.parent(parent)
        keyword = parent.arg or "" if isinstance(parent, ast.keyword) else ""
        if isinstance(call, ast.ClassDef):
            self._add_escape(node, scope, reference, f"is passed to the class `{call.name}`")
            return
        assert isinstance(call, ast.Call)
        written_name = dotted_name(call.func)
        origin = self.file.origin(call.func, scope)
        resolved_name = origin.name if origin is not None else ""
        if not resolved_name and scope.owner_of(written_name) is None:
            resolved_name = f"builtins.{written_name}"
        is_first = bool(call.args) and call.args[0] is node
        if resolved_name in _TYPING_CALLS:
            self._add_use_site(node, reference, is_type_position=True)
        elif _is_type_test(call) or _is_traitlets_instance(call, resolved_name) or self._is_registered(call):
            self._add_use_site(node, reference)
        elif is_first and (resolved_name in _PATCHING_CALLS or written_name in _PATCHING_CALLS):
            self.replacements.append(node)
        elif (
            keyword in _SPEC_KEYWORDS
            or resolved_name in _INSPECTING_BUILTINS
            or (is_first and _is_mock(resolved_name))
        ):
            return
        else:
            is_factory = keyword in _FACTORY_KEYWORDS or (is_first and resolved_name in _CALLING_FUNCTIONS)
            description = f"is passed to `{written_name or ast.unparse(call.func)}`"
            self._add_escape(node, scope, reference, description, is_factory=is_factory)

    def _is_registered(self, call: ast.Call) -> bool:
        """Return whether a call is the `@show.register(zmq.Context)` of a generic function."""
        grandparent = self.file.parent(call)
        is_decorator = isinstance(grandparent, ast.FunctionDef) and call in grandparent.decorator_list
        return is_decorator and isinstance(call.func, ast.Attribute) and call.func.attr == "register"


class ForeignContextClassUses(ContextClassUses):
    """The same for every `Context` that comes from another module and may be pyzmq's."""

    def __init__(self, file: PythonFile) -> None:
        super().__init__(file, find_foreign_context_names)


def find_context_class_uses(file: PythonFile) -> ContextClassUses:
    """Return the uses of the class of contexts in a file; cached per file."""
    return file.compute_once(ContextClassUses)


def find_foreign_context_class_uses(file: PythonFile) -> ContextClassUses:
    """Return the uses of each `Context` that a file takes from a module other than pyzmq; cached per file."""
    return file.compute_once(ForeignContextClassUses)


def _is_type_test(call: ast.Call) -> bool:
    return dotted_name(call.func).rpartition(".")[2] in _TYPE_TESTS


def _is_value_of_parent(parent: ast.AST | None, node: ast.expr) -> bool:
    """Return whether the value of the expression around the class may be the class."""
    if isinstance(parent, ast.Subscript):
        return parent.value is node  # `zmq.Context[zmq.Socket]`
    if isinstance(parent, ast.IfExp):
        return parent.test is not node
    return isinstance(parent, ast.BoolOp)


def _describe_escape(parent: ast.AST | None) -> str:
    if isinstance(parent, ast.ClassDef):
        return f"is the base of `{parent.name}`"
    return _ESCAPE_DESCRIPTIONS.get(type(parent), "is used in an unknown way")


_TYPING_MODULES: Final = ("typing", "typing_extensions", "collections.abc")
_TYPE_NODES: Final = (ast.BinOp, ast.Constant, ast.List, ast.Subscript, ast.Tuple)
_DISCARDING_NODES: Final = (
    ast.Expr,
    ast.If,
    ast.While,
    ast.Assert,
    ast.UnaryOp,
    ast.FormattedValue,
    ast.IfExp,
)
_ESCAPE_DESCRIPTIONS: Final[dict[type[ast.AST] | type[None], str]] = {
    ast.Return: "is returned",
    ast.Lambda: "is returned",
    ast.Yield: "is yielded",
    ast.Tuple: "is put in a tuple",
    ast.List: "is put in a list",
    ast.Set: "is put in a set",
    ast.Dict: "is put in a dict",
    ast.Starred: "is passed to a call",
    ast.arguments: "is a default argument",
}
_TYPE_TESTS: Final = frozenset({"isinstance", "issubclass", "assertIsInstance", "assertNotIsInstance"})
_TYPING_CALLS: Final = frozenset(
    f"{module}.{name}"
    for module in ("typing", "typing_extensions")
    for name in ("cast", "TypeVar", "NewType")
)
_INSPECTING_BUILTINS: Final = frozenset(
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
_PATCHING_CALLS: Final = frozenset(
    {"builtins.setattr", "builtins.delattr", "unittest.mock.patch.object", "mock.patch.object"}
    | {"monkeypatch.setattr", "monkeypatch.delattr", "mocker.patch.object"}
)
_SPEC_KEYWORDS: Final = frozenset({"autospec", "spec", "spec_set"})
_FACTORY_KEYWORDS: Final = frozenset({"default_factory"})
_CALLING_FUNCTIONS: Final = frozenset({"functools.partial", "builtins.map"})
_MOCKS: Final = frozenset(
    {"AsyncMock", "MagicMock", "Mock", "NonCallableMagicMock", "NonCallableMock", "create_autospec"}
)


def _is_mock(resolved_name: str) -> bool:
    module, _, name = resolved_name.rpartition(".")
    return module in ("unittest.mock", "mock") and name in _MOCKS


def _is_traitlets_instance(call: ast.Call, resolved_name: str) -> bool:
    """Return whether a call is the `Instance(zmq.Context)` of traitlets, which validates and creates none."""
    is_trait = resolved_name in ("traitlets.Instance", "traitlets.traitlets.Instance")
    return (
        is_trait
        and len(call.args) == 1
        and not any(each.arg in (None, "args", "kw") for each in call.keywords)
    )
