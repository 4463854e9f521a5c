"""Runs a BaseAgent class as a process's program, as its script's main block did; for `run: module:Class`."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

from argosy.agent.legacy.base_agent import BaseAgent
from argosy.agent.settings import Settings, read_settings
from argosy.fault import Fault, InputError

_REQUIRED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def run_legacy(cls: type[BaseAgent]) -> int:
    """Construct a BaseAgent, run it to its end, and return the exit code.

    Raises InputError: its constructor requires what the fleet file does not have, or a variable is wrong.
    Raises RefusedError: one of its ports is held.
    """
    agent = cls(**required_arguments(cls, read_settings(cls.__name__)))
    ended: Any = agent.run()  # a coroutine if a subclass made it one
    if inspect.iscoroutine(ended):
        asyncio.run(ended)
    return 0


def required_arguments(cls: type[BaseAgent], settings: Settings) -> dict[str, Any]:
    """Return the arguments that a constructor requires; all others keep their defaults.

    Raises InputError: it requires something that is neither a name nor a declared port.
    """
    address = settings.address
    known_values = {
        "name": settings.name,
        "agent_name": settings.name,
        "port": address.port,
        "health_check_port": address.health_port,
        "health_port": address.health_port,
    }
    required = [
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind in _REQUIRED and parameter.default is parameter.empty
    ]
    for name in required:
        if known_values.get(name) is None:
            raise InputError(_missing_argument_fault(cls, name, is_known=name in known_values))
    return {name: known_values[name] for name in required}


def _missing_argument_fault(cls: type, name: str, *, is_known: bool) -> Fault:
    location = f"{cls.__module__}:{cls.__name__}"
    message = f"the constructor of `{cls.__name__}` requires `{name}`"
    if is_known:
        key = "port" if name == "port" else "health_port"
        return Fault(
            location, "no-port", f"{message}, and none is declared", f"declare `{key}:` in the fleet file"
        )
    file = f"{cls.__module__.replace('.', '/')}.py"
    return Fault(
        location,
        "bad-constructor",
        f"{message}, which is not in a fleet file; known are `name`, `port` and `health_check_port`",
        f"give `{name}` a default, or name the script: `run: {file}`",
    )
