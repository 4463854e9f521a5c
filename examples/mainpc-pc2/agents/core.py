"""The core of the fleet: the registry, the digital twin, the coordinator and the overview."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any, Final

import msgspec

from agents.base_agent import REGISTRY, TWIN, AgentCard, ExampleAgent, Hop, RejectedError, hop
from agents.pipeline_messages import Analysis, Spoken
from argosy.agent import request

MAX_TRACES: Final = 1000


class ServiceRegistry(ExampleAgent):
    """Knows which agents have enrolled."""

    enrols_at = ""

    def __init__(self) -> None:
        super().__init__()
        self._cards: dict[str, AgentCard] = {self.name: self.card()}

    @request(short=True)
    def enrol(self, card: AgentCard) -> int:
        """Store a card, replacing an older one; return the number of known agents."""
        self._cards[card.name] = card
        return len(self._cards)

    @request(short=True)
    def find(self, name: str) -> AgentCard:
        """Return an agent's card; rejected if no agent with that name has enrolled."""
        if name not in self._cards:
            raise RejectedError(f"`{name}` has not enrolled; {len(self._cards)} others have")
        return self._cards[name]

    @request(short=True)
    def listing(self, machine: str = "") -> list[AgentCard]:
        """Return the cards of a machine, or all, by name."""
        cards = sorted(self._cards.items())
        return [card for _, card in cards if machine in ("", card.machine)]

    def facts(self) -> dict[str, Any]:
        """Return the number of enrolled agents by machine."""
        return {"registered": dict(Counter(card.machine for card in self._cards.values()))}


class DigitalTwin(ExampleAgent):
    """The shared state of the fleet: values by key, traces of utterances.

    The agents of mainpc enrol here; it forwards their cards to the registry, which it needs.
    """

    enrols_at = REGISTRY

    def __init__(self) -> None:
        super().__init__()
        self._cards: dict[str, AgentCard] = {}
        self._values: dict[str, Any] = {}
        self._traces: OrderedDict[str, list[Hop]] = OrderedDict()

    @request
    async def enrol(self, card: AgentCard) -> int:
        """Store and forward an agent's card; return the number of agents known here."""
        self._cards[card.name] = card
        await self.ask_at_start(REGISTRY, "enrol", card=card)
        return len(self._cards)

    @request(short=True)
    def put(self, key: str, value: Any) -> None:
        """Store a value; the key begins with the agent's name."""
        self._values[key] = value

    @request(short=True)
    def get(self, key: str) -> Any:
        """Return a value; None if there is none."""
        return self._values.get(key)

    @request(short=True)
    def keep_trace(self, correlation: str, hops: list[Hop]) -> None:
        """Store the hops of one correlation id; the oldest of more than MAX_TRACES are dropped."""
        self._traces[correlation] = hops
        while len(self._traces) > MAX_TRACES:
            self._traces.popitem(last=False)

    @request(short=True)
    def trace_of(self, correlation: str) -> list[Hop]:
        """Return the hops of a correlation id; rejected if it is unknown."""
        if correlation not in self._traces:
            raise RejectedError(
                f"no utterance with correlation id `{correlation}` is stored; {len(self._traces)} others are"
            )
        return self._traces[correlation]

    @request(short=True)
    def census(self) -> dict[str, int]:
        """Return the number of agents of each role."""
        return dict(Counter(card.role for card in self._cards.values()))

    def facts(self) -> dict[str, Any]:
        """Return the number of stored items."""
        return {"members": len(self._cards), "values": len(self._values), "traces": len(self._traces)}


class Coordinator(ExampleAgent):
    """Routes a request of a kind to the agent that handles it.

    Agents announce the kinds they handle; it forwards those in `--routes KIND=AGENT` itself.
    """

    class Options(msgspec.Struct, frozen=True):
        """routes: a list of KIND=AGENT."""

        routes: list[str] = []

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[str, list[str]] = {}
        self._routes = dict(route.split("=", 1) for route in self.options.routes)
        self._counts: Counter[str] = Counter()

    @request(short=True)
    def announce(self, kind: str, agent: str) -> None:
        """Record that an agent handles a kind of request; idempotent."""
        takers = self._takers.setdefault(kind, [])
        if agent not in takers:
            takers.append(agent)

    @request(short=True)
    def takers(self, kind: str) -> list[str]:
        """Return the agents that handle a kind of request, and count the call."""
        self._counts[kind] += 1
        return self._takers.get(kind, [])

    @request(short=True)
    def counts(self) -> dict[str, int]:
        """Return the number of requests by kind."""
        return dict(self._counts)

    @hop
    async def route(self, kind: str, analysis: Analysis) -> Spoken:
        """Forward an analysed text to the agent for its kind; rejected if there is no route."""
        self._counts[kind] += 1
        if kind not in self._routes:
            raise RejectedError(
                f"there is no route for `{kind}`; routes: {', '.join(self._routes) or 'none'}"
            )
        agent = self._routes[kind]
        return await self.forward_request(agent, "respond", returns=Spoken, within_s=4.0, analysis=analysis)

    def facts(self) -> dict[str, Any]:
        """Return the kinds and the number of requests for each."""
        return {"kinds": sorted(self._takers), "routed": dict(self._counts)}


class Overview(ExampleAgent):
    """Summarizes the roles of the fleet."""

    @request
    async def overview(self) -> str:
        """Return the total number of agents and the three most frequent roles."""
        census: dict[str, int] = await self.ask(TWIN, "census", returns=dict[str, int])
        most = Counter(census).most_common(3)
        return f"{sum(census.values())} members; most: " + ", ".join(f"{n} {role}" for role, n in most)
