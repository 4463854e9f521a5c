"""Replaces the text of a source in its own encoding."""

from __future__ import annotations

import msgspec

from argosy.source.python_source import SourceText


def with_text(source: SourceText, text: str) -> SourceText | None:
    """Return the source with another text in the same encoding; None if that cannot encode it."""
    mark = source.data[:3] if source.has_bom else b""
    try:
        return msgspec.structs.replace(source, data=mark + text.encode(source.encoding))
    except UnicodeEncodeError:
        return None
