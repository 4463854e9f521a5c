"""Whether a start fits into the memory and the GPU memory that there is. Pure; figures come in.

A start is never let into the OOM killer: it waits, and says for what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.fleet.units import shown_size

if TYPE_CHECKING:
    from argosy.engine.free import Free

_UNKNOWN_BYTES = 64 << 20
_LARGEST_RESERVE_BYTES = 256 << 20


def needed_bytes(declared: int | None, last_time: int | None) -> int:
    """Return the memory that a start is admitted by: declared, else as last time, else 64 MiB."""
    return declared or last_time or _UNKNOWN_BYTES


def lacks_memory(need_bytes: int, promised_bytes: int, free: Free) -> str:
    """Return what a start that needs so much has to wait for, empty when it may go on.

    promised_bytes: what those that are starting will still take. A fiftieth of all memory, at most
    256 MiB, is never given: the OOM killer comes before the last byte.
    """
    reserve = min(free.total_bytes // 50, _LARGEST_RESERVE_BYTES)
    spare = max(0, free.free_bytes - promised_bytes - reserve)
    if need_bytes <= spare:
        return ""
    there = f"{shown_size(spare)} of {shown_size(free.total_bytes)} can be given"
    return f"waits for memory: needs {shown_size(need_bytes)}, {there}"


def lacks_gpu_memory(
    need_bytes: int, held_bytes: int, budget_bytes: int | None, promised_bytes: int, free_bytes: int | None
) -> str:
    """Return what a start has to wait for on the GPU, empty when it may go on.

    held_bytes: declared by those that run. budget_bytes: of the machine. promised_bytes: declared by those
    that start, and perhaps not taken yet. free_bytes: as the GPU tells. None: nobody says.
    """
    if budget_bytes is not None and held_bytes + need_bytes > budget_bytes:
        there = f"{shown_size(held_bytes)} of the machine's {shown_size(budget_bytes)} are held"
    elif free_bytes is not None and promised_bytes + need_bytes > free_bytes:
        there = f"{shown_size(max(0, free_bytes - promised_bytes))} are free"
    else:
        return ""
    return f"waits for GPU memory: needs {shown_size(need_bytes)}, {there}"
