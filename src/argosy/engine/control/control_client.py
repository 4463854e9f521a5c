"""The client of a supervisor: connects, speaks the control protocol, and judges one that does not answer.

A supervisor answers from its one event loop, within milliseconds. It may be late while it computes or
waits for a processor or a disk; a stopped or idle one never answers.
"""

from __future__ import annotations

import os
import select
import socket
import time
from typing import TYPE_CHECKING

from argosy.engine.process.os_process import ProcStat, open_pid, pids_with_open_file, read_stat
from argosy.engine.protocol.messages import (
    PROTOCOL,
    ClientHello,
    ControlMessage,
    ControlReply,
    FleetStatus,
    GetStatus,
    Refused,
    ServerHello,
    ShuttingDown,
    decode_reply,
    encode_line,
)
from argosy.engine.state.runtime_sockets import peer_credentials
from argosy.fault import ArgosyError, Fault, InputError, MissingError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from argosy.engine.state.state_dir import StateDir


_ERRORS = {1: RefusedError, 2: InputError, 3: MissingError}
_BUSY_TIMEOUT_S = 30.0
_CONNECT_RETRY_S = 0.05


class SupervisorLostError(RefusedError):
    """The supervisor exited during a request."""

    def __init__(
        self, message: str = "the supervisor exited during the request; the agents keep running"
    ) -> None:
        hint = "`argosy up` starts a new supervisor, which adopts the running agents"
        super().__init__(Fault("", "supervisor-lost", message, hint))


class SupervisorStoppedError(SupervisorLostError):
    """The supervisor exited on purpose. running: the number of agents that keep running."""

    def __init__(self, running: int) -> None:
        super().__init__(f"the supervisor was told to exit; {running} agents keep running")
        self.running = running


class ControlClient:
    """A blocking connection to the supervisor. Use as a context manager."""

    def __init__(self, channel: socket.socket, name: str) -> None:
        self._channel = channel
        self._buffer = bytearray()
        self._pid = peer_credentials(channel)[0]
        self.welcome = self._handshake(name)
        pidfd = open_pid(self.welcome.pid)
        if pidfd is None:
            raise SupervisorLostError
        self._supervisor_pidfd = pidfd

    def _handshake(self, name: str) -> ServerHello:
        reply = self.request(ClientHello(protocol=PROTOCOL, client=name))
        if not isinstance(reply, ServerHello):
            raise SupervisorLostError
        return reply

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        os.close(self._supervisor_pidfd)

    def fileno(self) -> int:
        """Return the descriptor, for select."""
        return self._channel.fileno()

    def send(self, request: ControlMessage) -> None:
        """Send a request.

        Raises SupervisorLostError: the supervisor has exited. Raises SupervisorUnresponsiveError: it does not
        read.
        """
        self._channel.settimeout(_BUSY_TIMEOUT_S)
        try:
            self._channel.sendall(encode_line(request))
        except (BrokenPipeError, ConnectionResetError) as error:
            raise SupervisorLostError from error
        except TimeoutError as error:
            raise SupervisorUnresponsiveError(self._pid, _BUSY_TIMEOUT_S) from error

    def request(self, request: ControlMessage) -> ControlReply:
        """Send a request and return the first reply.

        Raises the error of the supervisor's refusal, SupervisorLostError or SupervisorUnresponsiveError.
        """
        self.send(request)
        return self._wait_reply()

    def _wait_reply(self) -> ControlReply:
        """Return the reply to a request that is answered at once; a busy supervisor may take longer."""
        progress, began = ProgressWatch(self._pid), time.monotonic()
        while True:
            try:
                return self.receive(SUPERVISOR_REPLY_TIMEOUT_S)
            except TimeoutError as error:
                waited_s = time.monotonic() - began
                if waited_s > _BUSY_TIMEOUT_S or not progress.is_busy():
                    raise SupervisorUnresponsiveError(self._pid, waited_s) from error

    def raise_if_stopped(self) -> None:
        """Raise SupervisorUnresponsiveError when the supervisor process is stopped, so waiting is useless."""
        if is_stopped(self._pid):
            raise SupervisorUnresponsiveError(self._pid, 0.0)

    def fetch_status(self) -> FleetStatus:
        """Return the state of the fleet; other pending replies are discarded. Raises as `request`."""
        reply = self.request(GetStatus())
        while not isinstance(reply, FleetStatus):  # as the answer to a second Ctrl-C
            reply = self._wait_reply()
        return reply

    def receive(self, timeout_s: float | None) -> ControlReply:
        """Return the next message; None waits for as long as the supervisor is not stopped.

        Raises TimeoutError, the error of the supervisor's refusal, SupervisorLostError,
        SupervisorStoppedError when it exits on purpose, and, without a time-out,
        SupervisorUnresponsiveError.
        """
        self._channel.settimeout(SUPERVISOR_REPLY_TIMEOUT_S if timeout_s is None else timeout_s)
        while b"\n" not in self._buffer:
            try:
                data = self._channel.recv(65536)
            except ConnectionResetError as error:
                raise SupervisorLostError from error
            except TimeoutError:
                if timeout_s is not None:
                    raise
                self.raise_if_stopped()
                continue
            if not data:
                raise SupervisorLostError
            self._buffer += data
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        reply = decode_reply(bytes(line))
        if isinstance(reply, Refused):
            raise error_of(reply)
        if isinstance(reply, ShuttingDown):
            raise SupervisorStoppedError(reply.running)
        return reply

    def stream(self) -> Iterator[ControlReply]:
        """Yield messages until the connection ends.

        Raises SupervisorLostError: the supervisor exited, SupervisorStoppedError: on purpose,
        SupervisorUnresponsiveError: it is stopped.
        """
        while True:
            yield self.receive(None)

    def wait_exit(self, timeout_s: float) -> bool:
        """Return whether the supervisor, and its forker before it, have exited in time."""
        poll = select.poll()
        poll.register(self._supervisor_pidfd, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


def connect(state_dir: StateDir, name: str) -> ControlClient | None:
    """Return a client of the running supervisor, or None when there is none.

    Raises SupervisorUnresponsiveError: it does not answer.
    """
    channel = _open_channel(state_dir)
    if channel is None:
        return None
    try:
        return ControlClient(channel, name)
    except SupervisorLostError:
        channel.close()
        return None  # it was exiting
    except BaseException:
        channel.close()
        raise


def _open_channel(state_dir: StateDir) -> socket.socket | None:
    """Return a connection to the control socket, or None when nobody listens there."""
    channel = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    channel.settimeout(SUPERVISOR_REPLY_TIMEOUT_S)
    until = time.monotonic() + SUPERVISOR_REPLY_TIMEOUT_S
    while True:
        try:
            channel.connect(str(state_dir.control_socket))
        except (FileNotFoundError, ConnectionRefusedError):
            channel.close()
            return None
        except BlockingIOError:  # its backlog is full
            if time.monotonic() < until:
                time.sleep(_CONNECT_RETRY_S)
                continue
            channel.close()
            pid = next(iter(pids_with_open_file(str(state_dir.supervisor_lock))), 0)
            raise SupervisorUnresponsiveError(pid, SUPERVISOR_REPLY_TIMEOUT_S) from None
        return channel


def connect_running(state_dir: StateDir, name: str, fleet: object) -> ControlClient:
    """Return a client of the running supervisor. fleet: the fleet's file, for messages.

    Raises RefusedError: there is none.
    """
    client = connect(state_dir, name)
    if client is None:
        message = "this fleet is not running"
        raise RefusedError(Fault(str(fleet), "not-running", message, "`argosy up -d`"))
    return client


def error_of(refused: Refused) -> ArgosyError:
    """Return the error that a refusal reports."""
    return _ERRORS.get(refused.exit_code, ArgosyError)(*refused.faults)


# The longest wait for a supervisor that is stopped or makes no progress.
SUPERVISOR_REPLY_TIMEOUT_S = 3.0
_STOPPED_STATES = "Tt"
_BUSY_STATES = "RD"
_RECHECK_DELAY_S = 0.3


class SupervisorUnresponsiveError(RefusedError):
    """The supervisor runs but does not answer. waited_s: how long it was waited for."""

    def __init__(self, pid: int, waited_s: float) -> None:
        stat = read_stat(pid)
        if stat is not None and stat.state in _STOPPED_STATES:
            detail = f"it is stopped: state {stat.state}"
            hint = f"`kill -CONT {pid}` resumes it; or `kill -9 {pid}`, "
        else:
            detail = f"no answer within {waited_s:.0f} s" + ("" if stat is None else f", state {stat.state}")
            hint = f"`kill -9 {pid}` ends it, "
        hint += "the agents keep running; then `argosy up` starts a new supervisor, which adopts them"
        message = f"supervisor pid {pid} does not answer ({detail})"
        super().__init__(Fault("", "supervisor-unresponsive", message, hint))


class ProgressWatch:
    """Tracks whether one supervisor makes progress after a request."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last_stat = read_stat(pid)

    def is_busy(self) -> bool:
        """Return whether it has used CPU since the last call, or is about to."""
        before, self._last_stat = self._last_stat, read_stat(self._pid)
        now = self._last_stat
        if now is None or now.state in _STOPPED_STATES:
            return False
        return now.state in _BUSY_STATES or before is None or now.cpu_ticks > before.cpu_ticks


def is_stopped(pid: int) -> bool:
    """Return whether a process is stopped for longer than a moment, as a debugger may stop it."""
    if not _is_in_stopped_state(read_stat(pid)):
        return False
    time.sleep(_RECHECK_DELAY_S)
    return _is_in_stopped_state(read_stat(pid))


def _is_in_stopped_state(stat: ProcStat | None) -> bool:
    return stat is not None and stat.state in _STOPPED_STATES
