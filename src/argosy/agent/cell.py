"""A cell: several agents in one process, one loop and one ZeroMQ context.

`python -m argosy.agent.cell ROLL` carries those agents of a roll (see `roll`) that it is called to,
each with a life of its own: its ports, its health, its notify socket, its part of the output. Who
lives is decided by the supervisor; an agent whose life has ended is not begun again in this
process, since what it left in its modules is not known. An agent that fails ends the cell.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import faulthandler
import os
import signal
import socket
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Final, NoReturn

import zmq

from argosy.agent.agent import Agent
from argosy.agent.attribution import attribute_output, finish_output, speaker
from argosy.agent.life import Life
from argosy.agent.lookout import Holdup, Lookout
from argosy.agent.notify import Notifier
from argosy.agent.options import parse_options
from argosy.agent.roll import Seat, decode_call, read_roll
from argosy.agent.runner import complain, leave, load_class, loop_factory, words_of_syntax
from argosy.agent.settings import Settings, told_watchdog_s
from argosy.fault import ArgosyError, Fault, InputError
from argosy.wire.book import Directory
from argosy.wire.lease import release_shared, shared_context

LARGEST_CALL: Final = 1 << 18
# Without a watchdog a standstill is told in the log, and nothing follows from it.
_STANDSTILL_S: Final = 5.0


class Cell:
    """The agents of one roll in the running loop.

    path: of the roll; it is read again for an agent that joins later.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._roll = read_roll(path)
        self._directory = Directory(os.environ["ARGOSY_BOOK"])
        self._alive: frozenset[str] = frozenset()
        self._lives: dict[str, Life] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._over: set[str] = set()
        self._code = 0

    async def live(self) -> int:
        """Carry agents until told to stop, or until one fails; return the exit code."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        limit_s = told_watchdog_s()
        self._notifier = Notifier(self._roll.notify, limit_s)
        self._lookout = Lookout(limit_s / 2 if limit_s else _STANDSTILL_S, self._frozen, self._thawed)
        try:
            with _bound(self._roll.socket) as calls:
                self._loop.add_reader(calls, self._hear, calls)
                self._beat()
                self._look_alive()
                await self._stop.wait()
                self._loop.remove_reader(calls)
            await self._end_all()
        finally:
            self._lookout.close()
            self._notifier.close()
        return self._code

    # -- who lives --------------------------------------------------------------------------

    def _hear(self, calls: socket.socket) -> None:
        """Take the calls that wait; the last one counts."""
        call = None
        with contextlib.suppress(BlockingIOError):
            while True:
                call = decode_call(calls.recv(LARGEST_CALL)) or call
        if call is not None:
            self._follow(call.alive)

    def _follow(self, alive: Iterable[str]) -> None:
        """Begin the lives that are new, end those that are called no more."""
        names = tuple(alive)
        self._alive = frozenset(names)
        for name in names:
            if name in self._over:
                self._tell_over(name)
            elif name not in self._tasks:
                self._begin(name)
        for name in self._tasks.keys() - self._alive:
            if name in self._lives:
                self._lives[name].end()

    def _begin(self, name: str) -> None:
        own = contextvars.copy_context()
        own.run(speaker.set, name)
        self._tasks[name] = self._loop.create_task(self._carry(name), context=own)

    async def _carry(self, name: str) -> None:
        """Live one agent's life to its end; one that fails ends the cell."""
        code, why, is_flaw = 1, "", False
        try:
            life = self._life_of(name)
            self._lives[name] = life
            if name not in self._alive:
                life.end()
            code = await life.live(signals=())
            why = life.failure
        except ArgosyError as error:
            code, why = complain(error), error.faults[0].message
            is_flaw = code == InputError.exit_code
        except SyntaxError as error:
            traceback.print_exc()
            why, is_flaw = words_of_syntax(error), True
        except Exception as error:
            traceback.print_exc()
            why = f"could not be loaded: {type(error).__name__}: {error}"
        finally:
            self._over.add(name)
        if code and not self._stop.is_set():
            self._fail(code, f"`{name}` {why}", is_flaw=is_flaw)
        else:
            self._tell_over(name)

    def _life_of(self, name: str) -> Life:
        seat = self._seat(name)
        cls = load_class(seat.run)
        if not issubclass(cls, Agent):
            message = f"`{seat.run}` is an agent of the old kind, which has its process to itself"
            raise InputError(Fault(name, "old-agent", message, "take `cell` from it"))
        options, port = parse_options(cls.Options, seat.args)
        entry = self._directory.entry(name)
        if port is not None:
            raise InputError(Fault("--port", "cell-port", "in a cell the port is the fleet file's"))
        book = self._directory.book
        settings = Settings(name, book.fleet, book.environment, entry, self._directory, seat.notify)
        return Life(cls, settings, options)

    def _seat(self, name: str) -> Seat:
        if name not in self._roll.seats:
            self._roll = read_roll(self._path)
        if name not in self._roll.seats:
            message = f"the roll of the cell has no agent `{name}`"
            raise InputError(Fault(self._path, "no-seat", message))
        return self._roll.seats[name]

    # -- its end ----------------------------------------------------------------------------

    def _fail(self, code: int, why: str, *, is_flaw: bool) -> None:
        """End the cell. is_flaw: the next one would end alike."""
        self._code = code
        if is_flaw:
            self._notifier.flawed(why)
        else:
            self._notifier.say(b"STATUS=" + why.replace("\n", " ").encode())
        self._stop.set()

    async def _end_all(self) -> None:
        """End every life, each once those in this cell that need it have ended."""
        holders: dict[str, list[asyncio.Task[None]]] = {name: [] for name in self._tasks}
        agents = self._directory.book.agents
        for name, task in self._tasks.items():
            for need in agents[name].needs if name in agents else ():
                if need in holders:
                    holders[need].append(task)

        async def end(name: str) -> None:
            if holders[name]:
                await asyncio.wait(holders[name])
            if name in self._lives:
                self._lives[name].end()
            await asyncio.wait((self._tasks[name],))

        self._alive = frozenset()
        await asyncio.gather(*map(end, self._tasks))

    def _tell_over(self, name: str) -> None:
        """Say on the agent's own notify socket that its life in this process is over."""
        seat = self._roll.seats.get(name)
        if seat is not None:
            notifier = Notifier(seat.notify)
            notifier.say(b"X_ARGOSY_OVER=1")
            notifier.close()

    # -- its own life -----------------------------------------------------------------------

    def _beat(self) -> None:
        """Say that the loop turns; and once more whose life is over, should that have been lost."""
        self._notifier.beat(ready=True, health="ok")
        for name in self._over - self._alive:
            self._tell_over(name)
        self._loop.call_later(self._notifier.beat_s, self._beat)

    def _look_alive(self) -> None:
        self._lookout.beat()
        self._loop.call_later(self._lookout.beat_s, self._look_alive)

    def _frozen(self, holdup: Holdup, seconds: float) -> None:
        """Tell what holds the loop: to the supervisor, and with the stack in the log."""
        words = holdup.words(seconds)
        self._notifier.say(b"STATUS=" + words.encode())
        own = contextvars.copy_context()
        own.run(speaker.set, holdup.agent)
        own.run(sys.stderr.write, f"{words}\n{holdup.stack}")

    def _thawed(self, seconds: float) -> None:
        sys.stderr.write(f"the work loop turns again after {seconds:.1f} s\n")


@contextlib.contextmanager
def _bound(path: str) -> Iterator[socket.socket]:
    """Yield the socket for calls; the file of an earlier process is replaced."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as calls:
        calls.bind(path)
        os.chmod(path, 0o600)
        yield calls


def main(words: list[str]) -> NoReturn:
    """Run the cell whose roll is named; exits 0 after an ordered stop, else as the agent that failed."""
    attribute_output()
    # Asked for by the supervisor where the interpreter is held by C code and no thread can look.
    faulthandler.register(signal.SIGQUIT, file=sys.stderr.fileno())
    # Each agent has sockets of its own; the default is for 1023 of them.
    shared_context().set(zmq.MAX_SOCKETS, shared_context().get(zmq.SOCKET_LIMIT))
    try:
        _entitle(words[0])
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            code = runner.run(Cell(words[0]).live())
    except ArgosyError as error:
        code = complain(error)
    finally:
        release_shared()
        finish_output()
    leave(code)


def _entitle(path: str) -> None:
    import setproctitle  # noqa: PLC0415 - argosy's own, and not the light agent's

    setproctitle.setproctitle(f"argosy: cell {read_roll(path).cell}")


if __name__ == "__main__":
    main(sys.argv[1:])
