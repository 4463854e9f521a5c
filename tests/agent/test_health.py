"""Health: status names, standard keys, and facts that cannot replace them."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.agent.health import Health, Status, health_document, normalize_status, resident_bytes


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("ok", Status.OK),
        ("HEALTHY", Status.OK),
        ("healthy", Status.OK),
        ("running", Status.OK),
        (" Success ", Status.OK),
        (True, Status.OK),
        ("warning", Status.DEGRADED),
        ("error", Status.FAILING),
        ("UNHEALTHY", Status.FAILING),
        (False, Status.FAILING),
        ("initializing", Status.STARTING),
        ("shutting-down", Status.STOPPING),
        (Status.DEGRADED, Status.DEGRADED),
    ],
)
def test_normalize_status_maps_legacy_names(word: object, status: Status) -> None:
    assert normalize_status(word) is status


GOOD = {"ok", "healthy", "running", "success", "up", "ready", "active", "online", "alive", "operational"}


@given(st.text())
def test_normalize_status_never_maps_unknown_name_to_ok(word: str) -> None:
    if normalize_status(word) is Status.OK:
        assert word.strip().lower() in GOOD | {"pass", "green", "true"}


def test_health_facts_never_replace_standard_keys() -> None:
    health = Health("HEALTHY", facts={"status": "mine", "pid": 1, "voices": 3}, needs={"Memory": "error"})
    document = health_document("Speaker", health, 12.0, 3.5, {"in_flight": 0})
    assert document == {
        "status": "ok",
        "status_word": "HEALTHY",
        "name": "Speaker",
        "uptime": 3.5,
        "pid": os.getpid(),
        "since": 12.0,
        "in_flight": 0,
        "voices": 3,
        "needs": {"Memory": "failing"},
    }


def test_reported_state_of_need_overrides_connection_state() -> None:
    edges = {"needs": {"Memory": "ok", "Clock": "lost"}, "wants": {"Mood": "unknown"}}
    health = Health(needs={"Memory": "HEALTHY", "Clock": "slow", "Guest": "lost"})
    document = health_document("Speaker", health, 12.0, 3.5, {}, edges)
    assert document["needs"] == {"Memory": "ok", "Clock": "degraded", "Guest": "lost"}
    assert document["wants"] == {"Mood": "unknown"}
    assert document["status"] == "ok"
    assert edges["needs"]["Clock"] == "lost"


def test_resident_bytes_matches_vmrss() -> None:
    with open("/proc/self/status") as status:
        vmrss_bytes = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmRSS"))
    assert abs(resident_bytes() - vmrss_bytes) < 16 * 1024 * 1024
