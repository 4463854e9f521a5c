"""Free GPU memory as nvidia-smi reports it; queried only when an agent needs some."""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

from argosy.fleet.quantities import format_size

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from argosy.engine.process.helper_process import HelperResult

_QUERY = ("--query-gpu=memory.free", "--format=csv,noheader,nounits")
_QUERY_TIMEOUT_S = 5.0
_MAX_AGE_S = 2.0
_MIB = 1 << 20


def parse_free_bytes(text: str) -> int | None:
    """Return the free bytes of all GPUs together, from one line of MiB each; None without numbers."""
    lines = [line.strip() for line in text.splitlines()]
    numbers = [int(line) for line in lines if line.isdigit()]
    return sum(numbers) * _MIB if numbers else None


class GpuMemoryWatch:
    """Caches the last result of nvidia-smi.

    free_bytes: None if unknown. run_helper(command, timeout_s): runs a command. on_result(): called
    after each query.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run_helper: Callable[[Sequence[str], float], Awaitable[HelperResult]],
        on_result: Callable[[], None],
    ) -> None:
        self.free_bytes: int | None = None
        self._loop = loop
        self._run_helper = run_helper
        self._on_result = on_result
        self._command = shutil.which("nvidia-smi")
        self._queried_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    def is_fresh(self) -> bool:
        """Return whether `free_bytes` is recent; if not, start a query, which ends with `on_result`."""
        if self._command is None:
            return True
        if self._queried_at is not None and self._loop.time() - self._queried_at < _MAX_AGE_S:
            return True
        if self._task is None:
            self._task = self._loop.create_task(self._query(self._command))
        return False

    async def _query(self, command: str) -> None:
        # Set by Ray or another scheduler that divides the GPUs among fleets.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        only = [f"--id={visible}"] if visible else []
        outcome = await self._run_helper([command, *_QUERY, *only], _QUERY_TIMEOUT_S)
        self.free_bytes = parse_free_bytes(outcome.output) if outcome.code == 0 else None
        self._queried_at = self._loop.time()
        self._task = None
        self._on_result()

    def close(self) -> None:
        """Cancel a running query."""
        if self._task is not None:
            self._task.cancel()


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
