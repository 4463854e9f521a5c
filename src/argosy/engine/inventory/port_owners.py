"""Which process listens on which TCP port of this machine, looked up once for many callers.

A probe of a port proves nothing about the process that was just started; so a port is tested before a
start, and a listening socket is traced to its process through /proc before an answer from it counts. A
fleet has as many probes as agents, and each repeats; a lookup is reused for ten times as long as it
took, and the owner of a socket is cached, so that the next caller reads one link to verify it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.inventory.fleet_processes import FleetProcess, inspect_agent_process
from argosy.engine.inventory.known_fleets import read_recorded_fleet
from argosy.engine.inventory.leftover_processes import agent_names_of
from argosy.engine.process import os_process
from argosy.engine.process.os_process import all_pids, child_pids, read_stat
from argosy.engine.process.tcp_ports import (
    PortOwner,
    command_line_of,
    has_no_listener,
    is_port_free,
    iter_open_sockets,
    list_listening_sockets,
    socket_inode_at,
)
from argosy.engine.state.state_dir import StateDir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


_REUSE_FACTOR = 10  # a lookup is reused for this multiple of its duration
_MIN_REUSE_S = 0.005
_YIELD_INTERVAL_S = 0.005


class _SocketDescriptor(NamedTuple):
    """A descriptor of a process, by its path in /proc, that was seen to be a listening socket."""

    pid: int
    path: str


class PortOwners:
    """The listening sockets of this machine and their owners, as far as this user may see them."""

    def __init__(self) -> None:
        self._search_lock = asyncio.Lock()
        self._by_port: dict[int, set[int]] = {}
        self._inodes: set[int] = set()
        self._descriptors: dict[int, dict[_SocketDescriptor, None]] = {}
        self._searched_pids: set[int] = set()  # since the sockets were listed
        self._searched_inodes: set[int] = set()  # by the last search of all processes
        self._listing_valid_until = self._search_valid_until = 0.0

    async def find_listener(self, port: int, session: int) -> tuple[PortOwner | None, bool]:
        """Return who listens on `port` (None: nobody), and whether that is a process of `session`.

        Concurrent callers take turns, one per loop iteration, and a long search yields to the loop.
        """
        async with self._search_lock:
            await asyncio.sleep(0)
            inodes = self._listening_inodes(port)
            if not inodes:
                return None, False
            own = self._pid_in_session(inodes, session)
            if own is None:
                for pid in _iter_descendants(session):  # the leader first, the common case
                    await _run_yielding(self._scan_processes([pid]))
                    own = self._pid_in_session(inodes, session)
                    if own is not None:
                        break
            if own is None:
                await _run_yielding(self._scan_all_processes(inodes))
                own = self._pid_in_session(inodes, session)
            if own is not None:
                return PortOwner(port, own, "" if own == session else command_line_of(own)), True
            holder = self._known_owner(port, inodes)
            if not holder.pid and not self._listening_inodes(port, refresh=True):
                return None, False  # it was closed meanwhile
            return holder, False

    def owner_of_port(self, port: int) -> PortOwner:
        """Return who listens on `port`; the pid is 0 also where nobody does."""
        inodes = self._listening_inodes(port) or self._listening_inodes(port, refresh=True)
        holder = self._known_owner(port, inodes)
        if not holder.pid:
            for _ in self._scan_all_processes(inodes):
                pass
            holder = self._known_owner(port, inodes)
        return holder

    def port_conflict(self, bindings: Iterable[tuple[str, int]], probe_port: int | None = None) -> str:
        """Return what conflicts with an agent's ports, empty when nothing does.

        bindings: (interface, port) pairs that it binds. probe_port: where its readiness is probed; a process
        that listens there already is not the agent.
        """
        for host, port in bindings:
            try:
                if not is_port_free(host, port):
                    return str(self.owner_of_port(port))
            except OSError as error:
                return f"port {port} cannot be bound on {host}: {error.strerror}"
        if probe_port is None or has_no_listener(probe_port) or not self._listening_inodes(probe_port):
            return ""
        return str(self.owner_of_port(probe_port))

    def _listening_inodes(self, port: int, *, refresh: bool = False) -> set[int]:
        """Return the inodes of the sockets that listen on `port`, from the last listing or a new one."""
        started = time.monotonic()
        if refresh or started >= self._listing_valid_until:
            self._by_port = {}
            for found, inode in list_listening_sockets():
                self._by_port.setdefault(found, set()).add(inode)
            self._inodes = {inode for inodes in self._by_port.values() for inode in inodes}
            self._descriptors = {
                inode: holders for inode, holders in self._descriptors.items() if inode in self._inodes
            }
            self._searched_pids.clear()
            self._listing_valid_until = _valid_until(started)
        return self._by_port.get(port, set())

    def _pids_holding(self, inodes: Iterable[int]) -> Iterator[int]:
        """Yield the processes that are known to hold one of these sockets, and still do."""
        for inode in inodes:
            for descriptor in self._descriptors.get(inode, ()):
                if socket_inode_at(descriptor.path) == inode:
                    yield descriptor.pid

    def _pid_in_session(self, inodes: Iterable[int], session: int) -> int | None:
        """Return a process of `session` that is known to hold one of these sockets."""
        return next((pid for pid in self._pids_holding(inodes) if _is_in_session(pid, session)), None)

    def _known_owner(self, port: int, inodes: Iterable[int]) -> PortOwner:
        pid = next(self._pids_holding(inodes), 0)
        owner = find_owner(pid) if pid else None
        return PortOwner(port, pid, command_line_of(pid) if pid else "", str(owner) if owner else "")

    def _scan_processes(self, pids: Iterable[int]) -> Iterator[None]:
        """Record which listening sockets these processes hold; yields after each descriptor."""
        for pid in pids:
            if pid not in self._searched_pids:
                for path, inode in iter_open_sockets(pid):
                    if inode in self._inodes:
                        self._descriptors.setdefault(inode, {})[_SocketDescriptor(pid, path)] = None
                    yield
                self._searched_pids.add(pid)

    def _scan_all_processes(self, inodes: set[int]) -> Iterator[None]:
        """Search every process, unless a recent search covered these sockets."""
        started = time.monotonic()
        if inodes <= self._searched_inodes and started < self._search_valid_until:
            return
        sought = self._inodes
        yield from self._scan_processes(all_pids())
        self._searched_inodes, self._search_valid_until = sought, _valid_until(started)


def _valid_until(started: float) -> float:
    """Return until when a lookup that began at `started` is reused."""
    now = time.monotonic()
    return now + max(_MIN_REUSE_S, _REUSE_FACTOR * (now - started))


def _is_in_session(pid: int, session: int) -> bool:
    if pid == session:
        return True
    found = read_stat(pid)
    return found is not None and found.session == session


def _iter_descendants(pid: int) -> Iterator[int]:
    """Yield a process and all its descendants, each before its children are listed."""
    todo = [pid]
    while todo:
        each = todo.pop()
        yield each
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            todo.extend(child_pids(each))


async def _run_yielding(steps: Iterable[None]) -> None:
    """Run these steps, and yield to the loop in between."""
    until = time.monotonic() + _YIELD_INTERVAL_S
    for _ in steps:
        if time.monotonic() > until:
            await asyncio.sleep(0)
            until = time.monotonic() + _YIELD_INTERVAL_S


class ProcessOwner(NamedTuple):
    """An agent, the name of its fleet, and its fleet file, None where it is unknown."""

    agent: str
    fleet: str
    path: Path | None

    def __str__(self) -> str:
        if self.path is None:
            return f"agent `{self.agent}` of fleet `{self.fleet}` (no record of its fleet file)"
        where = f"{self.path}" if self.path.exists() else f"{self.path}, moved or deleted"
        return f"agent `{self.agent}` of fleet `{self.fleet}` ({where})"


def find_owner(pid: int) -> ProcessOwner | None:
    """Return the agent that a process belongs to, None when there is none: that of its session's leader.

    The leader holds the agent's lease open or has its notify socket in its environment, and no terminal.
    """
    stat = os_process.read_stat(pid)
    trace = inspect_agent_process(stat.session) if stat is not None else None
    agent = _find_agent(trace) if trace is not None else None
    if trace is None or agent is None:
        return None
    record = read_recorded_fleet(trace.state_path)
    return ProcessOwner(agent, record.name if record else trace.fleet, record.path if record else None)


def _find_agent(trace: FleetProcess) -> str | None:
    """Return the agent, or the cell process, that a process is."""
    if trace.runtime_path is None:
        return None
    return next(agent_names_of(trace.pid, StateDir(trace.state_path, trace.runtime_path)), None)
