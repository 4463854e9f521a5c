"""A context is terminated that others may use

`term()` waits until every socket of its context is closed, and open sockets of other users raise an error in
the middle of their work; `destroy()` closes them, in whatever thread they are used. So code must not
terminate a context that it does not own: the process's (`zmq.Context.instance()`), the caller's (a parameter,
also as `context or zmq.Context()`), another module's, a module's own that several of its classes or functions
use, and `self.context` where a base class has sockets in it.

Not reported where the object or function created the context itself, and where a condition checks that first
(`if self.owns_context:`).

Instead: close one's own sockets. `argosy.wire.context()` returns a lease whose `term()` ends no more than
that.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import msgspec

from argosy.refit.analysis import pyzmq_names
from argosy.refit.analysis.ast_queries import is_none_literal
from argosy.refit.analysis.facts.class_facts import CLASS_FACTS, find_ancestors
from argosy.refit.analysis.socket_uses import (
    SELF_NAMES,
    SocketPlace,
    enclosing_class,
    enclosing_function,
    find_sockets,
)
from argosy.refit.core.fact import FactKind
from argosy.refit.core.finding import Finding
from argosy.refit.core.rule import Rule, RuleCase
from argosy.refit.core.source_file import PythonFile
from argosy.refit.core.source_tree import SourceTree
from argosy.source.control_flow import dotted_name
from argosy.source.name_scopes import NameScope

_TERMINATING_METHODS = ("term", "destroy")


class ContextTermination(msgspec.Struct, frozen=True, array_like=True):
    """A method that terminates the context in an attribute of its class.

    is_created_here: the class creates that context itself.
    """

    cls: str
    attribute: str
    method: str
    line: int
    column: int
    symbol: str
    is_created_here: bool


def check(file: PythonFile) -> Iterator[Finding]:
    """Report what the file alone shows."""
    for call, scope, receiver in _terminating_calls(file):
        owner_description = _describe_owner(file, receiver, scope)
        if owner_description and not _is_ownership_checked(file, call, receiver):
            method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            yield file.make_finding(
                call, f"`{ast.unparse(receiver)}.{method}()` ends {owner_description}", scope
            )


def check_links(tree: SourceTree, path: str) -> Iterator[Finding]:
    """Report terminations of a context in which a base class has sockets."""
    for item in tree.fact(CONTEXT_TERMINATIONS, path) or ():
        for base in find_ancestors(tree, path, item.cls):
            if item.attribute in base.facts.assigned or item.attribute in base.facts.read_only:
                replacement_note = ", which the class replaces by its own" if item.is_created_here else ""
                message = (
                    f"`self.{item.attribute}.{item.method}()` ends a context that the base `{base.name}`"
                    f" ({base.path}) uses{replacement_note}"
                )
                yield Finding(path, item.line, item.column, "", message, symbol=item.symbol)
                break


def collect(file: PythonFile) -> tuple[ContextTermination, ...] | None:
    if not pyzmq_names.can_reference_pyzmq(file.source.data):
        return None
    created_here = {(id(place.owner), place.name) for place in find_sockets(file).contexts}
    found: list[ContextTermination] = []
    for call, scope, receiver in _terminating_calls(file):
        owner = enclosing_class(scope)
        if owner is None or not _is_self(receiver) or _describe_owner(file, receiver, scope):
            continue
        assert isinstance(receiver, ast.Attribute)
        assert isinstance(call.func, ast.Attribute)
        is_created_here = (id(owner), f"self.{receiver.attr}") in created_here
        is_context = is_created_here or _has_sockets(file, receiver, scope)
        if is_context and not _is_ownership_checked(file, call, receiver):
            place = (call.lineno, file.parsed.column(call), scope.qualified_name())
            found.append(
                ContextTermination(
                    owner.qualified_name(), receiver.attr, call.func.attr, *place, is_created_here
                )
            )
    return tuple(found) or None


CONTEXT_TERMINATIONS = FactKind("context terminations", tuple[ContextTermination, ...], collect)


def _terminating_calls(file: PythonFile) -> Iterator[tuple[ast.Call, NameScope, ast.expr]]:
    for call, scope in file.nodes(ast.Call):
        if isinstance(call.func, ast.Attribute) and call.func.attr in _TERMINATING_METHODS:
            yield call, scope, call.func.value


def _describe_owner(file: PythonFile, receiver: ast.expr, scope: NameScope) -> str:
    """Return whose context a call ends, empty if it is the code's own or may not be a context."""
    if pyzmq_names.is_shared_context(file, receiver, scope):
        return "the context of the whole process"
    place = find_sockets(file).context_at(receiver, scope)
    if place is not None:
        for creation in place.creations:
            if pyzmq_names.is_shared_context(file, creation.call, creation.scope):
                return "the context of the whole process"
        if _is_fallback(file, place):
            return "a context that may be the caller's"
        return _describe_module_owner(file, place, scope)
    if isinstance(receiver, ast.Name):
        return _describe_name_owner(file, receiver, scope)
    if (
        _is_self(receiver)
        and _is_parameter_attribute(file, receiver, scope)
        and _has_sockets(file, receiver, scope)
    ):
        return "the caller's context"
    return ""


def _describe_name_owner(file: PythonFile, receiver: ast.Name, scope: NameScope) -> str:
    owner = scope.owner_of(receiver.id)
    if owner is None or not _has_sockets(file, receiver, scope):
        return ""
    how = {binding.kind for binding in owner.bindings[receiver.id]}
    if how == {"parameter"}:
        return "the caller's context"
    return "another module's context" if how == {"import"} else ""


def _describe_module_owner(file: PythonFile, place: SocketPlace, scope: NameScope) -> str:
    """Return the owner if a call ends a module's context that other code there uses, else an empty string."""
    if place.owner.kind != "module" or scope.kind == "module":
        return ""
    users = {
        id(_top_level_scope(use.scope)) for use in place.uses if use.kind == "call" and use.method == "socket"
    }
    users.discard(id(None))
    is_class = enclosing_class(scope) is not None
    others = users - {id(_top_level_scope(scope))}
    if others and (is_class or len(users) > 1):
        return "the module's context, in which other code of the module opens sockets"
    return ""


def _top_level_scope(scope: NameScope) -> NameScope | None:
    """Return the top-level class or function that contains a scope, None for the module."""
    found: NameScope | None = None
    inner: NameScope | None = scope
    while inner is not None and inner.kind != "module":
        found, inner = inner, inner.parent
    return found


def _is_fallback(file: PythonFile, place: SocketPlace) -> bool:
    """Return whether a context is created only if the caller passed none: `context or zmq.Context()`."""
    for creation in place.creations:
        parent = file.parent(creation.call)
        if isinstance(parent, ast.BoolOp | ast.IfExp):
            others = [node for node in ast.walk(parent) if isinstance(node, ast.Name)]
            if any(_is_parameter(creation.scope, node.id) for node in others):
                return True
    return False


def _is_parameter_attribute(file: PythonFile, receiver: ast.expr, scope: NameScope) -> bool:
    """Return whether an attribute is only ever assigned a parameter of a method of its class."""
    assert isinstance(receiver, ast.Attribute)
    owner, is_parameter = enclosing_class(scope), False
    for node, where in file.nodes(ast.Assign):
        for target in node.targets:
            is_it = isinstance(target, ast.Attribute) and target.attr == receiver.attr and _is_self(target)
            if is_it and enclosing_class(where) is owner:
                if isinstance(node.value, ast.Name) and _is_parameter(where, node.value.id):
                    is_parameter = True
                elif not is_none_literal(node.value):
                    return False
    return is_parameter


def _is_parameter(scope: NameScope, name: str) -> bool:
    function = enclosing_function(scope)
    bindings = function.bindings.get(name, []) if function is not None else []
    return bool(bindings) and all(binding.kind == "parameter" for binding in bindings)


def _has_sockets(file: PythonFile, receiver: ast.expr, scope: NameScope) -> bool:
    """Return whether sockets are created from `receiver`, so that it is a context."""
    written, owner = dotted_name(receiver), enclosing_class(scope)
    sockets = find_sockets(file)
    for creation in sockets.all_creations():
        is_it = (
            creation.context is not None
            and dotted_name(creation.context) == written
            and bool(creation.socket_type)
        )
        if is_it and (not _is_self(receiver) or enclosing_class(creation.scope) is owner):
            return True
    return False


def _is_self(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in SELF_NAMES
    )


def _is_ownership_checked(file: PythonFile, call: ast.Call, receiver: ast.expr) -> bool:
    """Return whether a condition around a call checks more than that the context exists."""
    name = dotted_name(receiver)
    attribute = name.rpartition(".")[2]
    for ancestor in file.ancestors(call):
        if isinstance(ancestor, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            return False
        if isinstance(ancestor, ast.If) and call not in ast.walk(ancestor.test):
            tested_names = {
                item.attr if isinstance(item, ast.Attribute) else item.id
                for item in ast.walk(ancestor.test)
                if isinstance(item, ast.Attribute | ast.Name)
            }
            tested_constants = {
                item.value for item in ast.walk(ancestor.test) if isinstance(item, ast.Constant)
            }
            if (tested_names - {attribute, "self", "hasattr", "closed", "getattr"}) or not (
                tested_names | tested_constants
            ):
                return True
    return False


RULE = Rule(
    code="Z302",
    title="context terminated",
    action="review",
    required_words=(b"zmq",),
    check_file=check,
    fact_kinds=(CONTEXT_TERMINATIONS,),
    shared_fact_kinds=(CLASS_FACTS,),
    check_links=check_links,
)

_BASE = (
    "import zmq\n\nclass Base:\n    def __init__(self):\n        self.context = zmq.Context()\n"
    "        self.health = self.context.socket(zmq.REP)\n"
)
_SUBCLASS = "import zmq\nfrom base import Base\n\nclass Mine(Base):\n    def open(self):\n"
MUST = (
    RuleCase("import zmq\nzmq.Context.instance().term()  # <--\n"),
    RuleCase(
        "import zmq\n\ndef f():\n    ctx = zmq.Context.instance()\n    ctx.socket(zmq.REQ)\n"
        "    ctx.term()  # <--\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, context=None):\n"
        "        self.context = context or zmq.Context()\n"
        "\n    def end(self):\n        if self.context:\n            self.context.destroy(0)  # <--\n"
    ),
    RuleCase(
        "import zmq\n\ndef f(ctx):\n    s = ctx.socket(zmq.REQ)\n    s.close()\n    ctx.term()  # <--\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, ctx):\n        self.ctx = ctx\n"
        "        self.s = self.ctx.socket(zmq.REQ)\n"
        "\n    def end(self):\n        self.ctx.term()  # <--\n"
    ),
    RuleCase(
        "import zmq\nfrom shared import context\n\ns = context.socket(zmq.REQ)\ncontext.term()  # <--\n"
    ),
    RuleCase(
        "import zmq\nctx = zmq.Context()\n\nclass A:\n    def __init__(self):\n"
        "        self.s = ctx.socket(zmq.REQ)\n"
        "\n    def end(self):\n        ctx.term()  # <--\n\ndef other():\n    return ctx.socket(zmq.SUB)\n"
    ),
    RuleCase(
        files={
            "base.py": _BASE,
            "a.py": _SUBCLASS + "        self.s = self.context.socket(zmq.REQ)\n"
            "        self.context.term()  # <--\n",
            "b.py": _SUBCLASS
            + "        self.context = zmq.Context()\n        self.context.destroy()  # <--\n",
        }
    ),
)
MUST_NOT = (
    RuleCase(
        "import zmq\n\ndef f():\n    ctx = zmq.Context()\n    s = ctx.socket(zmq.REQ)\n    s.close()\n"
        "    ctx.term()\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self):\n        self.context = zmq.Context()\n"
        "\n    def end(self):\n        self.context.term()\n"
    ),
    RuleCase(
        "import zmq\n\nclass A:\n    def __init__(self, context=None):\n        self._own = context is None\n"
        "        self.context = context or zmq.Context()\n\n    def end(self):\n        if self._own:\n"
        "            self.context.term()\n"
    ),
    RuleCase("import zmq\nctx = zmq.Context()\ns = ctx.socket(zmq.REQ)\ns.close()\nctx.term()\n"),
    RuleCase(
        "import zmq\nctx = zmq.Context()\n\ndef main():\n    s = ctx.socket(zmq.REQ)\n    s.close()\n"
        "    ctx.term()\n"
    ),
    RuleCase("# zmq\n\ndef f(window, child):\n    window.destroy()\n    child.term()\n"),
    RuleCase(
        "import zmq, tkinter\nroot = tkinter.Tk()\n\ndef end(self):\n    root.destroy()\n"
        "    self.root.destroy()\n"
    ),
    RuleCase(
        "import zmq, argosy.wire\n\ndef f():\n    ctx = argosy.wire.context()\n"
        "    ctx.socket(zmq.REQ)\n    ctx.term()\n"
    ),
    RuleCase(
        files={
            "base.py": "class Base:\n    def __init__(self, name):\n        self.name = name\n",
            "a.py": _SUBCLASS + "        self.context = zmq.Context()\n        self.context.term()\n",
        }
    ),
)
