"""Replies as bytes: a value that cannot be encoded, or is too large to be carried, becomes an error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.wire.protocol import codec
from argosy.wire.protocol.frame import BytesLike

_ENCODE_ERRORS: Final = (TypeError, ValueError, OverflowError, RecursionError)


class ReplyEncoder:
    """Encodes what an agent answers, for callers of the library and for old speakers of JSON."""

    def __init__(self) -> None:
        self._packer = codec.Packer()
        self._json = msgspec.json.Encoder(enc_hook=_array_to_list)

    def encode(self, number: int, tag: int, value: object) -> tuple[bytes, Sequence[BytesLike]]:
        """Return the record of a reply to the request `number`, and the buffers that travel beside it."""
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
        """Return the text of a reply to an old speaker."""
        try:
            return self._json.encode(document)
        except _ENCODE_ERRORS as error:
            return self._json.encode(json_error("unencodable-result", str(error)))


def json_error(code: str, message: str) -> dict[str, Any]:
    """Return what an old speaker gets in the place of a result."""
    return {"error": {"code": code, "message": message}}


def _array_to_list(value: Any) -> Any:
    """Give old speakers what JSON has no word for: arrays as lists."""
    listed = getattr(value, "tolist", None)
    if listed is None:
        raise TypeError(f"`{type(value).__name__}` has no encoding in JSON")
    return listed()
