"""Replies as bytes: a value that has no encoding, or exceeds the size limit, becomes an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.wire.protocol import codec
from argosy.wire.protocol.frame import BytesLike

_ENCODE_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class ReplyEncoder:
    """Encodes replies, for argosy clients and for plain JSON clients."""

    def __init__(self) -> None:
        self._packer = codec.Packer()
        self._json = msgspec.json.Encoder(enc_hook=_array_to_list)

    def encode(self, number: int, tag: int, value: object) -> tuple[bytes, Sequence[BytesLike]]:
        """Return the record of a reply to request `number`, and the buffers sent beside it."""
        packer = self._packer
        pack = packer.pack
        if isinstance(value, codec.BYTES_LIKE) and len(value) >= codec.BUFFER_THRESHOLD_BYTES:
            value = packer.extract_buffer(value)
        try:
            record = pack((number, tag, value))
        except _ENCODE_ERRORS as error:
            packer.take_frames()
            return pack((number, codec.ERROR, ("unencodable-result", str(error)))), ()
        buffers: Sequence[BytesLike] = ()
        total = len(record)
        if packer.frames:
            buffers = packer.take_frames()
            total += sum(memoryview(b).nbytes for b in buffers)
        if total > codec.MAX_RECORD_BYTES:
            reason = f"its reply has {total} bytes, at most {codec.MAX_RECORD_BYTES} are carried"
            return pack((number, codec.REFUSED, (codec.TOO_LARGE, reason))), ()
        return record, buffers

    def encode_json(self, document: dict[str, Any]) -> bytes:
        """Return the text of a reply to a JSON client."""
        try:
            return self._json.encode(document)
        except _ENCODE_ERRORS as error:
            return self._json.encode(json_error("unencodable-result", str(error)))


def json_error(code: str, message: str) -> dict[str, Any]:
    """Return what a JSON client gets instead of a result."""
    return {"error": {"code": code, "message": message}}


def _array_to_list(value: Any) -> Any:
    """Encode what JSON has no type for: arrays as lists."""
    listed = getattr(value, "tolist", None)
    if listed is None:
        raise TypeError(f"`{type(value).__name__}` has no encoding in JSON")
    return listed()
