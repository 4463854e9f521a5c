"""The door of a supervisor: where the supervisors of other machines listen to it and ask things of it.

A ROUTER that lets the fleet's keys in and nobody else; who speaks is known by the key, not by what it
says. A caller that was silent for long is forgotten, and dials again when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec
import zmq

from argosy.engine.linkframes import (
    LINK_PROTOCOL,
    Ask,
    Beat,
    Denied,
    Figures,
    Forget,
    Frame,
    Leaving,
    News,
    Snapshot,
    Told,
    Watch,
    decode_from_dialler,
    encode_frame,
)
from argosy.engine.messages import Refused, Relay, decode_request, encode_line
from argosy.fault import Fault
from argosy.wire.admission import Admission
from argosy.wire.binding import bind
from argosy.wire.keys import Keyring
from argosy.wire.lease import shared_context
from argosy.wire.monitor import has_input
from argosy.wire.reactor import LoopReactor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from argosy.engine.control import Asker
    from argosy.engine.linkplan import LinkPlan
    from argosy.engine.messages import AgentStatus, Message, Request

BEAT_S: Final = 0.5
FIGURES_EVERY_S: Final = 5.0
FORGOTTEN_AFTER_S: Final = 5.0
_MOST_UNSENT: Final = 50_000  # messages to one caller; one that reads no more is forgotten
_LARGEST_BYTES: Final = 64 * 2**20
_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

_log = logging.getLogger("argosy.engine")


class LinkSession:
    """A request's way back to the machine that asked it. pid: unknown, it is another machine's."""

    pid = 0

    def __init__(self, door: LinkDoor, identity: bytes, machine: str, number: int) -> None:
        self.client = f"`{machine}`"
        self.origin = machine
        self.is_subscribed = self.is_gone = False
        self._door = door
        self._identity = identity
        self._number = number

    def send(self, message: Message) -> None:
        """Send a message; one to a machine that has gone is dropped."""
        self._door.send(self._identity, Told(number=self._number, line=encode_line(message)))


class _Caller:
    """A machine that listens. relays: what runs for it alone, by its numbers."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.heard_at = 0.0
        self.is_watching = False
        self.relays: dict[int, asyncio.Task[None]] = {}


class LinkDoor:
    """Tells the callers what this machine's agents are, and hands on what they ask.

    statuses, version: of this machine's agents, and of its tree. handle: answers a request.
    on_watch(machine): one has begun to listen.
    Raises RefusedError: the port is taken, or this machine has no key.
    """

    def __init__(
        self,
        plan: LinkPlan,
        epoch: int,
        loop: asyncio.AbstractEventLoop,
        statuses: Callable[[], dict[str, AgentStatus]],
        version: Callable[[], str],
        handle: Callable[[Asker, Request], Awaitable[None]],
        on_watch: Callable[[str], None],
    ) -> None:
        self._plan = plan
        self._loop = loop
        self._epoch = epoch
        self._number = 0
        self._statuses = statuses
        self._version = version
        self._handle = handle
        self._on_watch = on_watch
        self._callers: dict[bytes, _Caller] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        reactor = LoopReactor(loop)
        self._admission = Admission(
            f"supervisor of {plan.machine}", Keyring(plan.keys, [plan.machine]), reactor
        )
        self._socket: zmq.Socket[bytes] = shared_context().socket(zmq.ROUTER)
        self._socket.linger = 500  # a farewell may still leave
        self._socket.router_mandatory = True
        self._socket.router_handover = False
        self._socket.sndhwm = _MOST_UNSENT
        self._socket.rcvhwm = 0
        self._socket.maxmsgsize = _LARGEST_BYTES
        try:
            self._admission.guard(self._socket)
            bind(self._socket, f"supervisor of {plan.machine}", plan.door)
        except BaseException:
            self._admission.close()
            self._socket.close(0)
            raise
        self._fd: int = self._socket.fileno()
        loop.add_reader(self._fd, self._drain)
        self._beat_timer = loop.call_later(BEAT_S, self._beat)
        self._figures_timer = loop.call_later(FIGURES_EVERY_S, self._tell_figures)
        self._drain()

    def publish(self, agent: str, status: AgentStatus) -> None:
        """Tell all who listen of a transition."""
        self._number += 1
        self._broadcast(News(epoch=self._epoch, number=self._number, agent=agent, status=status))

    def send(self, identity: bytes, frame: Frame) -> None:
        """Send a frame to one caller; forget it when it takes no more."""
        if identity not in self._callers or self._socket.closed:
            return
        try:
            self._socket.send(identity, _MORE)
            self._socket.send(encode_frame(frame), _NOBLOCK)
        except zmq.ZMQError:  # it has gone, or has not read for so long
            self._forget(identity)
        self._loop.call_soon(self._drain)  # the descriptor tells of changes since the last look only

    def close(self, running: int) -> None:
        """Say farewell and close. running: agents that run on."""
        self._broadcast(Leaving(running=running))
        for identity in list(self._callers):
            self._forget(identity)
        self._beat_timer.cancel()
        self._figures_timer.cancel()
        self._loop.remove_reader(self._fd)
        self._admission.close()
        self._socket.close()

    def _broadcast(self, frame: Frame) -> None:
        for identity in [identity for identity, caller in self._callers.items() if caller.is_watching]:
            self.send(identity, frame)

    def _beat(self) -> None:
        self._drain()
        now = self._loop.time()
        for identity, caller in list(self._callers.items()):
            if now - caller.heard_at > FORGOTTEN_AFTER_S:
                self._forget(identity)
        self._broadcast(Beat())
        self._beat_timer = self._loop.call_later(BEAT_S, self._beat)

    def _tell_figures(self) -> None:
        agents = {
            name: (status.rss_bytes, status.pss_bytes or 0, status.sampled_s or 0.0)
            for name, status in self._statuses().items()
            if status.rss_bytes is not None
        }
        if self._callers:
            self._broadcast(Figures(agents=agents, version=self._version()))
        self._figures_timer = self._loop.call_later(FIGURES_EVERY_S, self._tell_figures)

    def _drain(self) -> None:
        while not self._socket.closed and has_input(self._socket):
            first = self._socket.recv(_NOBLOCK, copy=False)
            machine = str(first.get("User-Id"))
            parts = [first.bytes]
            more = first.more
            while more:
                part = self._socket.recv(_NOBLOCK, copy=False)
                parts.append(part.bytes)
                more = part.more
            if len(parts) == 2:
                self._take(parts[0], machine, parts[1])

    def _take(self, identity: bytes, machine: str, data: bytes) -> None:
        caller = self._callers.setdefault(identity, _Caller(machine))
        caller.heard_at = self._loop.time()
        try:
            frame = decode_from_dialler(data)
        except msgspec.DecodeError as error:
            _log.warning("`%s` sent what no supervisor sends: %s", machine, error)
            self.send(identity, Denied(reason=f"not understood: {error}"))
            return
        match frame:
            case Watch():
                self._welcome(identity, caller, frame)
            case Ask():
                self._begin(identity, caller, frame)
            case Forget():
                if task := caller.relays.get(frame.number):
                    task.cancel()
            case Beat():
                if not caller.is_watching:  # it was forgotten over a pause
                    self.send(identity, Denied(reason="it was silent for too long"))
                    self._callers.pop(identity, None)

    def _welcome(self, identity: bytes, caller: _Caller, watch: Watch) -> None:
        plan = self._plan
        wanted = (LINK_PROTOCOL, plan.fleet, plan.environment)
        found = (watch.protocol, watch.fleet, watch.environment)
        for what, mine, its in zip(("link protocol", "fleet", "environment"), wanted, found, strict=True):
            if mine != its:
                reason = f"`{plan.machine}` serves {what} `{mine}`, `{caller.machine}` `{its}`"
                self.send(identity, Denied(reason=reason))
                self._callers.pop(identity, None)
                return
        caller.is_watching = True
        self.send(
            identity,
            Snapshot(
                epoch=self._epoch,
                number=self._number,
                agents=self._statuses(),
                version=self._version(),
            ),
        )
        self._on_watch(caller.machine)

    def _begin(self, identity: bytes, caller: _Caller, ask: Ask) -> None:
        session = LinkSession(self, identity, caller.machine, ask.number)
        try:
            request = decode_request(ask.line)
        except msgspec.DecodeError as error:
            fault = Fault("", "protocol", f"`{self._plan.machine}` did not understand the request: {error}")
            session.send(Refused(faults=[fault]))
            self.send(identity, Told(number=ask.number, line=b""))
            return
        task = asyncio.ensure_future(self._handle(session, request))
        self._tasks.add(task)
        if isinstance(request, Relay):
            caller.relays[ask.number] = task

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            caller.relays.pop(ask.number, None)
            self.send(identity, Told(number=ask.number, line=b""))

        task.add_done_callback(ended)

    def _forget(self, identity: bytes) -> None:
        """Forget a caller. What it asked for goes on, but for what only it would read."""
        caller = self._callers.pop(identity, None)
        for task in caller.relays.values() if caller else ():
            task.cancel()
