"""Commands that run beside an agent, such as an exec probe, for a limited time.

The supervisor never forks. So an errand is an order without a lease: a session of its own, its
output in a pipe of which the end is kept, and killed with its group when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine import process
from argosy.engine.lease import new_incarnation
from argosy.engine.order import Order

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from argosy.engine.order import Birth, Exit

_KEPT_BYTES = 1 << 16


class Outcome(NamedTuple):
    """How a command ended. code: as a process has it; None when it never ran or had no time left."""

    code: int | None
    output: str
    trouble: str = ""

    def __str__(self) -> str:
        words = self.trouble or process.describe_exit(self.code)
        last = next((line.strip() for line in reversed(self.output.splitlines()) if line.strip()), "")
        return f"{words}: {last[:200]}" if last else words


class Errand:
    """One command under way. output: the descriptor that it writes to, closed by whoever it is given to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.ended: asyncio.Future[Outcome] = loop.create_future()
        self.pid = 0
        self._pidfd = -1
        self._kept = b""
        self._pipe, self.output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._pipe, False)
        loop.add_reader(self._pipe, self._hear)

    def _hear(self) -> None:
        """Keep the end of what it says; it must never wait for a full pipe."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._pipe, _KEPT_BYTES):
                self._kept = (self._kept + data)[-_KEPT_BYTES:]
            self._loop.remove_reader(self._pipe)

    def is_born(self, pid: int, pidfd: int) -> None:
        """Take note of its process; takes over the descriptor."""
        self.pid, self._pidfd = pid, pidfd

    def has_ended(self, status: int) -> None:
        """Take its wait status."""
        self._hear()
        self._settle(Outcome(process.exit_code(status), self.said()))

    def fail(self, trouble: str) -> None:
        """End it without a process."""
        self._settle(Outcome(None, "", trouble))

    def _settle(self, outcome: Outcome) -> None:
        if not self.ended.done():
            self.ended.set_result(outcome)

    def said(self) -> str:
        """Return the end of what it has printed."""
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        """Kill what is left of it, and let go."""
        if self._pidfd >= 0:
            if not self.ended.done():
                process.kill_group(self._pidfd)
            os.close(self._pidfd)
        self._loop.remove_reader(self._pipe)
        os.close(self._pipe)


class Errands:
    """All commands under way. send(order, output): has it forked; returns False when that cannot be."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[Order, int], bool]) -> None:
        self._loop = loop
        self._send = send
        self._unborn: dict[int, Errand] = {}
        self._running: dict[int, Errand] = {}

    async def run(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, within_s: float) -> Outcome:
        """Run a command to its end, or to the end of its time; a cancelled one is killed."""
        errand = Errand(self._loop)
        number = new_incarnation()
        self._unborn[number] = errand
        try:
            if not self._send(_order_of(number, argv, env, cwd), errand.output):
                return Outcome(None, "", "could not be run, there is no forker")
            async with asyncio.timeout(within_s):
                return await asyncio.shield(errand.ended)
        except TimeoutError:
            return Outcome(None, errand.said(), f"had not ended after {within_s:.0f} s")
        finally:
            self._unborn.pop(number, None)
            self._running.pop(errand.pid, None)
            errand.close()

    def take_birth(self, birth: Birth, pidfd: int) -> bool:
        """Return whether it is one of these that was born; takes over the descriptor then."""
        errand = self._unborn.pop(birth.incarnation, None)
        if errand is not None:
            errand.is_born(birth.pid, pidfd)
            self._running[birth.pid] = errand
        return errand is not None

    def take_no_birth(self, incarnation: int, reason: str) -> None:
        """One of these, perhaps, could not be forked."""
        errand = self._unborn.pop(incarnation, None)
        if errand is not None:
            errand.fail(f"could not be run: {reason}")

    def take_exit(self, end: Exit) -> bool:
        """Return whether it was one of these that ended."""
        errand = self._running.pop(end.pid, None)
        if errand is not None:
            errand.has_ended(end.status)
        return errand is not None

    def forker_lost(self) -> None:
        """What it had not borne will not come."""
        for number in list(self._unborn):
            self.take_no_birth(number, "the forker died")


def _order_of(number: int, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> Order:
    return Order(
        name=argv[0],
        incarnation=number,
        generation=0,
        lease="",
        generation_file="",
        argv=list(argv),
        env=dict(env),
        cwd=cwd,
    )
