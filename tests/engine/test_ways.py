"""How the agents of the last start were made, from a diary."""

from __future__ import annotations

from argosy.engine.diary import Entry
from argosy.engine.ways import Ways, read_ways


def entry(kind: str, agent: str = "", text: str = "") -> Entry:
    return Entry(sequence=1, at_s=0.0, mono_s=0.0, kind=kind, agent=agent, text=text)


def test_zygotes_are_of_the_last_supervisor_and_spawns_of_the_last_apply() -> None:
    old = [
        entry("supervisor"),
        entry("apply"),
        entry("zygote", text="old"),
        entry("spawned", "A", "a command"),
    ]
    assert read_ways(old) == Ways(("old",), {"A": "a command"})
    again = [*old, entry("apply"), entry("spawned", "B", "`start: spawn`")]
    assert read_ways(again) == Ways(("old",), {"B": "`start: spawn`"})
    assert read_ways([*again, entry("supervisor"), entry("zygote", text="new")]).zygotes == ("new",)
    assert read_ways([]) == Ways()
