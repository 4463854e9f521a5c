"""Memory: a store, a cache and contexts on pc2; the client and what is built on it on mainpc."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import Any, Final

import msgspec

from agents import text_analysis
from agents.base_agent import LEAF_S, Member, RefusalError, hop
from agents.pipeline_messages import Recollection, Record
from argosy.agent import request

STORE: Final = "MemoryOrchestratorService"


class Store(Member):
    """Keeps records in memory, in the order of writing; the oldest of more than the limit are dropped."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """limit: how many records are kept."""

        limit: int

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[Record] = deque(maxlen=self.options.limit)
        self._first: dict[str, Record] = {}
        self._written = 0

    @hop
    async def write(self, who: str, text: str) -> int:
        """Keep a text that somebody said; return its number."""
        self._written += 1
        record = Record(self._written, who, text)
        self._records.append(record)
        self._first.setdefault(who, record)
        return record.number

    @hop
    async def recent(self, who: str, most: int) -> list[Record]:
        """Return the last records of somebody, newest first."""
        found = (record for record in reversed(self._records) if record.who == who)
        return [record for record, _ in zip(found, range(most), strict=False)]

    @hop
    async def first(self, who: str) -> Record | None:
        """Return the first record of somebody since the start."""
        return self._first.get(who)

    @request
    def search(self, text: str, most: int = 5) -> list[Record]:
        """Return the records that share most words with a text, newer ones first among equals."""
        wanted = set(text_analysis.tokens(text))
        scored = [(len(wanted & set(text_analysis.tokens(r.text))), r.number, r) for r in list(self._records)]
        best = sorted((s for s in scored if s[0]), key=lambda s: s[:2], reverse=True)
        return [record for _, _, record in best[:most]]

    @request(short=True)
    def count(self) -> int:
        """Return how many records are kept."""
        return len(self._records)

    def facts(self) -> dict[str, Any]:
        """Return records kept and written, and how many people they are of."""
        return {"records": len(self._records), "written": self._written, "people": len(self._first)}


class Cache(Member):
    """Reads through to the store, and keeps what it read for a time; least recently used goes first."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """limit: entries. ttl_s: seconds that an entry is good for."""

        limit: int
        ttl_s: float

    def __init__(self) -> None:
        super().__init__()
        self._entries: OrderedDict[str, tuple[float, Record]] = OrderedDict()
        self._hits = self._misses = 0

    async def greet(self) -> None:
        """See that the store is there."""
        await self.meet(STORE, "count")

    @hop
    async def first(self, who: str) -> Record | None:
        """Return the first record of somebody; only what is there is kept, not that there is none."""
        now_s = time.monotonic()
        until_s, record = self._entries.get(who, (0.0, None))
        if record is not None and now_s < until_s:
            self._hits += 1
            self._entries.move_to_end(who)
            return record
        self._misses += 1
        read: Record | None = await self.pass_on(STORE, "first", returns=Record | None, who=who)
        if read is not None:
            self._keep(who, now_s + self.options.ttl_s, read)
        return read

    def _keep(self, who: str, until_s: float, record: Record) -> None:
        self._entries[who] = until_s, record
        self._entries.move_to_end(who)
        while len(self._entries) > self.options.limit:
            self._entries.popitem(last=False)

    @request(short=True)
    def clear(self) -> int:
        """Forget everything; return how many entries there were."""
        count = len(self._entries)
        self._entries.clear()
        return count

    def facts(self) -> dict[str, Any]:
        """Return entries, hits and misses."""
        return {"entries": len(self._entries), "hits": self._hits, "misses": self._misses}


class Context(Member):
    """Knows the last things that somebody said."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """window: how many records make a context."""

        window: int

    def __init__(self) -> None:
        super().__init__()
        self._asked_for: Counter[str] = Counter()

    async def greet(self) -> None:
        """See that the store is there."""
        await self.meet(STORE, "count")

    @hop
    async def window(self, who: str) -> list[Record]:
        """Return the last records of somebody, newest first."""
        self._asked_for[who] += 1
        records: list[Record] = await self.pass_on(
            STORE, "recent", returns=list[Record], who=who, most=self.options.window
        )
        return records

    @request(short=True)
    def people(self) -> dict[str, int]:
        """Return whose context was asked for, how often."""
        return dict(self._asked_for)

    def facts(self) -> dict[str, Any]:
        """Return how many people have a context."""
        return {"people": len(self._asked_for), "window": self.options.window}


class ContextWatch(Member):
    """Notices whose context is asked for much more often than others'."""

    machine = "pc2"

    async def greet(self) -> None:
        """See that the contexts are there."""
        await self.meet("ContextManager", "people")

    @request
    async def busiest(self) -> list[str]:
        """Return who is asked for more than twice as often as the average."""
        counts = await self.ask("ContextManager", "people", returns=dict[str, int])
        mean = sum(counts.values()) / len(counts) if counts else 0.0
        return sorted(who for who, count in counts.items() if count > 2 * mean)


class MemoryClient(Member):
    """The way from mainpc to the memory on pc2."""

    def __init__(self) -> None:
        super().__init__()
        self._remembered = 0

    @hop
    async def remember(self, who: str, text: str) -> Recollection:
        """Write a text, and return what memory has of who said it."""
        written: int = await self.pass_on(STORE, "write", returns=int, who=who, text=text)
        recent: list[Record] = await self.pass_on(
            "ContextManager", "window", returns=list[Record], within_s=LEAF_S + 0.5, who=who
        )
        first: Record | None = await self.pass_on(
            "CacheManager", "first", returns=Record | None, within_s=LEAF_S + 0.5, who=who
        )
        self._remembered += 1
        return Recollection(written, recent, first)

    def facts(self) -> dict[str, Any]:
        """Return how many texts were remembered through this client."""
        return {"remembered": self._remembered}


class Sessions(Member):
    """Keeps the turns of conversations that are going on."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: dict[str, deque[str]] = {}

    async def greet(self) -> None:
        """Announce itself, and see that memory is there."""
        await self.announce_kind("session")
        await self.meet("MemoryClient")

    @request(short=True)
    def turn(self, session: str, text: str) -> int:
        """Add a turn to a session; return how many it has, 50 at most."""
        turns = self._turns.setdefault(session, deque(maxlen=50))
        turns.append(text)
        return len(turns)

    @request(short=True)
    def end(self, session: str) -> list[str]:
        """Return a session's turns and forget it; refused when there is none."""
        if session not in self._turns:
            raise RefusalError(f"there is no session `{session}`; {len(self._turns)} are open")
        return list(self._turns.pop(session))

    def facts(self) -> dict[str, Any]:
        """Return how many sessions are open."""
        return {"sessions": len(self._turns)}


class Knowledge(Member):
    """Facts as subject, relation and object."""

    def __init__(self) -> None:
        super().__init__()
        self._facts: dict[tuple[str, str], str] = {}

    async def greet(self) -> None:
        """See that memory is there."""
        await self.meet("MemoryClient")

    @request(short=True)
    def learn(self, subject: str, relation: str, value: str) -> str:
        """Keep a fact; return what it was before, empty for new."""
        before = self._facts.get((subject, relation), "")
        self._facts[subject, relation] = value
        return before

    @request(short=True)
    def about(self, subject: str) -> dict[str, str]:
        """Return what is known about a subject, by relation."""
        return {relation: value for (about, relation), value in self._facts.items() if about == subject}

    def facts(self) -> dict[str, Any]:
        """Return how many facts are known."""
        return {"facts": len(self._facts)}


class Experience(Member):
    """Counts how actions turned out."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._outcomes: Counter[tuple[str, bool]] = Counter()

    async def greet(self) -> None:
        """See that the store is there."""
        await self.meet(STORE, "count")

    @request(short=True)
    def note(self, action: str, is_good: bool) -> float:
        """Count an outcome; return the action's success rate, by Laplace's rule of succession."""
        self._outcomes[action, is_good] += 1
        good, bad = self._outcomes[action, True], self._outcomes[action, False]
        return (good + 1) / (good + bad + 2)

    def facts(self) -> dict[str, Any]:
        """Return how many outcomes were counted."""
        return {"outcomes": self._outcomes.total()}


class DreamWorld(Member):
    """Puts halves of what was said at different times together."""

    machine = "pc2"

    async def greet(self) -> None:
        """See that the store is there."""
        await self.meet(STORE, "count")

    @request
    async def dream(self, about: str) -> str:
        """Return the first half of one memory and the second half of another about the same."""
        found: list[Record] = await self.ask(STORE, "search", returns=list[Record], text=about, most=2)
        if not found:
            return ""
        early, late = found[-1].text.split(), found[0].text.split()
        return " ".join(early[: (len(early) + 1) // 2] + late[len(late) // 2 :])


class DreamingMode(Member):
    """Switches dreaming on and off; dreams only while it is on."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._is_on = False

    async def greet(self) -> None:
        """See that there is a world to dream in."""
        await self.meet("DreamWorldAgent")

    @request(short=True)
    def switch(self, on: bool) -> bool:
        """Switch dreaming on or off; return how it was."""
        before, self._is_on = self._is_on, on
        return before

    @request
    async def dream(self, about: str) -> str:
        """Return a dream, empty while dreaming is off."""
        if not self._is_on:
            return ""
        dream: str = await self.ask("DreamWorldAgent", "dream", returns=str, about=about)
        return dream
