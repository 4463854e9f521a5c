"""Delivers events of the fleet's topics to an agent's @event methods."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, get_type_hints

from argosy.agent.handlers import TopicMark, marked_methods
from argosy.agent.request_dispatcher import RequestDispatcher
from argosy.agent.settings import Settings
from argosy.wire.protocol import codec
from argosy.wire.pubsub.topic import Subscriber, TopicEvent, decode_event
from argosy.wire.trace import trace_id
from argosy.wire.transport.reactor import Reactor

if TYPE_CHECKING:
    from argosy.wire.address_book import AddressResolver
    from argosy.wire.pubsub.remote_subscription import RemoteSubscription

_log = logging.getLogger("argosy.agent")


class EventSubscriber:
    """Delivers events to one agent's marked methods; without such methods it is idle."""

    def __init__(self, dispatcher: RequestDispatcher, reactor: Reactor, agent: object) -> None:
        self._dispatcher = dispatcher
        self._reactor = reactor
        self._handlers: dict[str, list[tuple[Callable[..., Any], Any]]] = {}
        for name, mark in marked_methods(type(agent), TopicMark):
            method = getattr(agent, name)
            self._handlers.setdefault(mark.topic, []).append((method, event_value_type(method)))
        self._subscriber: Subscriber | None = None
        self._remote_subscriptions: list[RemoteSubscription] = []

    def subscribe(self, settings: Settings) -> None:
        """Subscribe to the marked topics at all agents of the fleet."""
        if self._handlers:
            self._subscriber = Subscriber(self._reactor, self._on_event)
            self._subscriber.subscribe(self._handlers, settings.local_topics_endpoints())
            if settings.resolver and (names := settings.remote_agents()):
                self._remote_subscriptions = self._subscribe_remote(names, settings.resolver, settings.name)

    def _subscribe_remote(
        self, names: Sequence[str], resolver: AddressResolver, client_name: str
    ) -> list[RemoteSubscription]:
        from argosy.wire.pubsub.remote_subscription import RemoteSubscription  # noqa: PLC0415 - only where there are other machines

        assert self._subscriber is not None
        on_message = self._subscriber.on_message
        return [
            RemoteSubscription(n, resolver, self._reactor, self._handlers, on_message, client_name)
            for n in names
        ]

    def statistics(self) -> dict[str, int]:
        """Return the subscriber's counts, empty without one."""
        return self._subscriber.statistics() if self._subscriber else {}

    def close(self) -> None:
        """Close the subscription."""
        for each in self._remote_subscriptions:
            each.close()
        if self._subscriber:
            self._subscriber.close()

    def _on_event(self, event: TopicEvent) -> None:
        for method, value_type in self._handlers.get(event.topic, ()):
            try:
                value = decode_event(event, value_type)
            except codec.DECODE_ERRORS as error:
                _log.error(
                    "`%s` of `%s` does not fit `%s`: %s", event.topic, event.publisher, method.__name__, error
                )
                continue
            self._dispatcher.spawn(_run_handler(self._dispatcher, method, value, event))


async def _run_handler(
    dispatcher: RequestDispatcher, method: Callable[..., Any], value: Any, event: TopicEvent
) -> None:
    trace_id.set(event.trace)
    try:
        if inspect.iscoroutinefunction(method):
            await method(value)
        else:
            await asyncio.to_thread(method, value)
    except Exception:
        _log.exception("`%s` failed on `%s` of `%s`", method.__name__, event.topic, event.publisher)


def event_value_type(method: Callable[..., Any]) -> Any:
    """Return the type that an event method's one argument decodes to."""
    names = [p.name for p in inspect.signature(method).parameters.values()]
    if len(names) != 1:
        raise TypeError(
            f"event method `{method.__name__}` takes {len(names)} arguments, expected one: the value"
        )
    return get_type_hints(method, include_extras=True).get(names[0], Any)
