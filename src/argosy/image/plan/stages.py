"""Divides groups of agents into services that can wait for each other.

Two groups whose agents need each other cannot be one service each: each service would wait for the other.
Such groups are divided into stages, as few as the greedy search below finds, so that every need of an agent
is inside its service or on a service that starts earlier.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from argosy.fleet.dependency_graph import strongly_connected_components

StageUnit = str


def stage_groups(
    group_of: Mapping[StageUnit, str], needs: Mapping[StageUnit, Iterable[StageUnit]]
) -> list[tuple[StageUnit, ...]]:
    """Return the services: units of one group each, ordered so that each needs only earlier ones.

    group_of: unit to group, in the order of the file. needs: unit to units, without a cycle.
    Raises ValueError: `needs` has a cycle.
    """
    best: list[tuple[StageUnit, ...]] | None = None
    for prefers_complete_groups in (True, False):
        found = _merge_stages(
            _greedy_stages(group_of, needs, prefers_complete_groups=prefers_complete_groups), group_of, needs
        )
        if best is None or len(found) < len(best):
            best = found
    return best or []


def _greedy_stages(
    group_of: Mapping[StageUnit, str],
    needs: Mapping[StageUnit, Iterable[StageUnit]],
    *,
    prefers_complete_groups: bool,
) -> list[tuple[StageUnit, ...]]:
    """Return stages found greedily: each takes all startable units of the group with the most of them.

    prefers_complete_groups: take a group whose remaining units are all startable before others.
    """
    groups: dict[str, list[StageUnit]] = {}
    for unit, group in group_of.items():
        groups.setdefault(group, []).append(unit)
    placed: set[StageUnit] = set()
    stages: list[tuple[StageUnit, ...]] = []
    while groups:
        startable = {group: _startable(units, needs, placed) for group, units in groups.items()}
        chosen = max(
            groups,
            key=lambda group: (
                prefers_complete_groups and len(startable[group]) == len(groups[group]),
                len(startable[group]),
            ),
        )
        if not startable[chosen]:
            raise ValueError("the needs have a cycle")
        stages.append(tuple(startable[chosen]))
        placed.update(startable[chosen])
        groups[chosen] = [unit for unit in groups[chosen] if unit not in placed]
        if not groups[chosen]:
            del groups[chosen]
    return stages


def _startable(
    units: Iterable[StageUnit], needs: Mapping[StageUnit, Iterable[StageUnit]], placed: set[StageUnit]
) -> list[StageUnit]:
    """Return those of `units` that need only placed units or each other."""
    found: list[StageUnit] = []
    available = set(placed)
    rest = list(units)
    while ready := [unit for unit in rest if all(need in available for need in needs.get(unit, ()))]:
        found += ready
        available.update(ready)
        rest = [unit for unit in rest if unit not in available]
    order = {unit: index for index, unit in enumerate(units)}
    return sorted(found, key=order.__getitem__)


def _merge_stages(
    stages: list[tuple[StageUnit, ...]],
    group_of: Mapping[StageUnit, str],
    needs: Mapping[StageUnit, Iterable[StageUnit]],
) -> list[tuple[StageUnit, ...]]:
    """Merge stages of one group where no cycle results, and sort all by their needs."""
    parts = dict(enumerate(stages))
    for later in range(len(stages)):
        for earlier in range(later):
            if earlier in parts and group_of[stages[earlier][0]] == group_of[stages[later][0]]:
                joined = {**parts, earlier: (*parts[earlier], *parts[later])}
                del joined[later]
                if all(
                    len(members) == 1
                    for members in strongly_connected_components(_stage_needs(joined, needs))
                ):
                    parts = joined
                    break
    ordered = [members[0] for members in strongly_connected_components(_stage_needs(parts, needs))]
    order = {unit: index for index, unit in enumerate(group_of)}
    return [tuple(sorted(parts[int(key)], key=order.__getitem__)) for key in ordered]


def _stage_needs(
    parts: Mapping[int, tuple[StageUnit, ...]], needs: Mapping[StageUnit, Iterable[StageUnit]]
) -> dict[str, tuple[str, ...]]:
    """Return the services that each service needs."""
    stage_of = {unit: str(key) for key, units in parts.items() for unit in units}
    return {
        str(key): tuple(
            dict.fromkeys(
                stage_of[need] for unit in units for need in needs.get(unit, ()) if stage_of[need] != str(key)
            )
        )
        for key, units in parts.items()
    }
