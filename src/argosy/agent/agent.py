"""The Agent class, which users derive from, and the host that runs it."""

from __future__ import annotations

from typing import Any, Protocol

from argosy.agent.health import Health
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import SyncPeer
from argosy.wire.trace import trace


class AgentHost(Protocol):
    """What an agent runs in: its process's runtime, or a test's."""

    name: str
    options: Any

    def peer(self, name: str) -> Peer: ...

    def connect(self, name: str) -> SyncPeer: ...

    def publish(self, topic: str, value: object) -> int: ...

    def report(self, health: Health) -> None: ...

    def last_reported(self) -> Health: ...


class Agent:
    """One agent: handlers by @request, @event and @every, a start, a stop, a health.

    It is constructed without arguments inside the running loop; `name`, `options`, `peer` and
    `report` work from the constructor on. An `Options` struct in the class is filled from the
    command line.
    """

    Options: type[Any] | None = None
    _host: AgentHost

    @property
    def name(self) -> str:
        """The agent's name in its fleet, else its class's name."""
        return self._host.name

    @property
    def options(self) -> Any:
        """The command line as the agent's `Options` struct; None if the class has none."""
        return self._host.options

    @property
    def trace(self) -> str:
        """The correlation id of the request or event being handled; creates one if there is none."""
        return trace()

    async def start(self) -> None:
        """Prepare; the agent is ready when this returns, and fails when it raises."""

    def stopping(self) -> None:
        """Called when new requests are refused from now on; running handlers have two seconds to end."""

    async def stop(self) -> None:
        """Release what `start` acquired; requests in flight have ended by then."""

    def health(self) -> Health:
        """Return the agent's health; the default repeats what was last reported. Must return at once."""
        return self._host.last_reported()

    def report(self, status: str, reason: str = "", **facts: Any) -> None:
        """Report a change of status at once; safe in any thread."""
        self._host.report(Health(status, reason, facts))

    def peer(self, name: str) -> Peer:
        """Return another agent of the fleet (or an endpoint), for coroutines.

        Raises InputError: the fleet has no such agent.
        """
        return self._host.peer(name)

    def connect(self, name: str) -> SyncPeer:
        """Return another agent for plain functions, which run in threads; otherwise as `peer`."""
        return self._host.connect(name)

    async def publish(self, topic: str, value: object) -> int:
        """Publish a value to all subscribers, and return its number; never blocks.

        Raises TypeError: the value has no encoding.
        """
        return self._host.publish(topic, value)
