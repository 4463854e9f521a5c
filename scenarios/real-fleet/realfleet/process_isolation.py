"""Finds the reasons why a legacy agent needs a process of its own.

Argosy refuses legacy agents in cells (`cell-legacy-class`). This module lists by agent what would conflict
there: a process has one main thread, one set of signal handlers, one command line, one root logger.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

_CALLS: Final = {
    "signal.signal": "sets signal handlers",
    "logging.basicConfig": "sets up the process's logging",
    "os._exit": "ends the process",
    "sys.exit": "ends the process",
    "exit": "ends the process",
    "os.chdir": "changes the working directory",
    "asyncio.run": "runs an event loop of its own",
    "parse_args": "reads the command line",
    "parse_agent_args": "reads the command line",
}
_BLOCKS_MAIN_THREAD: Final = "holds the main thread"


def process_reasons(tree: Path, scripts: Mapping[str, str]) -> dict[str, list[str]]:
    """Return by agent its uses of process-wide state. scripts: relative to `tree`."""
    return {agent: sorted(set(_reasons(tree / script))) for agent, script in scripts.items()}


def _reasons(script: Path) -> Iterator[str]:
    try:
        tree = ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield from filter(None, (_CALLS.get(name), _CALLS.get(name.rpartition(".")[2])))
        elif isinstance(node, ast.If) and "__main__" in ast.unparse(node.test):
            yield _BLOCKS_MAIN_THREAD
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.argv":
            yield "reads the command line"
