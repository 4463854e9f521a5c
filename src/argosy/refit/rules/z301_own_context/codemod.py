"""Z301: replaces an own ZeroMQ context by a lease on the context of the process.

`zmq.Context()` becomes `argosy.wire.context()`; arguments and everything else stay. A lease is not a
`zmq.Context`, and the context behind it is shared, so a site is migrated only if nothing in the tree could
tell the difference: see `file_constraints` and `_ContextUse` for each condition. A name that only stands for
the class, and is only called, is assigned `argosy.wire.context`.

`zmq.Context.instance()` is not an own context and stays: it is the context of the process, and where agents
use argosy's base it is argosy's (`argosy.wire.zmq_context.zmq_instance`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from argosy.refit.analysis.ast_queries import call_arguments
from argosy.refit.analysis.context_class import (
    ContextCreation,
    find_context_class_uses,
    find_foreign_context_class_uses,
)
from argosy.refit.analysis.pyzmq_names import CONTEXT_FUNCTIONS
from argosy.refit.rewrite.codemod import Codemod, CodemodPlan
from argosy.refit.rewrite.import_insertion import has_import, import_after
from argosy.refit.rewrite.module_resolution import (
    find_imported_function,
    parameter_of,
    reexporting_file,
    view_file,
)
from argosy.refit.rewrite.tree_index import TreeIndex
from argosy.refit.rules.z301_own_context.file_constraints import file_refusal_reason
from argosy.refit.transaction.source_change import Change, replace_node
from argosy.refit.transaction.source_view import RefusedSite, SourceView
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

OWN_CONTEXT: Final = "Z301"
CONTEXT_CLASS: Final = "zmq.Context"
SHARED_CONTEXT: Final = "argosy.wire.context"
WIRE_IMPORT: Final = "import argosy.wire"

# The attributes of a lease that behave like those of an own context.
_SUPPORTED_ATTRIBUTES: Final = frozenset({"socket", "term", "destroy", "closed"})
_OTHER_CONTEXTS: Final = {
    "zmq.asyncio.Context": "an asyncio context creates asyncio sockets, and a lease does not",
    "zmq.green.Context": "this is gevent's context",
}


# A file that imports some `Context` from another module need not contain `zmq`.
_IMPORTS_CONTEXT: Final = re.compile(
    rb"^[ \t]*from[ \t]+[.\w]+[ \t]+import[ \t]*(?:\([^)]*|[^(\n]*)\bContext\b", re.MULTILINE
)
_UNTRACKED: Final = ", where its calls are not visible"


def may_match(data: bytes) -> bool:
    """Return whether a file can contain an own context."""
    return b"Context" in data and (b"zmq" in data or _IMPORTS_CONTEXT.search(data) is not None)


def plan(view: SourceView, index: TreeIndex) -> CodemodPlan:
    """Return which contexts of a file become leases, and why the others are refused."""
    context_class = find_context_class_uses(view.python_file)
    foreign = list(_foreign_refusals(view, index))
    if not (context_class.creations or context_class.escapes):
        return CodemodPlan((), (), tuple(foreign))
    file_wide = file_refusal_reason(view, index) if context_class.creations else ""
    reasons = [
        file_wide or _ContextUse(view, index, site.call, site).refusal_reason()
        for site in context_class.creations
    ]
    reasons = _refuse_shared_sources(context_class.creations, reasons)
    pairs = list(zip(context_class.creations, reasons, strict=True))
    migrated_sites = [site for site, reason in pairs if not reason]
    refused = [view.refused_at(site.call, OWN_CONTEXT, reason) for site, reason in pairs if reason]
    refused += [
        view.refused_at(escape.node, OWN_CONTEXT, f"its class {escape.description}{_UNTRACKED}")
        for escape in context_class.escapes
    ]
    refused += foreign
    migrated = tuple(view.site_at(site.call, OWN_CONTEXT) for site in migrated_sites)
    return CodemodPlan(_changes(view, migrated_sites), migrated, tuple(sorted(refused)))


def _foreign_refusals(view: SourceView, index: TreeIndex) -> Iterator[RefusedSite]:
    """Yield a refusal for each context whose class comes from pyzmq through another module of the tree."""
    context_class = find_foreign_context_class_uses(view.python_file)
    places: list[tuple[ast.expr, str, str]] = [(site.call, site.name, "") for site in context_class.creations]
    places += [
        (escape.node, escape.name, f", and {escape.description}{_UNTRACKED}")
        for escape in context_class.escapes
    ]
    for node, origin, note in places:
        if home := reexporting_file(index, view.path, origin):
            yield view.refused_at(
                node, OWN_CONTEXT, f"its class comes from `{home}`, not directly from pyzmq{note}"
            )


def _refuse_shared_sources(sites: Sequence[ContextCreation], reasons: list[str]) -> list[str]:
    """Return the reasons, plus one for each site whose class is shared with a refused site."""
    refused_by_source = {id(site.source): site for site, reason in zip(sites, reasons, strict=True) if reason}
    found: list[str] = []
    for site, reason in zip(sites, reasons, strict=True):
        other = refused_by_source.get(id(site.source))
        if not reason and other is not None:
            name = ast.unparse(site.call.func)
            reason = f"`{name}` also creates the context in line {other.call.lineno}, which is refused"
        found.append(reason)
    return found


def _changes(view: SourceView, sites: Sequence[ContextCreation]) -> tuple[Change, ...]:
    sources = list({id(site.source): site.source for site in sites}.values())
    changes: list[Change] = [replace_node(source, SHARED_CONTEXT) for source in sources]
    if sources and not has_import(view, WIRE_IMPORT):
        users: dict[ast.stmt, list[ast.expr]] = {}
        for source in sources:
            users.setdefault(_imports_of(view, source)[0], []).append(source)
        changes += [import_after(view, anchor, nodes, WIRE_IMPORT) for anchor, nodes in users.items()]
    return tuple(changes)


def _imports_of(view: SourceView, source: ast.expr) -> list[ast.stmt]:
    """Return the imports that bind the names in `source`, which takes a class from pyzmq."""
    root = source
    while isinstance(root, ast.Attribute):
        root = root.value
    assert isinstance(root, ast.Name)
    return [statement for statement, _ in view.imports_binding(root)]


class _ContextUse:
    """One call that creates a context, and the uses of its value.

    site: None if the value is followed into another file than that of the call.
    """

    def __init__(
        self, view: SourceView, index: TreeIndex, call: ast.Call, site: ContextCreation | None = None
    ) -> None:
        self.view = view
        self.index = index
        self.call = call
        self.site = site
        self._visited: set[str] = set()
        parent = view.enclosing_class(call) if call in view.parents else None
        self._owner = parent.name if parent else ""

    def refusal_reason(self) -> str:
        """Return why the call is refused; empty if it can be migrated."""
        assert self.site is not None
        return (
            self._callee_reason(self.site.source)
            or self._patch_reason(self.site)
            or self._alias_reason(self.site)
            or self._arguments_reason()
            or self._value_reason(self.call)
        )

    def _callee_reason(self, source: ast.expr) -> str:
        target = self.view.resolve_imported_name(source)
        if not target:
            if dotted_name(source) == "Context":
                return "its class comes from a star import"
            if not dotted_name(source):
                return f"its class comes from `{ast.unparse(source)}`, not from an import"
            return "the called name is bound more than once, or not by an import"
        if target != CONTEXT_CLASS:
            return _OTHER_CONTEXTS.get(target, f"`{target}` is not pyzmq's plain context")
        for statement in _imports_of(self.view, source):
            parent = self.view.parents[statement]
            if isinstance(parent, ast.ClassDef):
                return "its import is in a class body"
            if any(isinstance(node, ast.JoinedStr) for node in self.view.ancestors_of(self.call)):
                return "it is inside an f-string"
        return ""

    def _alias_reason(self, site: ContextCreation) -> str:
        """Return why the name that stands for the class, if there is one, cannot stand for the lease."""
        func, parent = self.call.func, self.view.parents[site.source]
        if func is site.source:
            return ""
        if not (isinstance(func, ast.Name) and isinstance(parent, ast.Assign) and len(parent.targets) == 1):
            return f"its class is called as `{ast.unparse(func)}`"
        target = parent.targets[0]
        if not (site.is_sure and isinstance(target, ast.Name) and target.id == func.id):
            return f"the called name `{func.id}` does not always stand for the class"
        context_class = find_context_class_uses(self.view.python_file)
        use_sites = [question.node for question in context_class.use_sites if question.source is site.source]
        for node in use_sites + [each.node for each in context_class.escapes if each.source is site.source]:
            return f"line {node.lineno} does more with `{func.id}` than call it"
        is_module = site.scope.owner_of(func.id) is self.view.module_scope
        return self._module_uses_reason(func.id) if is_module else ""

    def _arguments_reason(self) -> str:
        call = self.call
        if any(keyword.arg != "io_threads" for keyword in call.keywords) or len(call.args) > 1:
            return "its context is created with more than a number of I/O threads"
        for value in call_arguments(call):
            if not (isinstance(value, ast.Constant) and type(value.value) is int):
                return "its context is created with an argument that is not a literal number"
        return ""

    def _patch_reason(self, site: ContextCreation) -> str:
        """Return the test that replaces the object through which this file accesses pyzmq."""
        for named in (site.source, self.call.func):
            root = dotted_name(named).partition(".")[0]
            if where := self.index.patching_file(self.view.path, root):
                return f"`{where}` replaces `{root}` in this module"
        return ""

    def _value_reason(self, node: ast.expr) -> str:
        """Return why the value of `node` cannot be a lease, given where it is used."""
        parent = self.view.parents[node]
        if isinstance(parent, ast.Attribute):
            return self._attribute_reason(parent)
        if isinstance(parent, ast.BoolOp | ast.IfExp):
            is_test = isinstance(parent, ast.IfExp) and parent.test is node
            return "" if is_test else self._value_reason(parent)
        if isinstance(parent, ast.Assign):
            reasons = [self._target_reason(target) for target in parent.targets]
            return next(filter(None, reasons), "")
        if isinstance(parent, ast.AnnAssign | ast.NamedExpr):
            reason = self._target_reason(parent.target)
            return reason or (self._value_reason(parent) if isinstance(parent, ast.NamedExpr) else "")
        if isinstance(parent, ast.withitem):
            return self._target_reason(parent.optional_vars) if parent.optional_vars is not None else ""
        if isinstance(parent, ast.Expr | ast.If | ast.While | ast.Assert | ast.UnaryOp):
            return ""
        if isinstance(parent, ast.Compare):
            others = [each for each in (parent.left, *parent.comparators) if each is not node]
            is_constant_test = all(isinstance(each, ast.Constant) for each in others)
            return "" if is_constant_test else "it compares its context, and a lease is another object"
        if isinstance(parent, ast.Call | ast.keyword):
            return self._passed_reason(node, parent)
        return _ESCAPES.get(type(parent), "its context is used in a way that is not known to be safe")

    def _passed_reason(self, node: ast.expr, parent: ast.Call | ast.keyword) -> str:
        """Return why a call cannot be passed a lease: its effect is unknown, or it does too much with it."""
        call = parent if isinstance(parent, ast.Call) else self.view.parents[parent]
        assert isinstance(call, ast.Call)
        if self.view.resolve_imported_name(call.func) in _ENCODERS and not any(
            each.arg in (None, "default", "cls") for each in call.keywords
        ):
            return ""  # JSON cannot contain a context, so this is not a use of one
        found = find_imported_function(self.view, self.index, call.func)
        name = parameter_of(found[1], call, node) if found else ""
        if not found or not name:
            return "its context is passed to a call"
        view, function = found
        key = f"{view.path}:{function.name}({name})"
        if key in self._visited:
            return ""
        callee_use = _ContextUse(view, self.index, self.call)
        callee_use._visited = self._visited | {key}
        reason = file_refusal_reason(view, self.index) or callee_use._reads_reason(
            name, next(scope for scope in view.module_scope.walk() if scope.node is function)
        )
        return f"its context is passed to `{function.name}` of `{view.path}`: {reason}" if reason else ""

    def _attribute_reason(self, parent: ast.Attribute) -> str:
        if isinstance(parent.ctx, ast.Load) and parent.attr in _SUPPORTED_ATTRIBUTES:
            return ""
        action = "uses" if isinstance(parent.ctx, ast.Load) else "sets"
        return f"it {action} `{parent.attr}` of its context, which would be shared"

    def _target_reason(self, target: ast.expr) -> str:
        """Return why a context cannot be assigned to `target`, given the uses of that name."""
        if isinstance(target, ast.Name):
            return self._name_uses_reason(target)
        if isinstance(target, ast.Attribute) and dotted_name(target.value) in ("self", "cls"):
            return self._attribute_uses_reason(target.attr)
        return f"its context is stored in `{ast.unparse(target)}`, whose uses are not all visible"

    def _name_uses_reason(self, target: ast.Name) -> str:
        if target.id in self._visited:
            return ""
        self._visited.add(target.id)
        scope = self._binding_scope(target)
        if why := self._reads_reason(target.id, scope):
            return why
        if scope.kind == "class":
            return self._attribute_uses_reason(target.id)
        return self._module_uses_reason(target.id) if scope is self.view.module_scope else ""

    def _module_uses_reason(self, name: str) -> str:
        if other_path := self.index.importing_file(self.view.path, name):
            return f"`{other_path}` imports `{name}` from here"
        other_path = self.index.unusual_module_use_file(self.view.path, name)
        return (
            f"`{other_path}` does more with `{name}` of this module than open sockets" if other_path else ""
        )

    def _reads_reason(self, name: str, scope: NameScope) -> str:
        """Return why `name` of a scope cannot be a lease, given its uses there."""
        return next(filter(None, map(self._value_reason, self.view.reads_of(name, scope))), "")

    def _binding_scope(self, target: ast.Name) -> NameScope:
        parent = next(
            (node for node in self.view.ancestors_of(target) if isinstance(node, _SCOPE_NODES)), None
        )
        for scope in self.view.scopes_by_node.get(parent, ()) if parent is not None else ():
            if scope.kind in ("function", "class") and target.id in scope.bindings:
                return scope
        return self.view.module_scope

    def _attribute_uses_reason(self, name: str) -> str:
        if f"self.{name}" in self._visited:
            return ""
        self._visited.add(f"self.{name}")
        for node in self.view.attribute_reads.get(name, ()):
            if why := self._value_reason(node):
                return why
        if why := next(filter(None, map(self._value_reason, self._getattr_calls(name))), ""):
            return why
        if why := self._descriptor_reason(name):
            return why
        other_path = self.index.unusual_use_file(self.view.path, self._owner, name)
        return f"`{other_path}` does more with `self.{name}` than open sockets" if other_path else ""

    def _descriptor_reason(self, name: str) -> str:
        """Return what in the class bodies of the class's family may validate the values of an attribute."""
        family = self.index.family_of(self._owner)
        if reason := _descriptor_in_family(self.view, family, name):
            return reason
        for path in self.index.family_files(self.view.path, self._owner):
            data = self.index.files[path]
            other_view = view_file(path, data) if name.encode() in data else None
            if other_view is not None and (reason := _descriptor_in_family(other_view, family, name)):
                return f"{reason} of `{path}`"
        return ""

    def _getattr_calls(self, name: str) -> Iterator[ast.Call]:
        """Yield the calls that get an attribute by its name."""
        for call in self.view.nodes_of(ast.Call):
            is_named = any(isinstance(each, ast.Constant) and each.value == name for each in call.args)
            if is_named and dotted_name(call.func).rpartition(".")[2] in _GETTERS:
                yield call


def _descriptor_in_family(view: SourceView, family: Collection[str], name: str) -> str:
    """Return where these classes define an attribute as a property, or as a descriptor created by a call."""
    for owner in view.nodes_of(ast.ClassDef):
        for node in owner.body if owner.name in family else ():
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return f"`{name}` is a method or property in line {node.lineno}"
            if not (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_its = any(dotted_name(each) == name for each in targets)
            if is_its and view.resolve_imported_name(node.value.func) not in (
                CONTEXT_CLASS,
                *CONTEXT_FUNCTIONS,
            ):
                return f"`{ast.unparse(node.value):.60}` may validate its value, in line {node.lineno}"
    return ""


_ENCODERS: Final = frozenset({"json.dump", "json.dumps"})
_GETTERS: Final = frozenset({"getattr", "attrgetter", "__getattribute__"})
_SCOPE_NODES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_ESCAPES: Final[dict[type[ast.AST], str]] = {
    ast.Starred: "its context is passed to a call",
    ast.Return: "its context is returned",
    ast.Lambda: "its context is returned",
    ast.Yield: "its context is yielded",
    ast.Tuple: "its context is put in a tuple",
    ast.List: "its context is put in a list",
    ast.Dict: "its context is put in a dict",
    ast.arguments: "its context is a default argument",
    ast.FormattedValue: "its context is formatted into a string",
}


CODEMOD: Final = Codemod(3, (OWN_CONTEXT,), may_match, plan)
