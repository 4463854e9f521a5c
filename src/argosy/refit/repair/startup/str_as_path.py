"""Wraps the value of a string that is used as a path in `Path(...)`.

`ROOT = get_root()` where `get_root` returns `str`, and `ROOT.as_posix()` below: an AttributeError in every
run. The name is bound once in the file, its value is always a string, and a path can replace it in each use;
`sys.path.insert(0, ROOT)`, `ROOT + "x"` or an unknown call forbid the repair.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline
from argosy.source.control_flow import dotted_name
from argosy.source.module_finder import is_standard

_STR_ATTRIBUTES = frozenset(dir(str))
_PATH_ATTRIBUTES = frozenset(name for name in dir(Path) if not name.startswith("_")) - _STR_ATTRIBUTES
_PATH_CONSUMERS = frozenset(
    {"str", "open", "print", "repr", "Path", "pathlib.Path", "os.fspath", "os.makedirs"}
)
_STR_FUNCTIONS = frozenset(
    f"os.path.{name}" for name in ("abspath", "dirname", "expanduser", "join", "normpath", "realpath")
)


def may_apply(view: ModuleView) -> bool:
    return next(_find_path_names(view), None) is not None


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for name, node in _find_path_names(view):
        if _returns_str(view, node, context):
            edits = _build_edits(view, node)
            if edits is not None:
                description = f"`{name}` is a string and used as a path: its value is wrapped in `Path(...)`"
                yield RepairCandidate("str-as-path", node.lineno, edits, description)


def _find_path_names(view: ModuleView) -> Iterator[tuple[str, ast.Call]]:
    """Yield the calls that may return a string, and whose result has a name that is only used as a path."""
    used_as_path = {
        node.value.id
        for node, _ in view.index.of_type(ast.Attribute)
        if isinstance(node.value, ast.Name) and node.attr in _PATH_ATTRIBUTES
    }
    used_as_path |= {
        node.left.id
        for node, _ in view.index.of_type(ast.BinOp)
        if isinstance(node.left, ast.Name) and isinstance(node.op, ast.Div)
    }
    for node, _ in view.index.of_type(ast.Assign):
        target = node.targets[0]
        if isinstance(node.value, ast.Call) and len(node.targets) == 1 and isinstance(target, ast.Name):
            is_candidate = target.id in used_as_path and _may_return_str(view, node.value)
            if is_candidate and _is_used_as_path(view, target.id):
                yield target.id, node.value


def _may_return_str(view: ModuleView, call: ast.Call) -> bool:
    """Return whether a call is of os.path, or of a function that may be in the tree."""
    called = dotted_name(call.func)
    root = called.split(".")[0]
    origins = [item.origin for item in view.scope.bindings.get(root, ())]
    return called in _STR_FUNCTIONS or any(not is_standard(item.split(".")[0]) for item in origins)


def _is_used_as_path(view: ModuleView, name: str) -> bool:
    """Return whether a name that the file binds once is used only where a path can replace it."""
    is_proven = False
    for node in view.uses_by_name.get(name, ()):
        parent = view.parents[node]
        if isinstance(parent, ast.Attribute):
            if parent.attr not in _PATH_ATTRIBUTES:
                return False
            is_proven = True
        elif isinstance(parent, ast.BinOp):
            if not (isinstance(parent.op, ast.Div) and parent.left is node):
                return False
            is_proven = True
        elif not (isinstance(parent, ast.FormattedValue) or _accepts_path(parent, node)):
            return False
    return is_proven and sum(len(scope.bindings.get(name, ())) for scope in view.scope.walk()) == 1


def _accepts_path(parent: ast.AST, node: ast.Name) -> bool:
    if not isinstance(parent, ast.Call) or node not in parent.args:
        return False
    called = dotted_name(parent.func)
    return called in _PATH_CONSUMERS or called.startswith("os.path.")


def _returns_str(view: ModuleView, call: ast.Call, context: ProjectContext) -> bool:
    """Return whether a call always returns a string: os.path, or a function annotated so in the tree."""
    called = dotted_name(call.func)
    if called in _STR_FUNCTIONS:
        return view.is_module("os")
    return bool(called) and context.returns_text(view, called)


def _build_edits(view: ModuleView, call: ast.Call) -> tuple[TextEdit, ...] | None:
    start, stop = view.span(call)
    edits = [TextEdit(start, start, "Path("), TextEdit(stop, stop, ")")]
    bound = [binding for scope in view.scope.walk() for binding in scope.bindings.get("Path", ())]
    if any(binding.origin != "pathlib.Path" for binding in bound):
        return None
    path_bindings = view.scope.bindings.get("Path", [])
    if not path_bindings or min(binding.line for binding in path_bindings) > call.lineno:
        place = view.find_import_offset(call.lineno)
        edits.append(TextEdit(place, place, f"from pathlib import Path{detect_newline(view.text)}"))
    return tuple(sorted(edits))


_LIB = {
    "lib/__init__.py": "",
    "lib/paths.py": "import os\n\n\ndef root() -> str:\n    return ROOT\n\n\n"
    "def any_root():\n    return ROOT\n\n\n"
    "class Paths:\n    @staticmethod\n    def root():\n        return os.path.abspath(__file__)\n",
}
_HEAD = "import sys\nfrom lib.paths import root, any_root\n"
MUST_CHANGE = (
    StartupCase(
        f"{_HEAD}ROOT = root()\nsys.path.insert(0, ROOT.as_posix())\n",
        f"{_HEAD}from pathlib import Path\nROOT = Path(root())\nsys.path.insert(0, ROOT.as_posix())\n",
        files=_LIB,
    ),
    StartupCase(
        f"from pathlib import Path\n{_HEAD}\n\ndef f():\n    here = root()\n    open(here / 'x')\n",
        f"from pathlib import Path\n{_HEAD}\n\ndef f():\n    here = Path(root())\n    open(here / 'x')\n",
        files=_LIB,
    ),
    StartupCase(
        "from lib.paths import Paths\nROOT = Paths.root()\nprint(ROOT.parent)\n",
        "from lib.paths import Paths\nfrom pathlib import Path\nROOT = Path(Paths.root())\n"
        "print(ROOT.parent)\n",
        files=_LIB,
    ),
    StartupCase(
        "import os\nHERE = os.path.dirname(__file__)\nprint(HERE.parent)\n",
        "import os\nfrom pathlib import Path\nHERE = Path(os.path.dirname(__file__))\nprint(HERE.parent)\n",
    ),
)
MUST_NOT_CHANGE = (
    # Also used as a string.
    StartupCase(f"{_HEAD}ROOT = root()\nprint(ROOT.as_posix(), ROOT + 'x')\n", files=_LIB),
    StartupCase(f"{_HEAD}ROOT = root()\nprint(ROOT.as_posix(), ROOT.split('/'))\n", files=_LIB),
    StartupCase(f"{_HEAD}ROOT = root()\nsys.path.insert(0, ROOT)\nprint(ROOT.as_posix())\n", files=_LIB),
    # The function has no annotation of its result.
    StartupCase(f"{_HEAD}ROOT = any_root()\nprint(ROOT.as_posix())\n", files=_LIB),
    # Bound twice.
    StartupCase(f"{_HEAD}ROOT = root()\nprint(ROOT.as_posix())\nROOT = 1\n", files=_LIB),
    # Another `Path`.
    StartupCase(f"{_HEAD}from lib import Path\nROOT = root()\nprint(ROOT.as_posix())\n", files=_LIB),
    # Only used as a string.
    StartupCase(f"{_HEAD}ROOT = root()\nprint(ROOT.upper(), ROOT.parent if 0 else 1)\n", files=_LIB),
)

STR_AS_PATH = RepairRule("str-as-path", propose, may_apply, MUST_CHANGE, MUST_NOT_CHANGE)
