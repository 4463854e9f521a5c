"""Tails the engine's event log into the store, each event once, across restarts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from argosy.engine.state.event_log import REMOTE_STATE, EventLogFollower, EventLogRecord
from argosy.hub.store.records import HubEvent
from argosy.hub.store.store_writer import StoreFullError, StoreWriter

POLL_EVERY_S: Final = 0.25
SOURCE_NAME: Final = "event-log"
_BATCH_SIZE: Final = 500


class EventLogTail:
    """Follows one event log. The read position is stored with the events."""

    def __init__(self, writer: StoreWriter, event_log: Path) -> None:
        self._writer = writer
        self._event_log = event_log
        self._tail = EventLogFollower(event_log)
        self._last_stat: tuple[int, int] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        self._last_stat = None
        try:
            while True:
                if self._has_changed():
                    self._read()
                await asyncio.sleep(POLL_EVERY_S)
        finally:
            self._tail.close()

    def read_again(self) -> None:
        """Store the whole event log again, after the store lost its events."""
        self._writer.forget_source(SOURCE_NAME)
        self._tail.close()
        self._last_stat = None

    def _has_changed(self) -> bool:
        try:
            stat = os.stat(self._event_log)
        except FileNotFoundError:
            return False
        before, self._last_stat = self._last_stat, (stat.st_ino, stat.st_size)
        return before != self._last_stat

    def _read(self) -> None:
        """Store new entries; read a new event log (its directory was deleted) from the start."""
        entries = self._tail.read()
        incarnation, sequence = self._writer.source_position(SOURCE_NAME)
        if not entries:
            return
        if not incarnation or entries[-1].sequence < sequence:
            incarnation, sequence = str(entries[0].at_s), 0
        new = [entry for entry in entries if entry.sequence > sequence]
        for first in range(0, len(new), _BATCH_SIZE):
            batch = new[first : first + _BATCH_SIZE]
            try:
                self._writer.submit(
                    # The state of a remote agent is stored by its own machine's hub.
                    [_hub_event(each) for each in batch if each.kind != REMOTE_STATE],
                    (),
                    (SOURCE_NAME, incarnation, batch[-1].sequence),
                    is_urgent=True,
                )
            except StoreFullError:
                self._last_stat = None
                self._tail.close()  # the event log keeps the entries and is read again
                return


def _hub_event(entry: EventLogRecord) -> HubEvent:
    body: dict[str, object] = {
        "state": entry.state,
        "pid": entry.pid,
        "text": entry.text,
        "lines": entry.lines,
        "mono": entry.mono_s,
    }
    return HubEvent(int(entry.at_s * 1000), entry.kind, entry.agent, {k: v for k, v in body.items() if v})
