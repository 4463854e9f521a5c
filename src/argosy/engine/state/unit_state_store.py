"""What only the supervisor knows of each agent, kept for the next supervisor.

It does not decide whether a process runs: the lease does. A full disk costs the restart count and the
reasons, never a process.

Two writes are on each agent's way to readiness, and on a busy disk a new file takes a millisecond. So all
states are in one file, a page each, and a state is overwritten in place, in one write that stays within its
page and needs no new block; SIGKILL does not tear such a write, and a crash of the machine, which could,
voids all leases. Earlier versions had a file for each agent, which is read if there is no page.

If the file is deleted or replaced, the supervisor still has it open and restores it: soon, and before
the next write.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.engine.protocol.messages import LastExit
from argosy.engine.protocol.state_machine import State
from argosy.engine.state import filesystem
from argosy.engine.state.generation import is_same_file

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from argosy.engine.state.state_dir import StateDir

_PAGE_BYTES = 4096
# Lets the deletion of the whole directory finish before a new file is created in it.
_RESTORE_DELAY_S = 0.5


class PersistedUnitState(msgspec.Struct, frozen=True, kw_only=True):
    """The desired state and the history of one agent.

    digest: of the spec it was started with. incarnation: of the process that the rest describes.
    log_start: the size of the log when that was requested. ready_s: epoch seconds, None if it was not
    ready. last_lines: its last output, if it was given up. version: of the tree that it was started from.
    """

    desired_up: bool
    digest: str
    incarnation: int = 0
    restarts: int = 0
    ready_s: float | None = None
    exit_code: int | None = None
    reason: str = ""
    state: State = State.EXITED
    log_start: int = 0
    last_lines: list[str] = []
    version: str = ""
    last_exit: LastExit | None = None


class _StatePage(msgspec.Struct, frozen=True):
    agent: str
    unit_state: PersistedUnitState


class UnitStateStore:
    """The unit states of the agents of `state_dir`; only one supervisor writes them.

    on_lost(): called soon after the whole directory was deleted.
    """

    def __init__(self, state_dir: StateDir, on_lost: Callable[[], None] = lambda: None) -> None:
        self._state_dir = state_dir
        self._on_lost = on_lost
        self._page_numbers: dict[str, int] = {}
        self._page_count = 0
        self._file: int | None = None
        self._inotify: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Restore the file whenever it is deleted; without a free inotify watch, at the next write."""
        self._loop = loop
        with contextlib.suppress(OSError):
            self._open_file()
            self._watch()

    def write(self, agent: str, unit_state: PersistedUnitState) -> bool:
        """Write a state; return whether that succeeded (the disk may be full)."""
        data = _encode(agent, unit_state)
        try:
            file = self._open_file()
            number = self._page_numbers.get(agent)
            if number is None:
                number = self._page_numbers[agent] = self._page_count
                self._page_count += 1
            return os.pwrite(file, data, number * _PAGE_BYTES) == len(data)
        except OSError:
            return False

    def read(self, agent: str) -> PersistedUnitState | None:
        """Return the state of an agent, or None if there is none that can be read."""
        try:
            file = self._open_file()
            if agent not in self._page_numbers:
                self._index_pages()
            if agent not in self._page_numbers:
                return _read_legacy_file(self._state_dir.legacy_unit_state(agent))
            page = _decode(os.pread(file, _PAGE_BYTES, self._page_numbers[agent] * _PAGE_BYTES))
        except OSError:
            return None
        return page.unit_state if page is not None else None

    def _open_file(self) -> int:
        if self._file is None:
            self._file = os.open(self._state_dir.unit_state, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._index_pages()
        else:
            self.restore()
        return self._file

    def restore(self) -> None:
        """Restore the file if it was deleted or replaced and the directory exists."""
        if (
            self._file is None
            or is_same_file(self._state_dir.unit_state, self._file)
            or not self._state_dir.supervisor_lock.exists()
        ):
            return
        temporary_path = self._state_dir.unit_state.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk: the open file keeps the states
            copy = os.open(temporary_path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                data = os.pread(self._file, os.fstat(self._file).st_size, 0)
                if os.write(copy, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(temporary_path))
                os.replace(temporary_path, self._state_dir.unit_state)
            except OSError:
                os.close(copy)
                temporary_path.unlink(missing_ok=True)
                raise
            os.close(self._file)
            self._file = copy
            self._watch()

    def _watch(self) -> None:
        """Watch the current file."""
        if self._loop is not None:
            self._unwatch()
            self._inotify = filesystem.open_watch([self._state_dir.unit_state], filesystem.UNLINK)
            self._loop.add_reader(self._inotify, self._on_unlinked, self._loop)

    def _on_unlinked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._unwatch()
        self._timer = loop.call_later(_RESTORE_DELAY_S, self._recheck)

    def _recheck(self) -> None:
        if not self._state_dir.supervisor_lock.exists():
            self._on_lost()
        self.restore()
        if (
            self._inotify is None
            and self._file is not None
            and is_same_file(self._state_dir.unit_state, self._file)
        ):
            self._watch()  # only its attributes have changed

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._inotify is not None and self._loop is not None:
            self._loop.remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = None

    def _index_pages(self) -> None:
        self._page_numbers = {
            page.agent: number for number, page in _iterate_pages(self._state_dir.unit_state)
        }
        self._page_count = -(-self._state_dir.unit_state.stat().st_size // _PAGE_BYTES)

    def close(self) -> None:
        """Close the file; a later write opens the file at the path again."""
        self._unwatch()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_unit_states(state_dir: StateDir) -> dict[str, PersistedUnitState]:
    """Return the readable states of a fleet, by agent."""
    return {page.agent: page.unit_state for _, page in _iterate_pages(state_dir.unit_state)}


def _iterate_pages(path: Path) -> Iterator[tuple[int, _StatePage]]:
    """Yield the readable pages with their numbers."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for number, at in enumerate(range(0, len(data), _PAGE_BYTES)):
        page = _decode(data[at : at + _PAGE_BYTES])
        if page is not None:
            yield number, page


def _encode(agent: str, unit_state: PersistedUnitState) -> bytes:
    """Return a page, padded with blanks, which JSON ignores.

    If the state is too long, the oldest lines are dropped, then the reason is shortened.
    """
    while len(data := msgspec.json.encode(_StatePage(agent, unit_state))) > _PAGE_BYTES and (
        unit_state.last_lines or unit_state.reason
    ):
        shorter = (
            unit_state.reason if unit_state.last_lines else unit_state.reason[: len(unit_state.reason) // 2]
        )
        unit_state = msgspec.structs.replace(unit_state, last_lines=unit_state.last_lines[1:], reason=shorter)
    return data.ljust(_PAGE_BYTES)


def _decode(data: bytes) -> _StatePage | None:
    with contextlib.suppress(msgspec.DecodeError):
        return msgspec.json.decode(data, type=_StatePage)
    with contextlib.suppress(msgspec.DecodeError, KeyError, TypeError):
        page = msgspec.json.decode(data)  # perhaps of an earlier version
        return _StatePage(page["agent"], _convert_earlier_state(page["will"]))
    return None


def _convert_earlier_state(fields: dict[str, Any]) -> PersistedUnitState:
    """Return the state of an agent as an earlier version wrote it, with the key `wanted`."""
    return msgspec.convert({**fields, "desired_up": fields["wanted"]}, PersistedUnitState)


def _read_legacy_file(path: Path) -> PersistedUnitState | None:
    """Return the state in a file of one agent, as earlier versions wrote it."""
    try:
        return _convert_earlier_state(msgspec.json.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
