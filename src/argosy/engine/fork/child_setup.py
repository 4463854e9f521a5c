"""Turns a forked child into an agent: new session, lease, generation check, then the program.

The steps and their order ensure that no agent runs twice (see `lease` and `generation`); the user's
code starts only after the last of them.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from typing import TYPE_CHECKING, NoReturn

from argosy.engine.process.lease import LeaseRecord, open_lease, read_record_of, try_lock_within, write_record
from argosy.engine.process.os_process import (
    ProcessIdentity,
    open_process,
    read_stat,
)
from argosy.engine.protocol import fork_protocol as codes
from argosy.engine.protocol.fork_protocol import SpawnRequest
from argosy.engine.state.generation import read_generation

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCK_TIMEOUT_S = 1.0


def setup_child(spawn_request: SpawnRequest, output: int, boot: bytes, handled: Iterable[int]) -> int | None:
    """Set up this freshly forked process as the agent, up to the start of its program.

    handled: the signals for which its parent changed the default action.
    Returns the descriptor of its lease, None for a helper process, which has none.

    Exits 113 if the lease cannot be used, 114 if it stays locked, 115 if the recorded process is alive,
    116 if there is a newer supervisor, 126 if the agent's working directory or control group cannot be
    entered.
    """
    try:
        os.setsid()
        _redirect_output(output)
        lease = _take_lease(spawn_request, boot) if spawn_request.lease else None
    except OSError as error:
        exit_unstarted(
            spawn_request,
            f"its lease `{spawn_request.lease}` cannot be used: {error.strerror}",
            codes.LEASE_UNUSABLE,
        )
    _reset_signals(handled)
    try:
        _enter_control_group(spawn_request.control_group)
    except OSError as error:
        reason = f"its control group `{spawn_request.control_group}` cannot be entered: {error.strerror}"
        exit_unstarted(spawn_request, reason, codes.NOT_EXECUTABLE)
    try:
        _limit(resource.RLIMIT_NOFILE, spawn_request.open_files)
        # What it may reserve for data, since Linux 4.7 also by mmap.
        _limit(resource.RLIMIT_DATA, spawn_request.memory_limit_bytes, hard_too=True)
        os.chdir(spawn_request.cwd)
    except OSError as error:
        exit_unstarted(
            spawn_request,
            f"its working directory `{spawn_request.cwd}` cannot be entered: {error.strerror}",
            codes.NOT_EXECUTABLE,
        )
    return lease


def _redirect_output(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _take_lease(spawn_request: SpawnRequest, boot: bytes) -> int:
    lease = open_lease(spawn_request.lease)
    if not try_lock_within(lease, _LOCK_TIMEOUT_S):
        os._exit(codes.LEASE_BUSY)
    before = read_record_of(lease)
    if before is not None and before.boot_id == boot and open_process(before.identity) is not None:
        os._exit(codes.PROCESS_ALREADY_RUNNING)
    own_stat = read_stat(os.getpid())
    assert own_stat is not None, "a living process has a stat file"
    write_record(
        lease,
        LeaseRecord(
            boot,
            spawn_request.incarnation,
            ProcessIdentity(os.getpid(), own_stat.start_ticks),
            spawn_request.generation,
        ),
    )
    if read_generation(spawn_request.generation_file) != spawn_request.generation:
        os._exit(codes.STALE_GENERATION)
    # The lock is held as long as any copy of this descriptor is open: an exec must keep it.
    os.set_inheritable(lease, True)
    return lease


def _reset_signals(handled: Iterable[int]) -> None:
    """Reset these signals to their default action and unblock all; children would inherit both."""
    for number in handled:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):
            continue  # reserved by the C library
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def exec_program(spawn_request: SpawnRequest) -> NoReturn:
    """Replace this process by the agent's command; exits 126 or 127 if it cannot be run."""
    try:
        os.execvpe(spawn_request.argv[0], spawn_request.argv, spawn_request.env)
    except FileNotFoundError:
        exit_unstarted(spawn_request, f"`{spawn_request.argv[0]}` was not found", codes.NOT_FOUND)
    except OSError as error:
        exit_unstarted(
            spawn_request, f"`{spawn_request.argv[0]}` cannot be run: {error.strerror}", codes.NOT_EXECUTABLE
        )
    except ValueError as error:  # a zero byte, or a character that the locale cannot encode
        exit_unstarted(
            spawn_request,
            f"its command or environment cannot be passed to it: {error}",
            codes.NOT_EXECUTABLE,
        )


def _enter_control_group(group: str) -> None:
    if group:
        descriptor = os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")  # the writer itself
        finally:
            os.close(descriptor)


def _limit(kind: int, wanted: int, *, hard_too: bool = False) -> None:
    """Limit this process to `wanted`, at most its hard limit; 0 leaves the limit as it is."""
    if wanted:
        _, hard = resource.getrlimit(kind)
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (soft, soft if hard_too else hard))


def exit_unstarted(spawn_request: SpawnRequest, reason: str, code: int) -> NoReturn:
    """Write to the agent's log why it was not started, and exit with `code`."""
    stamp = time.strftime("%H:%M:%S")
    try:
        os.write(
            2, f"{stamp} argosy: {spawn_request.name} was not started: {reason}\n".encode(errors="replace")
        )
    except OSError:
        os._exit(code)  # the disk is full; only the exit code is reported
    os._exit(code)
