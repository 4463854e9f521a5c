"""Whether a start fits into the memory and the GPU memory that there is. Pure; figures come in.

A start is never let into the OOM killer: it waits, and says for what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.fleet.quantities import format_size

if TYPE_CHECKING:
    from argosy.engine.admission.available_memory import AvailableMemory

_DEFAULT_NEED_BYTES = 64 << 20
_LARGEST_RESERVE_BYTES = 256 << 20


def memory_to_admit(declared: int | None, last_time: int | None) -> int:
    """Return the memory that a start is admitted by: declared, else as last time, else 64 MiB."""
    return declared or last_time or _DEFAULT_NEED_BYTES


def memory_shortage(need_bytes: int, reserved_bytes: int, available: AvailableMemory) -> str:
    """Return what a start that needs so much has to wait for, empty when it may go on.

    promised_bytes: what those that are starting will still take. A fiftieth of all memory, at most
    256 MiB, is never given: the OOM killer comes before the last byte.
    """
    reserve = min(available.total_bytes // 50, _LARGEST_RESERVE_BYTES)
    spare = max(0, available.available_bytes - reserved_bytes - reserve)
    if need_bytes <= spare:
        return ""
    detail = f"{format_size(spare)} of {format_size(available.total_bytes)} can be given"
    return f"waits for memory: needs {format_size(need_bytes)}, {detail}"


def gpu_memory_shortage(
    need_bytes: int, held_bytes: int, budget_bytes: int | None, reserved_bytes: int, free_bytes: int | None
) -> str:
    """Return what a start has to wait for on the GPU, empty when it may go on.

    held_bytes: declared by those that run. budget_bytes: of the machine. promised_bytes: declared by those
    that start, and perhaps not taken yet. free_bytes: as the GPU tells. None: nobody says.
    """
    if budget_bytes is not None and held_bytes + need_bytes > budget_bytes:
        detail = f"{format_size(held_bytes)} of the machine's {format_size(budget_bytes)} are held"
    elif free_bytes is not None and reserved_bytes + need_bytes > free_bytes:
        detail = f"{format_size(max(0, free_bytes - reserved_bytes))} are free"
    else:
        return ""
    return f"waits for GPU memory: needs {format_size(need_bytes)}, {detail}"
