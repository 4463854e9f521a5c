"""Free memory: what this machine, and the control group this process is in, can still give.

"Free" is what the OOM killer goes by: memory that is unused or can be taken back (MemAvailable), and
swap. A container's limit counts where it is lower.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.process import read_at_once

if TYPE_CHECKING:
    from collections.abc import Iterator

# What cgroup v1 tells where there is no limit is near the largest number it knows.
_NO_LIMIT_BYTES = 1 << 60


class Free(NamedTuple):
    """How much there is, and how much of that is free now, in bytes."""

    total_bytes: int
    free_bytes: int


def read_free(root: Path = Path("/")) -> Free:
    """Return the free memory now. root: of /proc and /sys (proc_meminfo(5), cgroup-v2.rst)."""
    top = str(root).rstrip("/")
    sums = [_of_machine(f"{top}/proc/meminfo"), *_of_groups(top)]
    return Free(min(each.total_bytes for each in sums), min(each.free_bytes for each in sums))


def _of_machine(path: str) -> Free:
    found = {}
    for line in read_at_once(path).splitlines():
        key, _, rest = line.partition(b":")
        if key in _OF_MEMINFO:
            found[key] = int(rest.split()[0]) * 1024
    swap = found.get(b"SwapTotal", 0), found.get(b"SwapFree", 0)
    return Free(found[b"MemTotal"] + swap[0], found[b"MemAvailable"] + swap[1])


def _of_groups(top: str) -> Iterator[Free]:
    """Yield the limits of the memory groups this process is in, up to the root."""
    for line in read_at_once(f"{top}/proc/self/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers in ("", "memory"):
            names = _NAMES_OF_V1 if controllers else _NAMES_OF_V2
            mount = f"{top}/sys/fs/cgroup/memory" if controllers else f"{top}/sys/fs/cgroup"
            parts = [part for part in path.split("/") if part]
            for depth in range(len(parts), -1, -1):
                if (limited := _of_group("/".join([mount, *parts[:depth]]), *names)) is not None:
                    yield limited


_OF_MEMINFO = frozenset({b"MemTotal", b"MemAvailable", b"SwapTotal", b"SwapFree"})
_NAMES_OF_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", b"total_inactive_file ")
_NAMES_OF_V2 = ("memory.max", "memory.current", b"inactive_file ")


def _of_group(folder: str, limit: str, usage: str, reclaimable: bytes) -> Free | None:
    try:
        text = read_at_once(f"{folder}/{limit}").strip()
        if text == b"max" or int(text) >= _NO_LIMIT_BYTES:
            return None
        used = int(read_at_once(f"{folder}/{usage}"))
        lines = read_at_once(f"{folder}/memory.stat").splitlines()
    except OSError:  # a group above that is not shown in here, or one without the controller
        return None
    spare = next((int(line.split()[1]) for line in lines if line.startswith(reclaimable)), 0)
    return Free(int(text), max(0, int(text) - used + spare))
