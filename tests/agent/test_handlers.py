"""Handler decorators: marks, arguments, and the handlers that they reject."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from argosy.agent import Agent, event, every, request
from argosy.agent.event_subscriber import event_value_type
from argosy.agent.handlers import IntervalMark, RequestMark, TopicMark, find_handlers, marked_methods


class Voice(Agent):
    @request
    async def say(self, text: str, words: list[str] = ["a"], *, loud: bool = False) -> list[Any]:  # noqa: B006
        return [text, words, loud]

    @request
    def anything(self, **others: Any) -> dict[str, Any]:
        return others

    @event("heard")
    def heard(self, value: int) -> None: ...

    @every("1m")
    def tidy(self) -> None: ...


class Choir(Voice):
    async def say(self, text: str, words: list[str] = ["b"], *, loud: bool = True) -> list[Any]:  # noqa: B006
        return [text, words, loud]


def decoded(agent: Agent, name: str, **arguments: object) -> tuple[Any, Any]:
    handler = find_handlers(agent)[name]
    return handler, handler.from_msgpack(Raw(msgspec.msgpack.encode(arguments)), ())


def test_overridden_methods_keep_handler_marks() -> None:
    assert dict(marked_methods(Choir, RequestMark)) == {"say": RequestMark(), "anything": RequestMark()}
    assert dict(marked_methods(Choir, TopicMark)) == {"heard": TopicMark("heard")}
    assert dict(marked_methods(Choir, IntervalMark)) == {"tidy": IntervalMark(60.0)}


def test_handler_gets_default_and_keyword_only_arguments() -> None:
    handler, arguments = decoded(Choir(), "say", text="x")
    coroutine = handler.call(arguments)
    with pytest.raises(StopIteration) as end:
        coroutine.send(None)
    assert end.value.value == ["x", ["b"], True]


def test_handler_with_kwargs_accepts_any_argument() -> None:
    handler, arguments = decoded(Voice(), "anything", a=1, b=[2])
    assert handler.call(arguments) == {"a": 1, "b": [2]}


@pytest.mark.parametrize("name", ["health", "status", "ping", "health_check"])
def test_request_decorator_rejects_reserved_names(name: str) -> None:
    def method(self: Agent) -> None: ...

    method.__name__ = name
    with pytest.raises(TypeError, match=f"`{name}` is answered by every agent itself"):
        request(method)


@pytest.mark.parametrize("interval", ["5", "s", "-1s", "0s", 0, "1w"])
def test_every_decorator_rejects_invalid_interval(interval: str | float) -> None:
    with pytest.raises(ValueError, match="interval"):
        every(interval)


def test_find_handlers_rejects_positional_varargs() -> None:
    class Wrong(Agent):
        @request
        def many(self, *texts: str) -> None: ...

    with pytest.raises(TypeError, match="arguments come by name"):
        find_handlers(Wrong())


def test_unresolved_annotation_error_names_handler() -> None:
    class Wrong(Agent):
        @request
        def take(self, thing: Missing) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="handler `take`: annotation name 'Missing' is not defined"):
        find_handlers(Wrong())


def test_event_handler_with_two_arguments_is_rejected() -> None:
    class Wrong(Agent):
        @event("x")
        def take(self, a: int, b: int) -> None: ...

    assert event_value_type(Voice().heard) is int
    with pytest.raises(TypeError, match="takes 2 arguments, expected one"):
        event_value_type(Wrong().take)
