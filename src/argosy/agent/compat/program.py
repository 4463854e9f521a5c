"""An old agent as a process's program: what its script's main block did, for `run: module:Class`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from argosy.agent.compat.base import BaseAgent
from argosy.agent.settings import Settings, read_settings
from argosy.fault import Fault, InputError

_REQUIRED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def run_old(cls: type[BaseAgent]) -> int:
    """Construct an old agent, run it to its end, and return the exit code.

    Raises InputError: its constructor requires what the fleet does not tell, or a variable is wrong.
    Raises RefusedError: one of its ports is held.
    """
    agent = cls(**required_arguments(cls, read_settings(cls.__name__)))
    ended: Any = agent.run()  # a subclass may have made it a coroutine
    if inspect.iscoroutine(ended):
        asyncio.run(ended)
    return 0


def required_arguments(cls: type[BaseAgent], settings: Settings) -> dict[str, Any]:
    """Return what a constructor cannot do without; all else keeps the default that its author chose.

    Raises InputError: it requires something that is neither a name nor a declared port.
    """
    entry = settings.entry
    told = {
        "name": settings.name,
        "agent_name": settings.name,
        "port": entry.port,
        "health_check_port": entry.health_port,
        "health_port": entry.health_port,
    }
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in _REQUIRED and parameter.default is parameter.empty
    ]
    for name in required:
        if told.get(name) is None:
            raise InputError(_lacking(cls, name, is_known=name in told))
    return {name: told[name] for name in required}


def _lacking(cls: type, name: str, *, is_known: bool) -> Fault:
    place = f"{cls.__module__}:{cls.__name__}"
    message = f"the constructor of `{cls.__name__}` requires `{name}`"
    if is_known:
        key = "port" if name == "port" else "health_port"
        return Fault(
            place, "no-port", f"{message}, and none is declared", f"declare `{key}:` in the fleet file"
        )
    file = f"{cls.__module__.replace('.', '/')}.py"
    return Fault(
        place,
        "bad-constructor",
        f"{message}, which no fleet file tells; known are `name`, `port` and `health_check_port`",
        f"give `{name}` a default, or name the script: `run: {file}`",
    )
