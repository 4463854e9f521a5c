"""What its needs, and its own word of its health, make of an agent: the event that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.agent.health import Status
from argosy.engine.beats import words_of_silence
from argosy.engine.state import FINAL_STATES, Event, State
from argosy.engine.surroundings import Lack

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from argosy.engine.surroundings import Needs, Party


def judge_needs(needs: Needs, state: State) -> tuple[Event, str] | None:
    """Return whether an agent in `state` may start now, or never, or may hope again."""
    if needs.failed:
        return Event.NEED_FAILED, f"needs {_in_words(needs.failed)}"
    if not needs.waiting_on:
        return Event.NEEDS_READY, ""
    return (Event.NEED_REVIVED, "") if state is State.BLOCKED else None


def _in_words(failed: Mapping[str, Lack]) -> str:
    """Name each root once, however many of the needs hang on it."""
    by_root: dict[Lack, list[str]] = {}
    for name, lack in failed.items():
        by_root.setdefault(lack, []).append(name)
    said = []
    for lack, names in by_root.items():
        others = "`, `".join(name for name in names if name != lack.root)
        through = f"`{others}`, blocked by " if others else ""
        said.append(f"{through}`{lack.root}`: {lack.reason}")
    return "; ".join(said)


def root_of(unit: Party, units: Mapping[str, Party]) -> Lack:
    """Return whom a unit that will not come waits for in the end: a unit that is not blocked itself."""
    while unit.state is State.BLOCKED:
        needs = (units.get(name) for name in unit.need_names())
        final = next((each for each in needs if each and each.state in FINAL_STATES), None)
        if final is None:
            break
        unit = final
    return Lack(unit.name, unit.reason or unit.state.value)


def judge_health(
    health: str | None, lost_needs: Collection[str], silent_s: float | None = None
) -> tuple[Event, str] | None:
    """Return the event that follows, with its reason; None where nothing does.

    health: its own word, None when it cannot speak. silent_s: how long it has been silent, None when it is
    not; what it said before then counts no more.
    """
    if silent_s is not None:
        return Event.SILENT, words_of_silence(silent_s)
    if health == Status.FAILING:
        return Event.UNHEALTHY, "its own health says failing"
    if health == Status.DEGRADED:
        return Event.DEGRADED, "its own health says degraded"
    if health not in (Status.OK, None):
        return None  # it starts or ends, by its own word: no lost need makes it readier than that
    if lost_needs:
        return Event.DEGRADED, f"without `{'`, `'.join(sorted(lost_needs))}`"
    return Event.READY, ""
