"""Handlers: the decorators, and how a class's handlers are found and called.

A handler's annotations are its contract: arguments are decoded by them, and a call that does
not fit never reaches the handler.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_type_hints, overload

import msgspec

from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire.protocol.codec import Unpacker, is_bytes_like, wire_type

F = TypeVar("F", bound=Callable[..., Any])
Mode = Literal["task", "stream", "inline", "thread"]

_MARK = "__argosy__"
_asdict = msgspec.structs.asdict
_astuple = msgspec.structs.astuple
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class RequestMark(msgspec.Struct, frozen=True):
    """A method marked by @request."""

    short: bool = False


class TopicMark(msgspec.Struct, frozen=True):
    """A method marked by @event."""

    topic: str


class IntervalMark(msgspec.Struct, frozen=True):
    """A method marked by @every."""

    seconds: float


@overload
def request(function: F, /) -> F: ...
@overload
def request(*, short: bool = False) -> Callable[[F], F]: ...
def request(function: Any = None, /, *, short: bool = False) -> Any:
    """Mark a method that others may call by its name.

    An `async def` runs as a task, an async generator as a stream, a plain `def` in a thread.
    short: a plain `def` that only computes for microseconds runs in the loop itself; a long one
    there makes the whole agent look frozen.
    Raises TypeError: the name is reserved for a method of every agent.
    """

    def mark(method: Any) -> Any:
        if method.__name__ in HEALTH_ACTIONS:
            raise TypeError(
                f"`{method.__name__}` is answered by every agent itself; give the handler another name"
            )
        setattr(method, _MARK, RequestMark(short))
        return method

    return mark(function) if function is not None else mark


def event(topic: str) -> Callable[[F], F]:
    """Mark a method that receives what any agent of the fleet publishes under `topic`."""
    return _make_marker(TopicMark(topic))


def every(interval: str | float) -> Callable[[F], F]:
    """Mark a method that runs periodically, the first time one interval after the start.

    interval: seconds, or text such as `500ms`, `5s`, `1m`. A run that takes longer than the interval
    skips the ticks it missed; runs never overlap.
    """
    return _make_marker(IntervalMark(_seconds(interval)))


def _make_marker(mark: object) -> Callable[[F], F]:
    def apply(method: F) -> F:
        setattr(method, _MARK, mark)
        return method

    return apply


def _seconds(interval: str | float) -> float:
    if isinstance(interval, int | float):
        seconds = float(interval)
    else:
        number = interval.rstrip("mshd")
        try:
            seconds = float(number) * _UNITS[interval[len(number) :]]
        except (KeyError, ValueError):
            raise ValueError(
                f"`{interval}` is not an interval; expected such as `500ms`, `5s`, `1m`"
            ) from None
    if seconds <= 0:
        raise ValueError(f"an interval must be longer than 0 s, not `{interval}`")
    return seconds


def marked_methods(cls: type, kind: type) -> list[tuple[str, Any]]:
    """Return (method name, mark) of each method that a class and its bases mark with `kind`.

    An override keeps its base's mark, as it keeps its contract.
    """
    return [(name, mark) for name, mark in _marks(cls) if isinstance(mark, kind)]


@functools.lru_cache
def _marks(cls: type) -> list[tuple[str, Any]]:
    found: dict[tuple[type, str], Any] = {}
    for base in reversed(cls.__mro__):
        for name, member in vars(base).items():
            mark = getattr(member, _MARK, None)
            if mark is not None:
                found[type(mark), name] = mark
    return [(name, mark) for (_, name), mark in found.items()]


class Handler:
    """A request handler: how it runs, and how its arguments are decoded.

    call: calls the method with decoded arguments.
    decode: decodes arguments that have no buffers; from_msgpack: arguments and their buffers.
    Both raise msgspec.DecodeError or ValidationError.
    """

    __slots__ = ("_struct", "call", "decode", "from_msgpack", "method", "mode", "name")

    def __init__(self, name: str, method: Callable[..., Any], short: bool) -> None:
        self.name = name
        self.method = method
        self.mode: Mode = _mode(method, short)
        hints = _hints(method)
        self._struct, keywords = _arguments_type(name, method, hints)
        fields = {n: hint for n, hint in hints.items() if is_bytes_like(hint)}
        unpacker = Unpacker(self._struct, fields)
        self.decode, self.from_msgpack = unpacker.decode, unpacker.unpack
        self.call = _make_caller(method, self._struct, keywords)

    def from_json(self, arguments: dict[str, Any]) -> Any:
        """Convert a JSON client's arguments; raises msgspec.ValidationError."""
        return msgspec.convert(arguments, self._struct, builtin_types=())

    def signature(self) -> str:
        """Return the method's signature for people."""
        return f"{self.name}{inspect.signature(self.method, eval_str=True)}"


def _make_caller(method: Callable[..., Any], struct: Any, keywords: bool) -> Callable[[Any], Any]:
    """Return a function that calls the method with its decoded arguments; chosen once, not at each call."""
    if struct is dict:
        return lambda arguments: method(**arguments)
    if keywords:
        return lambda arguments: method(**_asdict(arguments))
    return lambda arguments: method(*_astuple(arguments))


def _mode(method: Callable[..., Any], short: bool) -> Mode:
    if inspect.isasyncgenfunction(method):
        return "stream"
    if inspect.iscoroutinefunction(method):
        return "task"
    return "inline" if short else "thread"


def _arguments_type(name: str, method: Callable[..., Any], hints: dict[str, Any]) -> tuple[Any, bool]:
    """Return the struct that a method's arguments decode to, and whether they are passed by keyword.

    A method with `**others` takes anything, as a dict.
    """
    fields: list[Any] = []
    keywords = False
    for parameter in inspect.signature(method).parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return dict, True
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise TypeError(f"handler `{name}` takes `*{parameter.name}`; arguments come by name")
        keywords = keywords or parameter.kind is parameter.KEYWORD_ONLY
        fields.append(_field(parameter, wire_type(hints.get(parameter.name, Any))))
    return msgspec.defstruct(f"{name} arguments", fields, kw_only=True, forbid_unknown_fields=True), keywords


def _field(parameter: inspect.Parameter, hint: Any) -> tuple[Any, ...]:
    if parameter.default is parameter.empty:
        return parameter.name, hint
    default = parameter.default
    # Shared, as Python shares a default; a struct would reject a mutable one.
    return parameter.name, hint, msgspec.field(default_factory=lambda: default)


def _hints(method: Callable[..., Any]) -> dict[str, Any]:
    try:
        hints = get_type_hints(method, include_extras=True)
        hints.pop("return", None)
        return hints
    except NameError as error:
        raise TypeError(f"handler `{getattr(method, '__name__', method)}`: annotation {error}") from error


def find_handlers(agent: object) -> dict[str, Handler]:
    """Return an agent's request handlers by name; raises TypeError for one that cannot be called."""
    return {
        name: Handler(name, getattr(agent, name), mark.short)
        for name, mark in marked_methods(type(agent), RequestMark)
    }
