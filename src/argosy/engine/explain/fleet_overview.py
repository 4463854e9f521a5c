"""An overview of the known fleets: the supervisor of each, and its status if it answers in time."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.inventory.known_fleets import KnownFleet, has_supervisor, list_known_fleets
from argosy.engine.process import os_process
from argosy.engine.protocol.messages import (
    PROTOCOL,
    ClientHello,
    FleetStatus,
    GetStatus,
    Refused,
    decode_reply,
    encode_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from argosy.engine.inventory.fleet_processes import FleetProcess
    from argosy.engine.protocol.messages import ControlReply

_MAX_CONCURRENT = 16


class SupervisorInfo(NamedTuple):
    """A supervisor process. pid: 0 if not visible to this user; started_s: epoch seconds."""

    pid: int
    started_s: float


class FleetOverview(NamedTuple):
    """One fleet. supervisor: None if there is none.

    report: its status, None if it did not answer. problem: why it did not answer.
    """

    fleet: KnownFleet
    supervisor: SupervisorInfo | None
    report: FleetStatus | None
    problem: str


def survey_fleets(
    variables: Mapping[str, str], processes: Sequence[FleetProcess], timeout_s: float
) -> list[FleetOverview]:
    """Return an overview of every known fleet; supervisors are asked in parallel, each within `timeout_s`."""
    fleets = list_known_fleets(variables, processes)
    pids = {os.path.realpath(trace.state_path): trace.pid for trace in processes if trace.is_supervisor}
    if not fleets:
        return []
    with ThreadPoolExecutor(min(_MAX_CONCURRENT, len(fleets))) as pool:
        return list(pool.map(lambda fleet: _inspect_fleet(fleet, pids, timeout_s), fleets))


def _inspect_fleet(fleet: KnownFleet, pids: Mapping[str, int], timeout_s: float) -> FleetOverview:
    pid = pids.get(os.path.realpath(fleet.state_dir.path))
    if pid is None and not has_supervisor(fleet.state_dir):
        return FleetOverview(fleet, None, None, "")
    found = os_process.read_stat(pid) if pid else None
    started_s = os_process.started_at(found.start_ticks) if found is not None else 0.0
    supervisor = SupervisorInfo(pid or 0, started_s)
    try:
        reply = _fetch_status(fleet.state_dir.control_socket, timeout_s)
    except TimeoutError:
        return FleetOverview(fleet, supervisor, None, f"its supervisor has not answered for {timeout_s:g} s")
    except OSError as error:
        return FleetOverview(fleet, supervisor, None, f"its supervisor cannot be asked: {error.strerror}")
    if isinstance(reply, Refused):
        return FleetOverview(fleet, supervisor, None, reply.faults[0].message)
    return FleetOverview(fleet, supervisor, reply, "")


def _fetch_status(control: Path, timeout_s: float) -> FleetStatus | Refused:
    """Return the status that a supervisor reports.

    Raises TimeoutError: no answer in time; OSError: nobody listens, or it exited meanwhile.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(timeout_s)
        try:
            channel.connect(str(control))
        except BlockingIOError as error:  # its backlog is full
            raise TimeoutError from error
        channel.sendall(encode_line(ClientHello(protocol=PROTOCOL, client="ls")) + encode_line(GetStatus()))
        for reply in _iter_replies(channel, time.monotonic() + timeout_s):
            if isinstance(reply, (FleetStatus, Refused)):
                return reply
    raise ConnectionResetError(0, "it exited meanwhile")


def _iter_replies(channel: socket.socket, deadline: float) -> Iterator[ControlReply]:
    buffer = b""
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        data = channel.recv(65536)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield decode_reply(line)
