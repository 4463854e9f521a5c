"""The supervisor: carries out what clients ask of the fleet, one change at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from typing import TYPE_CHECKING

from argosy.engine.account import close_account, describe
from argosy.engine.change import OrderedStop, Settling
from argosy.engine.crew import Crew
from argosy.engine.difference import Change, compare, scope_of
from argosy.engine.messages import (
    PROTOCOL,
    Account,
    AgentStatus,
    Apply,
    Changed,
    Difference,
    Hello,
    Refused,
    Report,
    Restart,
    Restarted,
    Shutdown,
    Status,
    Stop,
    Stopped,
    Subscribe,
    Welcome,
)
from argosy.engine.plan import Plan, plan_fleet
from argosy.engine.roster import Roster, read_roster, write_book_of, write_roster
from argosy.engine.state import FINAL_STATES, State
from argosy.fault import ArgosyError, Fault, InputError, RefusedError
from argosy.fleet.environment import here, place
from argosy.fleet.graph import Graph, build_graph, graph_of
from argosy.fleet.load import load_fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable

    from argosy.engine.control import Session
    from argosy.engine.folder import Folder
    from argosy.engine.messages import Message, Request
    from argosy.engine.unit import Unit


class Supervisor:
    """All that a client can ask, over one crew.

    One change at a time: while one is under way another is refused with the name of who holds it;
    a stop takes precedence and ends the change first.
    """

    def __init__(self, folder: Folder, generation: int, loop: asyncio.AbstractEventLoop) -> None:
        self.started_s = time.time()
        self.ended = asyncio.Event()
        self._folder = folder
        self._loop = loop
        self._crew = Crew(folder, generation, loop)
        self._crew.on_change = self._on_change
        self._graph: Graph = graph_of({})
        self._sessions: Collection[Session] = ()
        self._holder: tuple[str, int, float] | None = None
        self._settling: Settling | None = None
        self._stops: set[OrderedStop] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def adopt(self) -> None:
        """Take over what runs from an earlier supervisor, by the roster it left."""
        roster = read_roster(self._folder)
        if roster is None:
            return
        self._crew.adopt_plan(roster.plan)
        self._graph = graph_of({name: spec.need_names() for name, spec in roster.plan.processes.items()})
        self._crew.adopt_running()

    def watch_sessions(self, sessions: Collection[Session]) -> None:
        """Send transitions to those of `sessions` that subscribe."""
        self._sessions = sessions

    def close(self) -> None:
        """Let go of everything; the agents run on."""
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
                session.send(Welcome(protocol=PROTOCOL, pid=os.getpid(), started_s=self.started_s))
            case Apply():
                async with self._hold("up", session):
                    account = await self._apply(session, request)
                if not account.interrupted:  # whoever interrupted it has its own say
                    self._end_if_idle()
            case Restart():
                async with self._hold("restart", session):
                    session.send(await self._restart(request.names))
            case Stop():
                session.send(await self._stop(request.names, is_kill=request.is_kill))
                self._end_if_idle()
            case Status():
                session.send(self._report())
            case Subscribe():
                session.is_subscribed = True
            case Shutdown():
                self.ended.set()

    @contextlib.asynccontextmanager
    async def _hold(self, what: str, session: Session) -> AsyncIterator[None]:
        """Hold the queue of changes.

        Raises RefusedError: somebody else has it.
        """
        if self._holder is not None:
            verb, pid, since_s = self._holder
            since = time.strftime("%H:%M:%S", time.localtime(since_s))
            raise RefusedError(
                Fault(
                    "",
                    "busy",
                    f"`argosy {verb}` (pid {pid}) has been changing this fleet since {since}",
                    "wait for it, or stop it (Ctrl-C there, or `argosy down` here)",
                )
            )
        self._holder = (what, session.pid, time.time())
        self._idle.clear()
        try:
            yield
        finally:
            self._holder = None
            self._idle.set()

    # ---- up

    async def _apply(self, session: Session, request: Apply) -> Account:
        began = self._loop.time()
        fleet = load_fleet(request.path, request.text)
        placement = place(fleet, request.environment, request.environ)
        machines = here(placement, request.machine, request.environ)
        plan = plan_fleet(fleet, placement, machines, self._folder)
        scope = scope_of(plan, request.only, request.skip)
        units = self._crew.units
        change = compare({unit.name: unit.running_digest for unit in self._crew.running()}, plan, scope)
        names = sorted(name or "" for name in machines)
        write_roster(self._folder, Roster(plan=plan, machines=names))
        write_book_of(self._folder, fleet, placement, names)
        self._graph = build_graph(fleet)
        self._crew.environ = request.environ
        self._crew.diary.note("apply", text=f"{len(scope)} of {len(plan.declared)} agents, pid {session.pid}")
        session.send(_difference(change, plan))
        was_subscribed, session.is_subscribed = session.is_subscribed, True
        removed = [units[name] for name in change.stop]
        self._crew.adopt_plan(plan)
        if removed:
            await self._stop_units(removed)
        for unit in [units[name] for name in list(units) if name not in plan.processes]:
            self._crew.forget(unit.name)
        settling = self._settling = Settling([units[name] for name in scope])
        self._begin(change, plan)
        in_time = await settling.wait(request.timeout_s)
        self._settling = None
        if not in_time:
            await self._end_the_late(settling.unsettled(), request.timeout_s)
        session.is_subscribed = was_subscribed
        account = close_account(
            plan,
            self._graph,
            units,
            scope,
            request.skip,
            change.adopted,
            began,
            self._loop.time(),
            interrupted=in_time and bool(settling.unsettled()),
        )
        session.send(account)
        self._note_account(account)
        return account

    def _end_if_idle(self) -> None:
        """End when nothing runs and nothing shall: a supervisor of nothing helps nobody."""
        units = self._crew.units.values()
        if self._holder is None and all(u.state in FINAL_STATES and u.identity is None for u in units):
            self.ended.set()

    def _begin(self, change: Change, plan: Plan) -> None:
        for name in change.restart:
            self._crew.units[name].restart(plan.processes[name])
        for name in change.start:
            self._crew.units[name].renew(plan.processes[name])
        # Needs first: an agent that looks at them must not meet one that was not told to start yet.
        begun = {*change.start, *change.adopted}
        for name in self._graph.start_order():
            if name in begun:
                self._crew.units[name].start()

    async def _end_the_late(self, units: list[Unit], timeout_s: float) -> None:
        """Stop what is not ready when the time of the whole apply is over."""
        reasons = {
            unit.name: f"was {describe(unit)} when the {timeout_s:.0f} s of this start were over"
            for unit in units
        }
        await self._stop_units(units)
        for unit in units:
            unit.reason = reasons[unit.name]

    def _note_account(self, account: Account) -> None:
        text = f"{len(account.ready)} ready, {len(account.not_ready)} not, {len(account.left_out)} left out"
        self._crew.diary.note("account", text=f"{text}, {account.seconds:.2f} s")

    # ---- restart, stop

    async def _restart(self, names: Iterable[str]) -> Restarted:
        began = self._loop.time()
        units = self._known(names)
        dependents: set[Unit] = set()
        touched = set(units)
        for unit in units:
            dependents.update(self._crew.dependents_of(unit.name))
            touched.update(
                other for other in self._crew.dependents_of(unit.name) if _follows(other, unit.name)
            )
        settling = self._settling = Settling(touched)
        for unit in units:
            unit.restart()
        await settling.wait(300.0)
        self._settling = None
        return Restarted(
            restarted=sorted(unit.name for unit in touched if unit.is_ready),
            not_ready={unit.name: describe(unit) for unit in touched if not unit.is_ready},
            reconnected=sorted(
                {o.name for u in units for o in self._crew.dependents_of(u.name)} - {u.name for u in touched}
            ),
            seconds=self._loop.time() - began,
        )

    async def _stop(self, names: Iterable[str] | None, *, is_kill: bool) -> Stopped:
        began = self._loop.time()
        units = list(self._crew.units.values()) if names is None else self._known(names)
        if self._settling is not None:
            self._settling.interrupt()
            await self._idle.wait()
        ran = [unit for unit in units if unit.is_running or unit.identity is not None]
        for unit in ran if is_kill else ():
            unit.kill()
        await self._stop_units(units)
        return Stopped(
            stopped=[unit.name for unit in ran],
            killed=[unit.name for unit in ran if unit.was_killed],
            seconds=self._loop.time() - began,
        )

    async def _stop_units(self, units: Iterable[Unit]) -> None:
        stop = OrderedStop(units, self._crew)
        self._stops.add(stop)
        try:
            await stop.run()
        finally:
            self._stops.discard(stop)

    def _known(self, names: Iterable[str]) -> list[Unit]:
        """Return the units of these names.

        Raises InputError: there is no such agent here.
        """
        names = list(names)
        unknown = [name for name in names if name not in self._crew.units]
        if unknown:
            raise InputError(
                *(
                    Fault(name, "unknown-agent", f"no agent `{name}` runs here", "`argosy status` lists them")
                    for name in unknown
                )
            )
        return [self._crew.units[name] for name in names]

    # ---- telling

    def _on_change(self, unit: Unit) -> None:
        if self._settling is not None:
            self._settling.look(unit)
        for stop in list(self._stops):
            # The unit is in the middle of its own transition: go on after it.
            self._loop.call_soon(stop.look, unit)
        self._broadcast(
            Changed(
                agent=unit.name,
                state=unit.state,
                at_s=unit.since_s,
                reason=unit.reason,
                pid=unit.pid,
                waiting_on=self._crew.needs_of(unit).waiting_on if unit.state is State.WAITING else [],
            )
        )

    def _broadcast(self, message: Message) -> None:
        for session in self._sessions:
            if session.is_subscribed:
                session.send(message)

    def _report(self) -> Report:
        plan = self._crew.plan
        now = self._loop.time()
        return Report(
            fleet=plan.fleet if plan else "",
            environment=plan.environment if plan else "",
            pid=os.getpid(),
            started_s=self.started_s,
            machines=sorted({unit.spec.machine or "" for unit in self._crew.units.values()}),
            agents={name: self._status_of(unit, now) for name, unit in self._crew.units.items()},
        )

    def _status_of(self, unit: Unit, now: float) -> AgentStatus:
        return AgentStatus(
            state=unit.state,
            health=unit.health,
            pid=unit.pid,
            machine=unit.spec.machine,
            group=unit.spec.group,
            port=unit.spec.port,
            restarts=unit.restarts,
            since_s=unit.since_s,
            waiting_on=self._crew.needs_of(unit).waiting_on if unit.state is State.WAITING else [],
            reason=unit.reason,
            rss_bytes=unit.memory.rss_bytes if unit.memory else None,
            pss_bytes=unit.memory.pss_bytes if unit.memory else None,
            sampled_s=now - unit.memory_at if unit.memory else None,
        )


def _follows(unit: Unit, need: str) -> bool:
    return any(each.agent == need and each.on_death in ("restart", "stop") for each in unit.spec.needs)


def _difference(change: Change, plan: Plan) -> Difference:
    return Difference(
        start=change.start,
        restart=change.restart,
        stop=change.stop,
        adopted=change.adopted,
        declared=len(plan.declared),
    )
