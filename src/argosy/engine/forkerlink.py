"""The supervisor's end of a forker: starts it, sends orders, hears of births and exits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from argosy.engine.order import (
    LARGEST_MESSAGE,
    Birth,
    Declined,
    Exit,
    ForkerEvent,
    NoBirth,
    Order,
    Warm,
    send_order,
    unpack_event,
)
from argosy.engine.timers import Timers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping, Sequence

_SOURCE = str(Path(__file__).resolve().parents[2])
_PAUSE_S = 0.05
# Somebody who stops one for a moment, to look at it, may go on.
_STOPPED_S = 1.0
# A fork takes milliseconds; one that tells nothing for so long while it was asked, hangs.
_SILENT_S = 3.0
# Before its first word it also has an interpreter to start, which takes a crowded machine its time.
_UNHEARD_S = 30.0
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from argosy.engine.forker import main; main()"


# No site-packages, no user settings: such an interpreter starts in 10 ms and forks in 1 ms.
BARE = ("-I", "-S", "-c", _CODE)


class Listener(Protocol):
    """Who is told what a forker does; called from the loop."""

    def on_birth(self, birth: Birth, pidfd: int) -> None:
        """A child was forked; takes over the descriptor."""

    def on_no_birth(self, failure: NoBirth) -> None:
        """A child could not be forked."""

    def on_exit(self, end: Exit) -> None:
        """A child has ended."""

    def on_word(self, word: Warm | Declined) -> None:
        """A zygote has said something."""

    def on_forker_lost(self, why: str) -> None:
        """The forker has died, or was ended for the reason `why`; it is closed and reaped."""


class ForkerLink:
    """One forker process.

    words: the interpreter's options and program; where argosy is and the channel's number are added.
    env: its variables, default this process's. handed: more descriptors, their numbers added too.
    Raises OSError: it cannot be started.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: Listener,
        words: Sequence[str] = BARE,
        env: Mapping[str, str] | None = None,
        handed: Sequence[int] = (),
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._unsent: deque[tuple[Order, int]] = deque()
        self._unanswered: set[int] = set()
        self._heard_at = 0.0
        self._has_spoken = False
        self._timers = Timers(loop)
        self._why = ""
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        with theirs:
            descriptors = [*handed, theirs.fileno()]
            self._process = subprocess.Popen(
                [sys.executable, *words, _SOURCE, *map(str, descriptors)],
                env=env,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=descriptors,
            )
        loop.add_reader(self._channel.fileno(), self.drain)

    @property
    def pid(self) -> int:
        """The forker's process number."""
        return self._process.pid

    def send(self, order: Order, output: int) -> None:
        """Have an agent forked; takes over the descriptor `output`."""
        self._unsent.append((order, output))
        if not self._unanswered:
            self._heard_at = self._loop.time()
            self._timers.arm("silent", self._patience_s(), self._judge_silence)
        self._unanswered.add(order.incarnation)
        self._flush()

    def _flush(self) -> None:
        if self._channel.fileno() < 0:
            return
        self._loop.remove_writer(self._channel.fileno())
        while self._unsent:
            order, output = self._unsent[0]
            try:
                send_order(self._channel, order, output)
            except BlockingIOError:
                self._loop.add_writer(self._channel.fileno(), self._flush)
                return
            except (BrokenPipeError, ConnectionResetError):
                return  # the reader sees the end and tells of it
            except OSError:  # too many descriptors here or on their way (ETOOMANYREFS): fewer in a while
                self._loop.call_later(_PAUSE_S, self._flush)
                return
            os.close(output)
            self._unsent.popleft()

    def drain(self) -> None:
        """Take every report that waits.

        Also called before a notify message or an exit is judged, so that no pid is unknown then: a
        birth is reported before the child's first instruction.
        """
        while self._channel.fileno() >= 0:
            try:
                data, descriptors, _, _ = socket.recv_fds(
                    self._channel, LARGEST_MESSAGE, 1, socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                return
            except ConnectionResetError:
                data, descriptors = b"", []
            if not data:
                self._lose("ended")
                return
            self._tell(unpack_event(data), descriptors)

    def look(self) -> None:
        """Find out whether it has ended or was stopped; called when a child of this process has changed.

        Its end shows here also while a child that has not got far holds its end of the channel.
        """
        if self._channel.fileno() < 0:
            return
        options = os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT
        found = os.waitid(os.P_PID, self.pid, options)
        if found is None:
            return
        if found.si_code == os.CLD_STOPPED:
            self._timers.arm("stopped", _STOPPED_S, self._judge_stop)
        else:
            self._hear_all_and_lose("ended")

    def _judge_stop(self) -> None:
        """End it when it is stopped still: what it bears is told to nobody, what it is asked waits."""
        found = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
        if found is not None:
            self.end(f"was stopped for {_STOPPED_S:.0f} s")

    def _judge_silence(self) -> None:
        """End it when it answers no more. What waits is heard first: this process may have been stalled."""
        self.drain()
        if self._channel.fileno() < 0 or not self._unanswered:
            return
        patience_s = self._patience_s()
        left_s = self._heard_at + patience_s - self._loop.time()
        if left_s > 0:
            self._timers.arm("silent", left_s, self._judge_silence)
        else:
            self.end(f"told nothing for {patience_s:.0f} s")

    def _patience_s(self) -> float:
        return _SILENT_S if self._has_spoken else _UNHEARD_S

    def end(self, why: str) -> None:
        """Kill it; what it bore falls to this process."""
        self._process.kill()
        self._process.wait()
        self._hear_all_and_lose(why)

    def _hear_all_and_lose(self, why: str) -> None:
        self._why = why
        self.drain()
        if self._channel.fileno() >= 0:
            self._lose(why)

    def _lose(self, why: str) -> None:
        self.close()
        self._listener.on_forker_lost(self._why or why)

    def _tell(self, event: ForkerEvent, descriptors: list[int]) -> None:
        self._heard_at = self._loop.time()
        self._has_spoken = True
        if isinstance(event, Birth | NoBirth | Declined):
            self._unanswered.discard(event.incarnation)
        if isinstance(event, Birth):
            self._listener.on_birth(event, descriptors[0])
        elif isinstance(event, Exit):
            self._listener.on_exit(event)
        elif isinstance(event, NoBirth):
            self._listener.on_no_birth(event)
        else:
            self._listener.on_word(event)

    def close(self) -> None:
        """Close the channel and end the forker, whatever it does; what it bore runs on.

        A child of it that was not let go yet ends with it.
        """
        if self._channel.fileno() < 0:
            return
        self._loop.remove_reader(self._channel.fileno())
        self._loop.remove_writer(self._channel.fileno())
        self._timers.clear()
        self._channel.close()
        for _, output in self._unsent:
            os.close(output)
        self._unsent.clear()
        self._process.kill()
        self._process.wait()
