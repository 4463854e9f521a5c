"""The path from a ROUTER to one of its clients.

ROUTER_MANDATORY makes two states visible at the identity frame: a client that is gone is
EHOSTUNREACH, one that does not read is EAGAIN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import zmq
from zmq.backend import Socket as Plain

from argosy.wire.protocol.frame import BytesLike

_NOBLOCK: Final = int(zmq.NOBLOCK)
_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)


class RouterPath:
    """The path to the client that a ROUTER knows by an identity."""

    __slots__ = ("_identity", "_socket")

    def __init__(self, socket: Plain, identity: bytes) -> None:
        self._socket = socket
        self._identity = identity

    def send(self, body: BytesLike, buffers: Sequence[BytesLike] = ()) -> bool | None:
        """Send one message now: True, False when the receiver is gone, None when its queue is full."""
        try:
            Plain.send(self._socket, self._identity, _MORE)
        except zmq.Again:
            return None
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return False
            raise
        if not buffers:
            Plain.send(self._socket, body, _NOBLOCK)
            return True
        Plain.send(self._socket, body, _MORE)
        for buffer in buffers[:-1]:
            Plain.send(self._socket, buffer, _MORE, False)
        Plain.send(self._socket, buffers[-1], _NOBLOCK, False)
        return True


def send_envelope(socket: Plain, envelope: Sequence[bytes], text: bytes) -> bool:
    """Send a JSON client's reply; False when the client is gone or does not read."""
    try:
        for part in envelope:
            Plain.send(socket, part, _MORE)
    except zmq.ZMQError as error:
        if error.errno in (zmq.EHOSTUNREACH, zmq.EAGAIN):
            return False
        raise
    Plain.send(socket, text, _NOBLOCK)
    return True
