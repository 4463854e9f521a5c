"""Removes a change of sys.path that always fails, since a helper rejects its argument.

    sys.path.insert(0, os.path.abspath(join_path("agents", "..")))

If `join_path` raises for `"agents"`, the module fails here in every run. The name that was assigned for it is
removed with it, and nothing else. Only if the modules that the file imports are found without it: from the
tree's root, from the file's own folder, or if another change of sys.path stays. Rejected arguments elsewhere
are left for a person to decide.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard


def may_apply(view: ModuleView) -> bool:
    return "sys.path" in view.text and next(_find_path_changes(view), None) is not None


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for at, calls in _find_path_changes(view):
        rejected = next((call for call in calls if _is_rejected(view, call, context)), None)
        if rejected is None:
            continue
        indexes = [at, *_dependent_additions(view, at)]
        if not (_are_imports_resolvable(view, context) or _has_other_addition(view, context, indexes)):
            continue
        edits = tuple(
            TextEdit(*view.lines_span(node), "") for node in (view.body[index] for index in indexes)
        )
        if all(view.has_own_lines(index) for index in indexes):
            description = (
                f"a change of sys.path that always ends in `{view.source_segment(rejected)}` is removed"
            )
            yield RepairCandidate("rejected-sys-path", view.body[at].lineno, edits, description)


def _find_path_changes(view: ModuleView) -> Iterator[tuple[int, list[ast.Call]]]:
    """Yield statements that only change sys.path, or assign a name for that, with the calls they make."""
    for at, node in enumerate(view.body):
        if _is_path_addition(node) or _binds_only_for_path(view, node):
            calls = [call for call in _certain_calls(node) if _literal_argument(call) is not None]
            if calls:
                yield at, calls


def _is_path_addition(node: ast.stmt) -> bool:
    """Return whether a statement is `sys.path.insert(…)`, also under `if … not in sys.path:`."""
    if isinstance(node, ast.If) and not node.orelse:
        comparators = node.test.comparators if isinstance(node.test, ast.Compare) else []
        return [dotted_name(item) for item in comparators] == ["sys.path"] and all(
            map(_is_path_addition, node.body)
        )
    called = node.value.func if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) else None
    return dotted_name(called) in ("sys.path.insert", "sys.path.append")


def _binds_only_for_path(view: ModuleView, node: ast.stmt) -> bool:
    """Return whether an assignment binds a name that only changes of sys.path read."""
    name = _assigned_name(node)
    uses = view.uses_by_name.get(name, ())
    if not uses or sum(len(scope.bindings.get(name, ())) for scope in view.scope.walk()) != 1:
        return False
    inside = {
        item
        for other in view.body
        if _is_path_addition(other)
        for item in ast.walk(other)
        if isinstance(item, ast.Name)
    }
    return all(item in inside for item in uses)


def _assigned_name(node: ast.stmt) -> str:
    """Return the name of `name = …`, empty for any other statement."""
    target = node.targets[0] if isinstance(node, ast.Assign) and len(node.targets) == 1 else None
    return target.id if isinstance(target, ast.Name) else ""


def _dependent_additions(view: ModuleView, at: int) -> list[int]:
    """Return the changes of sys.path that read the name which the statement binds."""
    name = _assigned_name(view.body[at])
    return [
        index
        for index, other in enumerate(view.body)
        if name
        and _is_path_addition(other)
        and any(isinstance(item, ast.Name) and item.id == name for item in ast.walk(other))
    ]


def _certain_calls(node: ast.stmt) -> Iterator[ast.Call]:
    """Yield the calls that a statement always makes: nested calls in arguments."""
    if isinstance(node, ast.If):
        pending: list[ast.expr] = [node.test.left] if isinstance(node.test, ast.Compare) else []
    else:
        pending = [node.value] if isinstance(node, ast.Expr | ast.Assign) else []
    while pending:
        item = pending.pop()
        if isinstance(item, ast.Call):
            yield item
            pending += item.args


def _literal_argument(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _is_rejected(view: ModuleView, call: ast.Call, context: ProjectContext) -> bool:
    called = dotted_name(call.func)
    accepted = context.accepted_arguments(view, called, call.lineno) if called else None
    return accepted is not None and _literal_argument(call) not in accepted


def _has_other_addition(view: ModuleView, context: ProjectContext, indexes: list[int]) -> bool:
    """Return whether a change of sys.path stays that no helper rejects."""
    rejected = {
        at
        for at, calls in _find_path_changes(view)
        if any(_is_rejected(view, call, context) for call in calls)
    }
    removed = {*indexes, *rejected, *(index for at in rejected for index in _dependent_additions(view, at))}
    return any(_is_path_addition(node) and at not in removed for at, node in enumerate(view.body))


def _are_imports_resolvable(view: ModuleView, context: ProjectContext) -> bool:
    """Return whether no import needs a module that only another folder of the tree has."""
    beside = os.path.dirname(view.path)
    tops: set[str] = set()
    for node in view.body:
        if isinstance(node, ast.Import):
            tops |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            tops.add(node.module.split(".")[0])
    return all(
        is_standard(top) or context.has_module(top) or not context.exists_only_elsewhere(top, beside)
        for top in tops
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
_NAMED_LINES = 'ROOT = join_path("app", "..")\nif ROOT not in sys.path:\n    sys.path.insert(0, ROOT)\n'
_ADDS_KEY = "from lib.paths import paths\npaths.add('app', '/app')\n"
MUST_CHANGE = (
    StartupCase(f"{_HEAD}{_LINE}import lib\n", f"{_HEAD}import lib\n", files=_LIB),
    StartupCase(f"{_HEAD}{_NAMED_LINES}x = 1\n", f"{_HEAD}x = 1\n", files=_LIB),
    StartupCase(
        f"def join_path(*parts): return parts\n{_HEAD}{_NAMED_LINES}x = 1\n",
        f"def join_path(*parts): return parts\n{_HEAD}x = 1\n",
        files=_LIB,
    ),
    StartupCase(
        f"{_HEAD}sys.path.insert(0, os.sep)\n{_LINE}import tools\n",
        f"{_HEAD}sys.path.insert(0, os.sep)\nimport tools\n",
        files={**_LIB, "other/tools.py": ""},
    ),
    StartupCase(
        f"{_HEAD}{_LINE}x = 1\n", f"{_HEAD}x = 1\n", files={**_LIB, "tests/test_paths.py": _ADDS_KEY}
    ),
)
MUST_NOT_CHANGE = (
    # Another function of the name.
    StartupCase(f"{_HEAD}def join_path(*parts): return os.sep\n{_LINE}", files=_LIB),
    # Accepted by the helper.
    StartupCase(f'{_HEAD}sys.path.insert(0, join_path("logs", ".."))\n', files=_LIB),
    # The program adds keys.
    StartupCase(f"{_HEAD}{_LINE}", files={**_LIB, "one.py": _ADDS_KEY}),
    # Found only through the failing path.
    StartupCase(f"{_HEAD}{_LINE}import tools\n", files={**_LIB, "other/tools.py": ""}),
    StartupCase(f"{_HEAD}{_NAMED_LINES}{_LINE}import tools\n", files={**_LIB, "other/tools.py": ""}),
    # The name is read elsewhere.
    StartupCase(f"{_HEAD}{_NAMED_LINES}x = ROOT\n", files=_LIB),
    # Not a change of sys.path.
    StartupCase(f'{_HEAD}DATA = join_path("app", "data")\n', files=_LIB),
    # Not always called.
    StartupCase(f'{_HEAD}sys.path.insert(0, os.environ.get("ROOT") or join_path("app", ".."))\n', files=_LIB),
)

REJECTED_SYS_PATH = RepairRule("rejected-sys-path", propose, may_apply, MUST_CHANGE, MUST_NOT_CHANGE)
