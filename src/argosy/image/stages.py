"""From groups of agents to services that can wait for each other.

A group whose agents need those of another, which need the first, cannot be one service: each would wait for
the other. Such groups are cut into stages, as few as the walk below finds, so that every need of an agent is
either inside its service or on one that starts earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from argosy.fleet.graph import components

Unit = str


def stage_groups(
    group_of: Mapping[Unit, str], needs: Mapping[Unit, Iterable[Unit]]
) -> list[tuple[Unit, ...]]:
    """Return the services: units of one group each, in an order in which each needs earlier ones only.

    group_of: unit to group, in the order of the file. needs: unit to units, without a cycle.
    """
    best: list[tuple[Unit, ...]] | None = None
    for prefers_whole in (True, False):
        found = _merged(_runs(group_of, needs, prefers_whole=prefers_whole), group_of, needs)
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _runs(
    group_of: Mapping[Unit, str], needs: Mapping[Unit, Iterable[Unit]], *, prefers_whole: bool
) -> list[tuple[Unit, ...]]:
    """Take, again and again, all of one group that can start now: of the group that is finished by it, else
    the one that gives most."""
    groups: dict[str, list[Unit]] = {}
    for unit, group in group_of.items():
        groups.setdefault(group, []).append(unit)
    placed: set[Unit] = set()
    runs: list[tuple[Unit, ...]] = []
    while groups:
        offers = {group: _startable(units, needs, placed) for group, units in groups.items()}
        chosen = max(
            groups,
            key=lambda group: (
                prefers_whole and len(offers[group]) == len(groups[group]),
                len(offers[group]),
            ),
        )
        if not offers[chosen]:
            raise ValueError("the needs have a cycle")
        runs.append(tuple(offers[chosen]))
        placed.update(offers[chosen])
        groups[chosen] = [unit for unit in groups[chosen] if unit not in placed]
        if not groups[chosen]:
            del groups[chosen]
    return runs


def _startable(units: Iterable[Unit], needs: Mapping[Unit, Iterable[Unit]], placed: set[Unit]) -> list[Unit]:
    """Return those of `units` that need only what is placed, or each other in that sense."""
    found: list[Unit] = []
    there = set(placed)
    rest = list(units)
    while ready := [unit for unit in rest if all(need in there for need in needs.get(unit, ()))]:
        found += ready
        there.update(ready)
        rest = [unit for unit in rest if unit not in there]
    order = {unit: at for at, unit in enumerate(units)}
    return sorted(found, key=order.__getitem__)


def _merged(
    runs: list[tuple[Unit, ...]], group_of: Mapping[Unit, str], needs: Mapping[Unit, Iterable[Unit]]
) -> list[tuple[Unit, ...]]:
    """Join services of one group wherever no cycle comes of it, and put all in the order of their needs."""
    parts = dict(enumerate(runs))
    for later in range(len(runs)):
        for earlier in range(later):
            if earlier in parts and group_of[runs[earlier][0]] == group_of[runs[later][0]]:
                joined = {**parts, earlier: (*parts[earlier], *parts[later])}
                del joined[later]
                if all(len(members) == 1 for members in components(_between(joined, needs))):
                    parts = joined
                    break
    ordered = [members[0] for members in components(_between(parts, needs))]
    order = {unit: at for at, unit in enumerate(group_of)}
    return [tuple(sorted(parts[int(key)], key=order.__getitem__)) for key in ordered]


def _between(
    parts: Mapping[int, tuple[Unit, ...]], needs: Mapping[Unit, Iterable[Unit]]
) -> dict[str, tuple[str, ...]]:
    """Return which service needs which."""
    home = {unit: str(key) for key, units in parts.items() for unit in units}
    return {
        str(key): tuple(
            dict.fromkeys(
                home[need] for unit in units for need in needs.get(unit, ()) if home[need] != str(key)
            )
        )
        for key, units in parts.items()
    }
