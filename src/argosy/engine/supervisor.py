"""The supervisor: hears what clients ask of the fleet, and lets one change begin at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from argosy.engine.companion import Companion
from argosy.engine.crew import Crew
from argosy.engine.holder import Holder
from argosy.engine.messages import (
    PROTOCOL,
    Apply,
    Changed,
    Farewell,
    Hello,
    Refused,
    Restart,
    Shutdown,
    Status,
    Stop,
    Subscribe,
    Welcome,
)
from argosy.engine.remains import living_leases
from argosy.engine.report import report_of, waiting_on
from argosy.engine.rollout import Rollout
from argosy.engine.roster import lost_specs, read_roster
from argosy.engine.state import FINAL_STATES
from argosy.fault import ArgosyError, Fault, MissingError, RefusedError
from argosy.fleet.graph import graph_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from argosy.engine.control import Session
    from argosy.engine.folder import Folder
    from argosy.engine.messages import Message, Request
    from argosy.engine.unit import Unit

# A supervisor that nobody asked anything of ends after this.
_UNUSED_S = 10.0


class Supervisor:
    """All that a client can ask, over one crew.

    One change at a time: while one is under way, another is refused with the name of who holds it.
    A stop takes precedence: it ends the change first, and nothing may begin until it is over.
    """

    def __init__(
        self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop, open_files: int = 0
    ) -> None:
        self.started_s = time.time()
        self.ended = asyncio.Event()
        self._folder = folder
        self._loop = loop
        self._crew = Crew(folder, generation, loop, open_files)
        self._crew.on_change = self._on_change
        self._crew.on_dethroned = self.ended.set
        self._crew.diary.note("supervisor", pid=os.getpid(), text=f"generation {generation}")
        self._rollout = Rollout(self._crew)
        self._companion = Companion(folder, loop, self._crew.diary)
        self._sessions: Collection[Session] = ()
        self._holders: list[Holder] = []
        self._was_used = False
        loop.call_later(_UNUSED_S, self.end_if_unused)

    def adopt(self, *, is_new: bool) -> None:
        """Take over what runs from an earlier supervisor: by the leases, and by the roster it left.

        is_new: the folder is. It may have been deleted under a running fleet, so /proc is asked too.
        """
        if is_new:
            self._crew.find_lost()
        roster = read_roster(self._folder)
        leaving = roster.leaving if roster is not None else {}
        hulls = roster.hulls if roster is not None else {}
        if roster is not None:
            self._crew.adopt_plan(roster.plan)
            self._crew.add(leaving, hulls)
            self._rollout.graph = graph_of(
                {name: spec.need_names() for name, spec in roster.plan.processes.items()}
            )
        known = {hull.name for hull in hulls.values()}
        self._adopt_leases(known)
        with contextlib.suppress(OSError, MissingError):  # the next start says why it cannot be made
            while self._crew.mend_folder():  # deleted meanwhile: who was not adopted yet is in no lease now
                self._crew.find_lost()
                self._adopt_leases(known)
        for name in leaving:
            unit = self._crew.units[name]
            if unit.has_process:
                unit.stop()  # it was being stopped

    def _adopt_leases(self, known: Collection[str]) -> None:
        """Take over whoever has a lease and lives. known: processes of cells that are in the roster."""
        lost = lost_specs(self._folder, [each for each in living_leases(self._folder) if each not in known])
        self._crew.add(lost.agents, lost.hulls)
        self._was_used = bool(self._crew.adopt_running()) or self._was_used

    def watch_sessions(self, sessions: Collection[Session]) -> None:
        """Send transitions to those of `sessions` that subscribe."""
        self._sessions = sessions

    def end_if_unused(self) -> None:
        """End when nobody has ever asked anything of it and nobody is there: its client was interrupted."""
        if not self._was_used and not self._sessions:
            self.ended.set()

    def say_farewell(self) -> None:
        """Tell every client that this end is meant."""
        for session in self._sessions:
            session.send(Farewell(running=len(self._crew.running())))

    def close(self) -> None:
        """Let go of everything; the agents run on, and so does the hub."""
        self._companion.close()
        self._crew.close()

    async def handle(self, session: Session, request: Request) -> None:
        """Answer one request; a fault becomes Refused."""
        try:
            await self._answer(session, request)
        except ArgosyError as error:
            session.send(Refused(faults=list(error.faults), exit_code=error.exit_code))
        except Exception as error:
            session.send(Refused(faults=[Fault("", "internal", f"the supervisor failed: {error!r}")]))
            raise

    async def _answer(self, session: Session, request: Request) -> None:
        match request:
            case Hello():
                session.client = request.client
                held = sorted(self._crew.nursery.held)
                session.send(Welcome(protocol=PROTOCOL, pid=os.getpid(), started_s=self.started_s, held=held))
            case Apply():
                try:
                    with self._hold("up", session):
                        await self._apply(session, request)
                finally:
                    await self._end_if_idle()  # also after one that was refused
            case Restart():
                with self._hold("restart", session):
                    session.send(await self._rollout.restart(request.names))
            case Stop():
                with self._precede("down", session):
                    # What the hub has not heard of the end, it reads in the diary at its next start.
                    hub = None if request.names is not None else asyncio.ensure_future(self._companion.stop())
                    stopped = await self._rollout.stop(request.names, is_kill=request.is_kill)
                    if hub:
                        await hub
                    session.send(stopped)
                await self._end_if_idle()
            case Status():
                session.send(report_of(self._crew, self.started_s))
            case Subscribe():
                session.is_subscribed = True
            case Shutdown():
                self.ended.set()

    @contextlib.contextmanager
    def _hold(self, what: str, session: Session) -> Iterator[None]:
        """Hold the queue of changes.

        Raises RefusedError: somebody else has it.
        """
        if self._holders:
            raise RefusedError(self._holders[0].fault())
        with self._precede(what, session):
            yield

    @contextlib.contextmanager
    def _precede(self, what: str, session: Session) -> Iterator[None]:
        """Keep others from beginning a change meanwhile."""
        self._was_used = True
        holder = Holder(what, session.pid, time.time())
        self._holders.append(holder)
        try:
            yield
        finally:
            self._holders.remove(holder)

    async def _apply(self, session: Session, request: Apply) -> None:
        intent = self._rollout.prepare(request, session.pid)
        session.send(intent.change.told(len(intent.plan.declared)))
        was_subscribed, session.is_subscribed = session.is_subscribed, True
        account = await self._rollout.carry_out(intent)
        session.is_subscribed = was_subscribed
        if request.hub and account.ready:
            self._companion.start(intent.plan.path, self._crew.environ)
        session.send(account)

    async def _end_if_idle(self) -> None:
        """End when nothing runs and nothing shall: a supervisor of nothing helps nobody."""
        if not self._holders and self._is_idle():
            await self._companion.stop()
            self.ended.set()

    def _is_idle(self) -> bool:
        return all(u.state in FINAL_STATES and u.identity is None for u in self._crew.units.values())

    # ---- telling

    def _on_change(self, unit: Unit) -> None:
        self._rollout.look(unit)
        self._broadcast(
            Changed(
                agent=unit.name,
                state=unit.state,
                at_s=unit.since_s,
                reason=unit.reason,
                pid=unit.pid,
                waiting_on=waiting_on(unit, self._crew),
                last_lines=unit.last_lines,
            )
        )

    def _broadcast(self, message: Message) -> None:
        for session in self._sessions:
            if session.is_subscribed:
                session.send(message)
