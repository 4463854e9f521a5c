"""The bound of an agent's figures: names that never end, and sets of names that never are the same."""

from __future__ import annotations

import random
from array import array
from collections.abc import Sequence
from typing import Final

import pytest

from argosy.hub.http.exposition import render_openmetrics, render_pieces
from argosy.hub.ingest import current_state
from argosy.hub.ingest.current_state import AgentSnapshot, CurrentState
from argosy.hub.store import cardinality_limit
from argosy.hub.store.cardinality_limit import MAX_NAME_SETS, CardinalityLimit
from argosy.hub.store.records import MetricSample

MANY: Final = 20_000


def said(names: Sequence[str], time_ms: int = 1, agent: str = "A") -> MetricSample:
    return MetricSample(agent, tuple(names), time_ms, array("d", range(len(names))).tobytes())


def test_names_that_never_end_are_dropped_beyond_the_bound_and_that_is_told_once() -> None:
    bound = CardinalityLimit(100)
    told = []
    for beat in range(5):
        kept, events = bound.admit([said(["uptime", *(f"user_{beat}_{n}" for n in range(MANY))])])
        told += events
        (each,) = kept
        assert each.names[0] == "uptime"
        assert len(each.names) == (100 if beat == 0 else 1)
        assert array("d", each.values)[0] == 0.0
    (event,) = told
    assert (event.kind, event.subject, event.body["dropped"]) == ("metrics-dropped", "A", MANY + 1 - 100)
    kept, events = bound.admit([said(["uptime"], agent="B")])
    assert (len(kept), events) == (1, [])


def test_a_name_that_is_not_heard_any_more_gives_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = CardinalityLimit(2)
    bound.admit([said(["a", "b"])])
    monkeypatch.setattr(cardinality_limit, "_EXPIRE_AFTER_S", -1.0)
    (kept,), _ = bound.admit([said(["c", "d"])])
    assert kept.names == ("c", "d")


def test_ever_other_sets_of_known_names_end_as_names_alone() -> None:
    bound, dice = CardinalityLimit(50), random.Random(1)
    sets = set()
    for _ in range(500):
        names = sorted(dice.sample([f"n{number}" for number in range(50)], 20))
        kept, events = bound.admit([said(names)])
        assert events == []
        assert [name for each in kept for name in each.names] == names
        assert b"".join(each.values for each in kept) == said(names).values
        sets |= {each.names for each in kept}
    assert len(sets) <= MAX_NAME_SETS + 50


def test_figures_that_do_not_come_in_any_more_leave_what_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    standings = CurrentState()
    standings.update("pc1", [], [said(["a", "b"], 10**6)])
    standings.expire_metrics()
    assert set(standings.get_or_add("pc1", "A").metrics) == {"a", "b"}
    monkeypatch.setattr(current_state, "EXPIRE_AFTER_S", -1.0)
    standings.expire_metrics()
    assert standings.get_or_add("pc1", "A").metrics == {}
    monkeypatch.undo()
    standings.update("pc1", [], [said(["old"], 10**6 - 400_000), said(["new"], 10**6 + 1)])
    assert set(standings.get_or_add("pc1", "A").metrics) == {"new"}


def test_no_piece_of_the_exposition_has_more_than_some_samples() -> None:
    agents = [
        AgentSnapshot(f"A{n}", "pc1", metrics={f"n{n}_{m}_total": 1.0 for m in range(1000)})
        for n in range(20)
    ]
    listed = list(render_pieces(agents))
    assert max(piece.count("\n") for piece in listed[1:]) <= 501
    assert len(listed) > 2 * 20_000 / 500
    assert "".join(listed) == render_openmetrics(agents)
