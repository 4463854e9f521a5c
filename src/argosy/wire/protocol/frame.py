"""The first frame of a message: its 24 byte header, and how JSON requests are recognised.

    0   C1 'A' 'G'      C1 is unused in msgpack and begins neither JSON nor UTF-8
    3   u8              version of this layout
    4   u8              kind
    5   u16             number of buffer frames that follow the body
    7   u8              health of the sender, an index in STATES; 0: not given
    8   u64             incarnation of the sender (for people and assertions; no guarantee rests on it)
    16  u64             the sender's monotonic clock in microseconds
    24                  the body: msgpack

A header in a frame of its own would cost 7 to 45 % of the throughput.
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Sequence
from typing import Final

VERSION: Final = 1
MAGIC: Final = b"\xc1AG"
HEADER_BYTES: Final = 24

HELLO: Final = 1  # client: its name and protocol version
WELCOME: Final = 2  # server: calls may be sent
CALL: Final = 3  # client: list of CallRecord
REPLY: Final = 4  # server: list of ReplyRecord
CANCEL: Final = 5  # client: list of ids
CREDIT: Final = 6  # client: list of [id, bytes]
HEARTBEAT: Final = 7  # server: alive, to clients with requests in flight
STALE: Final = 8  # server: the client is unknown, these ids were not executed
EVENT: Final = 9  # publisher: one EventRecord
KINDS: Final = frozenset(range(HELLO, EVENT + 1))

# The health in each header, as `Status` of the health standard.
STATES: Final = ("", "starting", "ok", "degraded", "failing", "stopping")

MAX_ENVELOPE_FRAMES: Final = 8  # the longest REQ envelope that is accepted

_LAYOUT = struct.Struct("<3sBBHBQQ")
_pack = _LAYOUT.pack
_unpack_from = _LAYOUT.unpack_from
_monotonic_ns = time.monotonic_ns

# Buffers of the body's type and of what pyzmq returns on receipt.
BytesLike = bytes | bytearray | memoryview


def now_us() -> int:
    """Return this process's monotonic clock in microseconds."""
    return _monotonic_ns() // 1000


def new_incarnation() -> int:
    """Return a random number that identifies one run of one process on the wire."""
    return int.from_bytes(os.urandom(8), "little")


def pack_header(kind: int, incarnation: int, buffers: int = 0, state: int = 0) -> bytes:
    """Return a header with the current time."""
    return _pack(MAGIC, VERSION, kind, buffers, state, incarnation, _monotonic_ns() // 1000)


def unpack_header(body: BytesLike) -> tuple[int, int, int, int, int] | None:
    """Return (kind, buffers, state, incarnation, stamp in us) of a message's first frame.

    None when it is not an argosy frame; kind is 0 when the layout has another version, and then
    no other field is valid.
    """
    if len(body) < HEADER_BYTES:
        return None
    magic, version, kind, buffers, state, incarnation, stamp_us = _unpack_from(body)
    if magic != MAGIC:
        return None
    return (kind if version == VERSION else 0), buffers, state, incarnation, stamp_us


def split_json_envelope(frames: Sequence[BytesLike]) -> tuple[Sequence[BytesLike], BytesLike] | None:
    """Return (envelope, JSON) of a JSON client's message, None when it is neither.

    A REQ sends `[empty][json]`, with REQ_CORRELATE `[4 bytes][empty][json]`; a DEALER may send
    the JSON alone. The reply goes back in the same envelope.
    """
    for index, frame in enumerate(frames[:MAX_ENVELOPE_FRAMES]):
        if len(frame) == 0:
            after = frames[index + 1 :]
            return (frames[: index + 1], after[0]) if len(after) == 1 else None
    if len(frames) == 1 and bytes(frames[0][:1]) == b"{":
        return (), frames[0]
    return None
