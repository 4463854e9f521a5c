"""Spawn report: how the agents of the last start were started, from the event log."""

from __future__ import annotations

from argosy.engine.fork.spawn_report import SpawnReport, read_spawn_report
from argosy.engine.state.event_log import EventLogRecord


def entry(kind: str, agent: str = "", text: str = "") -> EventLogRecord:
    return EventLogRecord(sequence=1, at_s=0.0, mono_s=0.0, kind=kind, agent=agent, text=text)


def test_spawn_report_covers_last_supervisor_and_last_apply() -> None:
    old = [
        entry("supervisor"),
        entry("apply"),
        entry("zygote-ready", text="old"),
        entry("started-by-exec", "A", "a command"),
    ]
    assert read_spawn_report(old) == SpawnReport(("old",), {"A": "a command"})
    again = [*old, entry("apply"), entry("started-by-exec", "B", "`start: spawn`")]
    assert read_spawn_report(again) == SpawnReport(("old",), {"B": "`start: spawn`"})
    assert read_spawn_report([*again, entry("supervisor"), entry("zygote-ready", text="new")]).zygotes == (
        "new",
    )
    assert read_spawn_report([]) == SpawnReport()
