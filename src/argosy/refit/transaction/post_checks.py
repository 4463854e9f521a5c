"""Checks of a rewritten file; each one alone can reject it before it is written.

They do not depend on how the rewrite was made: each compares the file before, the file after and the planned
changes in one respect.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import msgspec

from argosy.refit.transaction import unresolved_names
from argosy.refit.transaction.source_change import Change
from argosy.refit.transaction.source_view import FunctionNode, SourceView
from argosy.refit.transaction.token_diff import first_unexpected_token
from argosy.refit.transaction.tree_diff import find_deviation
from argosy.source import control_flow
from argosy.source.name_scopes import NameScope
from argosy.source.python_parser import Parsed, compile_parsed
from argosy.source.python_source import Unparsed, split_lines

OLDEST_PYTHON: Final = (3, 11)  # a rewritten file has to run on it, as argosy does
SHARED_CONTEXTS: Final = frozenset({"argosy.wire.context", "argosy.api.context", "zmq.Context"})


class RewriteStep(msgspec.Struct, frozen=True):
    """The changes of one rule and the file before them; the result is the next step's file or the output."""

    before: Parsed
    changes: tuple[Change, ...]


class CheckInput:
    """A rewritten file to be checked.

    output: the result, parsed from its bytes. replan: plans the output again and returns the count of
    changes. inherited_members: returns the known members of the bases of a class of the output.
    """

    def __init__(
        self,
        before: SourceView,
        output: SourceView | Unparsed,
        steps: Sequence[RewriteStep],
        replan: Callable[[SourceView], int],
        inherited_members: Callable[[ast.ClassDef], Collection[str]] = lambda owner: (),
    ) -> None:
        self.path = before.path
        self.before = before
        self.output = output
        self.steps = steps
        self.replan = replan
        self.inherited_members = inherited_members

    @property
    def after(self) -> SourceView:
        """The parsed output; only for checks after `output`."""
        assert isinstance(self.output, SourceView)
        return self.output

    def steps_with_result(self) -> Iterator[tuple[RewriteStep, Parsed]]:
        """Yield each step with its result."""
        following = [*(step.before for step in self.steps[1:]), self.after.parsed]
        return zip(self.steps, following, strict=True)


def run_checks(check_input: CheckInput) -> dict[str, str]:
    """Return the reason of each check, empty when it passed; checks after a failed `output` are not run."""
    reasons: dict[str, str] = {}
    for name, check in POST_CHECKS.items():
        reasons[name] = check(check_input)
        if name == "output" and reasons[name]:
            break
    return reasons


def _check_output(check_input: CheckInput) -> str:
    """The output parses, and compiles on the oldest supported Python."""
    built = (
        check_input.output
        if isinstance(check_input.output, Unparsed)
        else compile_parsed(check_input.output.parsed)
    )
    if isinstance(built, Unparsed):
        return f"line {built.line}: {built.message}"
    if sys.version_info[:2] > OLDEST_PYTHON:
        try:
            ast.parse(check_input.after.data, feature_version=OLDEST_PYTHON)
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg} on Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]}"
    return ""


def _check_tree(check_input: CheckInput) -> str:
    """The tree has all planned changes and no others."""
    for step, result in check_input.steps_with_result():
        lines = split_lines(step.before.source.text()), split_lines(result.source.text())
        if deviation := find_deviation(step.before.tree, result.tree, step.changes, lines):
            return deviation
    return ""


def _check_tokens(check_input: CheckInput) -> str:
    """Tokens and comments outside the changed places are the same."""
    for step, result in check_input.steps_with_result():
        before, after = step.before.source.text(), result.source.text()
        if mismatch := first_unexpected_token(before, after, step.changes, step.before.tree):
            return mismatch
    return ""


def _check_names(check_input: CheckInput) -> str:
    """No scope newly reads a name that nothing binds, or reads one before it is bound."""
    before, after = check_input.before, check_input.after
    functions = _changed_functions(check_input)

    def unresolved(view: SourceView) -> unresolved_names.UnresolvedNames:
        return unresolved_names.find_unresolved(view.parsed.source.text())

    def unbound(view: SourceView) -> unresolved_names.UnresolvedNames:
        return unresolved_names.find_read_before_bound(view.parsed, view.module_scope, functions)

    unaffected = _unaffected_functions(before, after, functions)

    def pyflakes(view: SourceView) -> unresolved_names.UnresolvedNames:
        return {
            "": unresolved_names.pyflakes_undefined(
                view.tree, [scope.node for scope in _outermost_functions(view, unaffected)]
            )
        }

    unbound_text, undefined_text = "is not bound", "is undefined (pyflakes)"
    for find, text in ((unresolved, unbound_text), (unbound, unbound_text), (pyflakes, undefined_text)):
        found_after = find(after)
        found_before = find(before) if any(found_after.values()) else {}
        for scope, names in found_after.items():
            if new := sorted(names - found_before.get(scope, set())):
                return f"`{new[0]}` {text} in {f'`{scope}`' if scope else 'the module'}"
    return ""


def _unaffected_functions(before: SourceView, after: SourceView, changed_functions: set[str]) -> set[str]:
    """Return the outermost functions in which no name can have become undefined.

    No change is in them, and the module still has all its names. Functions that set global names are not
    among them.
    """
    removed_names = before.module_scope.bindings.keys() - after.module_scope.bindings.keys()
    if removed_names or before.module_scope.has_star != after.module_scope.has_star:
        return set()
    counts_before, counts_after = (
        Counter(scope.qualified_name() for scope in _outermost_functions(view)) for view in (before, after)
    )
    declaring = {
        scope.qualified_name()
        for view in (before, after)
        for scope in _outermost_functions(view)
        if any(inner.global_names for inner in scope.walk())
    }
    same_count = {name for name in counts_before if counts_before[name] == counts_after[name]}
    return same_count - changed_functions - declaring


def _outermost_functions(view: SourceView, names: Collection[str] | None = None) -> Iterator[NameScope]:
    """Yield the functions that are not inside another one. names: only these; None for all."""
    todo = [view.module_scope]
    while todo:
        scope = todo.pop()
        if isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef) and scope.kind == "function":
            if names is None or scope.qualified_name() in names:
                yield scope
        else:
            todo += scope.children


def _changed_functions(check_input: CheckInput) -> set[str]:
    """Return the functions that may contain a change; each step may have moved lines for the next one."""
    found: set[str] = set()
    line_shift = 0
    line_ranges = []
    for step, result in check_input.steps_with_result():
        line_ranges += [
            (change.position.line - line_shift, change.position.end_line + line_shift)
            for change in step.changes
        ]
        grown = result.source.data.count(b"\n") - step.before.source.data.count(b"\n")
        line_shift += abs(grown) + len(step.changes)
    for scope in check_input.before.module_scope.walk():
        node = scope.node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = node.lineno, node.end_lineno or node.lineno
            if any(start <= last and first <= end for start, end in line_ranges):
                found.add(scope.qualified_name())
    return found


def _check_imports(check_input: CheckInput) -> str:
    """New imports are used, and import nothing that is already imported."""
    imported_before = _imported_names(check_input.before)
    imported_after = _imported_names(check_input.after)
    new = imported_after - imported_before
    removed_definitions = (
        _defined_names(check_input.before) - _defined_names(check_input.after) if new else set()
    )
    for key in new.elements():
        scope_name, name, target = key
        scope = next(s for s in check_input.after.module_scope.walk() if s.qualified_name() == scope_name)
        if imported_before[key] or imported_after[key] > 1:
            return f"`{target}` is imported again as `{name}`"
        if name in removed_definitions:
            continue  # it replaces a definition of the module, which other modules may import
        if not any(use.name == name for inner in scope.walk() for use in inner.uses):
            return f"`{name}` is imported and not used"
    return ""


def _imported_names(view: SourceView) -> Counter[tuple[str, str, str]]:
    """Return scope, bound name and imported dotted name of every import; for `import a.b` it is `a.b`."""
    found: Counter[tuple[str, str, str]] = Counter()
    for statement in {
        id(node): node for pairs in view.imports_by_name.values() for node, _ in pairs
    }.values():
        ancestor = [node.name for node in view.ancestors_of(statement) if isinstance(node, _NAMED_SCOPES)]
        scope = ".".join(reversed(ancestor))
        is_from = isinstance(statement, ast.ImportFrom)
        module = f"{'.' * statement.level}{statement.module or ''}." if is_from else ""  # type: ignore[union-attr]
        for alias in statement.names:
            found[scope, alias.asname or alias.name.partition(".")[0], module + alias.name] += 1
    return found


_NAMED_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _check_members(check_input: CheckInput) -> str:
    """No thread target, method, attribute or function was removed that is still referenced."""
    removed_definitions = _defined_names(check_input.before) - _defined_names(check_input.after)
    if removed_definitions:
        removed_definitions -= {name for _, name, _ in _imported_names(check_input.after)}
    if not removed_definitions:
        return ""
    for node in check_input.after.nodes:
        name = _referenced_name(check_input.after, node)
        if name in removed_definitions and not _is_inherited(check_input, node, name):
            if isinstance(node, ast.Constant):
                return f"line {node.lineno}: the string `{name}` names a removed definition"
            return f"line {node.lineno}: `{ast.unparse(node)}` was removed"  # type: ignore[attr-defined]
    return ""


def _referenced_name(view: SourceView, node: ast.AST) -> str:
    """Return the name that a node refers to: an attribute, the value of a string, or an unbound name."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return node.attr
    if isinstance(node, ast.Name):
        scope = view.scope_of(node)
        return node.id if scope is not None and scope.owner_of(node.id) is None else ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_inherited(check_input: CheckInput, node: ast.AST, name: str) -> bool:
    """Return whether a node refers to a member that its class inherits from its bases."""
    is_own = (
        _is_self_or_cls(node.value) if isinstance(node, ast.Attribute) else isinstance(node, ast.Constant)
    )
    ancestor = check_input.after.enclosing_class(node) if is_own else None
    return ancestor is not None and name in check_input.inherited_members(ancestor)


def _defined_names(view: SourceView) -> set[str]:
    """Return the functions, methods and classes of a file, and the attributes set on `self` and `cls`."""
    functions: list[FunctionNode] = [*view.nodes_of(ast.FunctionDef), *view.nodes_of(ast.AsyncFunctionDef)]
    found = {function.name for function in functions} | _class_names(view)
    for node in view.nodes_of(ast.Attribute):
        if isinstance(node.ctx, ast.Store) and _is_self_or_cls(node.value):
            found.add(node.attr)
    return found


def _is_self_or_cls(node: ast.expr) -> bool:
    return control_flow.dotted_name(node) in ("self", "cls")


def _check_contexts(check_input: CheckInput) -> str:
    """Each name that was assigned a context still is, and is not assigned None instead."""
    before, after = check_input.before, check_input.after
    holders_before = _context_holders(before, _class_names(after))
    holders_after = _context_holders(after, _class_names(after))
    if lost := sorted(holders_before.keys() - holders_after.keys()):
        return f"`{lost[0]}` is no longer assigned a context"
    empty = _assigned_none(after, set(holders_before)) - _assigned_none(before, set(holders_before))
    if empty:
        return f"`{min(empty)}` is None instead of a context"
    return ""


def _class_names(view: SourceView) -> set[str]:
    return {node.name for node in view.nodes_of(ast.ClassDef)}


def _context_holders(view: SourceView, classes: set[str]) -> Counter[str]:
    """Return the dotted names that are assigned a context; inside a class only if it is one of `classes`."""
    found: Counter[str] = Counter()
    context_calls = (call for call in view.nodes_of(ast.Call) if _is_shared_context_call(view, call))
    for node in {each for call in context_calls for each in _assignments_of(view, call)}:
        ancestor = view.enclosing_class(node)
        if ancestor is None or ancestor.name in classes:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(
                control_flow.dotted_name(target) for target in targets if control_flow.dotted_name(target)
            )
    return found


def _assignments_of(view: SourceView, call: ast.Call) -> Iterator[ast.Assign | ast.AnnAssign | ast.NamedExpr]:
    """Yield the assignments whose value contains `call`."""
    child: ast.AST = call
    for ancestor in view.ancestors_of(call):
        if isinstance(ancestor, ast.Assign | ast.AnnAssign | ast.NamedExpr) and child is ancestor.value:
            yield ancestor
        if isinstance(ancestor, ast.stmt):
            return
        child = ancestor


def _is_shared_context_call(view: SourceView, call: ast.Call) -> bool:
    func = call.func
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return (
        name in ("Context", "context")
        and (view.resolve_imported_name(func) or control_flow.dotted_name(func)) in SHARED_CONTEXTS
    )


def _assigned_none(view: SourceView, targets: set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in view.nodes_of(ast.Assign):
        if isinstance(node.value, ast.Constant) and node.value.value is None:
            found.update(
                name for target in node.targets if (name := control_flow.dotted_name(target)) in targets
            )
    return found


def _check_idempotent(check_input: CheckInput) -> str:
    """A second plan changes nothing."""
    count = check_input.replan(check_input.after)
    return f"a second run would change {count} more places" if count else ""


PostCheck = Callable[[CheckInput], str]
POST_CHECKS: Final[dict[str, PostCheck]] = {
    "output": _check_output,
    "tree": _check_tree,
    "tokens": _check_tokens,
    "names": _check_names,
    "imports": _check_imports,
    "members": _check_members,
    "contexts": _check_contexts,
    "idempotent": _check_idempotent,
}
CHECK_DESCRIPTIONS: Final[dict[str, str]] = {
    "input": "the file parses",
    **{name: (check.__doc__ or "").strip().rstrip(".") for name, check in POST_CHECKS.items()},
    "verify": "the `--verify` command succeeds with the file",
}
