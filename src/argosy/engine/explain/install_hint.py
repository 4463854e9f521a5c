"""How to install a module that an agent does not find, into the agent's own interpreter."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Final

from argosy.fleet.fleet_spec import AgentSpec
from argosy.source.import_to_distribution import find_distribution, is_namespace
from argosy.source.requirements import read_pyproject, read_requirements

_MODULE_NOT_FOUND: Final = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)'")


def describe_install(module: str, python: str, root: str) -> str:
    """Return the command that installs a module for `python`; without a package name where none is known.

    root: the fleet file's directory, whose requirement files are searched first.
    """
    known = None if is_namespace(module) else find_distribution(module, _declared_distributions(Path(root)))
    if known is None:
        return f"install the package that provides `{module}` with `{shlex.quote(python)} -m pip`"
    return f"`{shlex.quote(python)} -m pip install {known.distribution}`"


def hint_for_exit(reason: str, agent: AgentSpec, root: str, default_python: str) -> str:
    """Return the hint for an agent that exited because of a missing module; empty for any other reason.

    default_python: the interpreter of agents that name none.
    """
    found = _MODULE_NOT_FOUND.search(reason)
    top = found[1].partition(".")[0] if found else ""
    if found is None or agent.kind == "command" or _is_local(root, top):
        return ""
    python = agent.python or default_python
    return describe_install(found[1], str(Path(root) / python) if "/" in python else python, root)


def _is_local(root: str, top: str) -> bool:
    return os.path.isdir(os.path.join(root, top)) or os.path.isfile(os.path.join(root, f"{top}.py"))


def _declared_distributions(root: Path) -> set[str]:
    """Return the distributions that the requirement files beside the fleet file list."""
    readers = {"pyproject.toml": read_pyproject}
    found: set[str] = set()
    for path in (*sorted(root.glob("requirements*.txt")), root / "pyproject.toml"):
        try:
            requirements = readers.get(path.name, read_requirements)(path.read_text())
        except (OSError, ValueError):
            continue
        found |= {each.name for each in (*requirements.packages, *requirements.dev_packages)}
    return found
