"""How the agents of the last start were created: from which zygotes, and which by exec and why."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from argosy.engine.state.event_log import EventLogRecord


class SpawnReport(msgspec.Struct, frozen=True):
    """What the event log records of the last start.

    zygotes: what each zygote loaded, how fast, and what it left out. exec_reasons: agent to the reason why
    it was started by exec.
    """

    zygotes: tuple[str, ...] = ()
    exec_reasons: dict[str, str] = {}


def read_spawn_report(entries: Iterable[EventLogRecord]) -> SpawnReport:
    """Return the report of the last start; zygotes count per supervisor, starts by exec per apply."""
    zygotes: list[str] = []
    exec_reasons: dict[str, str] = {}
    for entry in entries:
        if entry.kind == "supervisor":
            zygotes = []
        if entry.kind == "apply":
            exec_reasons = {}
        elif entry.kind == "zygote-ready":
            zygotes.append(entry.text)
        elif entry.kind == "started-by-exec":
            exec_reasons[entry.agent] = entry.text
    return SpawnReport(tuple(dict.fromkeys(zygotes)), exec_reasons)
