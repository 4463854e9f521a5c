"""Finds the damaged stores of a hub that were set aside; needs none of the hub's libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED_INFIX: Final = ".damaged-"  # between the name of the store and the time


def find_damaged_stores(store: Path) -> list[Path]:
    """Return the damaged copies of a store, oldest first; a `-wal` or `-shm` file counts with its store."""
    found = {
        each.with_name(each.name.removesuffix("-wal").removesuffix("-shm"))
        for each in store.parent.glob(f"{store.name}{DAMAGED_INFIX}*")
    }
    return sorted(found)


def describe_damage(store: Path) -> str:
    """Describe the damaged copies of a store, empty if there are none."""
    found = find_damaged_stores(store)
    if not found:
        return ""
    more = f", {len(found)} in all" if len(found) > 1 else ""
    return (
        f"its records were damaged and are set aside as `{found[-1]}`{more}; it has started a new store "
        "(delete the damaged ones when they are not needed)"
    )
