"""The base class of all agents of this fleet: enrolment, requests by name, traces, error reports.

An utterance is processed by many agents. Each stage is a `@hop`: its reply contains its result and the
list of its hops, its own first, each with the correlation id that it received. If a peer does not
answer, a stage fails with `HopError`, which names that peer; earlier stages pass the message on
unchanged to the first caller.
"""

from __future__ import annotations

import asyncio
import functools
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, ClassVar, Concatenate, Final, Generic, ParamSpec, TypeVar, overload

import msgspec

from argosy.agent import Agent, Health, every, request
from argosy.wire import RemoteError, WireError

T = TypeVar("T")
P = ParamSpec("P")
M = TypeVar("M", bound="ExampleAgent")

REGISTRY: Final = "ServiceRegistry"
TWIN: Final = "SystemDigitalTwin"
REGISTRY_OF_MACHINE: Final = {"mainpc": TWIN, "pc2": REGISTRY}
ERRORS: Final = "errors"  # the topic that replaces an error bus

# A frozen peer is detected within 1.5 s; with a longer time-out the error can name this cause.
REQUEST_TIMEOUT_S: Final = 2.0
# When 84 processes start on few processors, an answer may take long.
START_TIMEOUT_S: Final = 30.0


class AgentCard(msgspec.Struct, frozen=True):
    """The data that an agent enrols with."""

    name: str
    role: str
    machine: str
    pid: int


class ModelOptions(msgspec.Struct, frozen=True):
    """The options of a role that keeps a model on the GPU: its name and its size in GiB."""

    model: str
    gib: float


class Hop(msgspec.Struct, frozen=True):
    """One agent's part in a request: the correlation id, and the time including that of its peers."""

    agent: str
    trace: str
    ms: float


class ForwardedReply(msgspec.Struct, Generic[T], frozen=True):
    """The result of a stage, and the agents that took part, in call order."""

    value: T
    hops: list[Hop]


class ErrorReport(msgspec.Struct, frozen=True):
    """A failure that an agent handled; `peer` is the agent that it called."""

    agent: str
    peer: str
    method: str
    reason: str
    trace: str


class RejectedError(Exception):
    """The request is valid but cannot be fulfilled; the message gives the reason."""

    code = "rejected"


class HopError(Exception):
    """An agent in the chain did not answer; the message names it and its caller."""

    code = "hop-failed"


_hops: ContextVar[list[Hop]] = ContextVar("hops")


def hop(
    method: Callable[Concatenate[M, P], Awaitable[T]],
) -> Callable[Concatenate[M, P], Awaitable[ForwardedReply[T]]]:
    """Make a method a request handler whose reply includes the hops."""

    @functools.wraps(method)
    async def measured(self: M, /, *args: P.args, **kwargs: P.kwargs) -> ForwardedReply[T]:
        began = time.perf_counter()
        trace = self.trace
        # Every request runs in its own context, so the variable need not be reset.
        hops: list[Hop] = []
        _hops.set(hops)
        value = await method(self, *args, **kwargs)
        ms = round((time.perf_counter() - began) * 1000, 3)
        return ForwardedReply(value, [Hop(self.name, trace, ms), *hops])

    return request(measured)


class ExampleAgent(Agent):
    """An agent of this fleet; roles override `contact_peers` and `facts`.

    machine: agents of pc2 need no agent on mainpc, so they do not wait for the registry there.
    enrols_at: the agent where it enrols; None for that of its machine, empty for none.
    """

    machine: ClassVar[str] = "mainpc"
    enrols_at: ClassVar[str | None] = None

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.peers: dict[str, str] = {}
        self._enrolling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Enrol and contact peers; an agent of pc2 enrols in the background."""
        if self.machine == "mainpc":
            await self.register()
        else:
            self._enrolling = asyncio.create_task(self._register_until_acknowledged())
        await self.contact_peers()

    async def stop(self) -> None:
        """Cancel the enrolment if it is still running."""
        if self._enrolling:
            self._enrolling.cancel()

    async def register(self) -> None:
        """Enrol this agent; idempotent."""
        at = REGISTRY_OF_MACHINE[self.machine] if self.enrols_at is None else self.enrols_at
        if at:
            await self.ask_at_start(at, "enrol", card=self.card())

    async def contact_peers(self) -> None:
        """Fetch from each need what the role requires; called repeatedly, so it must be idempotent."""

    def facts(self) -> dict[str, Any]:
        """Return facts about the role's work for its health."""
        return {}

    def card(self) -> AgentCard:
        """Return the data that this agent enrols with."""
        return AgentCard(self.name, type(self).__name__, self.machine, os.getpid())

    def health(self) -> Health:
        """Return the role's facts, the number of requests by peer, and the state of each peer."""
        facts = {"role": type(self).__name__, "asked": dict(self.asked), **self.facts()}
        return Health(facts=facts, needs=dict(self.peers))

    @request(short=True)
    def describe(self) -> AgentCard:
        """Return this agent's card; the cheapest request."""
        return self.card()

    @every("60s")
    async def refresh(self) -> None:
        """Enrol and contact peers again, because a restarted peer has lost its state."""
        try:
            await self.register()
            await self.contact_peers()
        except HopError:
            return  # `ask` has published the error; retried in a minute

    async def ask_at_start(self, peer: str, method: str = "describe", /, **arguments: Any) -> Any:
        """Call a peer with a long time-out, for the start of the fleet; raises as `ask`."""
        return await self.ask(peer, method, within_s=START_TIMEOUT_S, **arguments)

    async def announce_kind(self, kind: str) -> None:
        """Announce to the coordinator that this agent handles a kind of request; raises as `ask`."""
        await self.ask_at_start("RequestCoordinator", "announce", kind=kind, agent=self.name)

    async def reserve_model(self) -> None:
        """Reserve GPU memory for the model in the options; raises as `ask`."""
        model = self.options
        await self.ask_at_start(
            "ModelManagerAgent", "reserve", model=model.model, gib=model.gib, holder=self.name
        )

    @overload
    async def ask(
        self, peer: str, method: str, /, *, returns: type[T], within_s: float = ..., **arguments: Any
    ) -> T: ...
    @overload
    async def ask(
        self, peer: str, method: str, /, *, returns: Any = ..., within_s: float = ..., **arguments: Any
    ) -> Any: ...
    async def ask(
        self,
        peer: str,
        method: str,
        /,
        *,
        returns: Any = Any,
        within_s: float = REQUEST_TIMEOUT_S,
        **arguments: Any,
    ) -> Any:
        """Call another agent and return its answer, decoded as `returns`.

        Raises HopError: no answer within `within_s`, or the answer is an error; it is also published.
        """
        self.asked[peer] += 1
        try:
            answer = await self.peer(peer).call(method, timeout=within_s, returns=returns, **arguments)
        except WireError as error:
            self.peers[peer] = "failing"
            raise await self._failed(error) from error
        self.peers[peer] = "ok"
        return answer

    @overload
    async def forward_request(
        self, peer: str, method: str, /, *, returns: type[T], within_s: float = ..., **arguments: Any
    ) -> T: ...
    @overload
    async def forward_request(
        self, peer: str, method: str, /, *, returns: Any, within_s: float = ..., **arguments: Any
    ) -> Any: ...
    async def forward_request(
        self,
        peer: str,
        method: str,
        /,
        *,
        returns: Any,
        within_s: float = REQUEST_TIMEOUT_S,
        **arguments: Any,
    ) -> Any:
        """Call a `@hop` of another agent, record its hops, and return its result; raises as `ask`."""
        reply = await self.ask(peer, method, returns=ForwardedReply[returns], within_s=within_s, **arguments)
        _hops.get().extend(reply.hops)
        return reply.value

    async def _failed(self, error: WireError) -> HopError:
        """Return the error to raise; one that a later hop has already reported is passed on unchanged."""
        if isinstance(error, RemoteError) and error.code == HopError.code:
            return HopError(error.message)
        reason = f"{type(error).__name__}: {error.reason}"
        report = ErrorReport(self.name, error.peer, error.method, reason, self.trace)
        await self.publish(ERRORS, report)
        return HopError(
            f"`{error.peer}` did not answer `{self.name}`, which asked it to `{error.method}`: {reason}"
        )

    async def _register_until_acknowledged(self) -> None:
        wait_s = 1.0
        while True:
            try:
                await self.register()
                return
            except HopError:  # published; the other machine may be off for a long time
                await asyncio.sleep(wait_s)
                wait_s = min(60.0, 2 * wait_s)
