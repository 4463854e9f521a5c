"""What every agent of this fleet does besides its role: enrol, ask by name, leave a trace, tell errors.

An utterance is handled by many agents. Each stage is a `@hop`: its reply holds what it found and the
list of hops that it took, its own first, each with the correlation id that arrived there. A stage that
cannot go on because an agent it asked did not answer fails with `HopError`, which names that agent,
and the stages before it hand the same words on to whoever asked first.
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
M = TypeVar("M", bound="Member")

REGISTRY: Final = "ServiceRegistry"
TWIN: Final = "SystemDigitalTwin"
ENROLS_AT: Final = {"mainpc": TWIN, "pc2": REGISTRY}
ERRORS: Final = "errors"  # the topic that takes the place of an error bus

# A frozen peer is known after 1.5 s at most; a limit above that lets the error say so.
LEAF_S: Final = 2.0
# At the start of 84 processes on few processors an answer may have to wait for its turn.
GREETING_S: Final = 30.0


class Card(msgspec.Struct, frozen=True):
    """What an agent says of itself when it enrols."""

    name: str
    role: str
    machine: str
    pid: int


class ModelOptions(msgspec.Struct, frozen=True):
    """The options of a role that keeps a model on the GPU: its name and its size in GiB."""

    model: str
    gib: float


class Hop(msgspec.Struct, frozen=True):
    """One agent's part in a request: the correlation id that it got, and its time with all it asked."""

    agent: str
    trace: str
    ms: float


class Passed(msgspec.Struct, Generic[T], frozen=True):
    """What a stage found, and the agents that took part, in the order in which they were asked."""

    value: T
    hops: list[Hop]


class ErrorReport(msgspec.Struct, frozen=True):
    """A failure that an agent met and handled; `peer` is whom it had asked."""

    agent: str
    peer: str
    method: str
    reason: str
    trace: str


class RefusalError(Exception):
    """What was asked for is understood and cannot be done; the message says why."""

    code = "refused"


class HopError(Exception):
    """An agent on the way did not do its part; the message names it and who had asked it."""

    code = "hop-failed"


_hops: ContextVar[list[Hop]] = ContextVar("hops")


def hop(
    method: Callable[Concatenate[M, P], Awaitable[T]],
) -> Callable[Concatenate[M, P], Awaitable[Passed[T]]]:
    """Make a method a request handler whose reply tells the hops that it took."""

    @functools.wraps(method)
    async def measured(self: M, /, *args: P.args, **kwargs: P.kwargs) -> Passed[T]:
        began = time.perf_counter()
        trace = self.trace
        # Every request runs in a context of its own, so there is nothing to put back.
        hops: list[Hop] = []
        _hops.set(hops)
        value = await method(self, *args, **kwargs)
        ms = round((time.perf_counter() - began) * 1000, 3)
        return Passed(value, [Hop(self.name, trace, ms), *hops])

    return request(measured)


class Member(Agent):
    """An agent of this fleet; roles override `greet` and `facts`.

    machine: those of pc2 need nobody on mainpc, so they do not wait for the registry there.
    enrols_at: whom it tells that it is there; None for what its machine says, empty for nobody.
    """

    machine: ClassVar[str] = "mainpc"
    enrols_at: ClassVar[str | None] = None

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.peers: dict[str, str] = {}
        self._enrolling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Enrol and greet; an agent of pc2 enrols in the background."""
        if self.machine == "mainpc":
            await self.introduce()
        else:
            self._enrolling = asyncio.create_task(self._enrol_until_heard())
        await self.greet()

    async def stop(self) -> None:
        """End the enrolment if it still goes on."""
        if self._enrolling:
            self._enrolling.cancel()

    async def introduce(self) -> None:
        """Tell where this agent runs; telling it again changes nothing."""
        at = ENROLS_AT[self.machine] if self.enrols_at is None else self.enrols_at
        if at:
            await self.meet(at, "enrol", card=self.card())

    async def greet(self) -> None:
        """Ask of each need what the role starts from; asked again now and then, so it must be repeatable."""

    def facts(self) -> dict[str, Any]:
        """Return what is worth knowing about the role's work."""
        return {}

    def card(self) -> Card:
        """Return what this agent enrols with."""
        return Card(self.name, type(self).__name__, self.machine, os.getpid())

    def health(self) -> Health:
        """Return the role's facts, whom this agent asked how often, and how each answered last."""
        facts = {"role": type(self).__name__, "asked": dict(self.asked), **self.facts()}
        return Health(facts=facts, needs=dict(self.peers))

    @request(short=True)
    def hello(self) -> Card:
        """Say who this is; the lightest request of all."""
        return self.card()

    @every("60s")
    async def remind(self) -> None:
        """Enrol and greet again: an agent that was started anew has forgotten who was there."""
        try:
            await self.introduce()
            await self.greet()
        except HopError:
            return  # `ask` has told the errors topic, and the next minute comes

    async def meet(self, peer: str, method: str = "hello", /, **arguments: Any) -> Any:
        """Ask at the start, when an answer may take long; raises as `ask`."""
        return await self.ask(peer, method, within_s=GREETING_S, **arguments)

    async def announce_kind(self, kind: str) -> None:
        """Tell the coordinator that this agent takes requests of a kind; raises as `ask`."""
        await self.meet("RequestCoordinator", "announce", kind=kind, agent=self.name)

    async def reserve_model(self) -> None:
        """Reserve GPU memory for the model that the options name; raises as `ask`."""
        model = self.options
        await self.meet("ModelManagerAgent", "reserve", model=model.model, gib=model.gib, holder=self.name)

    @overload
    async def ask(
        self, peer: str, method: str, /, *, returns: type[T], within_s: float = ..., **arguments: Any
    ) -> T: ...
    @overload
    async def ask(
        self, peer: str, method: str, /, *, returns: Any = ..., within_s: float = ..., **arguments: Any
    ) -> Any: ...
    async def ask(
        self, peer: str, method: str, /, *, returns: Any = Any, within_s: float = LEAF_S, **arguments: Any
    ) -> Any:
        """Ask another agent and return its answer, decoded as `returns`.

        Raises HopError: no answer within `within_s`, or the answer is an error; the errors topic knows.
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
    async def pass_on(
        self, peer: str, method: str, /, *, returns: type[T], within_s: float = ..., **arguments: Any
    ) -> T: ...
    @overload
    async def pass_on(
        self, peer: str, method: str, /, *, returns: Any, within_s: float = ..., **arguments: Any
    ) -> Any: ...
    async def pass_on(
        self, peer: str, method: str, /, *, returns: Any, within_s: float = LEAF_S, **arguments: Any
    ) -> Any:
        """Ask a `@hop` of another agent, note its hops, and return what it found; raises as `ask`."""
        passed = await self.ask(peer, method, returns=Passed[returns], within_s=within_s, **arguments)
        _hops.get().extend(passed.hops)
        return passed.value

    async def _failed(self, error: WireError) -> HopError:
        """Return the error to raise; one that a later hop has told already is handed on as it is."""
        if isinstance(error, RemoteError) and error.code == HopError.code:
            return HopError(error.message)
        reason = f"{type(error).__name__}: {error.reason}"
        report = ErrorReport(self.name, error.peer, error.method, reason, self.trace)
        await self.publish(ERRORS, report)
        return HopError(
            f"`{error.peer}` did not answer `{self.name}`, which asked it to `{error.method}`: {reason}"
        )

    async def _enrol_until_heard(self) -> None:
        wait_s = 1.0
        while True:
            try:
                await self.introduce()
                return
            except HopError:  # told on the errors topic; the other machine may be off for long
                await asyncio.sleep(wait_s)
                wait_s = min(60.0, 2 * wait_s)
