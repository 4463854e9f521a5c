"""The Agent class: what a user writes, and what is given to it."""

from __future__ import annotations

from typing import Any, Protocol

from argosy.agent.health import Health
from argosy.wire.client.peer import Peer
from argosy.wire.client.sync_peer import SyncPeer
from argosy.wire.trace import trace


class AgentHost(Protocol):
    """What carries an agent: its process's life, or a test's."""

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
        """The command line as the agent's `Options` struct; None when it has none."""
        return self._host.options

    @property
    def trace(self) -> str:
        """The correlation id of what is being handled; begins one where there is none."""
        return trace()

    async def start(self) -> None:
        """Prepare; the agent is ready when this returns, and fails when it raises."""

    def stopping(self) -> None:
        """Hear that new requests are refused from now on; what runs has two seconds, and may be hurried."""

    async def stop(self) -> None:
        """Put away what `start` took; requests in flight have ended by then."""

    def health(self) -> Health:
        """Say how the agent is; the default repeats what was last reported. Must return at once."""
        return self._host.last_reported()

    def report(self, status: str, reason: str = "", **facts: Any) -> None:
        """Tell a change of status at once; safe in any thread."""
        self._host.report(Health(status, reason, facts))

    def peer(self, name: str) -> Peer:
        """Return another agent of the fleet (or an endpoint), for coroutines.

        Raises InputError: the fleet has no such agent.
        """
        return self._host.peer(name)

    def connect(self, name: str) -> SyncPeer:
        """Return another agent for plain functions, which run in threads; as `peer` otherwise."""
        return self._host.connect(name)

    async def publish(self, topic: str, value: object) -> int:
        """Publish a value to whoever subscribes, and return its number; never waits.

        Raises TypeError: the value has no encoding.
        """
        return self._host.publish(topic, value)
