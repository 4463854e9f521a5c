"""The callee of an old agent: argosy callers as ever, and old speakers' documents whole.

An old agent's requests are whatever its callers and it have agreed on: a document may have no
`action`, and its answer goes back as `handle_request` returned it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from argosy.agent.health import HEALTH_ACTIONS
from argosy.wire import codec, frame
from argosy.wire.callee import Callee
from argosy.wire.inquiry import ArgosyInquiry, Inquiry, JsonInquiry
from argosy.wire.reactor import Reactor

# What the old way of asking adds to each request of its own accord.
_LETTERHEAD: Final = frozenset(("action", "trace", "source_agent", "request_id", "timestamp"))


class OldInquiry(JsonInquiry):
    """A request of an old speaker; `document` is what it sent, None when that is no JSON."""

    __slots__ = ("document",)

    def __init__(self, desk: Desk, route: Sequence[bytes], document: Any) -> None:
        fields = document if isinstance(document, dict) else {}
        super().__init__(desk, route, str(fields.get("action", "")), dict(fields))
        self.document = document


class Desk(Callee):
    """One or more endpoints of an old agent, which can be closed alone when the agent wants them."""

    def __init__(self, name: str, reactor: Reactor, deliver: Callable[[Inquiry], None]) -> None:
        super().__init__(name, reactor, deliver)
        self._hand_over = deliver
        self.is_closed = False

    def _take_json(self, route: Sequence[bytes], text: frame.Bytes) -> None:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeDecodeError):
            document = None
        self.in_flight += 1
        self._hand_over(OldInquiry(self, route, document))

    def _on_readable(self) -> None:
        if not self.is_closed:  # it may still be due at the end of a tick
            super()._on_readable()

    def answer(self, inquiry: ArgosyInquiry, tag: int, value: object) -> int:
        """As a callee's; what comes after the end is dropped."""
        return 0 if self.is_closed else super().answer(inquiry, tag, value)

    def answer_json(
        self, inquiry: JsonInquiry | None, route: Sequence[bytes], document: dict[str, Any]
    ) -> None:
        """As a callee's; what comes after the end is dropped."""
        if not self.is_closed:
            super().answer_json(inquiry, route, document)

    def take_in(self) -> None:
        """Read what has arrived, so that it can be refused before the end."""
        self._on_readable()

    def close(self) -> None:
        """Close at once but for the last replies."""
        self.is_closed = True
        super().close()


class _Anything:
    """Takes a request's arguments as they are."""

    _unpacker = codec.Unpacker(dict[str, Any])

    def from_msgpack(self, raw: msgspec.Raw, buffers: Sequence[memoryview]) -> Any:
        return self._unpacker.unpack(raw, buffers)

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
