"""Counts the records that a fleet's hub has lost, by its `gap` events."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from argosy.engine.state.state_dir import locate_state_dir
from argosy.extra import install_command
from argosy.track.command_runner import MeasurementError


def count_lost_records(fleet: str) -> float:
    """Return the number of records that agents or other hubs dropped before this machine's hub stored them.

    Raises MeasurementError: there is no store, or the extra to read it is missing.
    """
    try:
        from argosy.hub.store.store_reader import StoreReader  # noqa: PLC0415 - an extra
    except ImportError:
        raise MeasurementError(f"reading the hub's store needs `{install_command('hub')}`") from None
    store = locate_state_dir(Path(fleet)).hub_store
    if not store.exists():
        raise MeasurementError(f"no hub of `{fleet}` has run on this machine")
    try:
        reader = StoreReader(store)
        try:
            gaps = [each.event.body for each in reader.events(limit=1 << 62) if each.event.kind == "gap"]
        finally:
            reader.close()
    except sqlite3.Error as error:
        raise MeasurementError(f"`{store}` cannot be read: {error}") from None
    return float(
        sum(body["dropped"] if "dropped" in body else body["last"] - body["first"] + 1 for body in gaps)
    )
