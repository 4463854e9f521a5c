"""How the agents of the last start were made: from which warm interpreters, and who was spawned and why."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from argosy.engine.state.event_log import EventLogRecord


class SpawnReport(msgspec.Struct, frozen=True):
    """What the diary tells of the last start.

    zygotes: what each warm interpreter loaded, how fast, and what it left out. spawned: agent to the reason.
    """

    zygotes: tuple[str, ...] = ()
    exec_reasons: dict[str, str] = {}


def read_spawn_report(entries: Iterable[EventLogRecord]) -> SpawnReport:
    """Return the ways of the last start; a zygote belongs to its supervisor, a spawn to its apply."""
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
