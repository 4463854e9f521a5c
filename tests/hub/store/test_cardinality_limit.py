"""Cardinality limit: an agent with unbounded metric names or name sets stays within its limit."""

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


def test_cardinality_limit_drops_excess_metric_names_and_reports_them_once() -> None:
    bound = CardinalityLimit(100)
    reported = []
    for beat in range(5):
        kept, events = bound.admit([said(["uptime", *(f"user_{beat}_{n}" for n in range(MANY))])])
        reported += events
        (each,) = kept
        assert each.names[0] == "uptime"
        assert len(each.names) == (100 if beat == 0 else 1)
        assert array("d", each.values)[0] == 0.0
    (event,) = reported
    assert (event.kind, event.subject, event.body["dropped"]) == ("metrics-dropped", "A", MANY + 1 - 100)
    kept, events = bound.admit([said(["uptime"], agent="B")])
    assert (len(kept), events) == (1, [])


def test_cardinality_limit_replaces_expired_metric_name(monkeypatch: pytest.MonkeyPatch) -> None:
    bound = CardinalityLimit(2)
    bound.admit([said(["a", "b"])])
    monkeypatch.setattr(cardinality_limit, "_EXPIRE_AFTER_S", -1.0)
    (kept,), _ = bound.admit([said(["c", "d"])])
    assert kept.names == ("c", "d")


def test_cardinality_limit_splits_samples_beyond_max_name_sets() -> None:
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


def test_current_state_expires_stale_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    current = CurrentState()
    current.update("pc1", [], [said(["a", "b"], 10**6)])
    current.expire_metrics()
    assert set(current.get_or_add("pc1", "A").metrics) == {"a", "b"}
    monkeypatch.setattr(current_state, "EXPIRE_AFTER_S", -1.0)
    current.expire_metrics()
    assert current.get_or_add("pc1", "A").metrics == {}
    monkeypatch.undo()
    current.update("pc1", [], [said(["old"], 10**6 - 400_000), said(["new"], 10**6 + 1)])
    assert set(current.get_or_add("pc1", "A").metrics) == {"new"}


def test_exposition_pieces_have_bounded_number_of_samples() -> None:
    agents = [
        AgentSnapshot(f"A{n}", "pc1", metrics={f"n{n}_{m}_total": 1.0 for m in range(1000)})
        for n in range(20)
    ]
    listed = list(render_pieces(agents))
    assert max(piece.count("\n") for piece in listed[1:]) <= 501
    assert len(listed) > 2 * 20_000 / 500
    assert "".join(listed) == render_openmetrics(agents)
