"""Arrays with plain pyzmq: packed into the message, copied at both ends."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy
import zmq

from wire_cases.array_payload import BYTES, matrix
from wire_cases.load_loops import LoadFunction, check_answer, print_ready, request_for

_encode = msgspec.msgpack.encode


class _Packed(msgspec.Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


_decode = msgspec.msgpack.Decoder(_Packed).decode


def serve(where: str) -> None:
    """Unpack and pack again, as a handler that uses the array must."""
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        socket.bind(f"ipc://{where}/copying")
        print_ready()
        while True:
            socket.send(_pack(_unpack(socket.recv())))


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `arrays`: one caller."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.connect(f"ipc://{where}/copying")
    sent = matrix()

    def ask() -> None:
        socket.send(_pack(sent))
        check_answer(_unpack(socket.recv()).nbytes, BYTES)

    return {"arrays": lambda seconds: request_for(seconds, ask)}


def _pack(array: Any) -> bytes:
    return _encode(_Packed(array.dtype.str, array.shape, array.tobytes()))


def _unpack(message: bytes) -> Any:
    packed = _decode(message)
    return numpy.frombuffer(packed.data, packed.dtype).reshape(packed.shape)
