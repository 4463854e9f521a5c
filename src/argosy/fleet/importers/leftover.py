"""Tells which keys of a file were not taken over: one decision a key, however many agents have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from argosy.fleet.importers.found import Decision
from argosy.fleet.importers.intake import Intake, Steps

_MOST_NAMED = 3


def tell_leftovers(
    intake: Intake,
    holders: Sequence[tuple[str, Steps, Mapping[str, object]]],
    taken: AbstractSet[str],
    reason: Callable[[str], str],
) -> Iterator[Decision]:
    """Yield one decision for each key outside `taken`.

    holders: for each agent its name, the way to it, and its keys. reason: why a key is left.
    """
    users: dict[str, list[tuple[str, Steps]]] = {}
    for name, steps, keys in holders:
        for key in keys:
            if key not in taken:
                users.setdefault(key, []).append((name, steps))
    for key, having in users.items():
        names = ", ".join(f"`{name}`" for name, _ in having[:_MOST_NAMED])
        more = f" and {len(having) - _MOST_NAMED} more" if len(having) > _MOST_NAMED else ""
        yield Decision(
            intake.where((*having[0][1], key)), f"`{key}` of {names}{more} is not taken over", reason(key)
        )
