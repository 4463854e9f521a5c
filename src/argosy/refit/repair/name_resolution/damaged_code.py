"""Name rules that repair the code that reads an unbound name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import pairwise

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.project_names import PYTHON2_BUILTINS
from argosy.refit.repair.repair_rule import RepairCandidate
from argosy.refit.transaction.text_edit import TextEdit

_SUPER_CALL = "super().__init__(*args, **kwargs)"


def invalid_super_call(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Remove `super().__init__(*args, **kwargs)` from a function that has neither parameter.

    It was inserted without regard to the function's parameters. The names are bound nowhere in the file, so
    every call of the function fails there.
    """
    unbound = {item.name for item in view.unresolved}
    if not {"args", "kwargs"} <= unbound:
        return
    edits: list[TextEdit] = []
    line = 0
    for node in ast.walk(view.parsed.tree):
        if not isinstance(node, ast.FunctionDef):
            continue
        parameters = {arg.arg for arg in (node.args.vararg, node.args.kwarg) if arg is not None}
        for at, item in enumerate(node.body):
            is_call = isinstance(item, ast.Expr) and ast.unparse(item) == _SUPER_CALL
            if is_call and not parameters & {"args", "kwargs"} and len(node.body) > 1:
                line = item.lineno
                after = node.body[at + 1].lineno if at + 1 < len(node.body) else (item.end_lineno or line) + 1
                if after > (item.end_lineno or line) and item.lineno > node.lineno:
                    start = view.line_offset(item.lineno)
                    edits.append(TextEdit(start, view.line_offset((item.end_lineno or line) + 1), ""))
    if edits:
        description = f"`{_SUPER_CALL}` in a function without such parameters is removed"
        yield RepairCandidate("invalid-super-call", line, tuple(edits), description)


_STRING_PREFIXES = frozenset({"f", "r", "b", "fr", "rf", "br", "rb"})


def split_prefix(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Join a string with its prefix: `prompt = f`, and the string alone as the next statement.

    A statement that is only a string does nothing, and a name such as `f` or `rb` that nothing binds can only
    have been its prefix. With the prefix the string may read names: it is joined only if all of them are
    bound.
    """
    unbound = {item.name for item in view.unresolved if not item.binding_line} & _STRING_PREFIXES
    if not unbound:
        return
    for node in ast.walk(view.parsed.tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            for one, two in pairwise(body) if isinstance(body, list) else ():
                if _assigned_name(one) in unbound and _is_string_statement(two):
                    prefix, text = one.value, two.value
                    start, stop = view.span(prefix)[1], view.span(text)[0]
                    gap = view.text[start:stop]
                    if not gap.strip():
                        description = f"the prefix `{_assigned_name(one)}` moves back to its string"
                        yield RepairCandidate(
                            "split-prefix", one.lineno, (TextEdit(start, stop, ""),), description
                        )


def _assigned_name(node: ast.stmt) -> str:
    """Return the name that a statement assigns or returns, where it is nothing else."""
    value = node.value if isinstance(node, ast.Assign | ast.Return) else None
    return value.id if isinstance(value, ast.Name) else ""


def _is_string_statement(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


_MIN_LENGTH = 5
_MAX_DIFFERENCE = 2


def typo_name(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Correct a name that lost or gained letters, or changed case: `ororjson`, `aseAgent`, `VRAMAgent`.

    Text rewrites leave such names where a pattern matched part of one. It is corrected if exactly one name
    that the module binds differs only in its first or last two letters, or in the case of a class's name:
    `channel` and `Channel`, or `limit` and `LIMIT`, are two different names.
    """
    for item in view.unresolved:
        if item.binding_line or len(item.name) < _MIN_LENGTH or item.name in PYTHON2_BUILTINS:
            continue
        matches = [name for name in view.scope.bindings if _is_typo(item.name, name)]
        if len(matches) != 1:
            continue
        edits = view.rename_edits(item.name, matches[0])
        if edits is not None:
            description = f"the damaged name `{item.name}` becomes `{matches[0]}`, which the file binds"
            yield RepairCandidate("typo-name", item.line, edits, description)


def _is_typo(typo: str, name: str) -> bool:
    if typo == name or len(name) < _MIN_LENGTH:
        return False
    if typo.lower() == name.lower():
        return typo[0].isupper() and name[0].isupper() and not name.isupper()
    long, short = (typo, name) if len(typo) > len(name) else (name, typo)
    difference = long.removesuffix(short) if long.endswith(short) else long.removeprefix(short)
    return difference.isalpha() and len(difference) <= _MAX_DIFFERENCE


def duplicate_body(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Remove the first of two bodies of a constructor, which reads names that it does not have.

    The first ends in a NameError in every run; the second sets every attribute that the first sets, and makes
    the same calls.
    """
    unbound = {item.name for item in view.unresolved if not item.binding_line}
    if not unbound:
        return
    for node in ast.walk(view.parsed.tree):
        if not isinstance(node, ast.FunctionDef) or node.name != "__init__":
            continue
        copy_span = _first_copy(node.body, unbound)
        if copy_span is None:
            continue
        first, stop = node.body[copy_span[0]], node.body[copy_span[1]]
        start = view.line_offset(first.lineno)
        if node.body[copy_span[0] - 1].end_lineno == first.lineno or stop.lineno == first.lineno:
            continue
        description = "the first of two bodies of a constructor, which reads unbound names, is removed"
        yield RepairCandidate(
            "duplicate-body",
            first.lineno,
            (TextEdit(start, view.line_offset(stop.lineno), ""),),
            description,
            1,
        )


def _first_copy(body: Sequence[ast.stmt], unbound: set[str]) -> tuple[int, int] | None:
    """Return the indexes of the statements that are repeated below without unbound names."""
    start = next((at for at, item in enumerate(body) if _names(item) & unbound), None)
    if not start or not _effects(body[start : start + 1]):
        return None
    first_effects = _effects(body[start : start + 1])
    for stop in range(start + 1, len(body)):
        following = body[stop:]
        is_again = first_effects <= _effects(body[stop : stop + 1])
        if (
            is_again
            and _effects(body[start:stop]) <= _effects(following)
            and not any(_names(item) & unbound for item in following)
        ):
            return start, stop
    return None


def _names(node: ast.stmt) -> set[str]:
    return {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}


def _effects(body: Sequence[ast.stmt]) -> set[str]:
    """Return what statements do to the object: attributes set, methods called; code for anything else."""
    found: set[str] = set()
    for node in body:
        if isinstance(node, ast.Assign):
            found |= {ast.unparse(target) for target in node.targets}
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if not called.startswith(("logger.", "logging.", "self.logger.", "print")):
                found.add(f"{called}()")
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            found.add(ast.unparse(node))
    return found
