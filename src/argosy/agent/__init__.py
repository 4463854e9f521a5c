"""Agents: a class with typed handlers that runs as a process.

Import from here: `Agent`, `Health`, `event`, `every`, `request`, `run`, `trace`; other packages of argosy
import the modules. `compat` has `BaseAgent` for agents written before argosy.

From outside: `agent`, `agent_runtime`, `cell_manifest`, `handlers`, `health`, `log_prefix`,
`missing_packages`, `notifier`, `options`, `request_dispatcher`, `runner`, `settings`, `stubs`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argosy.agent.agent import Agent
    from argosy.agent.handlers import event, every, request
    from argosy.agent.health import Health
    from argosy.agent.runner import run
    from argosy.wire.trace import trace

__all__ = ["Agent", "Health", "event", "every", "request", "run", "trace"]

_MODULES = {
    "Agent": "argosy.agent.agent",
    "Health": "argosy.agent.health",
    "event": "argosy.agent.handlers",
    "every": "argosy.agent.handlers",
    "request": "argosy.agent.handlers",
    "run": "argosy.agent.runner",
    "trace": "argosy.wire.trace",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module `argosy.agent` has no attribute `{name}`")
    value = getattr(importlib.import_module(_MODULES[name]), name)
    globals()[name] = value
    return value
