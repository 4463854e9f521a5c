"""Whether a start fits into the available memory and GPU memory. Pure functions of given sizes.

A start that would run into the OOM killer waits, with the reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.fleet.quantities import format_size

if TYPE_CHECKING:
    from argosy.engine.admission.available_memory import AvailableMemory

_DEFAULT_NEED_BYTES = 64 << 20
_LARGEST_RESERVE_BYTES = 256 << 20


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


def gpu_memory_shortage(
    need_bytes: int, held_bytes: int, budget_bytes: int | None, reserved_bytes: int, free_bytes: int | None
) -> str:
    """Return why a start has to wait for GPU memory, empty if it may proceed.

    held_bytes: declared by running agents. budget_bytes: of the machine. reserved_bytes: declared by
    starting agents, perhaps not allocated yet. free_bytes: as the GPU reports. None: unknown.
    """
    if budget_bytes is not None and held_bytes + need_bytes > budget_bytes:
        detail = f"{format_size(held_bytes)} of the machine's {format_size(budget_bytes)} are held"
    elif free_bytes is not None and reserved_bytes + need_bytes > free_bytes:
        detail = f"{format_size(max(0, free_bytes - reserved_bytes))} are free"
    else:
        return ""
    return f"waits for GPU memory: needs {format_size(need_bytes)}, {detail}"
