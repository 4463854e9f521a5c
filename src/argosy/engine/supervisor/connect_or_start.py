"""Starts a supervisor if none runs, and connects to it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
from typing import TYPE_CHECKING

from argosy.engine.control.control_client import (
    SUPERVISOR_REPLY_TIMEOUT_S,
    ControlClient,
    SupervisorLostError,
    SupervisorUnresponsiveError,
    connect,
    error_of,
    is_stopped,
)
from argosy.engine.logs.log_file import rotate_log
from argosy.engine.process.os_process import describe_exit
from argosy.engine.protocol.messages import READY, SUPERVISOR_ALREADY_RUNNING, Refused, decode_reply
from argosy.engine.state.generation import is_same_file
from argosy.engine.supervisor.daemonize import spawn_detached, terminate
from argosy.fault import Fault, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from argosy.engine.state.state_dir import StateDir


def connect_or_start(fleet_path: Path, fleet_name: str, state_dir: StateDir, name: str) -> ControlClient:
    """Return a client of the supervisor, which is started if there is none.

    Raises RefusedError or MissingError: it could not be started; SupervisorLostError: it was killed during
    the start.
    """
    client = connect(state_dir, name)
    if client is not None:
        return client
    try:
        with _spawn_lock(state_dir):
            client = connect(state_dir, name)
            if client is None:
                client = _connect_to_new(fleet_path, fleet_name, state_dir, name)
    except OSError as error:
        message = f"the supervisor cannot be started: {error.strerror}"
        raise RefusedError(Fault(error.filename or str(state_dir.path), "state-folder", message)) from error
    if client is None:
        raise SupervisorLostError
    return client


def _connect_to_new(
    fleet_path: Path, fleet_name: str, state_dir: StateDir, name: str
) -> ControlClient | None:
    """Start a supervisor and connect to it, or to a faster one whose client exited during the start."""
    try:
        _start_supervisor(fleet_path, fleet_name, state_dir)
    except RefusedError as error:
        client = connect(state_dir, name) if error.faults[0].code == SUPERVISOR_ALREADY_RUNNING else None
        if client is None:
            raise
        return client
    return connect(state_dir, name)


@contextlib.contextmanager
def _spawn_lock(state_dir: StateDir) -> Iterator[None]:
    """Let one client at a time start a supervisor."""
    while True:
        state_dir.create()
        with open(state_dir.spawn_lock, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Otherwise `argosy clean` has removed the file meanwhile: try again.
            if is_same_file(state_dir.spawn_lock, file.fileno()):
                yield
                return


def _start_supervisor(fleet_path: Path, fleet_name: str, state_dir: StateDir) -> None:
    """Start a supervisor in a session of its own and wait until it has adopted the running agents."""
    rotate_log(state_dir.supervisor_log)
    ready, ready_writer = os.pipe()
    try:
        with open(state_dir.supervisor_log, "ab") as log:
            directories = (str(state_dir.path), str(state_dir.runtime_path))
            args = [str(fleet_path), fleet_name, str(ready_writer), *directories]
            pid = spawn_detached(args, ready_writer, log.fileno())
    finally:
        os.close(ready_writer)
    try:
        startup_message = _read_startup_message(ready, pid)
    except KeyboardInterrupt:
        terminate(pid)
        raise
    if startup_message == READY:
        return  # it keeps running without this parent
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if startup_message:
        reply = decode_reply(startup_message)
        assert isinstance(reply, Refused), "a supervisor that cannot start reports why"
        raise error_of(reply)
    if code < 0:  # it was killed: the next start may succeed
        raise SupervisorLostError(
            f"the supervisor {describe_exit(code)} before it was ready; the agents keep running"
        )
    raise RefusedError(
        Fault(
            str(state_dir.supervisor_log),
            "supervisor",
            f"the supervisor exited with code {code} before it was ready",
            f"see the end of `{state_dir.supervisor_log}`",
        )
    )


def _read_startup_message(ready_fd: int, pid: int) -> bytes:
    """Return the startup report of a new supervisor; adopting many agents takes a while.

    Raises SupervisorUnresponsiveError: it is stopped.
    """
    poll = select.poll()
    poll.register(ready_fd, select.POLLIN)
    with open(ready_fd, "rb") as file:
        while not poll.poll(SUPERVISOR_REPLY_TIMEOUT_S * 1000):
            if is_stopped(pid):
                raise SupervisorUnresponsiveError(pid, 0.0)
        return file.read()
