"""Guards an import of a package that is declared missing: each use then fails with the package's name.

`argosy repair --absent torch` says that torch is not installed where the code will run. The import gets a
handler that replaces each name by a placeholder (`argosy.api.placeholder`); if the package is installed
after all, nothing changes. Only for a module-level statement, and only if every use of its names is in the
body of a function: an annotation, a decorator, a default, a base class or a class body would use the
placeholder while the module loads.

If the module only checks for a device with a name, and uses it only if there is one, the placeholder is
marked so (see `device_check`): nothing of it can fail on a machine without such a device.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit, detect_newline
from argosy.refit.repair.startup.device_check import is_guarded_by_device_check
from argosy.refit.repair.startup.project_context import ProjectContext
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule

NAME = "missing-package"
_PLACEHOLDER_MODULE = "argosy.api"


def may_apply(view: ModuleView) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in view.body)


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    placeholder_bindings = view.scope.bindings.get("placeholder", ())
    if not context.missing_packages or any(
        item.origin != f"{_PLACEHOLDER_MODULE}.placeholder" for item in placeholder_bindings
    ):
        return
    for index, node in enumerate(view.body):
        if not isinstance(node, ast.Import | ast.ImportFrom) or not view.has_own_lines(index):
            continue
        names = _bound_names(node)
        tops = {path.partition(".")[0] for _, path in names}
        if not names or not tops <= context.missing_packages or any(context.has_module(top) for top in tops):
            continue
        if all(_is_used_in_functions(view, name) for name, _ in names):
            edit = _build_edit(view, node, names)
            packages = ", ".join(f"`{top}`" for top in sorted(tops))
            yield RepairCandidate(
                NAME,
                node.lineno,
                (edit,),
                f"{packages} may be missing: each use then raises an error that names it",
            )


def _bound_names(node: ast.Import | ast.ImportFrom) -> list[tuple[str, str]]:
    """Return the names that an import binds, and what each stands for; empty if that is unknown."""
    if isinstance(node, ast.Import):
        return [
            (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
            for alias in node.names
        ]
    if node.level or any(alias.name == "*" for alias in node.names):
        return []
    return [(alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names]


def _is_used_in_functions(view: ModuleView, name: str) -> bool:
    if any(binding.kind != "import" for binding in view.scope.bindings.get(name, ())):
        return False
    return all(
        scope.is_in_function() or not use.is_evaluated
        for scope in view.scope.walk()
        for use in scope.uses
        if use.name == name and scope.owner_of(name) is view.scope
    )


def _build_edit(
    view: ModuleView, node: ast.Import | ast.ImportFrom, names: list[tuple[str, str]]
) -> SpanEdit:
    start = view.line_offset(node.lineno)
    stop = view.line_offset((node.end_lineno or node.lineno) + 1)
    newline = detect_newline(view.text)
    import_lines = view.text[start:stop].rstrip("\r\n").split(newline)
    lines = [
        "try:",
        *(f"    {line}" if line.strip() else line for line in import_lines),
        "except ModuleNotFoundError:",
        f"    from {_PLACEHOLDER_MODULE} import placeholder",
        "",
        *(
            f"    {name} = placeholder({_placeholder_arguments(view, name, path)})"
            for name, path in dict.fromkeys(names)
        ),
    ]
    return SpanEdit(start, stop, newline.join(lines) + newline)


def _placeholder_arguments(view: ModuleView, name: str, path: str) -> str:
    return (
        f'"{path}", behind_device_check=True' if is_guarded_by_device_check(view, name, path) else f'"{path}"'
    )


_MISSING = frozenset({"torch"})
_HANDLER = "except ModuleNotFoundError:\n    from argosy.api import placeholder\n\n"
_CHECKS_DEVICE = (
    "def f(stats):\n    if torch.cuda.is_available():\n        stats['a'] = torch.cuda.memory_allocated()\n"
    "    return 'cuda' if torch.cuda.is_available() else 'cpu'\n"
)
_USES_DEVICE = _CHECKS_DEVICE.replace("'cpu'", "torch.device('cpu')")
MUST_CHANGE = (
    StartupCase(
        "import torch\n\n\ndef f():\n    return torch.zeros(1)\n",
        f'try:\n    import torch\n{_HANDLER}    torch = placeholder("torch")\n\n\n'
        "def f():\n    return torch.zeros(1)\n",
        missing_packages=_MISSING,
    ),
    StartupCase(
        "from torch.nn import (\n    Linear,\n    Module as M,\n)\n\n\ndef f():\n    return Linear, M\n",
        "try:\n    from torch.nn import (\n        Linear,\n        Module as M,\n    )\n"
        f'{_HANDLER}    Linear = placeholder("torch.nn.Linear")\n    M = placeholder("torch.nn.Module")\n\n\n'
        "def f():\n    return Linear, M\n",
        missing_packages=_MISSING,
    ),
    StartupCase(
        "from __future__ import annotations\nimport torch.nn as nn\n\n\ndef f(x: nn.Module):\n    pass\n",
        "from __future__ import annotations\n"
        f'try:\n    import torch.nn as nn\n{_HANDLER}    nn = placeholder("torch.nn")\n\n\n'
        "def f(x: nn.Module):\n    pass\n",
        missing_packages=_MISSING,
    ),
    StartupCase(
        f"import torch\n\n\n{_CHECKS_DEVICE}",
        f"try:\n    import torch\n{_HANDLER}"
        f'    torch = placeholder("torch", behind_device_check=True)\n\n\n{_CHECKS_DEVICE}',
        missing_packages=_MISSING,
    ),
    StartupCase(
        f"import torch\n\n\n{_USES_DEVICE}",
        f'try:\n    import torch\n{_HANDLER}    torch = placeholder("torch")\n\n\n{_USES_DEVICE}',
        missing_packages=_MISSING,
    ),
)
MUST_NOT_CHANGE = (
    # Not declared missing.
    StartupCase("import torch\n\n\ndef f():\n    return torch.zeros(1)\n"),
    # Used while the module loads.
    StartupCase("import torch\n\n\ndef f(x: torch.Tensor):\n    pass\n", missing_packages=_MISSING),
    StartupCase("import torch\n\n\n@torch.no_grad()\ndef f():\n    pass\n", missing_packages=_MISSING),
    StartupCase("import torch\n\n\ndef f(x=torch.float16):\n    pass\n", missing_packages=_MISSING),
    StartupCase("from torch import nn\n\n\nclass A(nn.Module):\n    pass\n", missing_packages=_MISSING),
    StartupCase("import torch\n\n\nclass A:\n    device = torch.device('cpu')\n", missing_packages=_MISSING),
    StartupCase("import torch\n\nDEVICE = torch.device('cpu')\n", missing_packages=_MISSING),
    # It imports another package too, or a star.
    StartupCase("import os, torch\n\n\ndef f():\n    return os, torch\n", missing_packages=_MISSING),
    StartupCase("from torch import *\n", missing_packages=_MISSING),
    # Its absence is already handled.
    StartupCase("try:\n    import torch\nexcept ImportError:\n    torch = None\n", missing_packages=_MISSING),
    # Part of the tree.
    StartupCase(
        "import torch\n\n\ndef f():\n    return torch\n",
        missing_packages=_MISSING,
        files={"torch/__init__.py": ""},
    ),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
