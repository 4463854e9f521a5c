"""Renders messages of the audit and the refit as HTML."""

from __future__ import annotations

from html import escape


def render_inline_code(text: str) -> str:
    """Return a message as HTML, with the text in backticks as code."""
    parts = escape(text).split("`")
    if len(parts) % 2 == 0:
        return escape(text)
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
