"""The client of a supervisor: connects, starts one where there is none, speaks the control protocol."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
from typing import TYPE_CHECKING

from argosy.engine.detached import begin, end
from argosy.engine.generation import is_at
from argosy.engine.messages import (
    HELD,
    PROTOCOL,
    READY,
    Answer,
    Farewell,
    Hello,
    Message,
    Refused,
    Report,
    Status,
    Welcome,
    decode_answer,
    encode_line,
)
from argosy.engine.ownlog import turn_over
from argosy.engine.process import describe_exit
from argosy.fault import ArgosyError, Fault, InputError, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from argosy.engine.folder import Folder

_ERRORS = {1: RefusedError, 2: InputError, 3: MissingError}
_ANSWER_WITHIN_S = 30.0


class SupervisorLostError(RefusedError):
    """The supervisor died while it was asked."""

    def __init__(self, words: str = "the supervisor ended while it was asked; the agents run on") -> None:
        hint = "`argosy up` starts a new one, which adopts what runs"
        super().__init__(Fault("", "supervisor-lost", words, hint))


class SupervisorLeftError(SupervisorLostError):
    """The supervisor ended on purpose. running: agents that run on."""

    def __init__(self, running: int) -> None:
        super().__init__(f"the supervisor was told to end; {running} agents run on")
        self.running = running


class SupervisorSilentError(RefusedError):
    """The supervisor is there and does not answer."""

    def __init__(self, within_s: float) -> None:
        words = f"the supervisor has not answered for {within_s:.0f} s (it is stopped, or overloaded)"
        super().__init__(Fault("", "supervisor-silent", words, "`ps -C argosy` shows it; the agents run on"))


class Client:
    """A connection to the supervisor, blocking. Use as a context manager."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self._channel = channel
        self._buffer = bytearray()
        self._channel.settimeout(_ANSWER_WITHIN_S)
        self.welcome = self._greet(name)
        try:
            self._process = os.pidfd_open(self.welcome.pid)
        except ProcessLookupError as error:
            raise SupervisorLostError from error

    def _greet(self, name: str) -> Welcome:
        answer = self.ask(Hello(protocol=PROTOCOL, client=name))
        if not isinstance(answer, Welcome):
            raise SupervisorLostError
        return answer

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        os.close(self._process)

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self._channel.fileno()

    def send(self, request: Message) -> None:
        """Send a request.

        Raises SupervisorLostError: nobody is there any more.
        """
        try:
            self._channel.sendall(encode_line(request))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SupervisorLostError from error

    def ask(self, request: Message) -> Answer:
        """Send a request and return the first answer.

        Raises the error that the supervisor refuses with, SupervisorLostError or SupervisorSilentError.
        """
        self.send(request)
        return self._next()

    def _next(self) -> Answer:
        try:
            return self.receive(_ANSWER_WITHIN_S)
        except TimeoutError as error:
            raise SupervisorSilentError(_ANSWER_WITHIN_S) from error

    def report(self) -> Report:
        """Return the fleet as it is; what else was under way here is passed over. Raises as `ask`."""
        answer = self.ask(Status())
        while not isinstance(answer, Report):  # as the answer to a second Ctrl-C
            answer = self._next()
        return answer

    def receive(self, timeout_s: float | None) -> Answer:
        """Return the next message; None waits for ever.

        Raises TimeoutError, the error that the supervisor refuses with, SupervisorLostError, or, when it
        ends on purpose, SupervisorLeftError.
        """
        self._channel.settimeout(timeout_s)
        while b"\n" not in self._buffer:
            try:
                data = self._channel.recv(65536)
            except ConnectionResetError as error:
                raise SupervisorLostError from error
            if not data:
                raise SupervisorLostError
            self._buffer += data
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        answer = decode_answer(bytes(line))
        if isinstance(answer, Refused):
            raise _error_of(answer)
        if isinstance(answer, Farewell):
            raise SupervisorLeftError(answer.running)
        return answer

    def stream(self) -> Iterator[Answer]:
        """Yield messages for as long as they come.

        Raises SupervisorLostError: the supervisor ended, SupervisorLeftError: on purpose.
        """
        while True:
            yield self.receive(None)

    def await_end(self, within_s: float) -> bool:
        """Return whether the supervisor's process has ended by then, and its forker's before it."""
        poll = select.poll()
        poll.register(self._process, select.POLLIN)
        return bool(poll.poll(within_s * 1000))


def connect(folder: Folder, name: str) -> Client | None:
    """Return a client of the running supervisor, or None when there is none."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        channel.connect(str(folder.control))
    except (FileNotFoundError, ConnectionRefusedError):
        channel.close()
        return None
    try:
        return Client(channel, name)
    except SupervisorLostError:
        channel.close()
        return None  # it was on its way out
    except BaseException:
        channel.close()
        raise


def connect_running(folder: Folder, name: str, fleet: object) -> Client:
    """Return a client of the supervisor that runs. fleet: what messages call it, its file.

    Raises RefusedError: there is none.
    """
    client = connect(folder, name)
    if client is None:
        message = "this fleet is not running"
        raise RefusedError(Fault(str(fleet), "not-running", message, "`argosy up -d`"))
    return client


def connect_or_start(fleet_path: Path, fleet_name: str, folder: Folder, name: str) -> Client:
    """Return a client of the supervisor, started first where there is none.

    Raises RefusedError or MissingError: it could not be started; SupervisorLostError: it was killed over it.
    """
    client = connect(folder, name)
    if client is not None:
        return client
    try:
        with _spawn_lock(folder):
            client = connect(folder, name)
            if client is None:
                client = _connect_to_new(fleet_path, fleet_name, folder, name)
    except OSError as error:
        words = f"the supervisor cannot be started: {error.strerror}"
        raise RefusedError(Fault(error.filename or str(folder.state), "state-folder", words)) from error
    if client is None:
        raise SupervisorLostError
    return client


def _connect_to_new(fleet_path: Path, fleet_name: str, folder: Folder, name: str) -> Client | None:
    """Start a supervisor and connect to it, or to the one that was faster: its client died over the start."""
    try:
        _start_supervisor(fleet_path, fleet_name, folder)
    except RefusedError as error:
        client = connect(folder, name) if error.faults[0].code == HELD else None
        if client is None:
            raise
        return client
    return connect(folder, name)


@contextlib.contextmanager
def _spawn_lock(folder: Folder) -> Iterator[None]:
    """Let one client at a time start a supervisor."""
    while True:
        folder.make()
        with open(folder.spawn_lock, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if is_at(folder.spawn_lock, file.fileno()):  # else `argosy clean` has removed it meanwhile
                yield
                return


def _start_supervisor(fleet_path: Path, fleet_name: str, folder: Folder) -> None:
    """Start a supervisor in a session of its own and wait until it has adopted what runs."""
    turn_over(folder.supervisor_log)
    ready, ready_in = os.pipe()
    try:
        with open(folder.supervisor_log, "ab") as log:
            pid = begin([str(fleet_path), fleet_name, str(ready_in)], ready_in, log.fileno())
    finally:
        os.close(ready_in)
    try:
        with open(ready, "rb") as file:
            told = file.read()
    except KeyboardInterrupt:
        end(pid)
        raise
    if told == READY:
        return  # it runs on without this parent
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if told:
        answer = decode_answer(told)
        assert isinstance(answer, Refused), "a supervisor that cannot start says why"
        raise _error_of(answer)
    if code < 0:  # somebody killed it, and may not do so again
        raise SupervisorLostError(
            f"the supervisor {describe_exit(code)} before it was ready; the agents run on"
        )
    raise RefusedError(
        Fault(
            str(folder.supervisor_log),
            "supervisor",
            f"the supervisor ended with code {code} before it was ready",
            f"its last words are in `{folder.supervisor_log}`",
        )
    )


def _error_of(refused: Refused) -> ArgosyError:
    return _ERRORS.get(refused.exit_code, ArgosyError)(*refused.faults)
