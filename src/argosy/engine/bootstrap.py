"""From a forked child to an agent: detach, take the lease, check the generation, then the program.

The steps and their order are the proof that no agent runs twice (see `lease` and `generation`);
the user's code starts only after the last of them.
"""

from __future__ import annotations

import os
import resource
import time
from typing import TYPE_CHECKING, NoReturn

from argosy.engine import order as codes
from argosy.engine.generation import read_generation
from argosy.engine.lease import Record, lock_within, open_lease, read_record_of, write_record
from argosy.engine.order import Order
from argosy.engine.process import DEFAULT, Identity, open_process, read_stat, set_action, unblock_signals

if TYPE_CHECKING:
    from collections.abc import Iterable

_LOCK_PATIENCE_S = 1.0


def settle(order: Order, output: int, boot: bytes, handled: Iterable[int]) -> int | None:
    """Make this freshly forked process the agent, short of its program.

    handled: the signals that its parent did not leave at their default action.
    Returns the descriptor of its lease, None for an errand, which has none.

    Exits 113 when the lease cannot be used, 114 when it stays busy, 115 when the recorded process
    lives, 116 when a newer supervisor has come, 126 when the agent's folder or control group cannot be
    entered.
    """
    try:
        os.setsid()
        _wire_output(output)
        lease = _take_lease(order, boot) if order.lease else None
    except OSError as error:
        refuse(order, f"its lease `{order.lease}` cannot be used: {error.strerror}", codes.LEASE_UNUSABLE)
    _reset_signals(handled)
    try:
        _enter_group(order.group)
    except OSError as error:
        why = f"its control group `{order.group}` cannot be entered: {error.strerror}"
        refuse(order, why, codes.NOT_EXECUTABLE)
    try:
        _limit_open_files(order.open_files)
        _limit_memory(order.memory)
        os.chdir(order.cwd)
    except OSError as error:
        refuse(order, f"its folder `{order.cwd}` cannot be entered: {error.strerror}", codes.NOT_EXECUTABLE)
    return lease


def _wire_output(output: int) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _take_lease(order: Order, boot: bytes) -> int:
    lease = open_lease(order.lease)
    if not lock_within(lease, _LOCK_PATIENCE_S):
        os._exit(codes.LEASE_BUSY)
    before = read_record_of(lease)
    if before is not None and before.boot == boot and open_process(before.identity) is not None:
        os._exit(codes.ALREADY_ALIVE)
    me = read_stat(os.getpid())
    assert me is not None, "a living process has a stat file"
    write_record(lease, Record(boot, order.incarnation, Identity(os.getpid(), me.started), order.generation))
    if read_generation(order.generation_file) != order.generation:
        os._exit(codes.OLD_GENERATION)
    # The lock lives as long as any copy of this descriptor: an exec must keep it.
    os.set_inheritable(lease, True)
    return lease


def _reset_signals(handled: Iterable[int]) -> None:
    """Give these signals their default action and unblock all: children inherit both otherwise."""
    for number in handled:
        try:
            set_action(number, DEFAULT)
        except (OSError, ValueError):
            continue  # the C library keeps it for itself
    unblock_signals()


def exec_program(order: Order) -> NoReturn:
    """Run the agent's command in place of this process; exits 126 or 127 when it cannot be run."""
    try:
        os.execvpe(order.argv[0], order.argv, order.env)
    except FileNotFoundError:
        refuse(order, f"`{order.argv[0]}` was not found", codes.NOT_FOUND)
    except OSError as error:
        refuse(order, f"`{order.argv[0]}` cannot be run: {error.strerror}", codes.NOT_EXECUTABLE)
    except ValueError as error:  # a zero byte, or a character that the locale has not
        refuse(order, f"its command or environment cannot be passed on: {error}", codes.NOT_EXECUTABLE)


def _enter_group(group: str) -> None:
    if group:
        descriptor = os.open(f"{group}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"0")  # the writer itself
        finally:
            os.close(descriptor)


def _limit_memory(most: int) -> None:
    """Bound what the process may reserve for data (RLIMIT_DATA, since Linux 4.7 also by mmap)."""
    if most:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def _limit_open_files(wanted: int) -> None:
    if wanted:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, most))


def refuse(order: Order, why: str, code: int) -> NoReturn:
    """Say in the agent's log why it was not started, and exit."""
    stamp = time.strftime("%H:%M:%S")
    try:
        os.write(2, f"{stamp} argosy: {order.name} was not started: {why}\n".encode(errors="replace"))
    except OSError:
        os._exit(code)  # the disk is full; the code alone must tell
    os._exit(code)
