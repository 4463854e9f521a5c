"""Requests to a BaseAgent: argosy requests, and JSON documents of any shape.

A BaseAgent's requests are whatever its clients and it have agreed on: a document may have no
`action`, and the reply is what `handle_request` returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire.protocol import codec, frame
from argosy.wire.server.incoming_request import IncomingRequest, JsonRequest, ReplySender

# The keys that `send_request_to_agent` adds to each request.
_STANDARD_KEYS: Final = frozenset(("action", "trace", "source_agent", "request_id", "timestamp"))


class LegacyRequest(JsonRequest):
    """A request of a JSON client; `document` is what it sent, None when that is not JSON."""

    __slots__ = ("document",)

    def __init__(self, sender: ReplySender, envelope: Sequence[bytes], document: Any) -> None:
        fields = document if isinstance(document, dict) else {}
        super().__init__(sender, envelope, str(fields.get("action", "")), dict(fields))
        self.document = document


def parse_legacy_request(
    sender: ReplySender, envelope: Sequence[bytes], text: frame.BytesLike
) -> LegacyRequest:
    """Accept any message of a JSON client as a request."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = None
    return LegacyRequest(sender, envelope, document)


class _PassThroughDecoder:
    """Returns a request's arguments undecoded."""

    def __init__(self) -> None:
        unpacker = codec.Unpacker(dict[str, Any])
        self.decode = unpacker.decode
        self.from_msgpack = unpacker.unpack

    def from_json(self, arguments: dict[str, Any]) -> Any:
        return arguments


_PASS_THROUGH: Final = _PassThroughDecoder()


def is_health_request(request: IncomingRequest) -> bool:
    """Return whether a request asks for health and for nothing else."""
    if request.method not in HEALTH_ACTIONS:
        return False
    return not isinstance(request, LegacyRequest) or _STANDARD_KEYS.issuperset(request.document)


def request_document(request: IncomingRequest) -> Any:
    """Return a request as `handle_request` expects it; raises msgspec.DecodeError."""
    if isinstance(request, LegacyRequest):
        return request.document
    return {**request.decode_arguments(_PASS_THROUGH), "action": request.method}


def send_result(request: IncomingRequest, document: Any) -> None:
    """Reply with what `handle_request` returned, or with a health document; bare values as `result`."""
    if not isinstance(request, LegacyRequest):
        request.reply(document)
    else:
        request.send_document(document if isinstance(document, dict) else {"result": document})


def send_error(request: IncomingRequest, code: str, message: str) -> None:
    """Reply with an error, in the form that JSON clients of a BaseAgent expect."""
    if isinstance(request, LegacyRequest):
        request.send_document({"status": "error", "error": message})
    else:
        request.fail(code, message)
