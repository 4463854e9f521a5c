"""One agent of a cell: a unit whose process is its cell's.

It waits for its own needs, is ready by its own word and has its own health; it boards where another
unit would have a process forked, and what becomes of the process comes from the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.engine.memory import Memory
from argosy.engine.state import RUNNING_STATES, Event, State
from argosy.engine.unit import Unit

if TYPE_CHECKING:
    from argosy.engine.cell import Cell, Hull
    from argosy.engine.plan import ProcessSpec
    from argosy.engine.surroundings import Surroundings


class Member(Unit):
    """An agent of `cell`."""

    def __init__(self, spec: ProcessSpec, crew: Surroundings, cell: Cell) -> None:
        super().__init__(spec, crew)
        self.cell = cell
        self._log = crew.folder.log(cell.hull.name)
        self._signs.on_over = lambda: cell.over(self)
        cell.members[spec.name] = self

    # ---- what others ask of it

    @property
    def host(self) -> Unit:
        """The unit whose process it lives in: its cell's."""
        return self.cell.hull

    def start(self) -> None:
        """Want it up. A start that a person asks for forgives the cell's earlier restarts."""
        self.cell.forgive()
        super().start()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Restart its cell, and be `spec` from then on when one is given."""
        self.wanted = True
        self._next_spec = spec or self._next_spec
        if self.cell.carries(self):
            self.cell.bring_down()
            return
        self._take_next_spec()
        if self.state not in RUNNING_STATES:
            super().start()

    def close(self) -> None:
        """Let go of sockets and timers."""
        super().close()
        self.cell.members.pop(self.name, None)

    # ---- start

    def spawn_now(self) -> None:
        """Board the cell; a held port is a failed start like any other."""
        self.waits_for_room = self.was_killed = False
        self.ready_at = self.health = None
        self.lost_needs.clear()
        self._cause = "exit"
        self.started_at = self._crew.loop.time()
        self._mark_log()
        held = self._crew.listeners.obstacle(self.spec.ports, self.spec.probe_port)
        if held:
            self._not_started(held)
            return
        try:
            self._signs.listen()
        except OSError as error:
            self._not_started(f"its notify socket: {error.strerror}")
            return
        self.running_digest = self.spec.digest
        self._timers.arm("deadline", self.spec.start_timeout_s, self._too_late)
        self.cell.board(self)

    def has_boarded(self, hull: Hull) -> None:
        """The process has been told to begin it."""
        self._share_process(hull)
        self._write_will()
        self._signs.begin(self.spec, hull.pid or 0)
        self._crew.changed(self)

    def adopt_aboard(self, hull: Hull) -> bool:
        """Take it over with the process of an earlier supervisor; return whether it shall live there."""
        will = self._crew.wills.read(self.name)
        if will is not None and not (will.wanted and will.incarnation == hull.incarnation):
            return False
        self._share_process(hull)
        self.wanted = True
        self.restarts = will.restarts if will else 0
        self.running_digest = will.digest if will else self.spec.digest
        self.started_at = self._crew.loop.time()
        self.state, self.reason = State.STARTING, "adopted, not heard of yet"
        self._signs.listen()
        self._timers.arm("deadline", self.spec.start_timeout_s, self._too_late)
        was_ready = will is not None and will.ready_s is not None
        self._signs.recognise(self.spec, hull.pid or 0, was_ready=was_ready)
        return True

    def _share_process(self, hull: Hull) -> None:
        self._life.share(hull.life)
        self.version = hull.version
        self.log_start = hull.log_start

    def take_share(self, hull: Hull, sharers: int) -> None:
        """Take its share of the process's proportional memory; what is resident is resident for all."""
        found = hull.memory
        self.memory = found and Memory(found.rss_bytes, found.pss_bytes // sharers)
        self.memory_at = hull.memory_at

    # ---- end

    def sink(self, why: str, *, is_stopping: bool) -> None:
        """The process is on its way out, or something of it is left."""
        self._fire(Event.FROZEN if is_stopping else Event.UNHEALTHY, why)

    def lost(self, event: Event, why: str) -> None:
        """It is not in the process any more; `event` is what its cell will do."""
        if not self.wanted:
            event, why = Event.FINISHED, self.reason
        elif self._cause == "timeout":
            event, why = Event.GIVE_UP, self.reason
        self._disarm()
        self._life.finish()
        self.health = self.memory = None
        self.waits_for_room = False
        self._take_next_spec()
        if event is Event.RETRY:
            self.restarts += 1
            self._note_exit(why)
        self._fire(event, why)
        self._write_will()
        self._crew.has_ended(self)

    def revive(self) -> None:
        """Its cell starts again."""
        if self.state is State.RESTART_PENDING:
            self._fire(Event.BACKOFF_OVER, self.reason)

    def _frozen(self, why: str) -> None:
        self.cell.hull.fail(f"restarts since `{self.name}` {why}")

    def _terminate(self) -> None:
        self._timers.cancel("deadline")
        self._signs.attend()
        if not self.cell.carries(self):
            self.cell.leave(self)
            self.lost(Event.FINISHED, self.reason)
        elif self._cause == "timeout" and self.spec.restart == "always":
            self._cause = "exit"
            self.cell.bring_down()
        elif not self.cell.is_sinking:
            self._timers.arm("grace", self.spec.stop_timeout_s, self._kill)
            self.cell.leave(self)

    def _kill(self) -> None:
        self.was_killed = True
        self.cell.hull.slay()
