"""Available memory of this machine and of the control groups of this process.

"Available" is as for the OOM killer: memory that is unused or can be reclaimed (MemAvailable), and
swap. A container's limit counts if it is lower. A start that would run into the OOM killer waits, with the
reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.process.os_process import read_small_file
from argosy.fleet.quantities import format_size

if TYPE_CHECKING:
    from collections.abc import Iterator

# Without a limit cgroup v1 reports nearly the largest 64-bit integer.
_NO_LIMIT_BYTES = 1 << 60
_DEFAULT_NEED_BYTES = 64 << 20
_LARGEST_RESERVE_BYTES = 256 << 20


class AvailableMemory(NamedTuple):
    """Total memory, and how much of it is available now, in bytes."""

    total_bytes: int
    available_bytes: int


def read_available_memory(root: Path = Path("/")) -> AvailableMemory:
    """Return the available memory. root: parent of /proc and /sys (proc_meminfo(5), cgroup-v2.rst)."""
    top = str(root).rstrip("/")
    sums = [_machine_memory(f"{top}/proc/meminfo"), *_cgroup_memories(top)]
    return AvailableMemory(min(each.total_bytes for each in sums), min(each.available_bytes for each in sums))


def _machine_memory(path: str) -> AvailableMemory:
    found = {}
    for line in read_small_file(path).splitlines():
        key, _, rest = line.partition(b":")
        if key in _MEMINFO_KEYS:
            found[key] = int(rest.split()[0]) * 1024
    swap = found.get(b"SwapTotal", 0), found.get(b"SwapFree", 0)
    return AvailableMemory(found[b"MemTotal"] + swap[0], found[b"MemAvailable"] + swap[1])


def _cgroup_memories(top: str) -> Iterator[AvailableMemory]:
    """Yield the limits of the memory cgroups of this process, up to the root."""
    for line in read_small_file(f"{top}/proc/self/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            names = _CGROUP_V1_FILES if controllers else _CGROUP_V2_FILES
            mount = f"{top}/sys/fs/cgroup/memory" if controllers else f"{top}/sys/fs/cgroup"
            parts = [part for part in path.split("/") if part]
            for depth in range(len(parts), -1, -1):
                if (limited := _cgroup_memory("/".join([mount, *parts[:depth]]), *names)) is not None:
                    yield limited


_MEMINFO_KEYS = frozenset({b"MemTotal", b"MemAvailable", b"SwapTotal", b"SwapFree"})
_CGROUP_V1_FILES = ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file ")
_CGROUP_V2_FILES = ("memory.max", "memory.current", b"inactive_file ")


def _cgroup_memory(group_dir: str, limit: str, usage: str, reclaimable: bytes) -> AvailableMemory | None:
    try:
        text = read_small_file(f"{group_dir}/{limit}").strip()
        if text == b"max" or int(text) >= _NO_LIMIT_BYTES:
            return None
        used = int(read_small_file(f"{group_dir}/{usage}"))
        lines = read_small_file(f"{group_dir}/memory.stat").splitlines()
    except OSError:  # a parent group that is not visible here, or one without the controller
        return None
    reclaimable_bytes = next((int(line.split()[1]) for line in lines if line.startswith(reclaimable)), 0)
    return AvailableMemory(int(text), max(0, int(text) - used + reclaimable_bytes))


def memory_to_admit(declared: int | None, last_time: int | None) -> int:
    """Return the memory to reserve for a start: as declared, else as last time, else 64 MiB."""
    return declared or last_time or _DEFAULT_NEED_BYTES


def memory_shortage(need_bytes: int, reserved_bytes: int, available: AvailableMemory) -> str:
    """Return why a start that needs `need_bytes` has to wait, empty if it may proceed.

    reserved_bytes: what other starting agents will still allocate. A fiftieth of all memory, at most
    256 MiB, is never given: the OOM killer acts before the last byte is used.
    """
    reserve = min(available.total_bytes // 50, _LARGEST_RESERVE_BYTES)
    spare = max(0, available.available_bytes - reserved_bytes - reserve)
    if need_bytes <= spare:
        return ""
    detail = f"{format_size(spare)} of {format_size(available.total_bytes)} are available"
    return f"waits for memory: needs {format_size(need_bytes)}, {detail}"
