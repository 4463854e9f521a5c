"""A context is terminated that others may use

`term()` waits until every socket of its context is closed, and each socket that somebody else has still open
gets an error in the middle of its work; `destroy()` closes them, in whatever thread they are used. So a
context that one has from elsewhere is not one's own to end: the process's (`zmq.Context.instance()`), the
caller's (a parameter, also as `context or zmq.Context()`), another module's, a module's own that several of
its classes or functions take, and `self.context` where a base class keeps sockets in it.

Silent where the context is the object's or function's own, and where a condition asks for that first
(`if self.owns_context:`).

Instead: close one's own sockets. `argosy.wire.context()` gives a lease whose `term()` ends no more than that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.refit import pyzmq
from argosy.refit.fact import FactKind
from argosy.refit.facts.classes import CLASSES, bases_of
from argosy.refit.file import PythonFile
from argosy.refit.finding import Finding
from argosy.refit.rule import Case, Rule
from argosy.refit.sockets import SELF, Place, class_of, find_sockets, function_of
from argosy.refit.tree import Tree
from argosy.source import flow
from argosy.source.scopes import Scope

_ENDS = ("term", "destroy")


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """A method that ends the context which its class keeps in an attribute.

    is_made: the class makes that context itself.
    """

    cls: str
    attribute: str
    method: str
    line: int
    column: int
    symbol: str
    is_made: bool


def check(file: PythonFile) -> Iterator[Finding]:
    """Tell what the file alone shows."""
    for call, scope, receiver in _endings(file):
        whose = _whose(file, receiver, scope)
        if whose and not _is_asked(file, call, receiver):
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            yield file.finding(call, f"`{ast.unparse(receiver)}.{method}()` ends {whose}", scope)


def link(tree: Tree, path: str) -> Iterator[Finding]:
    """Tell what a base class shows: that it keeps sockets in the context too."""
    for item in tree.fact(ENDED, path) or ():
        for base in bases_of(tree, path, item.cls):
            if item.attribute in base.facts.kept or item.attribute in base.facts.read:
                made = ", in place of which the class puts its own" if item.is_made else ""
                message = (
                    f"`self.{item.attribute}.{item.method}()` ends a context that the base `{base.name}`"
                    f" ({base.path}) uses{made}"
                )
                yield Finding(path, item.line, item.column, "", message, symbol=item.symbol)
                break


def collect(file: PythonFile) -> tuple[Ended, ...] | None:
    if not pyzmq.may_name(file.source.data):
        return None
    made = {(id(place.owner), place.name) for place in find_sockets(file).contexts}
    found: list[Ended] = []
    for call, scope, receiver in _endings(file):
        owner = class_of(scope)
        if owner is None or not _is_self(receiver) or _whose(file, receiver, scope):
            continue
        assert isinstance(receiver, ast.Attribute)
        assert isinstance(call.func, ast.Attribute)
        is_made = (id(owner), f"self.{receiver.attr}") in made
        is_one = is_made or _opens_sockets(file, receiver, scope)
        if is_one and not _is_asked(file, call, receiver):
            place = (call.lineno, file.parsed.column(call), scope.qualified_name())
            found.append(Ended(owner.qualified_name(), receiver.attr, call.func.attr, *place, is_made))
    return tuple(found) or None


ENDED = FactKind("contexts ended", tuple[Ended, ...], collect)


def _endings(file: PythonFile) -> Iterator[tuple[ast.Call, Scope, ast.expr]]:
    for call, scope in file.nodes(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _ENDS:
            yield call, scope, call.func.value


def _whose(file: PythonFile, receiver: ast.expr, scope: Scope) -> str:
    """Return whose context a call ends, empty for one's own or what is not known to be a context."""
    if pyzmq.is_shared_context(file, receiver, scope):
        return "the context of the whole process"
    place = _place(file, receiver, scope)
    if place is not None:
        for making in place.makings:
            if pyzmq.is_shared_context(file, making.call, making.scope):
                return "the context of the whole process"
        if _is_alternative(file, place):
            return "a context that may be the caller's"
        return _of_module(file, place, scope)
    if isinstance(receiver, ast.Name):
        return _of_name(file, receiver, scope)
    if _is_self(receiver) and _is_given(file, receiver, scope) and _opens_sockets(file, receiver, scope):
        return "the caller's context"
    return ""


def _place(file: PythonFile, receiver: ast.expr, scope: Scope) -> Place | None:
    return find_sockets(file).context_at(receiver, scope)


def _of_name(file: PythonFile, receiver: ast.Name, scope: Scope) -> str:
    owner = scope.owner_of(receiver.id)
    if owner is None or not _opens_sockets(file, receiver, scope):
        return ""
    how = {binding.how for binding in owner.bindings[receiver.id]}
    if how == {"parameter"}:
        return "the caller's context"
    return "another module's context" if how == {"import"} else ""


def _of_module(file: PythonFile, place: Place, scope: Scope) -> str:
    """Return `""` unless one of several users of a module's context ends it."""
    if place.owner.kind != "module" or scope.kind == "module":
        return ""
    users = {id(_top(use.scope)) for use in place.uses if use.kind == "call" and use.method == "socket"}
    users.discard(id(None))
    is_class = class_of(scope) is not None
    others = users - {id(_top(scope))}
    if others and (is_class or len(users) > 1):
        return "the module's context, which others of the module open sockets in"
    return ""


def _top(scope: Scope) -> Scope | None:
    """Return the class or function at the top of the module that a scope is in, None for the module."""
    found: Scope | None = None
    inner: Scope | None = scope
    while inner is not None and inner.kind != "module":
        found, inner = inner, inner.parent
    return found


def _is_alternative(file: PythonFile, place: Place) -> bool:
    """Return whether a context is made only where the caller gave none: `context or zmq.Context()`."""
    for making in place.makings:
        around = file.parent(making.call)
        if isinstance(around, ast.BoolOp | ast.IfExp):
            others = [node for node in ast.walk(around) if isinstance(node, ast.Name)]
            if any(_is_parameter(making.scope, node.id) for node in others):
                return True
    return False


def _is_given(file: PythonFile, receiver: ast.expr, scope: Scope) -> bool:
    """Return whether an attribute gets nothing but a parameter of one of its class's methods."""
    assert isinstance(receiver, ast.Attribute)
    owner, given = class_of(scope), False
    for node, where in file.nodes(ast.Assign):
        for target in node.targets:
            is_it = isinstance(target, ast.Attribute) and target.attr == receiver.attr and _is_self(target)
            if is_it and class_of(where) is owner:
                if isinstance(node.value, ast.Name) and _is_parameter(where, node.value.id):
                    given = True
                elif not (isinstance(node.value, ast.Constant) and node.value.value is None):
                    return False
    return given


def _is_parameter(scope: Scope, name: str) -> bool:
    function = function_of(scope)
    bindings = function.bindings.get(name, []) if function is not None else []
    return bool(bindings) and all(binding.how == "parameter" for binding in bindings)


def _opens_sockets(file: PythonFile, receiver: ast.expr, scope: Scope) -> bool:
    """Return whether sockets are made of what `receiver` names, so that it is a context."""
    written, owner = flow.dotted(receiver), class_of(scope)
    sockets = find_sockets(file)
    for making in sockets.all_makings():
        is_it = making.context is not None and flow.dotted(making.context) == written and bool(making.type)
        if is_it and (not _is_self(receiver) or class_of(making.scope) is owner):
            return True
    return False


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SELF


def _is_asked(file: PythonFile, call: ast.Call, receiver: ast.expr) -> bool:
    """Return whether a condition around a call asks for more than whether there is a context."""
    name = flow.dotted(receiver)
    attribute = name.rpartition(".")[2]
    for around in file.ancestors(call):
        if isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return False
        if isinstance(around, ast.If) and call not in ast.walk(around.test):
            asked = {
                item.attr if isinstance(item, ast.Attribute) else item.id
                for item in ast.walk(around.test)
                if isinstance(item, ast.Attribute | ast.Name)
            }
            strings = {item.value for item in ast.walk(around.test) if isinstance(item, ast.Constant)}
            if (asked - {attribute, "self", "hasattr", "closed", "getattr"}) or not (asked | strings):
                return True
    return False


RULE = Rule(
    code="Z302",
    title="context terminated",
    action="review",
    words=(b"zmq",),
    file=check,
    needs=(ENDED,),
    sees=(CLASSES,),
    link=link,
)

_BASE = (
    "import zmq\n\nclass Base:\n    def __init__(self):\n        self.context = zmq.Context()\n"
    "        self.health = self.context.socket(zmq.REP)\n"
)
_SUB = "import zmq\nfrom base import Base\n\nclass Mine(Base):\n    def open(self):\n"
MUST = (
    Case("import zmq\nzmq.Context.instance().term()  # <--\n"),
    Case(
        "import zmq\n\ndef f():\n    ctx = zmq.Context.instance()\n    ctx.socket(zmq.REQ)\n"
        "    ctx.term()  # <--\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def __init__(self, context=None):\n"
        "        self.context = context or zmq.Context()\n"
        "\n    def end(self):\n        if self.context:\n            self.context.destroy(0)  # <--\n"
    ),
    Case("import zmq\n\ndef f(ctx):\n    s = ctx.socket(zmq.REQ)\n    s.close()\n    ctx.term()  # <--\n"),
    Case(
        "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.ctx = ctx\n"
        "        self.s = self.ctx.socket(zmq.REQ)\n"
        "\n    def end(self):\n        self.ctx.term()  # <--\n"
    ),
    Case("import zmq\nfrom shared import context\n\ns = context.socket(zmq.REQ)\ncontext.term()  # <--\n"),
    Case(
        "import zmq\nctx = zmq.Context()\n\nclass A:\n    def __init__(self):\n"
        "        self.s = ctx.socket(zmq.REQ)\n"
        "\n    def end(self):\n        ctx.term()  # <--\n\ndef other():\n    return ctx.socket(zmq.SUB)\n"
    ),
    Case(
        files={
            "base.py": _BASE,
            "a.py": _SUB + "        self.s = self.context.socket(zmq.REQ)\n"
            "        self.context.term()  # <--\n",
            "b.py": _SUB + "        self.context = zmq.Context()\n        self.context.destroy()  # <--\n",
        }
    ),
)
MUST_NOT = (
    Case(
        "import zmq\n\ndef f():\n    ctx = zmq.Context()\n    s = ctx.socket(zmq.REQ)\n    s.close()\n"
        "    ctx.term()\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def __init__(self):\n        self.context = zmq.Context()\n"
        "\n    def end(self):\n        self.context.term()\n"
    ),
    Case(
        "import zmq\n\nclass A:\n    def __init__(self, context=None):\n        self._own = context is None\n"
        "        self.context = context or zmq.Context()\n\n    def end(self):\n        if self._own:\n"
        "            self.context.term()\n"
    ),
    Case("import zmq\nctx = zmq.Context()\ns = ctx.socket(zmq.REQ)\ns.close()\nctx.term()\n"),
    Case(
        "import zmq\nctx = zmq.Context()\n\ndef main():\n    s = ctx.socket(zmq.REQ)\n    s.close()\n"
        "    ctx.term()\n"
    ),
    Case("# zmq\n\ndef f(window, child):\n    window.destroy()\n    child.term()\n"),
    Case(
        "import zmq, tkinter\nroot = tkinter.Tk()\n\ndef end(self):\n    root.destroy()\n"
        "    self.root.destroy()\n"
    ),
    Case(
        "import zmq, argosy.wire\n\ndef f():\n    ctx = argosy.wire.context()\n"
        "    ctx.socket(zmq.REQ)\n    ctx.term()\n"
    ),
    Case(
        files={
            "base.py": "class Base:\n    def __init__(self, name):\n        self.name = name\n",
            "a.py": _SUB + "        self.context = zmq.Context()\n        self.context.term()\n",
        }
    ),
)
