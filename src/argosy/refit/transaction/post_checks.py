"""The gates: what a rewritten file must show before it may be written. Each can veto on its own.

They do not know how the rewrite was made. They look at the file before, the file after and the
changes that the plan had, and each asks one question.
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

OLDEST_PYTHON: Final = (3, 11)  # the oldest Python that a refitted file has to run on, since argosy does
SHARED_CONTEXTS: Final = frozenset({"argosy.wire.context", "argosy.api.context", "zmq.Context"})


class RewriteStep(msgspec.Struct, frozen=True):
    """One rule's part: the file before it, and its changes. What came of it is the next, or the output."""

    before: Parsed
    changes: tuple[Change, ...]


class CheckInput:
    """A rewritten file before its gates.

    output: what was made, read anew from its bytes. plan_again: plans the output and returns how many changes
    it would make. inherited: returns what the bases of a class of the output have, as far as that is known.
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
        """The output; only for gates behind `output`."""
        assert isinstance(self.output, SourceView)
        return self.output

    def steps_with_result(self) -> Iterator[tuple[RewriteStep, Parsed]]:
        """Yield each step with what came of it."""
        following = [*(step.before for step in self.steps[1:]), self.after.parsed]
        return zip(self.steps, following, strict=True)


def run_checks(check_input: CheckInput) -> dict[str, str]:
    """Return what each gate says, empty for passed; none is asked behind an output that does not parse."""
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
    """Every site of the plan is done and nothing else has changed: the trees say so."""
    for step, result in check_input.steps_with_result():
        lines = split_lines(step.before.source.text()), split_lines(result.source.text())
        if told := find_deviation(step.before.tree, result.tree, step.changes, lines):
            return told
    return ""


def _check_tokens(check_input: CheckInput) -> str:
    """Tokens and comments outside the changed places are as they were."""
    for step, result in check_input.steps_with_result():
        was, now = step.before.source.text(), result.source.text()
        if told := first_unexpected_token(was, now, step.changes, step.before.tree):
            return told
    return ""


def _check_names(check_input: CheckInput) -> str:
    """No scope reads a name that nothing binds, or reads one before it is bound, unless it did before."""
    before, after = check_input.before, check_input.after
    functions = _changed_functions(check_input)

    def unresolved(view: SourceView) -> unresolved_names.UnresolvedNames:
        return unresolved_names.find_unresolved(view.parsed.source.text())

    def unbound(view: SourceView) -> unresolved_names.UnresolvedNames:
        return unresolved_names.find_read_before_bound(view.parsed, view.module_scope, functions)

    unaffected = _unaffected_functions(before, after, functions)

    def second_opinion(view: SourceView) -> unresolved_names.UnresolvedNames:
        return {
            "": unresolved_names.pyflakes_undefined(
                view.tree, [scope.node for scope in _outermost_functions(view, unaffected)]
            )
        }

    unbound_text, undefined_text = "is not bound", "is undefined, says pyflakes,"
    for find, text in ((unresolved, unbound_text), (unbound, unbound_text), (second_opinion, undefined_text)):
        now = find(after)
        was = find(before) if any(now.values()) else {}
        for scope, read in now.items():
            if new := sorted(read - was.get(scope, set())):
                return f"`{new[0]}` {text} in {f'`{scope}`' if scope else 'the module'}"
    return ""


def _unaffected_functions(before: SourceView, after: SourceView, changed_functions: set[str]) -> set[str]:
    """Return the functions in which nothing can have become undefined, for those who look at a whole file.

    No change reaches them, and every name that the module had it still has. One that sets names of the
    module is not among them, and of several functions in one another only the outermost is.
    """
    removed_names = before.module_scope.bindings.keys() - after.module_scope.bindings.keys()
    if removed_names or before.module_scope.has_star != after.module_scope.has_star:
        return set()
    had, has = (
        Counter(scope.qualified_name() for scope in _outermost_functions(view)) for view in (before, after)
    )
    declaring = {
        scope.qualified_name()
        for view in (before, after)
        for scope in _outermost_functions(view)
        if any(inner.global_names for inner in scope.walk())
    }
    return {name for name in had if had[name] == has[name]} - changed_functions - declaring


def _outermost_functions(view: SourceView, names: Collection[str] | None = None) -> Iterator[NameScope]:
    """Yield the functions that are in no other one; those of some names, or all."""
    todo = [view.module_scope]
    while todo:
        scope = todo.pop()
        if isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef) and scope.kind == "function":
            if names is None or scope.qualified_name() in names:
                yield scope
        else:
            todo += scope.children


def _changed_functions(check_input: CheckInput) -> set[str]:
    """Return the functions that a change may stand in; each step may have moved lines for the next."""
    found: set[str] = set()
    line_shift = 0
    places = []
    for step, result in check_input.steps_with_result():
        places += [
            (change.position.line - line_shift, change.position.end_line + line_shift)
            for change in step.changes
        ]
        grown = result.source.data.count(b"\n") - step.before.source.data.count(b"\n")
        line_shift += abs(grown) + len(step.changes)
    for scope in check_input.before.module_scope.walk():
        node = scope.node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = node.lineno, node.end_lineno or node.lineno
            if any(start <= last and first <= end for start, end in places):
                found.add(scope.qualified_name())
    return found


def _check_imports(check_input: CheckInput) -> str:
    """An import that came is used, and nothing imports the same beside it."""
    had, has = _imported_names(check_input.before), _imported_names(check_input.after)
    new = has - had
    removed_definitions = (
        _defined_names(check_input.before) - _defined_names(check_input.after) if new else set()
    )
    for key in new.elements():
        scope_name, name, target = key
        scope = next(s for s in check_input.after.module_scope.walk() if s.qualified_name() == scope_name)
        if had[key] or has[key] > 1:
            return f"`{target}` is imported again as `{name}`"
        if name in removed_definitions:
            continue  # it stands for what the module defined, and is used by whoever takes that from here
        if not any(use.name == name for inner in scope.walk() for use in inner.uses):
            return f"`{name}` is imported and not used"
    return ""


def _imported_names(view: SourceView) -> Counter[tuple[str, str, str]]:
    """Return scope, name and what it stands for, of every import; `import a.b` stands for all of it."""
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
    """No thread target, method, attribute or function has gone that something still asks for."""
    removed_definitions = _defined_names(check_input.before) - _defined_names(check_input.after)
    if removed_definitions:
        removed_definitions -= {name for _, name, _ in _imported_names(check_input.after)}
    if not removed_definitions:
        return ""
    for node in check_input.after.nodes:
        name = _referenced_name(check_input.after, node)
        if name in removed_definitions and not _is_inherited(check_input, node, name):
            if isinstance(node, ast.Constant):
                return f"line {node.lineno}: `{name}` is named, and has gone"
            return f"line {node.lineno}: `{ast.unparse(node)}` has gone"  # type: ignore[attr-defined]
    return ""


def _referenced_name(view: SourceView, node: ast.AST) -> str:
    """Return the name that a node asks for: of an attribute, in a text, or one that nothing binds here."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return node.attr
    if isinstance(node, ast.Name):
        scope = view.scope_of(node)
        return node.id if scope is not None and scope.owner_of(node.id) is None else ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_inherited(check_input: CheckInput, node: ast.AST, name: str) -> bool:
    """Return whether what is asked for is a member of the class around it by way of its bases."""
    is_own = (
        _is_self_or_cls(node.value) if isinstance(node, ast.Attribute) else isinstance(node, ast.Constant)
    )
    ancestor = check_input.after.enclosing_class(node) if is_own else None
    return ancestor is not None and name in check_input.inherited_members(ancestor)


def _defined_names(view: SourceView) -> set[str]:
    """Return the functions, methods and classes of a file, and what is set on `self` and `cls`."""
    functions: list[FunctionNode] = [*view.nodes_of(ast.FunctionDef), *view.nodes_of(ast.AsyncFunctionDef)]
    found = {function.name for function in functions} | _class_names(view)
    for node in view.nodes_of(ast.Attribute):
        if isinstance(node.ctx, ast.Store) and _is_self_or_cls(node.value):
            found.add(node.attr)
    return found


def _is_self_or_cls(node: ast.expr) -> bool:
    return control_flow.dotted_name(node) in ("self", "cls")


def _check_contexts(check_input: CheckInput) -> str:
    """What was given a context is given one still, and not None in its place."""
    before, after = check_input.before, check_input.after
    holders_before, holders_after = (
        _context_holders(before, _class_names(after)),
        _context_holders(after, _class_names(after)),
    )
    if lost := sorted(holders_before.keys() - holders_after.keys()):
        return f"`{lost[0]}` is given no context any more"
    empty = _assigned_none(after, set(holders_before)) - _assigned_none(before, set(holders_before))
    if empty:
        return f"`{min(empty)}` is None where it was a context"
    return ""


def _class_names(view: SourceView) -> set[str]:
    return {node.name for node in view.nodes_of(ast.ClassDef)}


def _context_holders(view: SourceView, classes: set[str]) -> Counter[str]:
    """Return what is given a context; in a class only if that is one of `classes`, those that remain."""
    found: Counter[str] = Counter()
    context_calls = (call for call in view.nodes_of(ast.Call) if _is_shared_context_call(view, call))
    for node in {given for call in context_calls for given in _assignments_of(view, call)}:
        ancestor = view.enclosing_class(node)
        if ancestor is None or ancestor.name in classes:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(
                control_flow.dotted_name(target) for target in targets if control_flow.dotted_name(target)
            )
    return found


def _assignments_of(view: SourceView, call: ast.Call) -> Iterator[ast.Assign | ast.AnnAssign | ast.NamedExpr]:
    """Yield what binds a name to a value that `call` is in."""
    child: ast.AST = call
    for ancestor in view.ancestors_of(call):
        if isinstance(ancestor, ast.Assign | ast.AnnAssign | ast.NamedExpr) and child is ancestor.value:
            yield ancestor
        if isinstance(ancestor, ast.stmt):
            return
        child = ancestor


def _is_shared_context_call(view: SourceView, call: ast.Call) -> bool:
    func = call.func
    last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return (
        last in ("Context", "context")
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
    return f"a second run would change {count} places more" if count else ""


PostCheck = Callable[[CheckInput], str]
POST_CHECKS: Final[dict[str, PostCheck]] = {
    "output": _check_output,
    "plan": _check_tree,
    "tokens": _check_tokens,
    "names": _check_names,
    "imports": _check_imports,
    "members": _check_members,
    "contexts": _check_contexts,
    "settled": _check_idempotent,
}
CHECK_DESCRIPTIONS: Final[dict[str, str]] = {
    "input": "the file parses",
    **{name: (gate.__doc__ or "").strip().rstrip(".") for name, gate in POST_CHECKS.items()},
    "verify": "the project's own command succeeds with the file",
}
