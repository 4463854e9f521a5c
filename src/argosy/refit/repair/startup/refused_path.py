"""A change of sys.path that always fails, since a helper refuses what it is given: it goes.

    sys.path.insert(0, os.path.abspath(join_path("agents", "..")))

where `join_path` raises for `"agents"`: the module ends here, in every run. With it go the name that was
made for it, and nothing else. Only where the modules that the file imports are found without it: from the
tree's root, from the file's own folder, or where another change of sys.path stays. What the helper refuses
elsewhere is for a person to decide.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.rule import Case, Rule
from argosy.source.flow import dotted
from argosy.source.modules import is_standard

NAME = "refused-path"


def may_apply(view: View) -> bool:
    return "sys.path" in view.text and next(_found(view), None) is not None


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for at, calls in _found(view):
        refused = next((call for call in calls if _is_refused(view, call, around)), None)
        if refused is None:
            continue
        indexes = [at, *_followers(view, at)]
        if not (_are_imports_found(view, around) or _has_other(view, around, indexes)):
            continue
        edits = tuple(
            Edit(view.line_offset(node.lineno), view.line_offset((node.end_lineno or node.lineno) + 1), "")
            for node in (view.body[index] for index in indexes)
        )
        if all(view.stands_alone(index) for index in indexes):
            said = f"a change of sys.path that always ends in `{view.segment(refused)}` is taken out"
            yield Candidate(NAME, view.body[at].lineno, edits, said)


def _found(view: View) -> Iterator[tuple[int, list[ast.Call]]]:
    """Yield statements that only change sys.path, or make a name for that, with the calls that they make."""
    for at, node in enumerate(view.body):
        if _is_addition(node) or _made_for_path(view, node):
            calls = [call for call in _calls(node) if _literal(call) is not None]
            if calls:
                yield at, calls


def _is_addition(node: ast.stmt) -> bool:
    """Return whether a statement is `sys.path.insert(…)`, also under `if … not in sys.path:`."""
    if isinstance(node, ast.If) and not node.orelse:
        asked = node.test.comparators if isinstance(node.test, ast.Compare) else []
        return [dotted(item) for item in asked] == ["sys.path"] and all(map(_is_addition, node.body))
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return dotted(called) in ("sys.path.insert", "sys.path.append")


def _made_for_path(view: View, node: ast.stmt) -> bool:
    """Return whether an assignment makes a name that changes of sys.path alone read."""
    name = _name_made(node)
    uses = view.uses_by_name.get(name, ())
    if not uses or sum(len(scope.bindings.get(name, ())) for scope in view.scope.walk()) != 1:
        return False
    inside = {
        item
        for other in view.body
        if _is_addition(other)
        for item in ast.walk(other)
        if isinstance(item, ast.Name)
    }
    return all(item in inside for item in uses)


def _name_made(node: ast.stmt) -> str:
    """Return the name of `name = …`, empty for any other statement."""
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    return target.id if isinstance(target, ast.Name) else ""


def _followers(view: View, at: int) -> list[int]:
    """Return the changes of sys.path that read the name which the statement makes."""
    name = _name_made(view.body[at])
    return [
        index
        for index, other in enumerate(view.body)
        if name
        and _is_addition(other)
        and any(isinstance(item, ast.Name) and item.id == name for item in ast.walk(other))
    ]


def _calls(node: ast.stmt) -> Iterator[ast.Call]:
    """Yield the calls that a statement surely makes: the arguments of calls, one in the other."""
    if isinstance(node, ast.If):
        todo: list[ast.expr] = [node.test.left] if isinstance(node.test, ast.Compare) else []
    else:
        todo = [node.value] if isinstance(node, ast.Expr | ast.Assign) else []
    while todo:
        item = todo.pop()
        if isinstance(item, ast.Call):
            yield item
            todo += item.args


def _literal(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _is_refused(view: View, call: ast.Call, around: Around) -> bool:
    called = dotted(call.func)
    accepted = around.accepted(view, called, call.lineno) if called else None
    return accepted is not None and _literal(call) not in accepted


def _has_other(view: View, around: Around, indexes: list[int]) -> bool:
    """Return whether a change of sys.path stays that no helper refuses."""
    refused = {at for at, calls in _found(view) if any(_is_refused(view, call, around) for call in calls)}
    going = {*indexes, *refused, *(index for at in refused for index in _followers(view, at))}
    return any(_is_addition(node) and at not in going for at, node in enumerate(view.body))


def _are_imports_found(view: View, around: Around) -> bool:
    """Return whether no import asks for a module that the tree has in another folder only."""
    beside = os.path.dirname(view.path)
    tops: set[str] = set()
    for node in view.body:
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            tops.add(node.module.split(".")[0])
    return all(
        is_standard(top) or around.has_module(top) or not around.has_elsewhere(top, beside) for top in tops
    )


_LIB = {
    "lib/__init__.py": "",
    "lib/paths.py": "import os\n\n\nclass Paths:\n"
    "    def __init__(self):\n        self._known = {'logs': '/logs'}\n\n"
    "    def get(self, kind):\n        'Return one.'\n        if kind in self._known:\n"
    "            return self._known[kind]\n        raise ValueError(kind)\n\n"
    "    def join(self, kind, *more):\n        base = self.get(kind)\n"
    "        return os.path.join(base, *more)\n\n"
    "    def add(self, kind, path):\n        self._known[kind] = path\n\n\n"
    "paths = Paths()\n\n\ndef join_path(kind, *more):\n    return paths.join(kind, *more)\n",
}
_HEAD = "import os\nimport sys\nfrom lib.paths import join_path\n"
_LINE = 'sys.path.insert(0, os.path.abspath(join_path("app", "..")))\n'
_NAMED = 'ROOT = join_path("app", "..")\nif ROOT not in sys.path:\n    sys.path.insert(0, ROOT)\n'
_ADDING = "from lib.paths import paths\npaths.add('app', '/app')\n"
MUST = (
    Case(f"{_HEAD}{_LINE}import lib\n", f"{_HEAD}import lib\n", files=_LIB),
    Case(f"{_HEAD}{_NAMED}x = 1\n", f"{_HEAD}x = 1\n", files=_LIB),
    Case(
        f"def join_path(*parts): return parts\n{_HEAD}{_NAMED}x = 1\n",
        f"def join_path(*parts): return parts\n{_HEAD}x = 1\n",
        files=_LIB,
    ),
    Case(
        f"{_HEAD}sys.path.insert(0, os.sep)\n{_LINE}import tools\n",
        f"{_HEAD}sys.path.insert(0, os.sep)\nimport tools\n",
        files={**_LIB, "other/tools.py": ""},
    ),
    Case(f"{_HEAD}{_LINE}x = 1\n", f"{_HEAD}x = 1\n", files={**_LIB, "tests/test_paths.py": _ADDING}),
)
MUST_NOT = (
    # Another function of the name.
    Case(f"{_HEAD}def join_path(*parts): return os.sep\n{_LINE}", files=_LIB),
    # Taken by the helper.
    Case(f'{_HEAD}sys.path.insert(0, join_path("logs", ".."))\n', files=_LIB),
    # The program adds keys.
    Case(f"{_HEAD}{_LINE}", files={**_LIB, "one.py": _ADDING}),
    # Found through the path that fails.
    Case(f"{_HEAD}{_LINE}import tools\n", files={**_LIB, "other/tools.py": ""}),
    Case(f"{_HEAD}{_NAMED}{_LINE}import tools\n", files={**_LIB, "other/tools.py": ""}),
    # The name is read elsewhere.
    Case(f"{_HEAD}{_NAMED}x = ROOT\n", files=_LIB),
    # No change of sys.path.
    Case(f'{_HEAD}DATA = join_path("app", "data")\n', files=_LIB),
    # Not surely called.
    Case(f'{_HEAD}sys.path.insert(0, os.environ.get("ROOT") or join_path("app", ".."))\n', files=_LIB),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
