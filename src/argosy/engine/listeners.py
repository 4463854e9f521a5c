"""Who listens on which TCP port of this machine, found once for all who ask at about the same time.

A probe of a port proves nothing about the process that was just started; so a port is tried before
a start, and a listening socket is traced to its process through /proc before an answer from it
counts. A fleet has as many probes as agents, and each asks again and again: what was read serves all
of them for ten times as long as the reading took, and whose a socket is is remembered, so that the
next who asks reads one link to see whether that still holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.owner import owner_of
from argosy.engine.ports import (
    Holder,
    inode_at,
    is_free,
    is_silent,
    listening_sockets,
    open_sockets,
    title_of,
)
from argosy.engine.process import all_pids, children, read_stat

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_REST = 10  # what was read serves for so many times as long as that took
_LEAST_S = 0.005
_SLICE_S = 0.005


class _Seat(NamedTuple):
    """A descriptor of a process, by its path in /proc, that was seen to be a listening socket."""

    pid: int
    path: str


class Listeners:
    """The listening sockets of this machine and who holds them, as far as this user may see."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._by_port: dict[int, set[int]] = {}
        self._inodes: set[int] = set()
        self._seats: dict[int, dict[_Seat, None]] = {}
        self._searched: set[int] = set()  # processes, since the sockets were listed
        self._sought: set[int] = set()  # inodes, by the last search of all processes
        self._listed_until = self._sought_until = 0.0

    async def find(self, port: int, session: int) -> tuple[Holder | None, bool]:
        """Return who listens on `port` (None: nobody), and whether that is a process of `session`.

        Those who ask at the same time take turns, one in each turn of the loop, and a long search lets the
        loop go on in between.
        """
        async with self._turn:
            await asyncio.sleep(0)
            inodes = self._listed(port)
            if not inodes:
                return None, False
            own = self._held_in(inodes, session)
            if own is None:
                for pid in _family(session):  # the leader first, the common case
                    await _paced(self._search([pid]))
                    own = self._held_in(inodes, session)
                    if own is not None:
                        break
            if own is None:
                await _paced(self._search_all(inodes))
                own = self._held_in(inodes, session)
            if own is not None:
                return Holder(port, own, "" if own == session else title_of(own)), True
            holder = self._holder(port, inodes)
            if not holder.pid and not self._listed(port, anew=True):
                return None, False  # it has closed meanwhile
            return holder, False

    def holder_of(self, port: int) -> Holder:
        """Return who listens on `port`; pid 0 also where nobody does."""
        inodes = self._listed(port) or self._listed(port, anew=True)
        holder = self._holder(port, inodes)
        if not holder.pid:
            for _ in self._search_all(inodes):
                pass
            holder = self._holder(port, inodes)
        return holder

    def obstacle(self, wanted: Iterable[tuple[str, int]], probed: int | None = None) -> str:
        """Return what is in the way of an agent's ports, empty when nothing is.

        wanted: (interface, port) pairs that it shall bind. probed: where its probe will knock: whoever
        listens there already is not the agent.
        """
        for host, port in wanted:
            try:
                if not is_free(host, port):
                    return str(self.holder_of(port))
            except OSError as error:
                return f"port {port} cannot be bound on {host}: {error.strerror}"
        if probed is None or is_silent(probed) or not self._listed(probed):
            return ""
        return str(self.holder_of(probed))

    def _listed(self, port: int, *, anew: bool = False) -> set[int]:
        """Return the inodes of the sockets that listen on `port`, as they were a moment ago or are now."""
        began = time.monotonic()
        if anew or began >= self._listed_until:
            self._by_port = {}
            for found, inode in listening_sockets():
                self._by_port.setdefault(found, set()).add(inode)
            self._inodes = {inode for inodes in self._by_port.values() for inode in inodes}
            self._seats = {inode: seats for inode, seats in self._seats.items() if inode in self._inodes}
            self._searched.clear()
            self._listed_until = _rest_until(began)
        return self._by_port.get(port, set())

    def _seats_of(self, inodes: Iterable[int]) -> Iterator[int]:
        """Yield the processes that are known to hold one of these sockets, and still do."""
        for inode in inodes:
            for seat in self._seats.get(inode, ()):
                if inode_at(seat.path) == inode:
                    yield seat.pid

    def _held_in(self, inodes: Iterable[int], session: int) -> int | None:
        """Return a process of `session` that is known to hold one of these sockets."""
        return next((pid for pid in self._seats_of(inodes) if _is_in(pid, session)), None)

    def _holder(self, port: int, inodes: Iterable[int]) -> Holder:
        pid = next(self._seats_of(inodes), 0)
        owner = owner_of(pid) if pid else None
        return Holder(port, pid, title_of(pid) if pid else "", str(owner) if owner else "")

    def _search(self, pids: Iterable[int]) -> Iterator[None]:
        """Note which listening sockets these processes hold; yields after each descriptor."""
        for pid in pids:
            if pid not in self._searched:
                for path, inode in open_sockets(pid):
                    if inode in self._inodes:
                        self._seats.setdefault(inode, {})[_Seat(pid, path)] = None
                    yield
                self._searched.add(pid)

    def _search_all(self, inodes: set[int]) -> Iterator[None]:
        """Search every process, unless that was done a moment ago and these sockets were there."""
        began = time.monotonic()
        if inodes <= self._sought and began < self._sought_until:
            return
        sought = self._inodes
        yield from self._search(all_pids())
        self._sought, self._sought_until = sought, _rest_until(began)


def _rest_until(began: float) -> float:
    """Return until when what was read since `began` serves."""
    now = time.monotonic()
    return now + max(_LEAST_S, _REST * (now - began))


def _is_in(pid: int, session: int) -> bool:
    if pid == session:
        return True
    found = read_stat(pid)
    return found is not None and found.session == session


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it, each before its children are looked for."""
    todo = [pid]
    while todo:
        each = todo.pop()
        yield each
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            todo.extend(children(each))


async def _paced(steps: Iterable[None]) -> None:
    """Take these steps, and give the loop a turn in between."""
    until = time.monotonic() + _SLICE_S
    for _ in steps:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + _SLICE_S
