"""Asking, for agents whose start failed, whether their code can start at all.

The sources are read in a process beside the supervisor (`flaws`), one at a time for all that wait.
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

    from argosy.engine.errand import Outcome
    from argosy.engine.plan import ProcessSpec

_WITHIN_S: Final = 10.0
# What Python raises for a fault. Where a fault is not a fact of one file but depends on where modules are
# looked for, it is believed only when the process has ended by just that error.
_RAISED: Final = {
    "S101": "",
    "S102": "NameError",
    "S103": "Error: ",  # ModuleNotFoundError, ImportError
    "S104": "NameError",
    "I602": "ModuleNotFoundError",
    "bad-option": "",
    "class-missing": "",
    "script-missing": "",
}
# Python's parser is one thing for each of its versions: what another one may take is not judged here.
_PARSED: Final = frozenset({"S101"})


class FlawSearch:
    """Looks for the flaws of agents that did not start. run(command, seconds): runs a command."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: Callable[[Sequence[str], float], Awaitable[Outcome]],
    ) -> None:
        self._loop = loop
        self._run = run
        self._asked: dict[str, tuple[ProcessSpec, Callable[[Fault | None], None]]] = {}
        self._task: asyncio.Task[None] | None = None

    def ask(self, fleet_path: str, spec: ProcessSpec, then: Callable[[Fault | None], None]) -> None:
        """Call `then` with what is wrong with the code of an agent, None when nothing is known."""
        self._asked[spec.name] = (spec, then)
        if self._task is None:
            self._task = self._loop.create_task(self._answer(fleet_path))

    async def _answer(self, fleet_path: str) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                found = await self._look(fleet_path, [spec for spec, _ in asked.values()])
                for name, (_, then) in asked.items():
                    then(found.get(name))
        finally:
            self._task = None

    async def _look(self, fleet_path: str, specs: Sequence[ProcessSpec]) -> dict[str, Fault]:
        commands = msgspec.json.encode({spec.name: spec.argv for spec in specs}).decode()
        outcome = await self._run(
            [sys.executable, "-m", "argosy.engine.flaws", fleet_path, commands], _WITHIN_S
        )
        try:
            told = msgspec.json.decode(outcome.output.splitlines()[-1], type=dict[str, Fault])
        except (IndexError, msgspec.MsgspecError):
            return {}
        return {
            spec.name: told[spec.name]
            for spec in specs
            if spec.name in told and (told[spec.name].code not in _PARSED or _is_same_parser(spec.argv[0]))
        }

    def close(self) -> None:
        """Ask no more."""
        self._asked.clear()
        if self._task is not None:
            self._task.cancel()


def is_borne_out(flaw: Fault, said: str) -> bool:
    """Return whether an agent whose last words are `said` did end by this flaw."""
    return flaw.code in _RAISED and _RAISED[flaw.code] in said


def words_of_flaw(flaw: Fault) -> str:
    """Return a flaw in one line, with what to do about it."""
    place = f"{flaw.where}: " if flaw.where else ""
    return f"{place}{flaw.message}" + (f"; {flaw.hint}" if flaw.hint else "")


def _is_same_parser(python: str) -> bool:
    """Return whether an interpreter is the one that runs argosy, be it by a virtual environment."""
    return os.path.realpath(python) == os.path.realpath(sys.executable)
