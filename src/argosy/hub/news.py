"""The news: what the engine notes in its diary becomes events of the hub, each once, through restarts."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from argosy.engine.diary import DISTANT, Entry, Tail
from argosy.hub.keeper import FullError, Keeper
from argosy.hub.record import Event

EVERY_S: Final = 0.25
SOURCE: Final = "diary"
_AT_ONCE: Final = 500


class News:
    """Follows one diary. How far it has been read is kept with the events themselves."""

    def __init__(self, keeper: Keeper, diary: Path) -> None:
        self._keeper = keeper
        self._diary = diary
        self._tail = Tail(diary)
        self._seen: tuple[int, int] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        self._seen = None
        try:
            while True:
                if self._has_changed():
                    self._read()
                await asyncio.sleep(EVERY_S)
        finally:
            self._tail.close()

    def begin_again(self) -> None:
        """Keep all that the diary has once more: what had been kept of it is gone."""
        self._keeper.forget(SOURCE)
        self._tail.close()
        self._seen = None

    def _has_changed(self) -> bool:
        try:
            stat = os.stat(self._diary)
        except FileNotFoundError:
            return False
        before, self._seen = self._seen, (stat.st_ino, stat.st_size)
        return before != self._seen

    def _read(self) -> None:
        """Keep what is new; a diary that begins anew (its folder was deleted) is read from its beginning."""
        entries = self._tail.read()
        life, number = self._keeper.heard(SOURCE)
        if not entries:
            return
        if not life or entries[-1].sequence < number:
            life, number = str(entries[0].at_s), 0
        new = [entry for entry in entries if entry.sequence > number]
        for first in range(0, len(new), _AT_ONCE):
            some = new[first : first + _AT_ONCE]
            try:
                self._keeper.hand_in(
                    # Its own machine's hub tells what became of a distant agent.
                    [_event(each) for each in some if each.kind != DISTANT],
                    (),
                    (SOURCE, life, some[-1].sequence),
                    soon=True,
                )
            except FullError:
                self._seen = None
                self._tail.close()  # the diary keeps it, and is read anew
                return


def _event(entry: Entry) -> Event:
    body: dict[str, object] = {
        "state": entry.state,
        "pid": entry.pid,
        "text": entry.text,
        "lines": entry.lines,
        "mono": entry.mono_s,
    }
    return Event(int(entry.at_s * 1000), entry.kind, entry.agent, {k: v for k, v in body.items() if v})
