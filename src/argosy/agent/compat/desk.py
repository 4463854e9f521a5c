"""Requests to an old agent: argosy callers' as ever, and old speakers' documents whole.

An old agent's requests are whatever its callers and it have agreed on: a document may have no
`action`, and its answer goes back as `handle_request` returned it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire import codec, frame
from argosy.wire.inquiry import Desk, Inquiry, JsonInquiry

# What the old way of asking adds to each request of its own accord.
_LETTERHEAD: Final = frozenset(("action", "trace", "source_agent", "request_id", "timestamp"))


class OldInquiry(JsonInquiry):
    """A request of an old speaker; `document` is what it sent, None when that is no JSON."""

    __slots__ = ("document",)

    def __init__(self, desk: Desk, route: Sequence[bytes], document: Any) -> None:
        fields = document if isinstance(document, dict) else {}
        super().__init__(desk, route, str(fields.get("action", "")), dict(fields))
        self.document = document


def read_old_letter(desk: Desk, route: Sequence[bytes], text: frame.Bytes) -> OldInquiry:
    """Take any message of an old speaker as a request."""
    try:
        document = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        document = None
    return OldInquiry(desk, route, document)


class _Anything:
    """Takes a request's arguments as they are."""

    def __init__(self) -> None:
        unpacker = codec.Unpacker(dict[str, Any])
        self.decode = unpacker.decode
        self.from_msgpack = unpacker.unpack

    def from_json(self, arguments: dict[str, Any]) -> Any:
        return arguments


_ANYTHING: Final = _Anything()


def asks_health(inquiry: Inquiry) -> bool:
    """Tell whether a request asks for health and for nothing else."""
    if inquiry.method not in HEALTH_ACTIONS:
        return False
    return not isinstance(inquiry, OldInquiry) or _LETTERHEAD.issuperset(inquiry.document)


def document_of(inquiry: Inquiry) -> Any:
    """Return a request as `handle_request` expects it; raises msgspec.DecodeError."""
    if isinstance(inquiry, OldInquiry):
        return inquiry.document
    return {**inquiry.arguments(_ANYTHING), "action": inquiry.method}


def give(inquiry: Inquiry, document: Any) -> None:
    """Answer with what `handle_request` returned, or with a health document; bare values as `result`."""
    if not isinstance(inquiry, OldInquiry):
        inquiry.reply(document)
    else:
        inquiry.answer(document if isinstance(document, dict) else {"result": document})


def complain(inquiry: Inquiry, code: str, message: str) -> None:
    """Answer with an error, for old speakers in their own words."""
    if isinstance(inquiry, OldInquiry):
        inquiry.answer({"status": "error", "error": message})
    else:
        inquiry.fail(code, message)
