"""Z301: an own ZeroMQ context becomes a lease on the process's one.

`zmq.Context()` becomes `argosy.wire.context()`, arguments and all else around it stay. A lease is
no Context and stands on a context that others use, so a site is migrated only when nothing in the
tree could tell the difference: see `bystanders` and `_Site` for each condition.
A name that only stands for the class, and is only called, stands for the lease.

What is no own context is left alone: `zmq.Context.instance()` is the process's already, and where agents
stand on argosy's base that is argosy's (`argosy.wire.instance`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import msgspec

from argosy.refit.contextclass import ContextSite, find_context_class, find_foreign_context_class
from argosy.refit.rewrite.adding import has_import, import_behind
from argosy.refit.rewrite.bystanders import file_reason
from argosy.refit.rewrite.change import Change, replaced
from argosy.refit.rewrite.elsewhere import find_function, handing_on, parameter_of, view_of
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


# A file that takes some `Context` from another module says nothing of zmq.
_TAKEN: Final = re.compile(
    rb"^[ \t]*from[ \t]+[.\w]+[ \t]+import[ \t]*(?:\([^)]*|[^(\n]*)\bContext\b", re.MULTILINE
)
_UNSEEN: Final = ", where nobody sees what is made of it"


class Contexts(msgspec.Struct, frozen=True):
    """What becomes of the contexts of one file."""

    changes: tuple[Change, ...]
    migrated: tuple[Site, ...]
    refused: tuple[Refusal, ...]


def may_hold(data: bytes) -> bool:
    """Return whether a file can have an own context at all."""
    return b"Context" in data and (b"zmq" in data or _TAKEN.search(data) is not None)


def plan_contexts(view: View, index: Index) -> Contexts:
    """Return which contexts of a file become leases, and why the others do not."""
    made = find_context_class(view.file)
    foreign = list(_foreign(view, index))
    if not (made.sites or made.handouts):
        return Contexts((), (), tuple(foreign))
    whole = file_reason(view, index) if made.sites else ""
    reasons = [whole or _Site(view, index, site.call, site).reason() for site in made.sites]
    reasons = _together(made.sites, reasons)
    pairs = list(zip(made.sites, reasons, strict=True))
    taken = [site for site, reason in pairs if not reason]
    refused = [view.refusal(site.call, CODE, reason) for site, reason in pairs if reason]
    refused += [view.refusal(out.node, CODE, f"its class {out.told}{_UNSEEN}") for out in made.handouts]
    refused += foreign
    migrated = tuple(view.site(site.call, CODE) for site in taken)
    return Contexts(_changes(view, taken), migrated, tuple(sorted(refused)))


def _foreign(view: View, index: Index) -> Iterator[Refusal]:
    """Yield what makes contexts of a class that another module of the tree has from pyzmq."""
    made = find_foreign_context_class(view.file)
    places: list[tuple[ast.expr, str, str]] = [(site.call, site.name, "") for site in made.sites]
    places += [(out.node, out.name, f", and {out.told}{_UNSEEN}") for out in made.handouts]
    for node, origin, told in places:
        if home := handing_on(index, view.path, origin):
            yield view.refusal(node, CODE, f"its class comes by way of `{home}`, not from pyzmq itself{told}")


def _together(sites: Sequence[ContextSite], reasons: list[str]) -> list[str]:
    """Return the reasons, with one for each site whose class another one that stays is made of as well."""
    stays = {id(site.source): site for site, reason in zip(sites, reasons, strict=True) if reason}
    found: list[str] = []
    for site, reason in zip(sites, reasons, strict=True):
        other = stays.get(id(site.source))
        if not reason and other is not None:
            name = ast.unparse(site.call.func)
            reason = f"`{name}` makes the context in line {other.call.lineno} as well, and that one stays"
        found.append(reason)
    return found


def _changes(view: View, sites: Sequence[ContextSite]) -> tuple[Change, ...]:
    sources = list({id(site.source): site.source for site in sites}.values())
    changes: list[Change] = [replaced(source, LEASE) for source in sources]
    if sources and not has_import(view, IMPORT):
        users: dict[ast.stmt, list[ast.expr]] = {}
        for source in sources:
            users.setdefault(_imports_of(view, source)[0], []).append(source)
        changes += [import_behind(view, anchor, nodes, IMPORT) for anchor, nodes in users.items()]
    return tuple(changes)


def _imports_of(view: View, source: ast.expr) -> list[ast.stmt]:
    """Return the imports that bind what takes a class from pyzmq."""
    root = source
    while isinstance(root, ast.Attribute):
        root = root.value
    assert isinstance(root, ast.Name)
    return [statement for statement, _ in view.binding_imports(root)]


class _Site:
    """One call that makes a context, and what becomes of its value.

    site: None where that goes on in another file than the one of the call.
    """

    def __init__(self, view: View, index: Index, call: ast.Call, site: ContextSite | None = None) -> None:
        self.view = view
        self.index = index
        self.call = call
        self.site = site
        self._followed: set[str] = set()
        around = view.class_(call) if call in view.parents else None
        self._owner = around.name if around else ""

    def reason(self) -> str:
        """Return why the call stays, empty when it may go."""
        assert self.site is not None
        return (
            self._callee(self.site.source)
            or self._patches(self.site)
            or self._alias(self.site)
            or self._arguments()
            or self._value(self.call)
        )

    def _callee(self, source: ast.expr) -> str:
        target = self.view.resolve(source)
        if not target:
            if flow.dotted(source) == "Context":
                return "its class comes from a star import"
            if not flow.dotted(source):
                return f"its class is taken by `{ast.unparse(source)}`, and not by an import"
            return "the name that it is called by is bound more than once, or by no import"
        if target != CALLEE:
            return _OTHERS.get(target, f"`{target}` is not pyzmq's plain context")
        for statement in _imports_of(self.view, source):
            around = self.view.parents[statement]
            if isinstance(around, ast.ClassDef):
                return "its import belongs to a class body"
            if any(isinstance(node, ast.JoinedStr) for node in self.view.ancestors(self.call)):
                return "it stands inside an f-string"
        return ""

    def _alias(self, site: ContextSite) -> str:
        """Return why the name that stands for the class, where one does, may not stand for the lease."""
        func, around = self.call.func, self.view.parents[site.source]
        if func is site.source:
            return ""
        if not (isinstance(func, ast.Name) and isinstance(around, ast.Assign) and len(around.targets) == 1):
            return f"its class is called by `{ast.unparse(func)}`"
        target = around.targets[0]
        if not (site.is_sure and isinstance(target, ast.Name) and target.id == func.id):
            return f"`{func.id}`, that it is called by, does not always stand for the class"
        made = find_context_class(self.view.file)
        asked = [question.node for question in made.questions if question.source is site.source]
        for node in asked + [out.node for out in made.handouts if out.source is site.source]:
            return f"line {node.lineno} does more with `{func.id}` than to call it"
        is_module = site.scope.owner_of(func.id) is self.view.module
        return self._module_uses(func.id) if is_module else ""

    def _arguments(self) -> str:
        call = self.call
        if any(keyword.arg != "io_threads" for keyword in call.keywords) or len(call.args) > 1:
            return "its context is made with more than a number of I/O threads"
        for value in (*call.args, *(keyword.value for keyword in call.keywords)):
            if not (isinstance(value, ast.Constant) and type(value.value) is int):
                return "its context is made with an argument that is no literal number"
        return ""

    def _patches(self, site: ContextSite) -> str:
        """Return the test that puts another object where this file looks for pyzmq."""
        for named in (site.source, self.call.func):
            root = flow.dotted(named).partition(".")[0]
            if where := self.index.patched(self.view.path, root):
                return f"`{where}` puts something else in the place of `{root}` in this module"
        return ""

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
        reason = file_reason(view, self.index) or there._reads(name, _scope_of(view, made))
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
            return f"`{where}` imports `{name}` from here"
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
        if why := self._declared(name):
            return why
        where = self.index.odd_use(self.view.path, self._owner, name)
        return f"`{where}` does more with `self.{name}` than open sockets" if where else ""

    def _declared(self, name: str) -> str:
        """Return what in the bodies of the class's family may check what an attribute is given."""
        family = self.index.family(self._owner)
        if told := _declared_in(self.view, family, name):
            return told
        for home in self.index.family_homes(self.view.path, self._owner):
            data = self.index.files[home]
            there = view_of(home, data) if name.encode() in data else None
            if there is not None and (told := _declared_in(there, family, name)):
                return f"{told} of `{home}`"
        return ""

    def _asked_for(self, name: str) -> Iterator[ast.Call]:
        """Yield the calls that get an attribute by its name."""
        for call in self.view.indexed(ast.Call):
            is_named = any(isinstance(each, ast.Constant) and each.value == name for each in call.args)
            if is_named and flow.dotted(call.func).rpartition(".")[2] in _GETTERS:
                yield call


def _declared_in(view: View, family: Collection[str], name: str) -> str:
    """Return what classes of these names make an attribute: a property, or a descriptor that a call makes."""
    for owner in view.indexed(ast.ClassDef):
        for node in owner.body if owner.name in family else ():
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return f"`{name}` is a method or property in line {node.lineno}"
            if not (isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Call)):
                continue
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            is_its = any(flow.dotted(each) == name for each in targets)
            if is_its and view.resolve(node.value.func) not in (CALLEE, LEASE):
                return f"`{ast.unparse(node.value):.60}` may check what it is given, in line {node.lineno}"
    return ""


def _scope_of(view: View, made: ast.FunctionDef) -> Scope:
    return next(scope for scope in view.module.walk() if scope.node is made)


_ENCODERS: Final = frozenset({"json.dump", "json.dumps"})
_GETTERS: Final = frozenset({"getattr", "attrgetter", "__getattribute__"})
_BLOCKS: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_ESCAPES: Final[dict[type[ast.AST], str]] = {
    ast.Starred: "its context is handed to a call",
    ast.Return: "its context is returned",
    ast.Lambda: "its context is returned",
    ast.Yield: "its context is yielded",
    ast.Tuple: "its context is put in a tuple",
    ast.List: "its context is put in a list",
    ast.Dict: "its context is put in a dict",
    ast.arguments: "its context is a default argument",
    ast.FormattedValue: "its context is written in a text",
}
