"""The memory of a process: resident and proportional set size, in bytes."""

from __future__ import annotations

import os
from typing import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Memory(NamedTuple):
    """Resident pages, and resident pages with each shared one divided by its users."""

    rss_bytes: int
    pss_bytes: int


def read_resident(pid: int) -> int:
    """Return the resident bytes of `pid` by the quick /proc/PID/statm, 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_BYTES
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def read_memory(pid: int) -> Memory | None:
    """Return the memory of `pid` from /proc/PID/smaps_rollup, or None when it may not be read."""
    found: dict[bytes, int] = {}
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                key, _, rest = line.partition(b":")
                if key in (b"Rss", b"Pss"):
                    found[key] = int(rest.split()[0]) * 1024
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if len(found) != 2:
        return None
    return Memory(found[b"Rss"], found[b"Pss"])
