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

from argosy.refit.rewrite import names
from argosy.refit.rewrite.change import Change
from argosy.refit.rewrite.proof import disproof
from argosy.refit.rewrite.strays import first_stray
from argosy.refit.rewrite.view import Function, View
from argosy.source import flow
from argosy.source.parse import Parsed, build
from argosy.source.scopes import Scope
from argosy.source.text import Unparsed, split_lines

OLDEST: Final = (3, 11)  # the oldest Python that a refitted file has to run on, since argosy does
LEASES: Final = frozenset({"argosy.wire.context", "zmq.Context"})


class Step(msgspec.Struct, frozen=True):
    """One rule's part: the file before it, and its changes. What came of it is the next, or the output."""

    before: Parsed
    changes: tuple[Change, ...]


class Case:
    """A rewritten file before its gates.

    output: what was made, read anew from its bytes. plan_again: plans the output and returns how many changes
    it would make. inherited: returns what the bases of a class of the output have, as far as that is known.
    """

    def __init__(
        self,
        before: View,
        output: View | Unparsed,
        steps: Sequence[Step],
        plan_again: Callable[[View], int],
        inherited: Callable[[ast.ClassDef], Collection[str]] = lambda owner: (),
    ) -> None:
        self.path = before.path
        self.before = before
        self.output = output
        self.steps = steps
        self.plan_again = plan_again
        self.inherited = inherited

    @property
    def after(self) -> View:
        """The output; only for gates behind `output`."""
        assert isinstance(self.output, View)
        return self.output

    def made(self) -> Iterator[tuple[Step, Parsed]]:
        """Yield each step with what came of it."""
        following = [*(step.before for step in self.steps[1:]), self.after.parsed]
        return zip(self.steps, following, strict=True)


def run_gates(case: Case) -> dict[str, str]:
    """Return what each gate says, empty for passed; none is asked behind an output that does not parse."""
    told: dict[str, str] = {}
    for name, gate in GATES.items():
        told[name] = gate(case)
        if name == "output" and told[name]:
            break
    return told


def _output(case: Case) -> str:
    """The output parses, and compiles on the oldest supported Python."""
    built = case.output if isinstance(case.output, Unparsed) else build(case.output.parsed)
    if isinstance(built, Unparsed):
        return f"line {built.line}: {built.message}"
    if sys.version_info[:2] > OLDEST:
        try:
            ast.parse(case.after.data, feature_version=OLDEST)
        except SyntaxError as error:
            return f"line {error.lineno}: {error.msg} on Python {OLDEST[0]}.{OLDEST[1]}"
    return ""


def _plan(case: Case) -> str:
    """Every site of the plan is done and nothing else has changed: the trees say so."""
    for step, made in case.made():
        lines = split_lines(step.before.source.text()), split_lines(made.source.text())
        if told := disproof(step.before.tree, made.tree, step.changes, lines):
            return told
    return ""


def _tokens(case: Case) -> str:
    """Tokens and comments outside the changed places are as they were."""
    for step, made in case.made():
        was, now = step.before.source.text(), made.source.text()
        if told := first_stray(was, now, step.changes, step.before.tree):
            return told
    return ""


def _names(case: Case) -> str:
    """No scope reads a name that nothing binds, or reads one before it is bound, unless it did before."""
    before, after = case.before, case.after
    functions = _touched(case)

    def unresolved(view: View) -> names.Unresolved:
        return names.unresolved(view.parsed.source.text())

    def unbound(view: View) -> names.Unresolved:
        return names.unbound(view.parsed, view.module, functions)

    apart = _apart(before, after, functions)

    def second(view: View) -> names.Unresolved:
        return {"": names.second_opinion(view.tree, [scope.node for scope in _outer(view, apart)])}

    unbound_words, undefined_words = "is not bound", "is undefined, says pyflakes,"
    for find, words in ((unresolved, unbound_words), (unbound, unbound_words), (second, undefined_words)):
        now = find(after)
        was = find(before) if any(now.values()) else {}
        for scope, read in now.items():
            if new := sorted(read - was.get(scope, set())):
                return f"`{new[0]}` {words} in {f'`{scope}`' if scope else 'the module'}"
    return ""


def _apart(before: View, after: View, touched: set[str]) -> set[str]:
    """Return the functions in which nothing can have become undefined, for those who look at a whole file.

    No change reaches them, and every name that the module had it still has. One that sets names of the
    module is not among them, and of several functions in one another only the outermost is.
    """
    lost = before.module.bindings.keys() - after.module.bindings.keys()
    if lost or before.module.has_star != after.module.has_star:
        return set()
    had, has = (Counter(scope.qualified_name() for scope in _outer(view)) for view in (before, after))
    declaring = {
        scope.qualified_name()
        for view in (before, after)
        for scope in _outer(view)
        if any(inner.global_names for inner in scope.walk())
    }
    return {name for name in had if had[name] == has[name]} - touched - declaring


def _outer(view: View, names: Collection[str] | None = None) -> Iterator[Scope]:
    """Yield the functions that are in no other one; those of some names, or all."""
    todo = [view.module]
    while todo:
        scope = todo.pop()
        if isinstance(scope.node, ast.FunctionDef | ast.AsyncFunctionDef) and scope.kind == "function":
            if names is None or scope.qualified_name() in names:
                yield scope
        else:
            todo += scope.children


def _touched(case: Case) -> set[str]:
    """Return the functions that a change may stand in; each step may have moved lines for the next."""
    found: set[str] = set()
    moved = 0
    places = []
    for step, made in case.made():
        places += [(change.place.line - moved, change.place.end_line + moved) for change in step.changes]
        grown = made.source.data.count(b"\n") - step.before.source.data.count(b"\n")
        moved += abs(grown) + len(step.changes)
    for scope in case.before.module.walk():
        node = scope.node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first, last = node.lineno, node.end_lineno or node.lineno
            if any(start <= last and first <= end for start, end in places):
                found.add(scope.qualified_name())
    return found


def _imports(case: Case) -> str:
    """An import that came is used, and nothing imports the same beside it."""
    had, has = _imported(case.before), _imported(case.after)
    new = has - had
    gone = _defined(case.before) - _defined(case.after) if new else set()
    for key in new.elements():
        scope_name, name, target = key
        scope = next(s for s in case.after.module.walk() if s.qualified_name() == scope_name)
        if had[key] or has[key] > 1:
            return f"`{target}` is imported again as `{name}`"
        if name in gone:
            continue  # it stands for what the module defined, and is used by whoever takes that from here
        if not any(use.name == name for inner in scope.walk() for use in inner.uses):
            return f"`{name}` is imported and not used"
    return ""


def _imported(view: View) -> Counter[tuple[str, str, str]]:
    """Return scope, name and what it stands for, of every import; `import a.b` stands for all of it."""
    found: Counter[tuple[str, str, str]] = Counter()
    for statement in {id(node): node for pairs in view.imports.values() for node, _ in pairs}.values():
        around = [node.name for node in view.ancestors(statement) if isinstance(node, _NAMED)]
        scope = ".".join(reversed(around))
        is_from = isinstance(statement, ast.ImportFrom)
        module = f"{'.' * statement.level}{statement.module or ''}." if is_from else ""  # type: ignore[union-attr]
        for alias in statement.names:
            found[scope, alias.asname or alias.name.partition(".")[0], module + alias.name] += 1
    return found


_NAMED: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _members(case: Case) -> str:
    """No thread target, method, attribute or function has gone that something still asks for."""
    gone = _defined(case.before) - _defined(case.after)
    if gone:
        gone -= {name for _, name, _ in _imported(case.after)}
    if not gone:
        return ""
    for node in case.after.nodes:
        name = _asked(case.after, node)
        if name in gone and not _is_inherited(case, node, name):
            if isinstance(node, ast.Constant):
                return f"line {node.lineno}: `{name}` is named, and has gone"
            return f"line {node.lineno}: `{ast.unparse(node)}` has gone"  # type: ignore[attr-defined]
    return ""


def _asked(view: View, node: ast.AST) -> str:
    """Return the name that a node asks for: of an attribute, in a text, or one that nothing binds here."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        return node.attr
    if isinstance(node, ast.Name):
        scope = view.scope_of(node)
        return node.id if scope is not None and scope.owner_of(node.id) is None else ""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_inherited(case: Case, node: ast.AST, name: str) -> bool:
    """Return whether what is asked for is a member of the class around it by way of its bases."""
    is_own = _is_own(node.value) if isinstance(node, ast.Attribute) else isinstance(node, ast.Constant)
    around = case.after.class_(node) if is_own else None
    return around is not None and name in case.inherited(around)


def _defined(view: View) -> set[str]:
    """Return the functions, methods and classes of a file, and what is set on `self` and `cls`."""
    functions: list[Function] = [*view.indexed(ast.FunctionDef), *view.indexed(ast.AsyncFunctionDef)]
    found = {function.name for function in functions} | _classes(view)
    for node in view.indexed(ast.Attribute):
        if isinstance(node.ctx, ast.Store) and _is_own(node.value):
            found.add(node.attr)
    return found


def _is_own(node: ast.expr) -> bool:
    return flow.dotted(node) in ("self", "cls")


def _contexts(case: Case) -> str:
    """What was given a context is given one still, and not None in its place."""
    before, after = case.before, case.after
    held, holds = _holders(before, _classes(after)), _holders(after, _classes(after))
    if lost := sorted(held.keys() - holds.keys()):
        return f"`{lost[0]}` is given no context any more"
    empty = _emptied(after, set(held)) - _emptied(before, set(held))
    if empty:
        return f"`{min(empty)}` is None where it was a context"
    return ""


def _classes(view: View) -> set[str]:
    return {node.name for node in view.indexed(ast.ClassDef)}


def _holders(view: View, classes: set[str]) -> Counter[str]:
    """Return what is given a context; in a class only if that is one of `classes`, those that remain."""
    found: Counter[str] = Counter()
    leases = (call for call in view.indexed(ast.Call) if _is_lease(view, call))
    for node in {given for call in leases for given in _givers(view, call)}:
        around = view.class_(node)
        if around is None or around.name in classes:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found.update(flow.dotted(target) for target in targets if flow.dotted(target))
    return found


def _givers(view: View, call: ast.Call) -> Iterator[ast.Assign | ast.AnnAssign | ast.NamedExpr]:
    """Yield what binds a name to a value that `call` is in."""
    inner: ast.AST = call
    for around in view.ancestors(call):
        if isinstance(around, ast.Assign | ast.AnnAssign | ast.NamedExpr) and inner is around.value:
            yield around
        if isinstance(around, ast.stmt):
            return
        inner = around


def _is_lease(view: View, call: ast.Call) -> bool:
    func = call.func
    last = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return last in ("Context", "context") and (view.resolve(func) or flow.dotted(func)) in LEASES


def _emptied(view: View, targets: set[str]) -> Counter[str]:
    found: Counter[str] = Counter()
    for node in view.indexed(ast.Assign):
        if isinstance(node.value, ast.Constant) and node.value.value is None:
            found.update(name for target in node.targets if (name := flow.dotted(target)) in targets)
    return found


def _settled(case: Case) -> str:
    """A second plan changes nothing."""
    count = case.plan_again(case.after)
    return f"a second run would change {count} places more" if count else ""


Gate = Callable[[Case], str]
GATES: Final[dict[str, Gate]] = {
    "output": _output,
    "plan": _plan,
    "tokens": _tokens,
    "names": _names,
    "imports": _imports,
    "members": _members,
    "contexts": _contexts,
    "settled": _settled,
}
MEANINGS: Final[dict[str, str]] = {
    "input": "the file parses",
    **{name: (gate.__doc__ or "").strip().rstrip(".") for name, gate in GATES.items()},
    "verify": "the project's own command succeeds with the file",
}
