"""Z301: an own ZeroMQ context becomes a lease on the process's one.

`zmq.Context()` becomes `argosy.wire.context()`, arguments and all else around it stay. A lease is
no Context and stands on a context that others use, so a site is migrated only when nothing in the
tree could tell the difference: see `_REFUSED_FILES` and `_Site` for each condition.

What is no own context is left alone: `zmq.Context.instance()` is the process's already, and where agents
stand on argosy's base that is argosy's (`argosy.wire.instance`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final, TypeGuard

import msgspec

from argosy.refit.rewrite.adding import has_import, import_behind, is_argosy_taken
from argosy.refit.rewrite.change import Change, replaced
from argosy.refit.rewrite.elsewhere import find_function, parameter_of
from argosy.refit.rewrite.forking import FORKS, forks
from argosy.refit.rewrite.index import Index
from argosy.refit.rewrite.view import Refusal, Site, View
from argosy.source import flow
from argosy.source.scopes import Scope

CODE: Final = "Z301"
CALLEE: Final = "zmq.Context"
LEASE: Final = "argosy.wire.context"
IMPORT: Final = "import argosy.wire"

# What a lease answers as an own context did.
_ALIKE: Final = frozenset({"socket", "term", "destroy", "closed"})
_OTHERS: Final = {
    "zmq.asyncio.Context": "an asyncio context makes asyncio sockets, and a lease does not",
    "zmq.green.Context": "this is gevent's context",
}
# Words in a file that make a shared context another thing than an own one.
_REFUSED_FILES: Final = (
    (b"inproc:", "inproc addresses are private to an own context"),
    (b"AFFINITY", "it chooses among the I/O threads of its context"),
)
# What waits on sockets within libzmq, or by their descriptors: it does not hear of a lease's end.
_DEAF: Final = frozenset({"FD", "device", "proxy", "proxy_steerable", "select", "zmq_poll"})


class Contexts(msgspec.Struct, frozen=True):
    """What becomes of the contexts of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


def may_hold(data: bytes) -> bool:
    """Return whether a file can have an own context at all."""
    return b"Context" in data and b"zmq" in data


def plan_contexts(view: View, index: Index) -> Contexts:
    """Return which contexts of a file become leases, and why the others do not."""
    calls = list(find_contexts(view))
    if not calls:
        return Contexts((), (), ())
    whole = _file_reason(view, index)
    taken: list[ast.Call] = []
    refused: list[Refusal] = []
    for call in calls:
        reason = whole or _Site(view, index, call).reason()
        if reason:
            refused.append(view.refusal(call, CODE, reason))
        else:
            taken.append(call)
    changes = _changes(view, taken)
    return Contexts(changes, tuple(view.site(call, CODE) for call in taken), tuple(refused))


def find_contexts(view: View) -> Iterator[ast.Call]:
    """Yield the calls that make a context of their own, in the order of the source."""
    found = [node for node in view.indexed(ast.Call) if _is_context(view, node.func)]
    yield from sorted(found, key=lambda node: (node.lineno, node.col_offset))


def _is_context(view: View, func: ast.expr) -> bool:
    if isinstance(func, ast.Attribute) and func.attr != "Context":
        return False
    target = view.resolve(func)
    if target:
        return target.startswith("zmq.") and target.endswith(".Context")
    # Not resolved, and yet meant: `zmq` bound twice, or taken by `from zmq import *`.
    return flow.dotted(func) == CALLEE or (flow.dotted(func) == "Context" and _has_zmq_star(view))


def _has_zmq_star(view: View) -> bool:
    return view.module.has_star and b"zmq import *" in view.data


def _changes(view: View, calls: list[ast.Call]) -> tuple[Change, ...]:
    changes: list[Change] = [replaced(call.func, LEASE) for call in calls]
    if calls and not has_import(view, IMPORT):
        users: dict[ast.stmt, list[ast.expr]] = {}
        for call in calls:
            users.setdefault(_anchor(view, call), []).append(call)
        changes += [import_behind(view, anchor, nodes, IMPORT) for anchor, nodes in users.items()]
    return tuple(changes)


def _anchor(view: View, call: ast.Call) -> ast.stmt:
    """Return the import that binds what the call names; the first, where it is imported more often."""
    return _imports_of(view, call)[0]


def _imports_of(view: View, call: ast.Call) -> list[ast.stmt]:
    root = call.func
    while isinstance(root, ast.Attribute):
        root = root.value
    assert isinstance(root, ast.Name)
    return [statement for statement, _ in view.binding_imports(root)]


def _file_reason(view: View, index: Index) -> str:
    """Return what in the whole file speaks against every lease in it."""
    for word, reason in _REFUSED_FILES:
        if word in view.data:
            return reason
    if index.has_own_zmq:
        return "the tree has a module `zmq` of its own"
    if is_argosy_taken(view):
        return "the name `argosy` is bound to something else here"
    return _import_reason(view) or _use_reason(view)


def _import_reason(view: View) -> str:
    for pairs in view.imports.values():
        for statement, target in pairs:
            modules = [alias.name for alias in statement.names] + [target]
            if isinstance(statement, ast.ImportFrom):
                modules.append(statement.module or "")
            if any(module.startswith("zmq.asyncio") for module in modules):
                return "it uses zmq.asyncio beside its context"
            if any(module.startswith("zmq.green") for module in modules):
                return "it uses gevent's zmq"
            if any(module.startswith(("zmq.devices", "zmq.eventloop")) for module in modules):
                return (
                    "it waits on sockets by zmq.devices or zmq.eventloop, which do not hear of a lease's end"
                )
    return FORKS if forks(view) else ""


def _use_reason(view: View) -> str:
    """Return what is done to the class or the module `zmq` that a lease would not take part in."""
    names = {name for (name, _), pairs in view.imports.items() if any(t == CALLEE for _, t in pairs)}
    deaf = {name for (name, _), pairs in view.imports.items() if any(_is_of_deaf(t) for _, t in pairs)}
    for node in view.nodes:
        if _may_be_class(node, names) and view.resolve(node) == CALLEE:
            around = view.parents[node]
            if not isinstance(node.ctx, ast.Load):
                return "it puts something else in the place of zmq.Context"
            if isinstance(around, ast.ClassDef):
                return "it makes a class of its own from zmq.Context"
            if isinstance(around, ast.Call) and flow.dotted(around.func) in ("isinstance", "issubclass"):
                return "it asks what is a zmq.Context, and a lease is none"
        elif _is_deaf(view, node, deaf):
            return f"it waits on sockets by `{ast.unparse(node)}`, which does not hear of a lease's end"
        elif isinstance(node, ast.Attribute) and node.attr == "context" and _ends_through_socket(view, node):
            return "it ends a context by way of a socket, and that one is the process's"
    return ""


def _may_be_class(node: ast.AST, names: set[str]) -> TypeGuard[ast.Attribute | ast.Name]:
    if isinstance(node, ast.Attribute):
        return node.attr == "Context"
    return isinstance(node, ast.Name) and node.id in names


def _is_of_deaf(target: str) -> bool:
    module, _, name = target.rpartition(".")
    return module.partition(".")[0] == "zmq" and name in _DEAF


def _is_deaf(view: View, node: ast.AST, names: set[str]) -> TypeGuard[ast.Attribute | ast.Name]:
    """Return whether a name means a way to wait on sockets that a lease's end does not reach."""
    if isinstance(node, ast.Attribute):
        if node.attr not in _DEAF:
            return False
        return _is_of_deaf(view.resolve(node)) or (
            node.attr == "FD" and flow.dotted(node.value) in _sockets(view)
        )
    return isinstance(node, ast.Name) and node.id in names and _is_of_deaf(view.resolve(node))


def _ends_through_socket(view: View, node: ast.Attribute) -> bool:
    """Return whether `node` is the `sock.context` of `sock.context.term()`, `sock` being a socket."""
    around = view.parents[node]
    if not (isinstance(around, ast.Attribute) and around.attr not in ("socket", "closed")):
        return False
    return flow.dotted(node.value) in _sockets(view)


def _sockets(view: View) -> set[str]:
    """Return the names that sockets are assigned to."""
    found: set[str] = set()
    for node in view.nodes:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            func = node.value.func
            if isinstance(func, ast.Attribute) and func.attr == "socket":
                found.update(flow.dotted(target) for target in node.targets)
    return found - {""}


class _Site:
    """One call that makes a context, and what becomes of its value."""

    def __init__(self, view: View, index: Index, call: ast.Call) -> None:
        self.view = view
        self.index = index
        self.call = call
        self._followed: set[str] = set()
        around = view.class_(call) if call in view.parents else None
        self._owner = around.name if around else ""

    def reason(self) -> str:
        """Return why the call stays, empty when it may go."""
        return self._callee() or self._arguments() or self._patches() or self._value(self.call)

    def _callee(self) -> str:
        target = self.view.resolve(self.call.func)
        if not target:
            if flow.dotted(self.call.func) == "Context":
                return "its class comes from a star import"
            return "the name that it is called by is bound more than once, or by no import"
        if target != CALLEE:
            return _OTHERS.get(target, f"`{target}` is not pyzmq's plain context")
        for statement in _imports_of(self.view, self.call):
            around = self.view.parents[statement]
            if isinstance(around, ast.ClassDef):
                return "its import belongs to a class body"
            if any(isinstance(node, ast.JoinedStr) for node in self.view.ancestors(self.call)):
                return "it stands inside an f-string"
        return ""

    def _arguments(self) -> str:
        call = self.call
        if any(keyword.arg != "io_threads" for keyword in call.keywords) or len(call.args) > 1:
            return "its context is made with more than a number of I/O threads"
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            if not (isinstance(value, ast.Constant) and type(value.value) is int):
                return "its context is made with an argument that is no literal number"
        return ""

    def _patches(self) -> str:
        """Return the test that puts another object where this file looks for pyzmq."""
        root = flow.dotted(self.call.func).partition(".")[0]
        where = self.index.patched(self.view.path, root)
        return f"`{where}` puts something else in the place of `{root}` in this module" if where else ""

    def _value(self, node: ast.expr) -> str:
        """Return why the value of `node` may not be a lease, by where it goes."""
        around = self.view.parents[node]
        if isinstance(around, ast.Attribute):
            return self._attribute(around)
        if isinstance(around, ast.BoolOp | ast.IfExp):
            is_test = isinstance(around, ast.IfExp) and around.test is node
            return "" if is_test else self._value(around)
        if isinstance(around, ast.Assign):
            reasons = [self._target(target) for target in around.targets]
            return next(filter(None, reasons), "")
        if isinstance(around, ast.AnnAssign | ast.NamedExpr):
            reason = self._target(around.target)
            return reason or (self._value(around) if isinstance(around, ast.NamedExpr) else "")
        if isinstance(around, ast.withitem):
            return self._target(around.optional_vars) if around.optional_vars is not None else ""
        if isinstance(around, ast.Expr | ast.If | ast.While | ast.Assert | ast.UnaryOp):
            return ""
        if isinstance(around, ast.Compare):
            others = [each for each in (around.left, *around.comparators) if each is not node]
            is_asked = all(isinstance(each, ast.Constant) for each in others)
            return "" if is_asked else "it compares its context, and a lease is another object"
        if isinstance(around, ast.Call | ast.keyword):
            return self._handed(node, around)
        return _ESCAPES.get(type(around), "its context is used in a way that is not known to be safe")

    def _handed(self, node: ast.expr, around: ast.Call | ast.keyword) -> str:
        """Return why a call may not get a lease: nobody can see what it does with it, or it does too much."""
        call = around if isinstance(around, ast.Call) else self.view.parents[around]
        assert isinstance(call, ast.Call)
        if self.view.resolve(call.func) in _ENCODERS and not any(
            each.arg in (None, "default", "cls") for each in call.keywords
        ):
            return ""  # JSON has no context, whoever's it is
        found = find_function(self.view, self.index, call.func)
        name = parameter_of(found[1], call, node) if found else ""
        if not found or not name:
            return "its context is handed to a call"
        view, made = found
        key = f"{view.path}:{made.name}({name})"
        if key in self._followed:
            return ""
        there = _Site(view, self.index, self.call)
        there._followed = self._followed | {key}
        reason = _file_reason(view, self.index) or there._reads(name, _scope_of(view, made))
        return f"`{made.name}` of `{view.path}` is handed its context: {reason}" if reason else ""

    def _attribute(self, around: ast.Attribute) -> str:
        if isinstance(around.ctx, ast.Load) and around.attr in _ALIKE:
            return ""
        verb = "uses" if isinstance(around.ctx, ast.Load) else "sets"
        return f"it {verb} `{around.attr}` of its context, which others share then"

    def _target(self, target: ast.expr) -> str:
        """Return why a context may not be kept under a name, by what is done to that name."""
        if isinstance(target, ast.Name):
            return self._local_uses(target)
        if isinstance(target, ast.Attribute) and flow.dotted(target.value) in ("self", "cls"):
            return self._attribute_uses(target.attr)
        return f"its context is kept in `{ast.unparse(target)}`, whose uses cannot all be seen"

    def _local_uses(self, target: ast.Name) -> str:
        if target.id in self._followed:
            return ""
        self._followed.add(target.id)
        scope = self._binding_scope(target)
        if why := self._reads(target.id, scope):
            return why
        if scope.kind == "class":
            return self._attribute_uses(target.id)
        return self._module_uses(target.id) if scope is self.view.module else ""

    def _module_uses(self, name: str) -> str:
        if where := self.index.importer(self.view.path, name):
            return f"`{where}` imports its context from here"
        where = self.index.odd_module_use(self.view.path, name)
        return f"`{where}` does more with `{name}` of this module than open sockets" if where else ""

    def _reads(self, name: str, scope: Scope) -> str:
        """Return why a context may not be what `name` of a scope means, by what is done to it there."""
        return next(filter(None, map(self._value, self.view.reads_of(name, scope))), "")

    def _binding_scope(self, target: ast.Name) -> Scope:
        around = next((node for node in self.view.ancestors(target) if isinstance(node, _BLOCKS)), None)
        for scope in self.view.scopes_by_node.get(around, ()) if around is not None else ():
            if scope.kind in ("function", "class") and target.id in scope.bindings:
                return scope
        return self.view.module

    def _attribute_uses(self, name: str) -> str:
        if f"self.{name}" in self._followed:
            return ""
        self._followed.add(f"self.{name}")
        for node in self.view.attribute_reads.get(name, ()):
            if why := self._value(node):
                return why
        if why := next(filter(None, map(self._value, self._asked_for(name))), ""):
            return why
        where = self.index.odd_use(self.view.path, self._owner, name)
        return f"`{where}` does more with `self.{name}` than open sockets" if where else ""

    def _asked_for(self, name: str) -> Iterator[ast.Call]:
        """Yield the calls that get an attribute by its name."""
        for call in self.view.indexed(ast.Call):
            is_named = any(isinstance(each, ast.Constant) and each.value == name for each in call.args)
            if is_named and flow.dotted(call.func).rpartition(".")[2] in _GETTERS:
                yield call


def _scope_of(view: View, made: ast.FunctionDef) -> Scope:
    return next(scope for scope in view.module.walk() if scope.node is made)


_ENCODERS: Final = frozenset({"json.dump", "json.dumps"})
_GETTERS: Final = frozenset({"getattr", "attrgetter", "__getattribute__"})
_BLOCKS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_ESCAPES: Final[dict[type[ast.AST], str]] = {
    ast.Starred: "its context is handed to a call",
    ast.Return: "its context is returned",
    ast.Yield: "its context is yielded",
    ast.Tuple: "its context is put in a tuple",
    ast.List: "its context is put in a list",
    ast.Dict: "its context is put in a dict",
    ast.arguments: "its context is a default argument",
    ast.FormattedValue: "its context is written in a text",
}
