"""The links of this supervisor to those of the other machines: one door, one dial a machine, one view.

What is heard of the others' agents goes into `Distant`s; whom it concerns here is told by the crew.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from argosy.engine.distant import Distant
from argosy.engine.linkframes import Figures, News, Snapshot
from argosy.engine.messages import MachineStatus

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable

    from argosy.engine.control import Asker
    from argosy.engine.linkdial import LinkDial
    from argosy.engine.linkdoor import LinkDoor
    from argosy.engine.linkplan import LinkPlan
    from argosy.engine.messages import AgentStatus, Request
    from argosy.engine.state import State


class Links:
    """All machines but this one, as this supervisor sees them.

    statuses, version: of this machine's agents, and of its tree. handle: answers what another machine asks.
    on_heard(distant, its state before): after each transition elsewhere. on_sight(dial): a machine is
    linked, blind, or was waited for in vain.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        statuses: Callable[[], dict[str, AgentStatus]],
        version: Callable[[], str],
        handle: Callable[[Asker, Request], Awaitable[None]],
        on_heard: Callable[[Distant, State], None],
        on_sight: Callable[[LinkDial], None],
    ) -> None:
        self.plan: LinkPlan | None = None
        self.distants: dict[str, Distant] = {}
        self.dials: dict[str, LinkDial] = {}
        self._epoch = secrets.randbits(62)
        self._loop = loop
        self._statuses = statuses
        self._version = version
        self._handle = handle
        self._on_heard = on_heard
        self._on_sight = on_sight
        self._door: LinkDoor | None = None

    def configure(self, plan: LinkPlan | None) -> None:
        """Link as this plan says from now on; what it does not change stays linked.

        Raises RefusedError: the door cannot be bound, or this machine has no key.
        """
        before, self.plan = self.plan, plan
        if plan is None:
            self._close_all(0)
            self.distants.clear()
            return
        ways = (plan.fleet, plan.environment, plan.machine, plan.door, plan.keys, plan.peers)
        is_same = before is not None and ways == (
            before.fleet,
            before.environment,
            before.machine,
            before.door,
            before.keys,
            before.peers,
        )
        if not is_same:
            self._close_all(0)
            try:
                self._open(plan)
            except BaseException:
                self.plan = None
                self._close_all(0)
                raise
        self._meet(plan)

    def _open(self, plan: LinkPlan) -> None:
        # ZeroMQ is for fleets with links alone.
        from argosy.engine.linkdial import LinkDial  # noqa: PLC0415
        from argosy.engine.linkdoor import LinkDoor  # noqa: PLC0415

        # The door first: whoever is dialled dials back at once.
        self._door = LinkDoor(
            plan, self._epoch, self._loop, self._statuses, self._version, self._handle, self._is_watched
        )
        for machine in plan.peers:
            self.dials[machine] = LinkDial(plan, machine, self._loop, self._hear, self._see)

    def _meet(self, plan: LinkPlan) -> None:
        """Have a distant for each agent elsewhere; known ones keep what was heard of them."""
        for name in [name for name in self.distants if name not in plan.agents]:
            del self.distants[name]
        for name, spec in plan.agents.items():
            known = self.distants.get(name)
            if known is None or known.sight is not self.dials[spec.machine]:
                self.distants[name] = Distant(name, spec, self.dials[spec.machine])
                if known is not None and known.status is not None and known.spec.machine == spec.machine:
                    self.distants[name].take_over(known)
            else:
                known.spec = spec

    def publish(self, agent: str, status: AgentStatus) -> None:
        """Tell the other machines of a transition here."""
        if self._door is not None:
            self._door.publish(agent, status)

    def of_machine(self, machine: str) -> list[Distant]:
        """Return the agents of a machine."""
        return [each for each in self.distants.values() if each.spec.machine == machine]

    def machines(self) -> dict[str, MachineStatus]:
        """Return how each other machine is seen."""
        return {
            machine: MachineStatus(
                state="linked" if dial.is_linked else "blind",
                since_s=dial.since_s,
                reason=dial.reason,
                version=dial.version,
            )
            for machine, dial in self.dials.items()
        }

    def await_agents(self, names: Iterable[str], order: str) -> None:
        """Take note that these have been asked for by this order: what they were before says nothing."""
        for name in names:
            if name in self.distants:
                self.distants[name].await_order(order)

    def await_no_more(self) -> None:
        """Take what was heard last for what is."""
        for distant in self.distants.values():
            before = distant.state
            distant.awaited = ""
            if distant.state is not before:
                self._on_heard(distant, before)

    def condemn(self, machine: str, reason: str) -> None:
        """Take a machine that is not seen for gone, since somebody knows; a linked one is what it says."""
        dial = self.dials.get(machine)
        if dial is None or dial.is_linked:  # nor is it kept for later: it may be old by then
            return
        before = {distant.name: distant.state for distant in self.of_machine(machine)}
        dial.condemn(reason)
        for distant in self.of_machine(machine):
            if distant.state is not before[distant.name]:
                self._on_heard(distant, before[distant.name])

    def close(self, running: int) -> None:
        """End all links. running: agents that run on here."""
        self._close_all(running)

    def _close_all(self, running: int) -> None:
        for dial in self.dials.values():
            dial.close()
        self.dials.clear()
        if self._door is not None:
            self._door.close(running)
            self._door = None

    # ---- hearing

    def _is_watched(self, machine: str) -> None:
        """Dial back who has dialled: it is there."""
        if dial := self.dials.get(machine):
            dial.hurry()

    def _hear(self, dial: LinkDial, frame: Snapshot | News | Figures) -> None:
        if isinstance(frame, Snapshot | Figures):
            dial.version = frame.version
        match frame:
            case Snapshot():
                self._take_all(dial.machine, frame)
            case News():
                known = self.distants.get(frame.agent)
                if known is not None and known.spec.machine == dial.machine:
                    self._take(known, frame.status)
            case Figures():
                for name, (rss, pss, age_s) in frame.agents.items():
                    if name in self.distants and self.distants[name].spec.machine == dial.machine:
                        self.distants[name].measure(rss, pss, age_s)

    def _take_all(self, machine: str, snapshot: Snapshot) -> None:
        for distant in self.of_machine(machine):
            if status := snapshot.agents.get(distant.name):
                self._take(distant, status)
            elif distant.status is not None:
                before, distant.status = distant.state, None
                self._on_heard(distant, before)

    def _take(self, distant: Distant, status: AgentStatus) -> None:
        before = distant.state
        distant.hear(status, self._loop.time())
        self._on_heard(distant, before)

    def _see(self, dial: LinkDial) -> None:
        self._on_sight(dial)
