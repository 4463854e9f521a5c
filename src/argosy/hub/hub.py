"""The hub of a machine, as an agent: it is handed reports, and hands the other machines what it has."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from argosy.agent import Agent, request
from argosy.engine.celllog import find_sources
from argosy.engine.companion import say_hub
from argosy.engine.diary import read_diary
from argosy.engine.folder import Folder, folder_of
from argosy.engine.logreader import Reader, tail_offset
from argosy.engine.messages import Report
from argosy.engine.ownlog import turn_over_own
from argosy.fault import ArgosyError
from argosy.fleet.load import load_fleet
from argosy.fleet.spec import AgentSpec, Fleet
from argosy.hub.acts import Acts
from argosy.hub.census import Census
from argosy.hub.exchange import Puller, answer
from argosy.hub.hearing import Hearing
from argosy.hub.keeper import BOUNDS, Keeper
from argosy.hub.news import News
from argosy.hub.otlp import Export, by_protobuf
from argosy.hub.outcry import Outcry
from argosy.hub.record import Event, Figures
from argosy.hub.standing import Standing, Standings
from argosy.hub.storefile import UNREADABLE, is_damage
from argosy.hub.tasks import Tasks
from argosy.hub.viewers import Viewers
from argosy.hub.watch import Watch
from argosy.wire.book import HUB, Directory, hub_name

if TYPE_CHECKING:
    from argosy.hub.pageserver import PageServer

_HEALTH_WITHIN_S = 0.9
_LOOK_AT_LOG_S = 1.0
_FORGET_EVERY_S = 10.0
_SAY_EVERY_S = 1.0
_Said = TypeVar("_Said")
_decode_figures = msgspec.msgpack.Decoder(list[Figures]).decode


class Hub(Agent):
    """One machine's hub. Its options name the fleet's address book, and where what it keeps goes."""

    class Options(msgspec.Struct, kw_only=True):
        """store: the file of the records. flush: seconds that what comes in may wait for the disk.

        state: the fleet's state folder, whose diary and supervisor are followed. port, bind: of the page; the
        next free port where it is taken; without `state` there is no page.
        """

        store: str
        book: str
        flush: float = 1.0
        fleet: str = ""
        lock: str = ""
        detail: float = BOUNDS.detail_s
        retention: float = BOUNDS.age_s
        page: int = 9470
        bind: str = "127.0.0.1"

    async def start(self) -> None:
        """Open the store and begin to pull; raises StoreError."""
        self.machine = self.name.removeprefix(HUB)
        self.began_s = time.time()
        self._directory = Directory(self.options.book)
        self._homes: dict[str, str] = {}
        self._specs: dict[str, AgentSpec] = {}
        self._file_ns = 0
        self.fleet = self._directory.book.fleet
        self.environment = self._directory.book.environment
        bounds = BOUNDS._replace(age_s=self.options.retention, detail_s=self.options.detail)
        self.keeper = Keeper(Path(self.options.store), self.machine, self.options.flush, bounds)
        self.standings = Standings()
        self.viewers = Viewers(self.standings.all)
        self.standings.tell = self.viewers.tell
        hearing = self._hearing = await self._remembered(
            lambda: self.keeper.read(lambda reading: Hearing(self.standings, reading, self._home))
        )
        self.keeper.on_renewed = self._on_renewed
        self.keeper.on_said = lambda events, figures: hearing.hear(self.machine, events, figures)
        self.keeper.on_taken = hearing.hear_batch
        others = [each for each in self._directory.book.hubs if each != self.machine]
        self.pullers = {each: Puller(self.keeper, self.peer(hub_name(each)), each) for each in others}
        self._tasks = Tasks()
        self._tasks.begin("what forgets figures", self._forget)
        for machine, puller in self.pullers.items():
            self._tasks.begin(f"the puller of `{machine}`", puller.run)
        self._server: PageServer | None = None
        self._news: News | None = None
        if self.options.fleet:
            await self._follow(folder_of(Path(self.options.fleet)))

    async def _remembered(self, look: Callable[[], Awaitable[_Said]]) -> _Said:
        """Return what `look` makes of the records; where they make no sense to it, of a new store."""
        try:
            return await look()
        except UNREADABLE as error:
            if isinstance(error, sqlite3.OperationalError) and not is_damage(error):
                raise
            await self.keeper.renew(error)
            return await look()

    async def _say(self) -> None:
        """Say where the page is once there is room on the disk for it."""
        while self._server and not say_hub(Path(self.options.lock), self._server.url):
            await asyncio.sleep(_SAY_EVERY_S)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EVERY_S)
            self.standings.forget()

    def _on_renewed(self) -> None:
        """Read the engine's diary again where no other hub has what it told, so that it is not lost."""
        if self._news and not self.pullers:
            self._news.begin_again()

    async def _follow(self, folder: Folder) -> None:
        """Follow the engine, and serve the page."""
        from argosy.hub.pageserver import PageServer  # noqa: PLC0415 - its libraries are for it alone

        fleet = load_fleet(Path(self.options.fleet))
        self._take(fleet)
        self.token_file = folder.hub_token
        self.acts = Acts(self.keeper, folder)
        census = Census(self.keeper, folder, self._on_census, self.is_here)
        sights = [puller.sight for puller in self.pullers.values()]
        past = await asyncio.to_thread(lambda: list(read_diary(folder.diary)))

        async def watching() -> Watch:
            watch = Watch(self.keeper, self.machine, fleet, sights, self.acts, past)
            self._hearing.on_action = watch.hear_action
            await watch.remember()
            return watch

        self.watch = await self._remembered(watching)
        hear = self.keeper.on_said

        def hear_and_watch(events: Sequence[Event], figures: Sequence[Figures]) -> None:
            hear(events, figures)
            self.watch.hear(events, figures)
            if any(event.kind == "account" for event in events):
                self._renew()

        self.keeper.on_said = hear_and_watch
        self._server = PageServer(self, self.options.bind, self.options.page)
        if self.options.lock and not say_hub(Path(self.options.lock), self._server.url):
            self._tasks.begin("what says where the hub is", self._say)
        news = self._news = News(self.keeper, folder.diary)
        outcry = Outcry(self.keeper, folder)
        self._tasks.begin("the news", news.run)
        self._tasks.begin("the outcry", outcry.run)
        self._tasks.begin("the census", census.run)
        self._tasks.begin("the watch", self.watch.run)
        self._tasks.begin("the page", self._server.run)
        self._tasks.begin("the log", lambda: _bound_log(folder.hub_log))
        self._begin_outside(fleet)

    def _begin_outside(self, fleet: Fleet) -> None:
        """Begin what deals with those who know nothing of argosy: scripts that are scraped, a receiver."""
        if fleet.hub.scrape:
            from argosy.hub.scrape import Scraper  # noqa: PLC0415 - its library is for it alone

            for scrape in fleet.hub.scrape:
                spec = fleet.agents.get(scrape.agent)
                if self.is_here(spec.machine if spec else None):
                    scraper = Scraper(self.keeper, scrape)
                    self._tasks.begin(f"the scraper of {scrape.url} of `{scrape.agent}`", scraper.run)
        if fleet.hub.otlp:
            export = Export(fleet.hub.otlp, fleet.name, self._own_agents, by_protobuf())
            self._tasks.begin("the export", export.run)

    def _own_agents(self) -> list[Standing]:
        return [each for each in self.standings.agents.values() if self.is_here(each.machine)]

    def _on_census(self, report: Report | None) -> None:
        for name, agent in (report.agents if report else {}).items():
            self._homes[name] = machine = agent.machine or self.machine
            state, since_s = agent.state.value, agent.since_s
            silent_since = None if agent.silent_s is None else time.time() - agent.silent_s
            self.standings.correct(machine, name, state, since_s, agent.reason, agent.pid, silent_since)
            if self.is_here(agent.machine):  # each machine's hub alerts for its own
                self.watch.alerting.hear_state(name, state, agent.reason, since_s)
        if report:
            self.watch.settle()

    def _take(self, fleet: Fleet) -> None:
        """Go by this fleet from now on."""
        self._fleet = fleet
        self.actions = fleet.hub.actions
        self.keeper.figure_bound.most = fleet.hub.most_figures
        self.is_all_guarded = fleet.hub.token == "all"
        addresses = {entry.host for entry in self._directory.book.agents.values()}
        self._names = frozenset((*fleet.hub.hosts, *fleet.machines, *addresses))

    def _renew(self) -> None:
        """Take the fleet file as it was just applied; one that has a fault by now changes nothing."""
        with contextlib.suppress(ArgosyError, OSError):
            fleet = load_fleet(Path(self.options.fleet))
            self._take(fleet)
            self.watch.take(fleet)

    def names(self) -> frozenset[str]:
        """Return the names by which browsers may call the page."""
        return self._names

    def is_here(self, machine: str | None) -> bool:
        """Return whether a machine is this one."""
        return machine is None or machine in self._directory.book.machines

    def machines(self) -> frozenset[str]:
        """Return the names of the fleet's machines."""
        book = self._directory.book
        declared = (spec.machine for spec in self.declared().values() if spec.machine)
        return frozenset((*self._fleet.machines, *book.hubs, *book.machines, *declared))

    def hardware(self) -> dict[str, Any]:
        """Return what the fleet file says of each machine."""
        return {
            name: {"gpu": spec.gpu, "gpu_memory": spec.gpu_memory, "labels": spec.labels}
            for name, spec in self._fleet.machines.items()
        }

    async def health_of(self, agent: str) -> Any:
        """Return what an agent answers to a question for its health.

        Raises WireError: it does not answer; InputError: it is not in the address book.
        """
        return await self.peer(agent).call("health", timeout=_HEALTH_WITHIN_S)

    def declared(self) -> dict[str, AgentSpec]:
        """Return the agents as the fleet file has them now; those it had last when it has a fault."""
        path = Path(self.options.fleet)
        with contextlib.suppress(ArgosyError, OSError):
            if (changed := path.stat().st_mtime_ns) != self._file_ns:
                self._specs, self._file_ns = load_fleet(path).agents, changed
        return self._specs

    def last_lines(self, agent: str, most: int) -> list[str]:
        """Return what an agent of this machine printed last."""
        sources = find_sources(folder_of(Path(self.options.fleet)))
        found = []
        for name, log in sources.of(agent).items():
            reader = Reader(name, log, tail_offset(log, most))
            try:
                found += [line.text for line in sources.read(reader, [agent]) if line.text]
            finally:
                reader.close()
        return found[-most:]

    def home_of(self, agent: str) -> str | None:
        """Return the machine that an agent is on, None where nobody knows it."""
        return self._home(agent)

    def _home(self, agent: str) -> str | None:
        """Return where an agent is declared; the book, which asks the disk, is for other machines' agents."""
        if home := self._homes.get(agent):
            return home
        entry = self._directory.book.agents.get(agent)
        return entry.machine if entry else None

    def failure(self) -> str:
        """Return why nothing can be kept, and what ended by an error not long ago; empty if all is well."""
        failures = self.keeper.failure, self._tasks.failure(), self.watch.tasks.failure()
        return "; ".join(filter(None, failures))

    def stopping(self) -> None:
        """Acknowledge at once what has come, and leave nobody waiting for more."""
        self.viewers.end()
        self.keeper.hurry()

    async def stop(self) -> None:
        """Write what waits, and close the store."""
        if self._server:
            await self._server.stop()
        await self._tasks.cancel()
        await self.keeper.close()

    @request
    async def records(self, positions: bytes, wait_s: float) -> AsyncIterator[bytes]:
        """Answer another hub: what follows its positions, as `answer` lays it out."""
        async for part in answer(self.keeper, positions, wait_s):
            yield part

    @request
    async def take_figures(self, agent: str, life: str, number: int, figures: bytes, dropped: int = 0) -> int:
        """Keep an agent's figures, each once, and return the number that is on the disk by now.

        life: the agent's incarnation; number: of the last of `figures` in that life, counted from 1; dropped:
        how many it had to drop before these, for which a gap is told.
        """
        said = _decode_figures(figures)
        if any(len(each.values) != 8 * len(each.names) for each in said):
            raise ValueError(f"`{agent}` reports figures whose values are not eight bytes for each name")
        heard_life, heard = self.keeper.heard(agent)
        missed = number - len(said) - (heard if heard_life == life else 0)
        new, last = self._unheard(agent, life, number, said)
        # What it dropped while it waited for an answer may have come for all that.
        gap = _gap(agent, min(dropped, missed)) if min(dropped, missed) > 0 and new else []
        await self.keeper.keep(gap, new, (agent, life, last))
        return last

    @request
    async def take_events(self, events: list[Event], source: str, life: str, number: int) -> int:
        """Keep events of one source, each once, and return the number that is on the disk by now.

        number: of the last of them in the source's life, counted from 1.
        """
        new, last = self._unheard(source, life, number, events)
        await self.keeper.keep(new, (), (source, life, last))
        return last

    def _unheard(self, source: str, life: str, number: int, said: list[_Said]) -> tuple[list[_Said], int]:
        """Return what of a hand-in is new, and the number up to which its source has been heard with it."""
        heard_life, heard = self.keeper.heard(source)
        if heard_life != life:
            heard = 0
        new = said[max(0, heard - (number - len(said))) :] if heard < number else []
        return new, max(heard, number)

    @request
    async def sights(self) -> dict[str, Any]:
        """Return what is seen of the other machines' hubs."""
        return {machine: msgspec.to_builtins(puller.sight) for machine, puller in self.pullers.items()}


async def _bound_log(log: Path) -> None:
    """Keep this process's own log short."""
    while True:
        await asyncio.sleep(_LOOK_AT_LOG_S)
        turn_over_own(log)


def _gap(agent: str, dropped: int) -> list[Event]:
    return [Event(int(time.time() * 1000), "gap", agent, {"dropped": dropped})]
