"""How many records the hub of a fleet lacks, by the gaps that it has told itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from argosy.engine.state.state_dir import locate_state_dir
from argosy.extra import install_command
from argosy.track.command_runner import MeasurementError


def count_lost_records(fleet: str) -> float:
    """Return the records that agents or other hubs had to drop before this machine's hub of a fleet had them.

    Raises TroubleError: there is no store of a hub, or the extra is missing that reads it.
    """
    try:
        from argosy.hub.store.store_reader import StoreReader  # noqa: PLC0415 - an extra
    except ImportError:
        raise MeasurementError(f"the store of a hub is read with `{install_command('hub')}`") from None
    store = locate_state_dir(Path(fleet)).hub_store
    if not store.exists():
        raise MeasurementError(f"no hub has run for `{fleet}` on this machine")
    try:
        reading = StoreReader(store)
        try:
            gaps = [each.event.body for each in reading.events(limit=1 << 62) if each.event.kind == "gap"]
        finally:
            reading.close()
    except sqlite3.Error as error:
        raise MeasurementError(f"`{store}` cannot be read: {error}") from None
    return float(
        sum(body["dropped"] if "dropped" in body else body["last"] - body["first"] + 1 for body in gaps)
    )
