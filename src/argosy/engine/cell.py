"""A cell: one process that several agents share, and who of them is aboard.

The process (the hull) is a unit like any other, with a lease, a log, a restart limit and a watchdog;
the cell is its surroundings. The agents are units too (`member`), with states, needs and readiness
of their own; where another unit would have a process forked, they board the cell. What becomes of
the hull becomes of everyone aboard.

Who shall live in the process is told to it as a whole, in one datagram, whenever that changes and
whenever the process or the supervisor is new: there is no difference that could be lost.
"""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

from argosy.agent.roll import Call, encode_call
from argosy.engine.logs import append_end
from argosy.engine.state import FINAL_STATES, Event, State
from argosy.engine.surroundings import Needs
from argosy.engine.unit import Unit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from argosy.engine.crew import Crew
    from argosy.engine.errand import Outcome
    from argosy.engine.lifetime import Lifetime
    from argosy.engine.member import Member
    from argosy.engine.plan import ProcessSpec
    from argosy.fault import Fault

_AGAIN_S = 0.01
_LOSSES = {
    State.RESTART_PENDING: Event.RETRY,
    State.EXITED: Event.FINISHED,
    State.GIVEN_UP: Event.GIVE_UP,
}


class Hull(Unit):
    """The process of a cell."""

    @property
    def life(self) -> Lifetime:
        """The process, for those aboard to share."""
        return self._life

    @property
    def said(self) -> str:
        """What the process has said of itself last: who failed in it, or what holds its loop."""
        return self._signs.status

    def forgive(self) -> None:
        """Forget all restarts."""
        self._budget.forgive()

    def slay(self) -> None:
        """Kill the process; what follows is the policy's word."""
        self._kill()

    def fail(self, why: str) -> None:
        """Take it for frozen, for what was seen at one of its agents."""
        self._cause = "frozen"
        append_end(self._log, why)
        self._fire(Event.FROZEN, why)

    def _frozen(self, why: str) -> None:
        if not self.said:
            self._life.signal(signal.SIGQUIT)  # C code holds the interpreter: its stack goes to the log
        self.fail(f"{why}: {self.said}" if self.said else why)


class Cell:
    """One cell of the fleet on this machine; `members` are all its agents, aboard or not."""

    def __init__(self, name: str, spec: ProcessSpec, crew: Crew) -> None:
        self.name = name
        self.loop, self.folder, self.wills = crew.loop, crew.folder, crew.wills
        self.listeners, self.hearing = crew.listeners, crew.hearing
        self.members: dict[str, Member] = {}
        self._crew = crew
        self._spec = spec
        self._called: dict[str, Member] = {}  # who shall live, in the order of asking
        self._aboard: dict[str, Member] = {}  # whom this process was told to carry, and has not let go
        self._is_calling = False
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.hull = Hull(spec, self)
        self._last = self.hull.state

    # ---- what its members ask

    @property
    def is_sinking(self) -> bool:
        """Whether the process is on its way out."""
        return self.hull.state is State.STOPPING

    def carries(self, member: Member) -> bool:
        """Return whether the process was told to carry this one and has not let it go."""
        return member.name in self._aboard

    def board(self, member: Member) -> None:
        """Have an agent begun in the process, which is started where there is none.

        The time that the process needs is the agent's own: it waits for nobody else.
        """
        self._crew.diary.note("order", agent=member.name)
        self._called[member.name] = member
        if self.hull.is_ready:
            self._call_soon()
        elif self.hull.state in FINAL_STATES:
            self._start()
        # Else it comes, or it goes and comes again: then all are called.

    def leave(self, member: Member) -> None:
        """Have an agent ended in the process; with the last one the process ends."""
        self._called.pop(member.name, None)
        if self._called or not self.carries(member):
            self._call_soon()
        else:
            self.hull.stop()

    def bring_down(self) -> None:
        """Restart the process, with everyone aboard."""
        self.hull.restart(self._spec)

    def over(self, member: Member) -> None:
        """The process says that an agent's life in it is over."""
        if self.is_sinking:
            return  # none of them is gone before the process is
        if member.name in self._called:
            if member.state is State.STARTING:
                self.bring_down()  # it has lived in this process before, and may not again
        elif self._aboard.pop(member.name, None) and member.state is State.STOPPING:
            member.lost(Event.FINISHED, member.reason)

    def forgive(self) -> None:
        """Forget earlier restarts: a person has asked for a start."""
        self.hull.forgive()

    # ---- what the crew asks

    def renew(self, spec: ProcessSpec) -> None:
        """Be `spec` from the next process on; at once where that differs in nothing, as far as one knows."""
        self._spec = spec
        if self.hull.running_digest in (spec.digest, ""):
            self.hull.renew(spec)

    def adopt_running(self) -> None:
        """Take over the process of an earlier supervisor, and whom it was told to carry."""
        if self.hull.pid is not None or not self._crew.adopt(self.hull):
            return
        for member in self.members.values():
            if member.adopt_aboard(self.hull):
                self._called[member.name] = self._aboard[member.name] = member
        if not self._called:
            self.hull.stop()

    def share_memory(self) -> None:
        """Share the process's memory out to those aboard; nobody can tell whose it is."""
        for member in self._aboard.values():
            member.take_share(self.hull, len(self._aboard))

    def close(self) -> None:
        """Let go of the process; it lives on."""
        self.hull.close()
        self._socket.close()

    # ---- surroundings of the hull

    def needs_of(self, unit: Unit) -> Needs:
        """Return nothing: it is its agents that wait for others."""
        return Needs([], {})

    def ask_room(self, unit: Unit) -> None:
        """Start in its turn, as every process."""
        self._crew.ask_room(unit)

    def adopt(self, unit: Unit) -> bool:
        """Take over the process that the lease records, if that lives."""
        return self._crew.adopt(unit)

    def had_process(self, name: str) -> bool:
        """Return whether this supervisor has had one of this name."""
        return self._crew.had_process(name)

    def spawn(self, unit: Unit, output: int) -> None:
        """Have the process forked; takes over the descriptor."""
        self._crew.spawn(unit, output)

    async def run_beside(self, unit: Unit, command: Sequence[str], within_s: float) -> Outcome:
        """Run a command in the folder and environment of the process."""
        return await self._crew.run_beside(unit, command, within_s)

    def forkers(self) -> set[int]:
        """Return the process numbers of the forkers and zygotes."""
        return self._crew.forkers()

    def tree_version(self) -> str:
        """Return the version of the tree now."""
        return self._crew.tree_version()

    def was_out_of_memory(self, unit: Unit) -> bool:
        """Return whether the kernel killed the process for its `memory`."""
        return self._crew.was_out_of_memory(unit)

    def find_flaw(self, unit: Unit, then: Callable[[Fault | None], None]) -> None:
        """Say that nothing is known: the process tells by itself whose code could not be loaded."""
        then(None)

    def hear_forker(self) -> None:
        """Take what the forker has told."""
        self._crew.hear_forker()

    def is_rising(self, unit: Unit) -> None:
        """The process takes calls."""
        self._call_soon()

    def is_falling(self, unit: Unit) -> None:
        """Nobody needs a process; they need its agents."""

    def has_concluded(self, unit: Unit) -> None:
        """See `changed`."""

    def has_ended(self, unit: Unit) -> None:
        """Its room is free."""
        self._crew.has_ended(unit)

    def changed(self, unit: Unit) -> None:
        """Let those aboard go the way of their process."""
        state, before = unit.state, self._last
        self._crew.diary.note("state", agent=unit.name, state=state.value, pid=unit.pid, text=unit.reason)
        self._last = state
        if state is before:
            return
        if state in _LOSSES:
            self._lose(_LOSSES[state])
        elif state in (State.STOPPING, State.FAILING):
            for member in list(self._aboard.values()):
                member.sink(self._why(), is_stopping=state is State.STOPPING)
        elif before is State.RESTART_PENDING:
            for member in list(self.members.values()):
                member.revive()

    # ---- its own

    def _start(self) -> None:
        if self._called and self.hull.state in FINAL_STATES:
            self.hull.renew(self._spec)
            self.hull.start()

    def _lose(self, event: Event) -> None:
        """The process is gone: so is who was aboard, and by a final end who waits for it."""
        lost, self._aboard = self._aboard, {}
        why = self._why()
        is_final = event is not Event.RETRY and self.hull.wanted
        for name, member in {**lost, **(self._called if is_final else {})}.items():
            self._called.pop(name, None)
            member.lost(event, why)
        if event is Event.FINISHED:
            self.loop.call_soon(self._start)  # who asked while it went

    def _why(self) -> str:
        if self.hull.reason in ("restarting", "stopped"):
            return f"{self.hull.reason} with its cell `{self.name}`"
        said = self.hull.said
        more = f": {said}" if said and said not in self.hull.reason else ""
        return f"its cell `{self.name}` {self.hull.reason}{more}"

    def _call_soon(self) -> None:
        """Call after this tick, so that all who ask in it are called together."""
        if not self._is_calling:
            self._is_calling = True
            self.loop.call_soon(self._call)

    def _call(self) -> None:
        self._is_calling = False
        if not self.hull.is_ready:
            return  # all are called when it is
        for name, member in self._called.items():
            if name not in self._aboard:
                self._aboard[name] = member
                member.has_boarded(self.hull)
        try:
            data = encode_call(Call(tuple(self._called)))
            self._socket.sendto(data, str(self.folder.calls(self.name)))
        except BlockingIOError:
            self._is_calling = True
            self.loop.call_later(_AGAIN_S, self._call)
        except OSError:
            return  # the process is gone, and that will be told


def with_mates(units: Iterable[Unit], cells: Mapping[str, Cell]) -> list[Unit]:
    """Return these, and of each one's cell all that have a process: a cell is one unit."""
    found = dict.fromkeys(units)
    for unit in list(found):
        cell = cells.get(unit.spec.cell or "")
        if cell is not None and unit.has_process:
            found.update(dict.fromkeys(mate for mate in cell.members.values() if mate.has_process))
    return list(found)
