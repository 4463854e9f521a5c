"""An import of a package that is told to be absent: it may fail, and what uses it fails by name.

`argosy repair --absent torch` says that the code will run where torch is not. The import gets a handler
that puts a stand-in in the place of each name ([`argosy.agent.absent`]); where the package is installed
after all, nothing changes. Only for a statement of the module itself, and only when every use of its
names is in the body of a function: an annotation, a decorator, a default, a base class or a class body
would use the stand-in while the module loads.

Where the module does no more with a name than ask for a device, and use it where there is one, the stand-in
is told so ([`behind_probe`]): on a machine without such a device nothing of it can fail.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, newline_of
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import Around
from argosy.refit.repair.startup.behind_probe import is_behind_probes
from argosy.refit.repair.startup.rule import Case, Rule

NAME = "absent-package"
_MAKER = "argosy.agent.absent"


def may_apply(view: View) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in view.body)


def propose(view: View, around: Around) -> Iterator[Candidate]:
    made = view.scope.bindings.get("stand_in", ())
    if not around.absent or any(item.origin != f"{_MAKER}.stand_in" for item in made):
        return
    for index, node in enumerate(view.body):
        if not isinstance(node, ast.Import | ast.ImportFrom) or not view.stands_alone(index):
            continue
        names = _names(node)
        tops = {path.partition(".")[0] for _, path in names}
        if not names or not tops <= around.absent or any(around.has_module(top) for top in tops):
            continue
        if all(_is_used_in_functions(view, name) for name, _ in names):
            edit = _edit(view, node, names)
            packages = ", ".join(f"`{top}`" for top in sorted(tops))
            yield Candidate(NAME, node.lineno, (edit,), f"{packages} may be absent: its uses will say so")


def _names(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """Return the names that an import binds, and what each stands for; empty where that is not known."""
    if isinstance(node, ast.Import):
        return [
            (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
            for alias in node.names
        ]
    if node.level or any(alias.name == "*" for alias in node.names):
        return []
    return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]


def _is_used_in_functions(view: View, name: str) -> bool:
    if any(binding.how != "import" for binding in view.scope.bindings.get(name, ())):
        return False
    return all(
        scope.is_in_function() or not use.is_evaluated
        for scope in view.scope.walk()
        for use in scope.uses
        if use.name == name and scope.owner_of(name) is view.scope
    )


def _edit(view: View, node: ast.Import | ast.ImportFrom, names: list[tuple[str, str]]) -> Edit:
    start = view.line_offset(node.lineno)
    stop = view.line_offset((node.end_lineno or node.lineno) + 1)
    newline = newline_of(view.text)
    written = view.text[start:stop].rstrip("\r\n").split(newline)
    lines = [
        "try:",
        *(f"    {line}" if line.strip() else line for line in written),
        "except ModuleNotFoundError:",
        f"    from {_MAKER} import stand_in",
        "",
        *(f"    {name} = stand_in({_arguments(view, name, path)})" for name, path in dict.fromkeys(names)),
    ]
    return Edit(start, stop, newline.join(lines) + newline)


def _arguments(view: View, name: str, path: str) -> str:
    return f'"{path}", behind_probes=True' if is_behind_probes(view, name, path) else f'"{path}"'


_ABSENT = frozenset({"torch"})
_HANDLER = "except ModuleNotFoundError:\n    from argosy.agent.absent import stand_in\n\n"
_ASKS = (
    "def f(stats):\n    if torch.cuda.is_available():\n        stats['a'] = torch.cuda.memory_allocated()\n"
    "    return 'cuda' if torch.cuda.is_available() else 'cpu'\n"
)
_USES = _ASKS.replace("'cpu'", "torch.device('cpu')")
MUST = (
    Case(
        "import torch\n\n\ndef f():\n    return torch.zeros(1)\n",
        f'try:\n    import torch\n{_HANDLER}    torch = stand_in("torch")\n\n\n'
        "def f():\n    return torch.zeros(1)\n",
        absent=_ABSENT,
    ),
    Case(
        "from torch.nn import (\n    Linear,\n    Module as M,\n)\n\n\ndef f():\n    return Linear, M\n",
        "try:\n    from torch.nn import (\n        Linear,\n        Module as M,\n    )\n"
        f'{_HANDLER}    Linear = stand_in("torch.nn.Linear")\n    M = stand_in("torch.nn.Module")\n\n\n'
        "def f():\n    return Linear, M\n",
        absent=_ABSENT,
    ),
    Case(
        "from __future__ import annotations\nimport torch.nn as nn\n\n\ndef f(x: nn.Module):\n    pass\n",
        "from __future__ import annotations\n"
        f'try:\n    import torch.nn as nn\n{_HANDLER}    nn = stand_in("torch.nn")\n\n\n'
        "def f(x: nn.Module):\n    pass\n",
        absent=_ABSENT,
    ),
    Case(
        f"import torch\n\n\n{_ASKS}",
        f'try:\n    import torch\n{_HANDLER}    torch = stand_in("torch", behind_probes=True)\n\n\n{_ASKS}',
        absent=_ABSENT,
    ),
    Case(
        f"import torch\n\n\n{_USES}",
        f'try:\n    import torch\n{_HANDLER}    torch = stand_in("torch")\n\n\n{_USES}',
        absent=_ABSENT,
    ),
)
MUST_NOT = (
    # Not told to be absent.
    Case("import torch\n\n\ndef f():\n    return torch.zeros(1)\n"),
    # Used while the module loads.
    Case("import torch\n\n\ndef f(x: torch.Tensor):\n    pass\n", absent=_ABSENT),
    Case("import torch\n\n\n@torch.no_grad()\ndef f():\n    pass\n", absent=_ABSENT),
    Case("import torch\n\n\ndef f(x=torch.float16):\n    pass\n", absent=_ABSENT),
    Case("from torch import nn\n\n\nclass A(nn.Module):\n    pass\n", absent=_ABSENT),
    Case("import torch\n\n\nclass A:\n    device = torch.device('cpu')\n", absent=_ABSENT),
    Case("import torch\n\nDEVICE = torch.device('cpu')\n", absent=_ABSENT),
    # Another package goes with it; anything may come.
    Case("import os, torch\n\n\ndef f():\n    return os, torch\n", absent=_ABSENT),
    Case("from torch import *\n", absent=_ABSENT),
    # Its absence is thought of.
    Case("try:\n    import torch\nexcept ImportError:\n    torch = None\n", absent=_ABSENT),
    # The tree's own.
    Case("import torch\n\n\ndef f():\n    return torch\n", absent=_ABSENT, files={"torch/__init__.py": ""}),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
