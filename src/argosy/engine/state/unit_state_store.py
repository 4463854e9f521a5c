"""What only the supervisor knows of each agent, kept for the next supervisor: the wills of a fleet.

Nothing that decides whether a process runs: that is the lease. A full disk costs the restart count
and the words, never a process.

Two of these are in each agent's way to be ready, and on a busy disk a new file takes a millisecond.
So all are in one file, a page each, and a will is written over in its place, in one write that neither
leaves its page nor needs another block; SIGKILL does not tear such a write, and a boot, which could,
voids all leases. A fleet of an earlier version has a file for each, read where there is no page.

A supervisor whose file somebody deletes, or puts another in the place of, still holds it open, and puts it
back: soon, and before it writes of anybody.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any

import msgspec

from argosy.engine.state import inotify
from argosy.engine.supervisor.messages import LastExit
from argosy.engine.unit.state_machine import State

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from argosy.engine.state.state_dir import StateDir
    from argosy.engine.unit.unit import Unit

_PAGE_BYTES = 4096
# Whoever deletes the whole folder is not to find a new file in it.
_RESTORE_DELAY_S = 0.5


class PersistedUnitState(msgspec.Struct, frozen=True, kw_only=True):
    """The wish and the past of one agent.

    wanted: up. digest: of the plan it was started by. incarnation: of the process that
    all this is about. log_start: the size of the log when that was ordered. ready_s: epoch seconds,
    None when it was not ready. last_lines: what it printed last, of one that was given up. version: of
    the tree that it was started from.
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


def snapshot(unit: Unit) -> PersistedUnitState:
    """Return what is to be kept of a unit."""
    return PersistedUnitState(
        desired_up=unit.desired_up,
        digest=unit.running_digest,
        incarnation=unit.incarnation,
        restarts=unit.restarts,
        ready_s=unit.since_s if unit.is_ready else None,
        reason=unit.reason,
        state=unit.state,
        log_start=unit.log_start,
        last_lines=unit.last_lines,
        version=unit.version,
        last_exit=unit.last_exit,
    )


class _StatePage(msgspec.Struct, frozen=True):
    agent: str
    unit_state: PersistedUnitState


class UnitStateStore:
    """The wills of the agents of `folder`; one supervisor writes them.

    on_lost(): called once the whole folder is gone, soon after.
    """

    def __init__(self, state_dir: StateDir, on_lost: Callable[[], None] = lambda: None) -> None:
        self._state_dir = state_dir
        self._on_lost = on_lost
        self._page_numbers: dict[str, int] = {}  # of the pages
        self._page_count = 0
        self._file: int | None = None
        self._inotify: int | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the file put back whenever somebody deletes it; without more watches, at the next writing."""
        self._loop = loop
        with contextlib.suppress(OSError):
            self._open_file()
            self._watch()

    def write(self, agent: str, unit_state: PersistedUnitState) -> bool:
        """Write a will; return whether that went through (the disk may be full)."""
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
        """Return the will of an agent, or None when there is none that can be read."""
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
        """Put the file back where another one, or none, is in its place, and the folder is there."""
        if (
            self._file is None
            or self._is_in_place(self._file)
            or not self._state_dir.supervisor_lock.exists()
        ):
            return
        temporary_path = self._state_dir.unit_state.with_suffix(".new")
        with contextlib.suppress(OSError):  # a full disk: the wills are here as long as this process lives
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

    def _is_in_place(self, file: int) -> bool:
        try:
            return os.path.samestat(os.stat(self._state_dir.unit_state), os.fstat(file))
        except FileNotFoundError:
            return False

    def _watch(self) -> None:
        """Watch the file that is there now."""
        if self._loop is not None:
            self._unwatch()
            self._inotify = inotify.open_watch([self._state_dir.unit_state], inotify.UNLINK)
            self._loop.add_reader(self._inotify, self._on_unlinked, self._loop)

    def _on_unlinked(self, loop: asyncio.AbstractEventLoop) -> None:
        self._unwatch()
        self._timer = loop.call_later(_RESTORE_DELAY_S, self._recheck)

    def _recheck(self) -> None:
        if not self._state_dir.supervisor_lock.exists():
            self._on_lost()
        self.restore()
        if self._inotify is None and self._file is not None and self._is_in_place(self._file):
            self._watch()  # it was only touched

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
        """Close the file; what is written after that goes to the one that is there then."""
        self._unwatch()
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_unit_states(state_dir: StateDir) -> dict[str, PersistedUnitState]:
    """Return the wills of a fleet that can be read, by agent."""
    return {page.agent: page.unit_state for _, page in _iterate_pages(state_dir.unit_state)}


def _iterate_pages(path: Path) -> Iterator[tuple[int, _StatePage]]:
    """Yield the pages that can be read, with their numbers."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for number, at in enumerate(range(0, len(data), _PAGE_BYTES)):
        page = _decode(data[at : at + _PAGE_BYTES])
        if page is not None:
            yield number, page


def _encode(agent: str, unit_state: PersistedUnitState) -> bytes:
    """Return a page, filled up with blanks, which JSON passes over.

    Of what is too long for it the oldest lines go, then words of the reason.
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
    """Return a will in a file of its own, as earlier versions left it."""
    try:
        return _convert_earlier_state(msgspec.json.decode(path.read_bytes()))
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        return None
