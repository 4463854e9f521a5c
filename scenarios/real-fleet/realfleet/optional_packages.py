"""Finds missing packages that an agent's script imports with a handler for their absence.

The script has a fallback, so the agent is not degraded. These packages are reported separately, since such an
agent does less than it could.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_FIND: Final = (
    "import importlib.util, json, sys; "
    "print(json.dumps([name for name in sys.argv[1:] if not importlib.util.find_spec(name)]))"
)
_PLACEHOLDER: Final = re.compile(
    r"\b(placeholder|stand_in)\("
)  # as current and former versions of `argosy repair` write it


def missing_optional_packages(tree: Path, scripts: Mapping[str, str], python: Path) -> dict[str, list[str]]:
    """Return by agent the missing packages that its script handles the absence of.

    scripts: by agent, relative to `tree`. python: the interpreter that the agents run on.
    """
    asked = {agent: set(_guarded(tree / script)) for agent, script in scripts.items()}
    tops = sorted(set[str]().union(*asked.values()) - sys.stdlib_module_names)
    done = subprocess.run(
        [str(python), "-c", _FIND, *tops], cwd=tree, capture_output=True, text=True, check=True
    )
    missing = set(json.loads(done.stdout))
    return {agent: sorted(names & missing) for agent, names in asked.items() if names & missing}


def _guarded(script: Path) -> Iterator[str]:
    """Yield the top-level modules imported in a `try` with a handler, except stand-ins."""
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and node.handlers and not _PLACEHOLDER.search(ast.unparse(node)):
            for inner in ast.walk(node):
                if isinstance(inner, ast.Import):
                    yield from (alias.name.partition(".")[0] for alias in inner.names)
                elif isinstance(inner, ast.ImportFrom) and not inner.level and inner.module:
                    yield inner.module.partition(".")[0]
