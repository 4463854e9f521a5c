"""Searches the code of agents whose start failed for faults that prevent every start.

The sources are read in a helper process (`startup_faults`), one batch at a time.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import msgspec

from argosy.fault import Fault

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Sequence

    from argosy.engine.plan.process_plan import ProcessSpec
    from argosy.engine.process.helper_process import HelperResult

_TIMEOUT_S: Final = 10.0
# The exception that Python raises for a fault. A fault that depends on where modules are looked up is
# trusted only when the process exited with this exception.
_EXPECTED_EXCEPTION: Final = {
    "S101": "",
    "S102": "NameError",
    "S103": "Error: ",  # ModuleNotFoundError, ImportError
    "S104": "NameError",
    "I602": "ModuleNotFoundError",
    "bad-option": "",
    "class-missing": "",
    "script-missing": "",
}
# Each Python version has its own parser: faults of another version's parser are not judged here.
_PARSER_CODES: Final = frozenset({"S101"})


class StartupFaultSearch:
    """Searches for faults of agents that did not start. run_command(command, seconds): runs a command."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run_command: Callable[[Sequence[str], float], Awaitable[HelperResult]],
    ) -> None:
        self._loop = loop
        self._run_command = run_command
        self._pending: dict[str, tuple[ProcessSpec, Callable[[Fault | None], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def enqueue(self, fleet_path: str, spec: ProcessSpec, on_result: Callable[[Fault | None], None]) -> None:
        """Call `on_result` with the fault in an agent's code, None when none is known."""
        self._pending[spec.name] = (spec, on_result)
        if self._task is None:
            self._task = self._loop.create_task(self._process_pending(fleet_path))

    async def _process_pending(self, fleet_path: str) -> None:
        try:
            while self._pending:
                batch, self._pending = self._pending, {}
                found = await self._search(fleet_path, [spec for spec, _ in batch.values()])
                for name, (_, on_result) in batch.items():
                    on_result(found.get(name))
        finally:
            self._task = None

    async def _search(self, fleet_path: str, specs: Sequence[ProcessSpec]) -> dict[str, Fault]:
        commands = msgspec.json.encode({spec.name: spec.argv for spec in specs}).decode()
        outcome = await self._run_command(
            [sys.executable, "-m", "argosy.engine.explain.startup_faults", fleet_path, commands], _TIMEOUT_S
        )
        try:
            faults = msgspec.json.decode(outcome.output.splitlines()[-1], type=dict[str, Fault])
        except (IndexError, msgspec.MsgspecError):
            return {}
        return {
            spec.name: faults[spec.name]
            for spec in specs
            if spec.name in faults
            and (faults[spec.name].code not in _PARSER_CODES or _is_same_parser(spec.argv[0]))
        }

    def close(self) -> None:
        """Cancel all searches."""
        self._pending.clear()
        if self._task is not None:
            self._task.cancel()


def is_confirmed_by(fault: Fault, exit_message: str) -> bool:
    """Return whether an agent whose last log line is `exit_message` exited because of this fault."""
    return fault.code in _EXPECTED_EXCEPTION and _EXPECTED_EXCEPTION[fault.code] in exit_message


def describe_startup_fault(fault: Fault) -> str:
    """Return a fault in one line, with its hint."""
    prefix = f"{fault.where}: " if fault.where else ""
    return f"{prefix}{fault.message}" + (f"; {fault.hint}" if fault.hint else "")


def _is_same_parser(python: str) -> bool:
    """Return whether an interpreter is the one that runs argosy, perhaps through a virtual environment."""
    return os.path.realpath(python) == os.path.realpath(sys.executable)
