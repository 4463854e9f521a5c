"""Messages between the supervisor and a forker or zygote: spawn requests, forks, exits.

Each is one SEQPACKET message, with descriptors attached. A request whose environment is too large for a
message is sent in a memfd. Messages are encoded by `marshal`: both ends run the same interpreter, and after
a fork every line of Python that a zygote runs makes it copy pages. Imported by the forker, which must stay
small: only the standard library here.
"""

from __future__ import annotations

import marshal
import os
import socket
import struct
import time
from typing import NamedTuple

MAX_MESSAGE_BYTES = 65536
_TIME = struct.Struct("=Q")

# Exit code of a child whose lease cannot be used (a full disk, a deleted directory).
LEASE_UNUSABLE = 113
# Exit codes of a child that must not become an agent; they do not count towards the restart limit.
LEASE_BUSY = 114
PROCESS_ALREADY_RUNNING = 115
STALE_GENERATION = 116
NEVER_RELEASED = 117
NOT_STARTED = frozenset({LEASE_BUSY, PROCESS_ALREADY_RUNNING, STALE_GENERATION, NEVER_RELEASED})
# As in a shell: found but not executable, not found.
NOT_EXECUTABLE = 126
NOT_FOUND = 127
# Reported in these words, since the line in the log may be missing on a full disk.
EXIT_CODE_TEXT = {
    LEASE_UNUSABLE: "could not use its lease",
    LEASE_BUSY: "found its lease locked",
    PROCESS_ALREADY_RUNNING: "found a running process of its name",
    STALE_GENERATION: "found a newer supervisor",
    NEVER_RELEASED: "lost its forker before it began",
}


class SpawnRequest(NamedTuple):
    """Everything a child needs to become an agent.

    lease, generation_file: paths; without a lease it is a helper process, not an agent.
    incarnation, generation: numbers. argv, env, cwd: for execve.
    open_files: the soft limit of descriptors. memory_limit_bytes: the bytes it may reserve. 0 leaves
    either limit unchanged. control_group: the directory of its control group, empty for its parent's.
    """

    name: str
    incarnation: int
    generation: int
    lease: str
    generation_file: str
    argv: list[str]
    env: dict[str, str]
    cwd: str
    open_files: int = 0
    memory_limit_bytes: int = 0
    control_group: str = ""


class Spawned(NamedTuple):
    """A child was forked; its pidfd is attached to the message."""

    incarnation: int
    pid: int


class Exited(NamedTuple):
    """A child has exited, with this wait status."""

    pid: int
    status: int


class SpawnFailed(NamedTuple):
    """A child could not be forked, for this reason."""

    incarnation: int
    reason: str


class ZygoteReady(NamedTuple):
    """A zygote is ready to fork.

    loaded: entry to the seconds of its import. left_out: module to reason. seconds: since its start.
    """

    loaded: dict[str, float]
    left_out: dict[str, str]
    seconds: float


class SpawnDeclined(NamedTuple):
    """A zygote does not fork this agent, which is to be started by exec.

    is_exhausted: no agent can be forked from the zygote any more; it must be replaced.
    """

    incarnation: int
    reason: str
    is_exhausted: bool


ForkerEvent = Spawned | Exited | SpawnFailed | ZygoteReady | SpawnDeclined
_EVENTS: dict[str, type[ForkerEvent]] = {
    "Spawned": Spawned,
    "Exited": Exited,
    "SpawnFailed": SpawnFailed,
    "ZygoteReady": ZygoteReady,
    "SpawnDeclined": SpawnDeclined,
}
_EVENT_NAMES = {kind: name for name, kind in _EVENTS.items()}


def send_spawn_request(channel: socket.socket, spawn_request: SpawnRequest, output: int) -> None:
    """Send a spawn request and the descriptor that becomes the child's output."""
    data = marshal.dumps(tuple(spawn_request))
    sent = _TIME.pack(time.monotonic_ns())
    if len(data) <= MAX_MESSAGE_BYTES - _TIME.size:
        socket.send_fds(channel, [sent, data], [output])
        return
    memory = os.memfd_create("argosy-spawn-request", os.MFD_CLOEXEC)
    try:
        os.write(memory, data)
        socket.send_fds(channel, [sent], [output, memory])
    finally:
        os.close(memory)


def receive_spawn_request(channel: socket.socket) -> tuple[SpawnRequest, int, int] | None:
    """Wait for a request and return it as `unpack_spawn_request` does; None: the other end is closed."""
    try:
        data, descriptors, _, _ = socket.recv_fds(channel, MAX_MESSAGE_BYTES, 2, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return None
    return unpack_spawn_request(data, descriptors) if data else None


def unpack_spawn_request(message: bytes, descriptors: list[int]) -> tuple[SpawnRequest, int, int]:
    """Return the request in a message, the output descriptor, and when it was sent.

    The time is of CLOCK_MONOTONIC, in nanoseconds.
    """
    output, *more = descriptors
    os.set_inheritable(output, False)  # socket.recv_fds ignores its flags (CPython before 3.14)
    data = message[_TIME.size :]
    for memory in more:
        try:
            data = os.pread(memory, os.fstat(memory).st_size, 0)
        finally:
            os.close(memory)
    (sent_ns,) = _TIME.unpack_from(message)
    return SpawnRequest(*marshal.loads(data)), output, sent_ns


def pack_event(event: ForkerEvent) -> bytes:
    """Encode an event."""
    return marshal.dumps((_EVENT_NAMES[type(event)], *event))


def unpack_event(data: bytes) -> ForkerEvent:
    """Decode an event."""
    name, *fields = marshal.loads(data)
    return _EVENTS[name](*fields)
