"""The supervisor: hears what clients ask of the fleet, and lets one change begin at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from argosy.engine.companion import Companion
from argosy.engine.crew import Crew
from argosy.engine.descriptors import Reserve
from argosy.engine.disruption import Disruptions
from argosy.engine.federation import Federation
from argosy.engine.holder import Holder
from argosy.engine.links import Links
from argosy.engine.messages import (
    PROTOCOL,
    Apply,
    Changed,
    Condemn,
    Disrupt,
    Farewell,
    Hello,
    Refused,
    Relay,
    Restart,
    Restarted,
    Shutdown,
    Sighted,
    Status,
    Stop,
    Stopped,
    Subscribe,
    Thaw,
    Welcome,
)
from argosy.engine.pace import Pace
from argosy.engine.relay import run_verb
from argosy.engine.remains import living_leases
from argosy.engine.report import report_of, status_of, statuses_of, waiting_on
from argosy.engine.rollout import Rollout
from argosy.engine.roster import lost_specs, read_roster
from argosy.engine.state import FINAL_STATES, State
from argosy.engine.version import NotedVersion
from argosy.fault import ArgosyError, Fault, MissingError, RefusedError
from argosy.fleet.graph import graph_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from argosy.engine.control import Asker, Session
    from argosy.engine.distant import Distant
    from argosy.engine.folder import Folder
    from argosy.engine.linkdial import LinkDial
    from argosy.engine.linkplan import LinkPlan
    from argosy.engine.messages import Message, Request
    from argosy.engine.unit import Unit

# A supervisor that nobody asked anything of ends after this.
_UNUSED_S = 10.0


class Post(NamedTuple):
    """What a supervisor serves. path: the fleet file here.

    stays: also when nothing runs, for other machines to reach it; what was wanted when the machine
    went down is started again.
    """

    path: str
    stays: bool = False
    links: LinkPlan | None = None


class Supervisor:
    """All that a client can ask, over one crew.

    One change at a time: while one is under way, another is refused with the name of who holds it.
    A stop takes precedence: it ends the change first, and nothing may begin until it is over.
    """

    def __init__(
        self,
        folder: Folder,
        generation: int,
        loop: asyncio.AbstractEventLoop,
        open_files: int,
        post: Post,
    ) -> None:
        self.started_s = time.time()
        self._post = post
        self.ended = asyncio.Event()
        self._folder = folder
        self._loop = loop
        self._crew = Crew(folder, generation, loop, open_files)
        self._crew.on_change = self._on_change
        self._crew.on_dethroned = self.ended.set
        self._crew.on_renewed = self._renew_hub
        self._crew.diary.note("supervisor", pid=os.getpid(), text=f"generation {generation}")
        version = self._crew.version = NotedVersion(Path(post.path).parent)
        self._links = Links(
            loop,
            lambda: statuses_of(self._crew),
            version.now,
            self.handle,
            self._on_heard,
            self._on_sight,
        )
        self._crew.know_distants(self._links.distants)
        self._federation = Federation(self._links)
        self._rollout = Rollout(self._crew, self._links)
        self._reserve = Reserve(loop, lambda: self._crew.diary.note("few-descriptors"))
        self._disruptions = Disruptions(self._crew)
        self._companion = Companion(folder, loop, self._crew.diary)
        self._sessions: Collection[Session] = ()
        self._holders: list[Holder] = []
        self._was_used = False
        loop.call_later(_UNUSED_S, self.end_if_unused)

    async def adopt(self, *, is_new: bool) -> None:
        """Take over what runs from an earlier supervisor: by the leases, and by the roster it left.

        Before clients can ask; what becomes of those that were taken over is heard of meanwhile.
        is_new: the folder is. It may have been deleted under a running fleet, so /proc is asked too.
        """
        if is_new:
            self._crew.find_lost()
            self._companion.end_lost()
        roster = read_roster(self._folder)
        self._crew.papers.keep(self._folder.applied, self._folder.book)
        leaving = roster.leaving if roster is not None else {}
        hulls = roster.hulls if roster is not None else {}
        await asyncio.sleep(0)
        if roster is not None:
            self._crew.add({}, roster.plan.hulls)
            pace = Pace()
            for name, spec in roster.plan.processes.items():
                self._crew.add({name: spec}, {})
                await pace.pause()
            self._crew.adopt_plan(roster.plan)
            self._crew.add(leaving, hulls)
            await asyncio.sleep(0)
            self._rollout.graph = graph_of(
                {name: spec.need_names() for name, spec in roster.plan.processes.items()}
            )
        known = {hull.name for hull in hulls.values()}
        await self._adopt_leases(known)
        with contextlib.suppress(OSError, MissingError):  # the next start says why it cannot be made
            while self._crew.mend_folder():  # deleted meanwhile: who was not adopted yet is in no lease now
                self._crew.find_lost()
                await self._adopt_leases(known)
        for name in leaving:
            unit = self._crew.units[name]
            if unit.has_process:
                unit.stop()  # it was being stopped
        self._crew.adopt_remains(is_new=is_new)
        self._link_again(roster.links if roster is not None else None)
        if self._post.stays:
            self._resume()

    def _renew_hub(self) -> None:
        """Have another hub in the place of one whose records were deleted."""
        if self._crew.plan is not None:
            self._companion.renew(self._crew.plan.path, self._crew.environ)

    def _link_again(self, known: LinkPlan | None) -> None:
        """Link as one is told to, or as the supervisor before was."""
        try:
            self._links.configure(self._post.links or known)
        except ArgosyError as error:
            if self._post.links is not None:
                raise
            self._crew.diary.note("not-linked", text=error.faults[0].message)

    def _resume(self) -> None:
        """Start what was up, or on its way, when this machine went down."""
        units = self._crew.units
        for name in self._rollout.graph.start_order():
            will = self._crew.wills.read(name) if name in units else None
            was_up = will is not None and will.wanted and will.state not in (State.EXITED, State.GIVEN_UP)
            if was_up and (not units[name].has_process or units[name].is_remnant):
                units[name].start()

    async def _adopt_leases(self, known: Collection[str]) -> None:
        """Take over whoever has a lease and lives. known: processes of cells that are in the roster."""
        lost = lost_specs(self._folder, [each for each in living_leases(self._folder) if each not in known])
        self._crew.add(lost.agents, lost.hulls)
        await asyncio.sleep(0)
        self._was_used = bool(await self._crew.adopt_running()) or self._was_used

    def watch_sessions(self, sessions: Collection[Session]) -> None:
        """Send transitions to those of `sessions` that subscribe."""
        self._sessions = sessions

    def end_if_unused(self) -> None:
        """End when nobody has ever asked anything of it and nobody is there: its client was interrupted."""
        if not self._was_used and not self._sessions and not self._post.stays:
            self.ended.set()

    def client_gone(self) -> None:
        """A client has gone, perhaps in the middle of a change: that goes on, and keeps nobody waiting.

        What a drill has frozen goes on as well.
        """
        self._rollout.wake()
        self._disruptions.keep(self._sessions)
        self.end_if_unused()

    def say_farewell(self) -> None:
        """Tell every client that this end is meant."""
        self._crew.diary.flush()
        for session in self._sessions:
            session.send(Farewell(running=len(self._crew.running())))

    def close(self) -> None:
        """Let go of everything; the agents run on, and so does the hub."""
        self._disruptions.keep(())
        self._companion.close()
        self._reserve.close()
        self._links.close(len(self._crew.running()))
        self._crew.close()

    async def handle(self, session: Asker, request: Request) -> None:
        """Answer one request; a fault becomes Refused."""
        try:
            await self._answer(session, request)
        except ArgosyError as error:
            session.send(Refused(faults=list(error.faults), exit_code=error.exit_code))
        except Exception as error:
            session.send(Refused(faults=[Fault("", "internal", f"the supervisor failed: {error!r}")]))
            raise

    async def _answer(self, session: Asker, request: Request) -> None:
        match request:
            case Apply():
                try:
                    with self._hold("up", session):
                        await self._apply(session, request)
                finally:
                    await self._end_if_idle()  # also after one that was refused
            case Restart():
                with self._hold("restart", session):
                    self._close_with(session, await self._restart(request, session))
            case Stop():
                with self._precede("down", session):
                    # What the hub has not heard of the end, it reads in the diary at its next start.
                    hub = None if request.names is not None else asyncio.ensure_future(self._companion.stop())
                    stopped = await self._stop(request)
                    if not stopped.left:
                        await self._crew.remains_gone()
                    if hub:
                        await hub
                    self._close_with(session, stopped)
                await self._end_if_idle()
            case Relay():
                if session.origin:
                    await run_verb(self._post.path, request.words, session)
                else:
                    await self._federation.relay(request, session)
            case _:
                self._answer_at_once(session, request)

    def _close_with(self, session: Asker, message: Message) -> None:
        """Answer for the last time; who reads the diary then finds all of it there."""
        self._crew.diary.flush()
        session.send(message)

    def _answer_at_once(
        self, session: Asker, request: Hello | Status | Subscribe | Condemn | Disrupt | Thaw | Shutdown
    ) -> None:
        match request:
            case Hello():
                session.client = request.client
                held = sorted(self._crew.nursery.held)
                session.send(
                    Welcome(
                        protocol=PROTOCOL,
                        pid=os.getpid(),
                        started_s=self.started_s,
                        held=held,
                        stays=self._post.stays,
                    )
                )
            case Status():
                session.send(
                    report_of(self._crew, self.started_s, self._links.machines(), self._companion.trouble())
                )
            case Condemn():
                self._links.condemn(request.machine, request.reason)
            case Disrupt():
                session.send(self._disruptions.begin(session, request))
            case Thaw():
                self._disruptions.end(session)
            case Subscribe():
                session.is_subscribed = True
            case Shutdown():
                self.ended.set()

    @contextlib.contextmanager
    def _hold(self, what: str, session: Asker) -> Iterator[None]:
        """Hold the queue of changes.

        Raises RefusedError: somebody else has it.
        """
        if self._holders:
            raise RefusedError(self._holders[0].fault())
        with self._precede(what, session):
            yield

    @contextlib.contextmanager
    def _precede(self, what: str, session: Asker) -> Iterator[None]:
        """Keep others from beginning a change meanwhile."""
        self._was_used = True
        holder = Holder(what, session.pid, time.time(), session.origin)
        self._holders.append(holder)
        try:
            yield
        finally:
            self._holders.remove(holder)

    async def _apply(self, session: Asker, request: Apply) -> None:
        if request.origin:
            request = self._made_local(request)
        else:
            request = msgspec.structs.replace(request, order=secrets.token_hex(8))
        intent = await self._rollout.prepare(request, session.pid)
        session.send(intent.change.told(len(intent.plan.declared)))
        was_subscribed, session.is_subscribed = session.is_subscribed, True
        part = self._federation.apply(request, intent.abroad, session, self._rollout.answered)
        try:
            account = await self._rollout.carry_out(intent, part.machines, lambda: session.is_gone)
        finally:
            part.cancel()
        account = self._federation.conclude(account, part)
        session.is_subscribed = was_subscribed
        if request.hub and account.ready:
            self._companion.start(intent.plan.path, self._crew.environ)
            account = msgspec.structs.replace(account, hub=self._companion.trouble())
        self._close_with(session, account)

    def _made_local(self, request: Apply) -> Apply:
        """Return another machine's apply as one of this machine: of its own tree and environment."""
        environ = {name.decode(errors="replace"): value for name, value in os.environb.items()}
        fleet = msgspec.structs.replace(request.fleet, path=self._post.path)
        return msgspec.structs.replace(request, fleet=fleet, environ=environ)

    async def _stop(self, request: Stop) -> Stopped:
        own = self._own(request.names, self._crew.units)
        beside = request.beside or self._own(request.names, self._links.distants)
        here, elsewhere = await asyncio.gather(
            self._rollout.stop(
                None if request.names is None else own, is_kill=request.is_kill, beside=beside
            ),
            self._federation.stop(request, own),
        )
        parts = [here, *elsewhere]
        return Stopped(
            stopped=[name for part in parts for name in part.stopped],
            killed=[name for part in parts for name in part.killed],
            seconds=max(part.seconds for part in parts),
            unreached={machine: why for part in parts for machine, why in part.unreached.items()},
            left={name: why for part in parts for name, why in part.left.items()},
        )

    async def _restart(self, request: Restart, session: Asker) -> Restarted:
        own = self._own(request.names, self._crew.units)
        here, elsewhere = await asyncio.gather(
            self._rollout.restart(own, lambda: session.is_gone), self._federation.restart(request)
        )
        parts = [here, *elsewhere]
        return Restarted(
            restarted=sorted(name for part in parts for name in part.restarted),
            not_ready={name: why for part in parts for name, why in part.not_ready.items()},
            reconnected=sorted(name for part in parts for name in part.reconnected),
            mates={cell: names for part in parts for cell, names in part.mates.items()},
            seconds=max(part.seconds for part in parts),
        )

    def _own(self, names: Sequence[str] | None, known: Collection[str]) -> list[str]:
        """Return those of `names` (None for all) that are in `known`; and those that nobody knows."""
        if names is None:
            return list(known)
        return [name for name in names if name in known or name not in self._crew.everyone]

    async def _end_if_idle(self) -> None:
        """End when nothing runs and nothing shall: a supervisor of nothing helps nobody."""
        if not self._holders and self._is_idle() and not self._post.stays:
            await self._companion.stop()
            self.ended.set()

    def _is_idle(self) -> bool:
        if any(distant.has_process for distant in self._links.distants.values()):
            return False
        return all(u.state in FINAL_STATES and u.pid is None for u in self._crew.units.values())

    # ---- telling

    def _on_heard(self, distant: Distant, before: State) -> None:
        self._crew.hear_of(distant, before)
        self._rollout.look(distant)
        if distant.state is not before:
            self._broadcast(
                Changed(
                    agent=distant.name,
                    state=distant.state,
                    at_s=time.time(),
                    reason=distant.reason,
                    pid=distant.pid,
                    last_lines=distant.last_lines,
                    is_silent=distant.silent_s is not None,
                )
            )

    def _on_sight(self, dial: LinkDial) -> None:
        what = "machine-linked" if dial.is_linked else "machine-blind"
        self._crew.diary.note(what, text=f"machine `{dial.machine}` {dial.reason}".rstrip())
        distants = self._links.of_machine(dial.machine)
        self._crew.see(distants)
        for distant in distants:
            self._rollout.look(distant)
        self._broadcast(Sighted(machine=dial.machine, status=self._links.machines()[dial.machine]))

    def _on_change(self, unit: Unit) -> None:
        self._rollout.look(unit)
        if self._links.plan is not None:
            self._links.publish(unit.name, status_of(unit, self._crew))
        self._broadcast(
            Changed(
                agent=unit.name,
                state=unit.state,
                at_s=unit.since_s,
                reason=unit.reason,
                pid=unit.pid,
                waiting_on=waiting_on(unit, self._crew),
                last_lines=unit.last_lines,
                is_silent=unit.silent_s is not None,
            )
        )

    def _broadcast(self, message: Message) -> None:
        for session in self._sessions:
            if session.is_subscribed:
                session.send(message)
