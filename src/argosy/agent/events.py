"""Events: what an agent's @event methods take from the topics of its fleet."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from argosy.agent.dispatch import Dispatcher
from argosy.agent.handlers import Topic, marked
from argosy.agent.settings import Settings
from argosy.wire import codec
from argosy.wire.reactor import Reactor
from argosy.wire.topic import Event, Subscriber, decode_event
from argosy.wire.trace import trace_id

if TYPE_CHECKING:
    from argosy.wire.book import Directory
    from argosy.wire.distant import DistantFeed

_log = logging.getLogger("argosy.agent")


class Listener:
    """Takes the events that one agent's methods are marked for; without such methods it is idle."""

    def __init__(self, dispatcher: Dispatcher, reactor: Reactor, agent: object) -> None:
        self._dispatcher = dispatcher
        self._reactor = reactor
        self._takers: dict[str, list[tuple[Callable[..., Any], Any]]] = {}
        for name, mark in marked(type(agent), Topic):
            method = getattr(agent, name)
            self._takers.setdefault(mark.topic, []).append((method, taken_type(method)))
        self._subscriber: Subscriber | None = None
        self._distant: list[DistantFeed] = []

    def listen(self, settings: Settings) -> None:
        """Subscribe to the marked topics at all agents of the fleet."""
        if self._takers:
            self._subscriber = Subscriber(self._reactor, self._deliver)
            self._subscriber.subscribe(self._takers, settings.publishers())
            if settings.directory and (names := settings.elsewhere()):
                self._distant = self._feeds(names, settings.directory, settings.name)

    def _feeds(self, names: Sequence[str], directory: Directory, caller: str) -> list[DistantFeed]:
        from argosy.wire.distant import DistantFeed  # noqa: PLC0415 - only where there are other machines

        assert self._subscriber is not None
        take = self._subscriber.take
        return [DistantFeed(n, directory, self._reactor, self._takers, take, caller) for n in names]

    def statistics(self) -> dict[str, int]:
        """Return the subscriber's counts, empty without one."""
        return self._subscriber.statistics() if self._subscriber else {}

    def close(self) -> None:
        """Close the subscription."""
        for each in self._distant:
            each.close()
        if self._subscriber:
            self._subscriber.close()

    def _deliver(self, event: Event) -> None:
        for method, of in self._takers.get(event.topic, ()):
            try:
                value = decode_event(event, of)
            except codec.UNREADABLE as error:
                _log.error(
                    "`%s` of `%s` does not fit `%s`: %s", event.topic, event.publisher, method.__name__, error
                )
                continue
            self._dispatcher.spawn(_take(self._dispatcher, method, value, event))


async def _take(dispatcher: Dispatcher, method: Callable[..., Any], value: Any, event: Event) -> None:
    trace_id.set(event.trace)
    try:
        if inspect.iscoroutinefunction(method):
            await method(value)
        else:
            await asyncio.to_thread(method, value)
    except Exception:
        _log.exception("`%s` failed on `%s` of `%s`", method.__name__, event.topic, event.publisher)


def taken_type(method: Callable[..., Any]) -> Any:
    """Return the type that an event method's one argument decodes to."""
    names = [p.name for p in inspect.signature(method).parameters.values()]
    if len(names) != 1:
        raise TypeError(
            f"event method `{method.__name__}` takes {len(names)} arguments, expected one: the value"
        )
    return get_type_hints(method, include_extras=True).get(names[0], Any)
