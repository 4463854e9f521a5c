"""Stores of a hub that were damaged and set aside, as their files tell; read without the hub's libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED_INFIX: Final = ".damaged-"  # in a name, between that of the store and the time


def find_damaged_stores(store: Path) -> list[Path]:
    """Return what was set aside of a store, oldest first; a log or an index counts with its file."""
    found = {
        each.with_name(each.name.removesuffix("-wal").removesuffix("-shm"))
        for each in store.parent.glob(f"{store.name}{DAMAGED_INFIX}*")
    }
    return sorted(found)


def describe_damage(store: Path) -> str:
    """Return what there is to say of stores that were set aside, empty where there are none."""
    found = find_damaged_stores(store)
    if not found:
        return ""
    more = f", {len(found)} in all" if len(found) > 1 else ""
    return (
        f"its records were damaged, and are set aside as `{found[-1]}`{more}; it has begun anew "
        "(delete them once nobody needs them)"
    )
