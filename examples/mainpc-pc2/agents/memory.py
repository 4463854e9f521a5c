"""Memory: a store, a cache and contexts on pc2; the client and its users on mainpc."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict, deque
from typing import Any, Final

import msgspec

from agents import text_analysis
from agents.base_agent import REQUEST_TIMEOUT_S, ExampleAgent, RejectedError, hop
from agents.pipeline_messages import Recollection, Record
from argosy.agent import request

STORE: Final = "MemoryOrchestratorService"


class Store(ExampleAgent):
    """Stores records in memory in write order; drops the oldest above the limit."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """limit: the maximum number of records."""

        limit: int

    def __init__(self) -> None:
        super().__init__()
        self._records: deque[Record] = deque(maxlen=self.options.limit)
        self._first: dict[str, Record] = {}
        self._written = 0

    @hop
    async def write(self, who: str, text: str) -> int:
        """Store a text of a person; return its number."""
        self._written += 1
        record = Record(self._written, who, text)
        self._records.append(record)
        self._first.setdefault(who, record)
        return record.number

    @hop
    async def recent(self, who: str, most: int) -> list[Record]:
        """Return the last records of a person, newest first."""
        found = (record for record in reversed(self._records) if record.who == who)
        return [record for record, _ in zip(found, range(most), strict=False)]

    @hop
    async def first(self, who: str) -> Record | None:
        """Return the first record of a person since the start."""
        return self._first.get(who)

    @request
    def search(self, text: str, most: int = 5) -> list[Record]:
        """Return the records that share most words with a text; of equal ones the newer first."""
        wanted = set(text_analysis.tokens(text))
        scored = [(len(wanted & set(text_analysis.tokens(r.text))), r.number, r) for r in list(self._records)]
        best = sorted((s for s in scored if s[0]), key=lambda s: s[:2], reverse=True)
        return [record for _, _, record in best[:most]]

    @request(short=True)
    def count(self) -> int:
        """Return the number of records."""
        return len(self._records)

    def facts(self) -> dict[str, Any]:
        """Return the numbers of records stored, records written and people."""
        return {"records": len(self._records), "written": self._written, "people": len(self._first)}


class Cache(ExampleAgent):
    """A read-through cache of the store with expiry; evicts the least recently used entry."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """limit: the maximum number of entries. ttl_s: the lifetime of an entry in seconds."""

        limit: int
        ttl_s: float

    def __init__(self) -> None:
        super().__init__()
        self._entries: OrderedDict[str, tuple[float, Record]] = OrderedDict()
        self._hits = self._misses = 0

    async def contact_peers(self) -> None:
        """Check that the store is available."""
        await self.ask_at_start(STORE, "count")

    @hop
    async def first(self, who: str) -> Record | None:
        """Return the first record of a person; a missing record is not cached."""
        now_s = time.monotonic()
        until_s, record = self._entries.get(who, (0.0, None))
        if record is not None and now_s < until_s:
            self._hits += 1
            self._entries.move_to_end(who)
            return record
        self._misses += 1
        read: Record | None = await self.forward_request(STORE, "first", returns=Record | None, who=who)
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
        """Remove all entries; return how many there were."""
        count = len(self._entries)
        self._entries.clear()
        return count

    def facts(self) -> dict[str, Any]:
        """Return the numbers of entries, hits and misses."""
        return {"entries": len(self._entries), "hits": self._hits, "misses": self._misses}


class Context(ExampleAgent):
    """Returns the last records of a person."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """window: the number of records in a context."""

        window: int

    def __init__(self) -> None:
        super().__init__()
        self._asked_for: Counter[str] = Counter()

    async def contact_peers(self) -> None:
        """Check that the store is available."""
        await self.ask_at_start(STORE, "count")

    @hop
    async def window(self, who: str) -> list[Record]:
        """Return the last records of a person, newest first."""
        self._asked_for[who] += 1
        records: list[Record] = await self.forward_request(
            STORE, "recent", returns=list[Record], who=who, most=self.options.window
        )
        return records

    @request(short=True)
    def people(self) -> dict[str, int]:
        """Return the number of requests for the context of each person."""
        return dict(self._asked_for)

    def facts(self) -> dict[str, Any]:
        """Return the number of people and the size of a context."""
        return {"people": len(self._asked_for), "window": self.options.window}


class ContextWatch(ExampleAgent):
    """Finds the people whose context is requested much more often than average."""

    machine = "pc2"

    async def contact_peers(self) -> None:
        """Check that the contexts are available."""
        await self.ask_at_start("ContextManager", "people")

    @request
    async def busiest(self) -> list[str]:
        """Return the people requested more than twice as often as average."""
        counts = await self.ask("ContextManager", "people", returns=dict[str, int])
        mean = sum(counts.values()) / len(counts) if counts else 0.0
        return sorted(who for who, count in counts.items() if count > 2 * mean)


class MemoryClient(ExampleAgent):
    """The client on mainpc of the memory on pc2."""

    def __init__(self) -> None:
        super().__init__()
        self._remembered = 0

    @hop
    async def remember(self, who: str, text: str) -> Recollection:
        """Store a text, and return the records of the person who said it."""
        written: int = await self.forward_request(STORE, "write", returns=int, who=who, text=text)
        recent: list[Record] = await self.forward_request(
            "ContextManager", "window", returns=list[Record], within_s=REQUEST_TIMEOUT_S + 0.5, who=who
        )
        first: Record | None = await self.forward_request(
            "CacheManager", "first", returns=Record | None, within_s=REQUEST_TIMEOUT_S + 0.5, who=who
        )
        self._remembered += 1
        return Recollection(written, recent, first)

    def facts(self) -> dict[str, Any]:
        """Return the number of texts stored through this client."""
        return {"remembered": self._remembered}


class Sessions(ExampleAgent):
    """Stores the turns of open conversations."""

    def __init__(self) -> None:
        super().__init__()
        self._turns: dict[str, deque[str]] = {}

    async def contact_peers(self) -> None:
        """Announce itself, and check that memory is available."""
        await self.announce_kind("session")
        await self.ask_at_start("MemoryClient")

    @request(short=True)
    def turn(self, session: str, text: str) -> int:
        """Add a turn to a session; return how many it has, 50 at most."""
        turns = self._turns.setdefault(session, deque(maxlen=50))
        turns.append(text)
        return len(turns)

    @request(short=True)
    def end(self, session: str) -> list[str]:
        """Remove a session and return its turns; rejected if there is none."""
        if session not in self._turns:
            raise RejectedError(f"there is no session `{session}`; {len(self._turns)} are open")
        return list(self._turns.pop(session))

    def facts(self) -> dict[str, Any]:
        """Return the number of open sessions."""
        return {"sessions": len(self._turns)}


class Knowledge(ExampleAgent):
    """Facts as subject, relation and object."""

    def __init__(self) -> None:
        super().__init__()
        self._facts: dict[tuple[str, str], str] = {}

    async def contact_peers(self) -> None:
        """Check that memory is available."""
        await self.ask_at_start("MemoryClient")

    @request(short=True)
    def learn(self, subject: str, relation: str, value: str) -> str:
        """Store a fact; return its previous value, empty if it is new."""
        before = self._facts.get((subject, relation), "")
        self._facts[subject, relation] = value
        return before

    @request(short=True)
    def about(self, subject: str) -> dict[str, str]:
        """Return the facts about a subject, by relation."""
        return {relation: value for (about, relation), value in self._facts.items() if about == subject}

    def facts(self) -> dict[str, Any]:
        """Return the number of facts."""
        return {"facts": len(self._facts)}


class Experience(ExampleAgent):
    """Counts the outcomes of actions."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._outcomes: Counter[tuple[str, bool]] = Counter()

    async def contact_peers(self) -> None:
        """Check that the store is available."""
        await self.ask_at_start(STORE, "count")

    @request(short=True)
    def note(self, action: str, is_good: bool) -> float:
        """Count an outcome; return the action's success rate, by Laplace's rule of succession."""
        self._outcomes[action, is_good] += 1
        good, bad = self._outcomes[action, True], self._outcomes[action, False]
        return (good + 1) / (good + bad + 2)

    def facts(self) -> dict[str, Any]:
        """Return the number of outcomes."""
        return {"outcomes": self._outcomes.total()}


class DreamWorld(ExampleAgent):
    """Combines halves of two texts about one subject."""

    machine = "pc2"

    async def contact_peers(self) -> None:
        """Check that the store is available."""
        await self.ask_at_start(STORE, "count")

    @request
    async def dream(self, about: str) -> str:
        """Return the first half of one text and the second half of another about the same subject."""
        found: list[Record] = await self.ask(STORE, "search", returns=list[Record], text=about, most=2)
        if not found:
            return ""
        early, late = found[-1].text.split(), found[0].text.split()
        return " ".join(early[: (len(early) + 1) // 2] + late[len(late) // 2 :])


class DreamingMode(ExampleAgent):
    """Switches dreaming on and off; returns dreams only while it is on."""

    machine = "pc2"

    def __init__(self) -> None:
        super().__init__()
        self._is_on = False

    async def contact_peers(self) -> None:
        """Check that the dream agent is available."""
        await self.ask_at_start("DreamWorldAgent")

    @request(short=True)
    def switch(self, on: bool) -> bool:
        """Switch dreaming on or off; return the previous state."""
        before, self._is_on = self._is_on, on
        return before

    @request
    async def dream(self, about: str) -> str:
        """Return a dream; empty while dreaming is off."""
        if not self._is_on:
            return ""
        dream: str = await self.ask("DreamWorldAgent", "dream", returns=str, about=about)
        return dream
