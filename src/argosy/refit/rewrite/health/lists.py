"""Lists of threads and of sockets that only loops go through, to begin and end what is in them.

One less in such a list makes no other difference.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from typing import Final, TypeGuard

import msgspec

from argosy.refit.health.loops import HealthLoop
from argosy.refit.rewrite.change import Change, Replaced, place_of
from argosy.refit.rewrite.health.kinds import Kinds
from argosy.refit.rewrite.health.still import is_log, is_still
from argosy.refit.rewrite.health.waiting import is_pause
from argosy.refit.rewrite.view import View
from argosy.source import flow

_ENDS: Final = frozenset({"close", "join", "is_alive", "setsockopt", "term", "disable_monitor"})


class _Uses(msgspec.Struct, frozen=True):
    """How a list is used: the loops over it, and the attributes of self that keep it."""

    loops: list[ast.For]
    kept: set[str]


def listed(
    view: View, owner: ast.ClassDef, loop: HealthLoop, names: set[str]
) -> Iterator[tuple[ast.List | ast.Tuple, ast.expr]]:
    """Yield the elements that are one of `names`, with their lists, where loops only end what is in these."""
    for node in ast.walk(owner):
        if not (isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load)):
            continue
        found = [each for each in node.elts if flow.dotted(each) in names]
        is_enough = len(node.elts) > (1 if isinstance(node, ast.List) else 2)
        uses = _uses_of(view, node) if len(found) == 1 and is_enough else None
        is_plain = uses is not None and bool(uses.loops) and not uses.kept
        if uses and is_plain and all(_only_ends(view, loop, each, _ENDS) for each in uses.loops):
            yield node, found[0]


def keepers(view: View, loop: HealthLoop, around: ast.List) -> set[str] | str:
    """Return the attributes of self that keep the list in which a loop's thread is made.

    A text is why the thread cannot go from the list.
    """
    uses = _uses_of(view, around) if len(around.elts) > 1 else None
    calls = _ENDS | {"start"}
    if uses and uses.loops and all(_only_ends(view, loop, each, calls) for each in uses.loops):
        return uses.kept
    return "its thread is in a list that is not only gone through to begin and end what is in it"


def _uses_of(view: View, node: ast.List | ast.Tuple) -> _Uses | None:
    """Return how a list is used; None where that is in another way, too."""
    found = _Uses([], set())
    todo: list[ast.expr] = [node]
    while todo:
        use = todo.pop()
        around = view.parents[use]
        if isinstance(around, ast.For) and around.iter is use:
            found.loops.append(around)
        elif isinstance(around, ast.Assign) and len(around.targets) == 1 and around.value is use:
            name = flow.dotted(around.targets[0])
            more = _named(view, around, name)
            if more is None:
                return None
            todo += more
            found.kept.update({name.removeprefix("self.")} if name.startswith("self.") else ())
        elif not _is_told(view, around):
            return None
    return found


def _named(view: View, made: ast.Assign, name: str) -> list[ast.expr] | None:
    """Return where else the name stands that a statement gives to a list; None where that cannot be seen."""
    function = view.function(made)
    within = view.nodes if name.startswith("self.") else ast.walk(function) if function is not None else ()
    if not (name.removeprefix("self.").isidentifier() and within):
        return None
    found: list[ast.expr] = []
    for use in within:
        if not isinstance(use, ast.Name | ast.Attribute) or use is made.targets[0]:
            continue
        # An attribute of that name of another object may be the same.
        if (use.id if isinstance(use, ast.Name) else f"self.{use.attr}") != name:
            continue
        around = view.parents[use]
        if not (isinstance(around, ast.Assign) and use in around.targets and _is_empty(around.value)):
            found.append(use)
    return found


def _is_told(view: View, node: ast.AST) -> bool:
    """Return whether a use is how many there are, for a line of the log."""
    if not (isinstance(node, ast.Call) and flow.dotted(node.func) == "len"):
        return False
    statement = view.statement(node)
    call = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(call, ast.Call) and is_log(Kinds(view), call)


def _is_empty(node: ast.expr) -> bool:
    is_none = isinstance(node, ast.Constant) and node.value is None
    return is_none or (isinstance(node, ast.List) and not node.elts)


def _only_ends(view: View, loop: HealthLoop, over: ast.For, calls: Collection[str]) -> bool:
    """Return whether a loop over threads or sockets does nothing but end each, or what else `calls` names.

    One less makes no other difference then. loop: the health loop whose thread may be waited for.
    """
    name, kinds = flow.dotted(over.target), Kinds(view)
    if (
        not name.isidentifier()
        or over.orelse
        or not all(_ends(kinds, node, name, calls) for node in over.body)
    ):
        return False
    return all(is_pause(view, loop, call) for call in ast.walk(over) if _is_join(call, name))


def _is_join(node: ast.AST, name: str) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and flow.dotted(node.func) == f"{name}.join"


def _ends(kinds: Kinds, node: ast.stmt, name: str, calls: Collection[str]) -> bool:
    if isinstance(node, ast.If):
        inner = (*node.body, *node.orelse)
        # It is a thread or a socket that goes, and asking the others stays.
        is_asked = is_still(kinds, node.test, {f"{name}.is_alive"})
        return is_asked and all(_ends(kinds, each, name, calls) for each in inner)
    if isinstance(node, ast.Try):
        handled = [each for handler in node.handlers for each in handler.body]
        inner = (*node.body, *node.orelse, *node.finalbody, *handled)
        return all(_ends(kinds, each, name, calls) for each in inner)
    if isinstance(node, ast.Pass | ast.Continue):
        return True
    if isinstance(node, ast.Assign):
        return [flow.dotted(each) for each in node.targets] == [f"{name}.daemon"] and is_still(
            kinds, node.value
        )
    if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        return False
    held, _, method = flow.dotted(node.value.func).rpartition(".")
    given = [*node.value.args, *(item.value for item in node.value.keywords)]
    is_end = held == name and method in calls and all(is_still(kinds, each) for each in given)
    return is_end or is_log(kinds, node.value)


def without(view: View, around: ast.List | ast.Tuple, element: ast.expr) -> Change:
    """Return the change that takes one element out of a list of several.

    Where the text cannot be cut so that nothing but the element goes, it is written anew.
    """
    left = [each for each in around.elts if each is not element]
    wanted = ast.unparse(type(around)(left, ast.Load()))
    segment = ast.get_source_segment(view.file.text, around) or ""
    own = ast.get_source_segment(view.file.text, element) or ""
    at = segment.find(own)
    while at >= 0:
        text = _cut(segment[:at], segment[at + len(own) :])
        if _written(text) == wanted:
            return Replaced(place_of(around), ast.unparse(around), text)
        at = segment.find(own, at + 1)
    return Replaced(place_of(around), ast.unparse(around), wanted)


def _cut(before: str, behind: str) -> str:
    is_last = not behind.lstrip().startswith(",")
    return before.rstrip().removesuffix(",") + behind if is_last else before + behind.lstrip()[1:].lstrip()


def _written(text: str) -> str:
    try:
        return ast.unparse(ast.parse(text, mode="eval").body)
    except SyntaxError:
        return ""
