"""What a supervisor hears from one other machine: a lane to its door, dialled again whenever it ends.

A lane that is silent for `SILENCE_S` has ended. The silence is judged after all that has arrived was
read, and a pause of this process itself is no silence of the other.
"""

from __future__ import annotations

import asyncio
import time
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
    decode_from_door,
    encode_frame,
)
from argosy.engine.linklost import LinkLostError
from argosy.engine.messages import Answer, decode_answer, encode_line
from argosy.fault import ArgosyError
from argosy.wire.keys import Keyring
from argosy.wire.lane import Lane

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from argosy.engine.linkplan import LinkPlan
    from argosy.engine.messages import Message

BEAT_S: Final = 0.5
SILENCE_S: Final = 2.0
LOST_AFTER_S: Final = 10.0
_DIAL_WITHIN_S: Final = 2.0
_PAUSE_S: Final = 0.5


class LinkDial:
    """One machine as this one sees it.

    since_s: epoch seconds of the last change between linked and blind. reason: why it is blind.
    version: of its tree, as it was told last.
    on_frame: gets each frame about its agents. on_sight: called when it is linked, blind, or lost.
    """

    def __init__(
        self,
        plan: LinkPlan,
        machine: str,
        loop: asyncio.AbstractEventLoop,
        on_frame: Callable[[LinkDial, Snapshot | News | Figures], None],
        on_sight: Callable[[LinkDial], None],
    ) -> None:
        self.machine = machine
        self.is_linked = False
        self.since_s: float = time.time()
        self.reason = "not answered yet"
        self.version = ""
        self._gone = ""
        self.epoch = self.number = -1
        self._plan = plan
        self._endpoint = plan.peers[machine]
        self._loop = loop
        self._on_frame = on_frame
        self._on_sight = on_sight
        self._lane: Lane | None = None
        self._heard_at = self._dialled_at = loop.time()
        self._lost_at = loop.time() + LOST_AFTER_S
        self._asked: dict[int, asyncio.Queue[bytes | None]] = {}
        self._numbers = 0
        self._timer = loop.call_soon(self._dial)
        self._lost_timer = loop.call_at(self._lost_at, self._look_lost)

    # ---- what is known

    @property
    def is_lost(self) -> bool:
        """Whether it is not seen, and was waited for long enough since it was wanted last."""
        return not self.is_linked and self._loop.time() >= self._lost_at

    @property
    def is_gone(self) -> bool:
        """Whether it is not seen, and somebody who knows says that it is gone."""
        return bool(self._gone) and not self.is_linked

    def condemn(self, reason: str) -> None:
        """Take it for gone for as long as it is not seen."""
        self._gone = reason

    @property
    def words(self) -> str:
        """Why its agents are not what they should be, and what to do."""
        if self.is_gone:
            return f"machine `{self.machine}` is gone: {self._gone}"
        since = time.strftime("%H:%M:%S", time.localtime(self.since_s))
        return (
            f"machine `{self.machine}` has not been seen at {self._endpoint} since {since} ({self.reason}); "
            f"`argosy serve --machine {self.machine}` there lets it be reached"
        )

    def want(self, within_s: float = LOST_AFTER_S) -> None:
        """Begin to wait for it anew: it is lost when it is not seen by then."""
        self._lost_at = self._loop.time() + within_s
        self._lost_timer.cancel()
        self._lost_timer = self._loop.call_at(self._lost_at, self._look_lost)
        if not self.is_linked:
            self.hurry()

    async def found(self) -> bool:
        """Return whether it is linked, once it is or is lost."""
        while not self.is_linked and not self.is_lost:
            await asyncio.sleep(0.02)
        return self.is_linked

    def hurry(self) -> None:
        """Dial at once: it has just been heard of."""
        if not self.is_linked and self._loop.time() - self._dialled_at > 0.05:
            self._timer.cancel()
            self._dial()

    # ---- asking

    async def ask(self, request: Message) -> AsyncIterator[Answer]:
        """Send a request and yield its answers to the last.

        Raises LinkLostError: the machine went out of sight first; whether it was carried out is not known.
        """
        if not self.is_linked:
            raise LinkLostError(self.machine, self.reason)
        self._numbers += 1
        number = self._numbers
        queue = self._asked[number] = asyncio.Queue()
        self._send(Ask(number=number, line=encode_line(request)))
        is_over = False
        try:
            while (line := await queue.get()) != b"":
                if line is None:
                    raise LinkLostError(self.machine, self.reason)
                yield decode_answer(line)
            is_over = True
        finally:
            self._asked.pop(number, None)
            if not is_over and self.is_linked:
                self._send(Forget(number=number))

    # ---- the lane

    def _dial(self) -> None:
        self._close_lane()
        self._dialled_at = self._heard_at = self._loop.time()
        keyring = Keyring(self._plan.keys, [self._plan.machine])
        try:
            lane = self._lane = Lane(self._endpoint, lambda socket, _: keyring.use(socket, self.machine))
        except (ArgosyError, zmq.ZMQError) as error:
            self.reason = str(error.faults[0].message if isinstance(error, ArgosyError) else error)
            self._timer = self._loop.call_later(_DIAL_WITHIN_S, self._dial)
            return
        self._loop.add_reader(lane.fd, self._drain)
        self._loop.add_reader(lane.monitor_fd, self._look_at_end)
        plan = self._plan
        self._send(Watch(protocol=LINK_PROTOCOL, fleet=plan.fleet, environment=plan.environment))
        self._timer = self._loop.call_later(_DIAL_WITHIN_S, self._dial)
        self._loop.call_soon(self._look_at_end)

    def _send(self, frame: Frame) -> None:
        if self._lane is not None:
            self._lane.send(encode_frame(frame))
            self._loop.call_soon(self._drain)  # the descriptor tells of changes since the last look only

    def _drain(self) -> None:
        lane = self._lane
        while lane is not None and lane is self._lane and (frames := lane.receive()) is not None:
            self._heard_at = self._loop.time()
            try:
                frame = decode_from_door(frames[0])
            except msgspec.DecodeError as error:
                self._lose(f"it speaks another protocol: {error}")
                return
            self._take(frame)

    def _take(self, frame: object) -> None:
        match frame:
            case Snapshot():
                self._begin(frame)
            case News() if (frame.epoch, frame.number) == (self.epoch, self.number + 1):
                self.number = frame.number
                self._on_frame(self, frame)
            case News():
                plan = self._plan
                self._send(Watch(protocol=LINK_PROTOCOL, fleet=plan.fleet, environment=plan.environment))
            case Figures():
                self._on_frame(self, frame)
            case Told():
                if queue := self._asked.get(frame.number):
                    queue.put_nowait(frame.line)
            case Denied():
                self._lose(frame.reason)
            case Leaving():
                self._lose(f"its supervisor was told to end; {frame.running} agents run on")

    def _begin(self, snapshot: Snapshot) -> None:
        """Take all that it has; from here on it is linked."""
        self.epoch, self.number = snapshot.epoch, snapshot.number
        is_new = not self.is_linked
        if is_new:
            self.is_linked, self.since_s, self.reason, self._gone = True, time.time(), "", ""
            self._timer.cancel()
        self._on_frame(self, snapshot)
        if is_new:
            self._on_sight(self)
            # In a turn of its own: it reads on, and what follows the snapshot must not overtake it.
            self._timer = self._loop.call_soon(self._beat)

    def _look_at_end(self) -> None:
        lane = self._lane
        if lane is not None and (why := lane.ending()):
            self._drain()  # what came before the end
            if lane is self._lane:
                self._lose(why)

    def _beat(self) -> None:
        """Send a beat, and judge the other's silence: after reading, and not after a pause of one's own."""
        now = self._loop.time()
        self._drain()
        if not self.is_linked:
            return
        self._send(Beat())
        silence_s = now - self._heard_at
        if silence_s >= SILENCE_S:
            self._lose(f"silent for {silence_s:.1f} s")
            return
        due_s = min(BEAT_S, max(0.01, SILENCE_S - silence_s))
        self._timer = self._loop.call_later(due_s, self._beat_after, now + due_s)

    def _beat_after(self, due: float) -> None:
        if self._loop.time() - due > BEAT_S:
            self._heard_at = self._loop.time() - BEAT_S  # this process itself was stopped
        self._beat()

    def _lose(self, reason: str) -> None:
        self._close_lane()
        if self.is_linked or self.epoch < 0:
            self.reason = reason  # what the dials after it meet is no better known
        self._timer.cancel()
        self._timer = self._loop.call_later(_PAUSE_S, self._dial)
        if not self.is_linked:
            return
        self.is_linked, self.since_s = False, time.time()
        self.want()
        for queue in self._asked.values():
            queue.put_nowait(None)
        self._on_sight(self)

    def _look_lost(self) -> None:
        if self.is_lost:
            self._on_sight(self)

    def _close_lane(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            self._loop.remove_reader(lane.fd)
            self._loop.remove_reader(lane.monitor_fd)
            lane.close()

    def close(self) -> None:
        """Listen no more."""
        self._timer.cancel()
        self._lost_timer.cancel()
        self._close_lane()
        for queue in self._asked.values():
            queue.put_nowait(None)
