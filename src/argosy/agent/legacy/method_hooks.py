"""Wraps the methods whose calls BaseAgent must notice although subclasses override them.

Each is wrapped in the class that defines it, so that BaseAgent notices the outermost constructor's end,
the begin of `run` and `cleanup`, and an initialisation that is started twice, or before its fields are set.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, TypeVar

from argosy.agent.legacy.agent_state import state_of

F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "_is_hooked"
_IS_COROUTINE: Final = 0x80  # in a code object's flags


def base_method(method: F) -> F:
    """Mark a method as BaseAgent's own, so that an override can be recognised."""
    method._is_base = True  # type: ignore[attr-defined]
    return method


def wrap_hooks(cls: type) -> None:
    """Wrap the known hooks of a class, its own and those of a mixin."""
    for name, wrap in _WRAPPERS.items():
        method = getattr(cls, name, None)
        if callable(method) and not hasattr(method, _MARK):
            wrapped = functools.wraps(method)(wrap(name, method))
            setattr(wrapped, _MARK, True)
            setattr(cls, name, wrapped)


def _wrap_constructor(_: str, method: Callable[..., None]) -> Callable[..., None]:
    def construct(self: Any, *args: Any, **keywords: Any) -> None:
        with state_of(self).constructing():
            method(self, *args, **keywords)

    return construct


def _wrap_run(_: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def run(self: Any, *args: Any, **keywords: Any) -> Any:
        with state_of(self).running():
            return method(self, *args, **keywords)

    async def run_as_task(self: Any, *args: Any, **keywords: Any) -> Any:
        with state_of(self).running():
            return await method(self, *args, **keywords)

    code = getattr(method, "__code__", None)
    return run_as_task if code and code.co_flags & _IS_COROUTINE else run


def _wrap_cleanup(_: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def cleanup(self: Any, *args: Any, **keywords: Any) -> Any:
        state_of(self).on_cleanup()
        return method(self, *args, **keywords)

    return cleanup


def _wrap_once(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call_once(self: Any, *args: Any, **keywords: Any) -> Any:
        state = state_of(self)
        state.wait_for_fields()
        return state.run_once[name].call(lambda: method(self, *args, **keywords))

    return call_once


_WRAPPERS: Final = {
    "__init__": _wrap_constructor,
    "run": _wrap_run,
    "cleanup": _wrap_cleanup,
    "_perform_initialization": _wrap_once,
    "_health_check_loop": _wrap_once,
}
