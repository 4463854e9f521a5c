"""Guards imports of packages that are declared missing."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.agent.missing_packages import DEVICE_CHECKS
from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import ProjectContext
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline


def is_guarded_by_device_check(view: ModuleView, name: str, path: str) -> bool:
    """Return whether every use of a name that stands for the module or name `path` is guarded.

    Each is a check for a device, or runs only if one returned true: in the body of an `if`, in a conditional
    expression, or after an `and`.

    False for a name without uses, which other modules may import, and if the file imports the package a
    second time: that import fails by itself.
    """
    if len(list(_imports_of_package(view, path.partition(".")[0]))) != 1:
        return False
    uses = list(_evaluated_uses(view, name))
    return bool(uses) and all(
        _is_device_check(use, view, name, path) or _is_guarded(use, view, name, path) for use in uses
    )


def _imports_of_package(view: ModuleView, top: str) -> Iterator[ast.stmt]:
    for node in ast.walk(view.parsed.tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            modules = [node.module or ""]
        else:
            continue
        if any(module.partition(".")[0] == top for module in modules):
            yield node


def _evaluated_uses(view: ModuleView, name: str) -> Iterator[ast.Name]:
    for scope in view.scope.walk():
        for use in scope.uses:
            if use.name == name and use.is_evaluated and scope.owner_of(name) is view.scope:
                yield use.node


def _is_device_check(use: ast.expr, view: ModuleView, name: str, path: str) -> bool:
    """Return whether a use is part of a device check that is called."""
    node: ast.expr = use
    while isinstance(parent := view.parents[node], ast.Attribute):
        node = parent
    return isinstance(parent, ast.Call) and parent.func is node and _calls_device_check(parent, name, path)


def _calls_device_check(node: ast.expr, name: str, path: str) -> bool:
    """Return whether an expression is the call of a device check, without arguments."""
    if not isinstance(node, ast.Call) or node.args or node.keywords:
        return False
    attributes: list[str] = []
    function = node.func
    while isinstance(function, ast.Attribute):
        attributes.insert(0, function.attr)
        function = function.value
    return (
        isinstance(function, ast.Name)
        and function.id == name
        and ".".join([path, *attributes]) in DEVICE_CHECKS
    )


def _is_guarded(use: ast.AST, view: ModuleView, name: str, path: str) -> bool:
    """Return whether a use is reached only after a device check returned true."""
    node = use
    while (parent := view.parents.get(node)) is not None:
        if isinstance(parent, ast.If) and node in parent.body and _implies_device(parent.test, name, path):
            return True
        if isinstance(parent, ast.IfExp) and node is parent.body and _implies_device(parent.test, name, path):
            return True
        if isinstance(parent, ast.BoolOp) and isinstance(parent.op, ast.And):
            before = parent.values[: parent.values.index(node)] if isinstance(node, ast.expr) else []
            if any(_implies_device(each, name, path) for each in before):
                return True
        node = parent
    return False


def _implies_device(test: ast.expr, name: str, path: str) -> bool:
    """Return whether a condition can be true only if a device check returned true."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(_implies_device(each, name, path) for each in test.values)
    return _calls_device_check(test, name, path)


_PLACEHOLDER_MODULE = "argosy.api"


def _may_missing_package(view: ModuleView) -> bool:
    return any(isinstance(node, ast.Import | ast.ImportFrom) for node in view.body)


def propose_missing_package(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Guards an import of a package that is declared missing: each use then fails with the package's name.

    `argosy repair --absent torch` says that torch is not installed where the code will run. The import gets a
    handler that replaces each name by a placeholder (`argosy.api.placeholder`); if the package is installed
    after all, nothing changes. Only for a module-level statement, and only if every use of its names is in
    the body of a function: an annotation, a decorator, a default, a base class or a class body would use the
    placeholder while the module loads.

    If the module only checks for a device with a name, and uses it only if there is one, the placeholder is
    marked so (see `device_check`): nothing of it can fail on a machine without such a device.
    """
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
                "missing-package",
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
) -> TextEdit:
    start, stop = view.lines_span(node)
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
    return TextEdit(start, stop, newline.join(lines) + newline)


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
_MISSING_PACKAGE_MUST_CHANGE = (
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
_MISSING_PACKAGE_MUST_NOT_CHANGE = (
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

MISSING_PACKAGE = RepairRule(
    "missing-package",
    propose_missing_package,
    _may_missing_package,
    _MISSING_PACKAGE_MUST_CHANGE,
    _MISSING_PACKAGE_MUST_NOT_CHANGE,
)
