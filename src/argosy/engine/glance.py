"""One look at each known fleet: who supervises it, and what that says within a time; none can hold it up."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from argosy.engine.known import KnownFleet, is_supervised, known_fleets
from argosy.engine.messages import PROTOCOL, Hello, Refused, Report, Status, decode_answer, encode_line
from argosy.engine.traces import started_s

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from argosy.engine.messages import Answer
    from argosy.engine.traces import Trace

_AT_ONCE = 16


class Supervision(NamedTuple):
    """A supervisor's process. pid: 0 where this user may not see it; started_s: epoch seconds."""

    pid: int
    started_s: float


class Glance(NamedTuple):
    """What was seen of a fleet. supervisor: None where there is none.

    report: what it said, None where it said nothing. trouble: why it said nothing, in words.
    """

    fleet: KnownFleet
    supervisor: Supervision | None
    report: Report | None
    trouble: str


def glance(variables: Mapping[str, str], traces: Sequence[Trace], within_s: float) -> list[Glance]:
    """Return what is seen of every known fleet; each supervisor has `within_s` to answer, all at once."""
    fleets = known_fleets(variables, traces)
    pids = {os.path.realpath(trace.state): trace.pid for trace in traces if trace.is_supervisor}
    if not fleets:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(fleets))) as pool:
        return list(pool.map(lambda fleet: _look(fleet, pids, within_s), fleets))


def _look(fleet: KnownFleet, pids: Mapping[str, int], within_s: float) -> Glance:
    pid = pids.get(os.path.realpath(fleet.folder.state))
    if pid is None and not is_supervised(fleet.folder):
        return Glance(fleet, None, None, "")
    supervisor = Supervision(pid or 0, started_s(pid) if pid else 0.0)
    try:
        answer = _ask(fleet.folder.control, within_s)
    except TimeoutError:
        return Glance(fleet, supervisor, None, f"its supervisor has not answered for {within_s:g} s")
    except OSError as error:
        return Glance(fleet, supervisor, None, f"its supervisor cannot be asked: {error.strerror}")
    if isinstance(answer, Refused):
        return Glance(fleet, supervisor, None, answer.faults[0].message)
    return Glance(fleet, supervisor, answer, "")


def _ask(control: Path, within_s: float) -> Report | Refused:
    """Return what a supervisor reports.

    Raises TimeoutError: it says nothing for so long; OSError: nobody listens, or it ended meanwhile.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(within_s)
        try:
            channel.connect(str(control))
        except BlockingIOError as error:  # its queue of connections is full
            raise TimeoutError from error
        channel.sendall(encode_line(Hello(protocol=PROTOCOL, client="ls")) + encode_line(Status()))
        for answer in _answers(channel, time.monotonic() + within_s):
            if isinstance(answer, (Report, Refused)):
                return answer
    raise ConnectionResetError(0, "it ended meanwhile")


def _answers(channel: socket.socket, deadline: float) -> Iterator[Answer]:
    buffer = b""
    while True:
        channel.settimeout(max(0.001, deadline - time.monotonic()))
        data = channel.recv(65536)
        if not data:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            yield decode_answer(line)
