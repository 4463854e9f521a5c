"""Processes as the kernel knows them: identity, exit, signals, exit status, sessions.

Pids are reused. A process is identified by (boot id, pid, start time), and accessed only through a
pidfd, which never refers to another process (pidfd_open(2), Linux 5.3).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import struct
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

# pidfd_send_signal(2): to the process group of the target (Linux 6.9).
_PIDFD_SIGNAL_PROCESS_GROUP = 1 << 2
# linux/pidfd.h, Linux 6.15: PIDFD_GET_INFO, PIDFD_INFO_EXIT, struct pidfd_info in its first version.
_PIDFD_GET_INFO = 0xC040FF0B
_PIDFD_INFO_EXIT = 1 << 3
_READ_BYTES = 16384
# pidfd_open(2) for a pid without a process: ESRCH; for the id of a thread: EINVAL or ENOENT.
_NO_PROCESS_ERRNOS = frozenset({errno.ESRCH, errno.ENOENT, errno.EINVAL})
_PIDFD_INFO = struct.Struct("=QQ11Ii")


class ProcessIdentity(NamedTuple):
    """Identifies a process: its pid, and its start time in clock ticks since boot."""

    pid: int
    start_ticks: int


class ProcStat(NamedTuple):
    """The fields of /proc/PID/stat that the engine reads.

    terminal: the controlling one, 0 for none. cpu_ticks: processor time. start_ticks: since boot.
    """

    state: str
    parent_pid: int
    session: int
    terminal: int
    cpu_ticks: int
    start_ticks: int


def boot_id() -> bytes:
    """Return the 16 bytes that identify this boot of the machine."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return bytes.fromhex(file.read().strip().replace("-", ""))


def read_small_file(path: str | os.PathLike[str]) -> bytes:
    """Return the content of a small file: three system calls, where a file object makes ten.

    Raises OSError: it cannot be read.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)


def started_at(start_ticks: int) -> float:
    """Return the start of a process in epoch seconds, from its clock ticks since the boot."""
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - start_ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s


def read_stat(pid: int) -> ProcStat | None:
    """Return the /proc entry of `pid`, or None where there is no such process.

    /proc also answers for the id of a thread; use `open_process` for a recorded pid.
    """
    try:
        fields = read_small_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ticks = int(fields[11]) + int(fields[12])
    return ProcStat(
        fields[0].decode(), int(fields[1]), int(fields[3]), int(fields[4]), ticks, int(fields[19])
    )


def close_other_descriptors(keep: int) -> None:
    """Close every descriptor of this process except the standard streams and `keep`."""
    os.closerange(3, keep)
    os.closerange(keep + 1, 1 << 20)


def open_pid(pid: int) -> int | None:
    """Return a pidfd of the process with this pid, or None when there is none (a thread may have the id).

    A child that was not reaped has one, also after its exit.
    Raises OSError: there are too few descriptors.
    """
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno in _NO_PROCESS_ERRNOS:
            return None
        raise


def open_process(identity: ProcessIdentity) -> int | None:
    """Return a pidfd of exactly this process, or None when it is dead.

    Opens first and compares the start time afterwards: in the other order, the pid could be reused in
    between.
    """
    pidfd = open_pid(identity.pid)
    if pidfd is None:
        return None
    found = read_stat(identity.pid)
    if found is None or found.start_ticks != identity.start_ticks or is_dead(pidfd):
        os.close(pidfd)
        return None
    return pidfd


def find_process(pid: int) -> ProcessIdentity | None:
    """Return the identity of the living process with this pid, or None when there is none."""
    pidfd = open_pid(pid)
    if pidfd is None:
        return None
    try:
        identity = identify(pid, pidfd)
    finally:
        os.close(pidfd)
    return identity if identity.start_ticks else None


def identify(pid: int, pidfd: int) -> ProcessIdentity:
    """Return the identity of the process that has this pidfd; `start_ticks` is 0 once it is dead.

    Reads first and checks afterwards whether it lives, as `open_process` does.
    """
    found = read_stat(pid)
    return ProcessIdentity(pid, 0 if found is None or is_dead(pidfd) else found.start_ticks)


def is_dead(pidfd: int) -> bool:
    """Return whether the process has exited (a zombie has)."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def send_signal(pidfd: int, signal_number: int) -> bool:
    """Signal one process; return False when it no longer exists."""
    try:
        signal.pidfd_send_signal(pidfd, signal_number)
    except ProcessLookupError:
        return False
    return True


def handled_signals() -> list[int]:
    """Return the signals whose action in this process is not the default.

    Read from the kernel: a library may have set one without Python's knowledge.
    """
    with open("/proc/self/status", "rb") as file:
        lines = [line.split() for line in file if line.startswith((b"SigIgn:", b"SigCgt:"))]
    bits = int(lines[0][1], 16) | int(lines[1][1], 16)
    return [number for number in range(1, signal.NSIG) if bits >> (number - 1) & 1]


def kill_group(pidfd: int) -> bool:
    """Kill the process group that the process leads or led; return False when it no longer exists.

    Where the process leads no group yet, or before Linux 6.9, only the process itself is killed.
    """
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL, None, _PIDFD_SIGNAL_PROCESS_GROUP)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ESRCH):
            raise
        return send_signal(pidfd, signal.SIGKILL)
    return True


def next_zombie() -> tuple[int, int] | None:
    """Return pid and wait status of an exited child that is not reaped yet; None when there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return found.si_pid, found.si_status << 8
    return found.si_pid, found.si_status | (0x80 if found.si_code == os.CLD_DUMPED else 0)


def reap_own_group(within_s: float) -> bool:
    """Wait for the children in this process's own group; return whether all exited in time."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            pid, _ = os.waitpid(0, os.WNOHANG)
        except ChildProcessError:
            return True
        if pid == 0:
            time.sleep(0.001)  # the kernel signals no event for a group
    return False


def kill_group_of_zombie(pid: int) -> None:
    """Kill the rest of the group of an exited child; the zombie prevents reuse of the pid."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)  # fails if it led no group yet, or the group is empty


def reaped_exit_status(pidfd: int) -> int | None:
    """Return the wait status of a process that another parent has reaped, or None when unknown.

    Needs PIDFD_GET_INFO with PIDFD_INFO_EXIT (Linux 6.15); use `zombie_status` before the reap.
    """
    info = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *([0] * 13)))
    try:
        fcntl.ioctl(pidfd, _PIDFD_GET_INFO, info)
    except OSError:
        return None
    mask, *_, code = _PIDFD_INFO.unpack(info)
    return code if mask & _PIDFD_INFO_EXIT else None


def zombie_status(pid: int) -> int | None:
    """Return the wait status of a zombie of another parent, None when it is not a zombie or not readable.

    Field 52 of /proc/PID/stat (proc_pid_stat(5), Linux 3.5).
    """
    try:
        fields = read_small_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[49]) if fields[0] == b"Z" else None


def exit_code(status: int | None) -> int | None:
    """Return the exit code of a wait status: 0 to 255, or minus the signal number."""
    return None if status is None else os.waitstatus_to_exitcode(status)


def describe_exit(code: int | None) -> str:
    """Return a description of how a process exited."""
    if code is None:
        return "ended, status unknown (adopted)"
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"
    return f"exited with code {code}"


def is_alive(pid: int) -> bool:
    """Return whether a process has this pid, zombies and threads excluded."""
    return find_process(pid) is not None


def all_pids() -> list[int]:
    """Return every pid that /proc shows."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def child_pids(pid: int | None = None) -> list[int]:
    """Return the children of a process, by default this one, including adopted and just exited ones.

    Raises FileNotFoundError, ProcessLookupError: there is no such process.
    """
    found: list[int] = []
    threads = f"/proc/{'self' if pid is None else pid}/task"
    for thread in os.listdir(threads):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found.extend(map(int, read_small_file(f"{threads}/{thread}/children").split()))
    return found


def read_environ(pid: int) -> dict[str, str]:
    """Return the environment that the program of `pid` was started with; empty if not readable."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            lines = file.read().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return {}
    pairs = (os.fsdecode(line).partition("=") for line in lines)
    return {name: value for name, separator, value in pairs if separator}


def kill_pids_with_open_file(path: str) -> list[int]:
    """Kill every other process that holds `path` open, as far as /proc shows them; return them."""
    try:
        wanted_stat = os.stat(path)
    except FileNotFoundError:
        return []
    return [
        pid
        for pid in all_pids()
        if pid != os.getpid() and kill_if(pid, lambda pid: _has_open(pid, wanted_stat))
    ]


def kill_if(pid: int, matches: Callable[[int], bool]) -> bool:
    """Kill `pid` if `matches` returns true for it; return whether it was killed.

    The pid is opened first and checked afterwards, so that it cannot be reused in between.
    """
    pidfd = open_pid(pid)
    if pidfd is None:
        return False
    try:
        return matches(pid) and send_signal(pidfd, signal.SIGKILL)
    finally:
        os.close(pidfd)


def pids_with_open_file(path: str) -> list[int]:
    """Return the other processes that hold `path` open, as far as /proc shows them."""
    wanted_stat = os.stat(path)
    return [pid for pid in all_pids() if pid != os.getpid() and _has_open(pid, wanted_stat)]


def _has_open(pid: int, wanted_stat: os.stat_result) -> bool:
    fd_dir = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(fd_dir):
            with contextlib.suppress(OSError):  # closed meanwhile
                found = os.stat(f"{fd_dir}/{name}")
                if (found.st_ino, found.st_dev) == (wanted_stat.st_ino, wanted_stat.st_dev):
                    return True
    except (PermissionError, FileNotFoundError, ProcessLookupError):
        return False
    return False
