"""Where processes are born and their ends are told: the forker, the zygotes, and what falls to this process.

A forker or zygote that dies, is stopped, or no more does what it was asked, is ended and replaced; what
it bore falls to the supervisor, a subreaper, and runs on. What it was to bear is ordered again: the
lease of each agent keeps a late twin from running.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING

from argosy.engine import process
from argosy.engine.cgroup import MEMORY, ControlGroups, find_delegated
from argosy.engine.errand import Errands
from argosy.engine.forkerlink import ForkerLink
from argosy.engine.logs import open_log
from argosy.engine.order import Exit, NoBirth, Order
from argosy.engine.orphans import end_orphans, note_forkers
from argosy.engine.plan import errand_environment, handed_on
from argosy.engine.zygotes import Zygotes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from argosy.engine.crew import Crew
    from argosy.engine.diary import Diary
    from argosy.engine.errand import Outcome
    from argosy.engine.order import Birth, Declined, Warm
    from argosy.engine.plan import Plan
    from argosy.engine.unit import Unit

_BIRTH_PATIENCE_S = 5.0
_FORKER_PAUSE_S = 0.5


class Nursery:
    """Bears the processes of one crew's units, and of errands."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._loop = crew.loop
        self._unborn: dict[int, Unit] = {}
        self._errands = Errands(crew.loop, self._send_bare)
        self._zygotes = Zygotes(crew.loop, self)
        self._forker: ForkerLink | None = None
        self._forker_since = 0.0
        self._is_closing = False
        self._base: tuple[dict[str, str], dict[str, str]] = ({}, {})
        root = find_delegated()
        self._groups = ControlGroups(root, crew.folder.state.name) if root is not None else None
        self._is_resting = False
        end_orphans(crew.folder)
        crew.loop.add_signal_handler(signal.SIGCHLD, self._look)

    @property
    def diary(self) -> Diary:
        """The diary of the crew."""
        return self._crew.diary

    @property
    def forker(self) -> int | None:
        """The number of the bare forker, None while there is none."""
        return None if self._forker is None else self._forker.pid

    @property
    def zygotes(self) -> set[int]:
        """The numbers of the zygotes."""
        return {link.pid for link in self._zygotes.links()}

    @property
    def spawned(self) -> dict[str, str]:
        """Agent to the reason why no zygote bears it."""
        return self._zygotes.spawned

    @property
    def held(self) -> frozenset[str]:
        """The limits that control groups hold here: `memory`, `cpu`."""
        return frozenset() if self._groups is None else self._groups.held

    def adopt_plan(self, plan: Plan) -> None:
        """Have the zygotes that this plan asks for."""
        self._zygotes.prepare(plan, self._crew.environ)

    # ---- orders

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the unit's process forked; takes over the descriptor `output`."""
        self.diary.note("order", agent=unit.name)
        self._unborn[unit.incarnation] = unit
        self._loop.call_later(_BIRTH_PATIENCE_S, self._check_birth, unit.incarnation)
        try:
            order = self._order_of(unit)
        except OSError as error:
            os.close(output)
            words = f"its control group `{error.filename}`: {error.strerror}"
            self._loop.call_soon(self.on_no_birth, NoBirth(unit.incarnation, words))
            return
        if not self._zygotes.take(order, output, self._starts_many):
            self._send_bare(order, output)  # without a forker: again when there is one

    def _starts_many(self) -> bool:
        """Return whether more than one agent is to start now or soon."""
        unborn = (unit for unit in self._crew.units.values() if unit.wanted and unit.pid is None)
        return len(list(itertools.islice(unborn, 2))) == 2

    def spawn_bare(self, order: Order) -> None:
        """Have the forker spawn what a zygote did not fork."""
        if order.incarnation in self._unborn:
            try:
                self._send_bare(order, open_log(self._crew.folder.log(order.name)))
            except OSError as error:
                self.on_no_birth(NoBirth(order.incarnation, error.strerror or str(error)))

    def _send_bare(self, order: Order, output: int) -> bool:
        """Have the bare forker fork; takes over the descriptor. Returns False when there is none."""
        self.have_forker()
        if self._forker is None:
            os.close(output)
            return False
        self._forker.send(order, output)
        return True

    def _order_of(self, unit: Unit) -> Order:
        crew, spec, group = self._crew, unit.spec, ""
        if self._groups is not None:
            group = str(self._groups.prepare(unit.name, spec.memory_bytes, spec.cpus))
        return Order(
            name=unit.name,
            incarnation=unit.incarnation,
            generation=crew.generation,
            lease=str(crew.folder.lease(unit.name)),
            generation_file=str(crew.folder.lock),
            argv=list(spec.argv),
            env=self._handed_on() | spec.env,
            cwd=spec.cwd,
            open_files=spec.open_files or crew.open_files,
            memory=0 if MEMORY in self.held else spec.memory_bytes or 0,
            group=group,
        )

    def _handed_on(self) -> dict[str, str]:
        """Return what every agent gets of the environment in force; worked out once."""
        if self._base[0] is not self._crew.environ:
            self._base = self._crew.environ, handed_on(self._crew.environ)
        return self._base[1]

    async def run_beside(self, unit: Unit, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command in the unit's folder and environment."""
        env = errand_environment(self._crew.environ, unit.spec)
        return await self._errands.run(command, env, unit.spec.cwd, within_s)

    async def run_alone(self, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command for the engine itself."""
        return await self._errands.run(command, self._crew.environ, "/", within_s)

    # ---- births

    def on_birth(self, birth: Birth, pidfd: int) -> None:
        """A child was forked."""
        if self._errands.take_birth(birth, pidfd):
            return
        unit = self._unborn.pop(birth.incarnation, None)
        if unit is None:
            # Too late: it was ordered again, or is wanted no more.
            process.send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            return
        self._crew.log_begins(unit.name, unit.log_start, birth.pid)
        unit.born(birth, pidfd)

    def on_no_birth(self, failure: NoBirth) -> None:
        """A child could not be forked."""
        unit = self._unborn.pop(failure.incarnation, None)
        if unit is not None:
            unit.not_born(f"not started, no process could be forked: {failure.reason}")
        self._errands.take_no_birth(failure.incarnation, failure.reason)

    def _check_birth(self, incarnation: int) -> None:
        """Order a child again that nobody has reported; its lease keeps a late twin from running."""
        if incarnation in self._unborn:
            self.diary.note("no-birth", agent=self._unborn[incarnation].name)
            self.order_again(incarnation)

    def order_again(self, incarnation: int) -> None:
        """Order a child anew that will not be borne."""
        unit = self._unborn.pop(incarnation, None)
        if unit is not None:
            unit.not_born("")

    def on_word(self, word: Warm | Declined) -> None:
        """A bare forker says nothing else."""
        raise AssertionError(f"the forker is no zygote: {word}")

    # ---- ends

    def was_killed(self, unit: Unit) -> bool:
        """Return whether the kernel killed the unit, because it had more than its `memory`."""
        return self._groups is not None and self._groups.was_killed(unit.name)

    def clear(self, unit: Unit) -> None:
        """Nothing is left of the unit's process: remove its group."""
        if self._groups is not None:
            self._groups.remove(unit.name)

    def on_exit(self, end: Exit) -> None:
        """A child has ended. Told twice when its forker died between telling and reaping."""
        if self._errands.take_exit(end):
            return
        for unit in self._crew.hosts():
            if unit.pid == end.pid:
                unit.ended(end.status)
                return

    def hear(self) -> None:
        """Take what the forker and the zygotes have told: a pid that is unknown now is not the engine's."""
        for link in self._links():
            link.drain()

    def forkers(self) -> set[int]:
        """Return the numbers of the forker and the zygotes."""
        return {link.pid for link in self._links()}

    def _links(self) -> Iterator[ForkerLink]:
        if self._forker is not None:
            yield self._forker
        yield from self._zygotes.links()

    def _look(self) -> None:
        """Find out what has become of this process's children."""
        for link in self._links():
            link.look()
        self._reap()

    def _reap(self) -> None:
        """Take the exits of what has fallen to this process; a forker is reaped by its link."""
        self.hear()
        while (found := process.next_zombie()) is not None:
            pid, status = found
            forker = next((link for link in self._links() if link.pid == pid), None)
            if forker is not None:
                forker.look()
                continue
            process.kill_group_of_zombie(pid)
            os.waitpid(pid, 0)
            self.on_exit(Exit(pid, status))

    # ---- the forkers themselves

    def have_forker(self) -> None:
        """Start the forker if nothing has asked for it yet: where zygotes bear all agents none is needed."""
        if self._forker is None and not self._is_resting and not self._is_closing:
            self._start_forker()

    def _start_forker(self) -> None:
        """Start a forker; where it cannot be started, again after a pause."""
        self._forker_since = self._loop.time()
        try:
            self._forker = ForkerLink(self._loop, self, env=handed_on(os.environ))
        except OSError as error:
            self.diary.note("no-forker", text=str(error))
            self._rest(_FORKER_PAUSE_S)
            return
        self.has_forked()

    def _replace_forker(self) -> None:
        """Start the next forker, and order again what the one before it has not borne."""
        self._is_resting = False
        if self._is_closing:
            return
        self._start_forker()
        if self._forker is None:
            return
        for incarnation in list(self._unborn):
            if not self._zygotes.holds(incarnation):
                self.order_again(incarnation)

    def has_forked(self) -> None:
        """A forker or zygote was started: the next supervisor has to know of it."""
        note_forkers(self._crew.folder, [link.pid for link in self._links()])

    def on_forker_lost(self, why: str) -> None:
        """Replace a forker that died. Its children have fallen to this process, a subreaper."""
        if self._is_closing:
            return
        self.diary.note("forker-lost", text=why)
        self._forker = None
        self._errands.forker_lost()
        self._reap()
        # One that cannot live is not started in a tight loop.
        has_lived = self._loop.time() - self._forker_since > _FORKER_PAUSE_S
        self._rest(0.0 if has_lived else _FORKER_PAUSE_S)

    def _rest(self, seconds: float) -> None:
        """Have no forker for a while, then the next."""
        self._is_resting = True
        self._loop.call_later(seconds, self._replace_forker)

    def on_zygote_lost(self) -> None:
        """Take the exits of what it bore and had not told."""
        if not self._is_closing:
            self._reap()

    def close(self) -> None:
        """End the forker and the zygotes; what they bore runs on."""
        self._is_closing = True
        self._zygotes.close()
        if self._forker is not None:
            self._forker.close()
