"""Measures and ends all processes of a launcher.

The bench makes itself a child subreaper, so orphans of a launcher become its children. All processes of a
launcher are then descendants of the bench, and leftovers can be detected.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from argosy.fault import Fault, RefusedError

_TICKS = os.sysconf("SC_CLK_TCK")
_END_WITHIN_S = 20.0
_REAPER = "ZMQbg/Reaper"
_SUPERVISOR = "argosy: supervisor"
_ARGOSY_TITLES = ("argosy: supervisor", "argosy: zygote", "argosy: preforked")
_FORKER = "argosy.engine.fork.forker import main"


class ResourceUsage(msgspec.Struct, frozen=True):
    """The resources of all processes of a launcher together; processor_s includes exited processes.

    contexts: ZeroMQ contexts, counted by their reaper threads. supervisor_s, supervisor_pss_bytes: the share
    of argosy's supervisor, 0 without one.
    """

    processes: int
    processor_s: float
    supervisor_s: float
    supervisor_pss_bytes: int
    pss_bytes: int
    threads: int
    contexts: int
    descriptors: int


def busy_s() -> float:
    """Return the busy seconds of all processors of the machine since boot, for all processes."""
    user, nice, system, _idle, _wait, hard, soft, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + hard + soft) / _TICKS


class ResourceMeter:
    """Measures the descendants of this process; processor time before the meter was made is left out."""

    def __init__(self) -> None:
        self._reaped_before_s = _reaped_s()
        self._before_s = {pid: seconds for (pid, _), seconds in processor_s_now().items()}

    def measure(self) -> ResourceUsage:
        """Return the memory that the processes use now and the processor time they have used."""
        processor_s = _reaped_s() - self._reaped_before_s
        taken = processor_s_now()
        supervisor_s = 0.0
        for (pid, title), seconds in taken.items():
            own_s = seconds - self._before_s.get(pid, 0.0)
            processor_s += own_s
            supervisor_s += own_s if title.startswith(_SUPERVISOR) else 0.0
        supervisor_bytes = pss_bytes = threads = contexts = descriptors = 0
        for pid, title in taken:
            try:
                own_bytes = _pss_bytes(pid)
                pss_bytes += own_bytes
                supervisor_bytes += own_bytes if title.startswith(_SUPERVISOR) else 0
                names = _thread_names(pid)
                threads += len(names)
                contexts += sum(name.startswith(_REAPER) for name in names)
                descriptors += len(os.listdir(f"/proc/{pid}/fd"))
            except (FileNotFoundError, ProcessLookupError, OSError):
                continue  # it has just exited
        own = (supervisor_s, supervisor_bytes)
        return ResourceUsage(len(taken), processor_s, *own, pss_bytes, threads, contexts, descriptors)


def pss_bytes_of_all() -> int:
    """Return the proportional memory of all descendants of this process."""
    return sum(map(_pss_bytes, descendants()))


def agents_private_bytes() -> list[int]:
    """Return, of each descendant that is not argosy's own, the memory that no other process shares."""
    pids = [pid for pid, title in processor_s_now() if not is_argosy_process(title)]
    return [_rollup_bytes(pid, ("Private_Clean:", "Private_Dirty:")) for pid in pids]


def processor_s_now() -> dict[tuple[int, str], float]:
    """Return the processor seconds of each living descendant, by pid and command line."""
    found = {}
    for pid in descendants():
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found[pid, title.strip()] = _processor_s(pid)
        except (FileNotFoundError, ProcessLookupError, OSError):
            continue  # it has just exited
    return found


def argosy_processor_s() -> float:
    """Return the processor seconds of argosy's own processes: supervisor, forker, zygotes."""
    own = (seconds for (_, title), seconds in processor_s_now().items() if is_argosy_process(title))
    return sum(own)


def is_argosy_process(title: str) -> bool:
    """Return whether a command line is argosy's; the forker without modules keeps its interpreter's."""
    return title.startswith(_ARGOSY_TITLES) or _FORKER in title


def descendants() -> Iterator[int]:
    """Yield the pids of all living descendants of this process."""
    children = defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) and fields[0] != "Z":
            children[int(fields[1])].append(int(entry))
    todo = [os.getpid()]
    while todo:
        found = children[todo.pop()]
        todo.extend(found)
        yield from found


def kill_all() -> list[int]:
    """Kill the remaining descendants of this process and return their pids.

    Raises RefusedError: some still run after 20 s.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + _END_WITHIN_S
    while pids := list(descendants()):
        if time.monotonic() > deadline:
            raise RefusedError(Fault("bench", "left-over", f"processes {pids} still run 20 s after SIGKILL"))
        for pid in pids:
            killed.add(pid)
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        reap_children()
        time.sleep(0.01)
    reap_children()
    return sorted(killed)


def reap_children() -> None:
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return
        except ChildProcessError:
            return


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on, or an empty list if the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _processor_s(pid: int) -> float:
    """Return the processor seconds of a process, to the nanosecond, and of the children it has reaped.

    A tick of /proc/PID/stat is 10 ms, which is a tenth of a start; the process's own clock
    (clock_getcpuclockid(3)) is finer.
    """
    own_s = time.clock_gettime((~pid << 3) | 2)
    fields = _stat(pid)
    return own_s + (int(fields[13]) + int(fields[14])) / _TICKS


def _reaped_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _thread_names(pid: int) -> list[str]:
    return [Path(f"/proc/{pid}/task/{task}/comm").read_text() for task in os.listdir(f"/proc/{pid}/task")]


def _pss_bytes(pid: int) -> int:
    return _rollup_bytes(pid, ("Pss:",))


def _rollup_bytes(pid: int, fields: tuple[str, ...]) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(fields))
