"""Self-contained HTML pages in one frame, `html_page.html`, which has the head and the shared style."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from html import escape
from importlib.resources import files


def render_page(title: str, package: str, template: str, **parts: str) -> str:
    """Return a page of a template: a file of `package` with a `<style>` element, followed by the body.

    title: as plain text. parts: HTML by the name of its placeholder; `summary` replaces `<!--SUMMARY-->`.
    """
    style, end, body = files(package).joinpath(template).read_text("utf-8").partition("</style>\n")
    page = files("argosy").joinpath("html_page.html").read_text("utf-8")
    page = page.replace("<!--STYLE-->", (style + end).rstrip()).replace("<!--BODY-->", body.rstrip())
    for name, text in {"title": escape(title), **parts}.items():
        page = page.replace(f"<!--{name.upper()}-->", text)
    return page


def inline_code(text: str, render_plain: Callable[[str], str] = escape) -> str:
    """Return a text as HTML, with what is in backticks as code. render_plain: returns the rest as HTML."""
    parts = re.split(r"`([^`]*)`", text)
    return "".join(
        f"<code>{escape(part)}</code>" if index % 2 else render_plain(part)
        for index, part in enumerate(parts)
    )


def table(heads: Iterable[str], rows: str, attributes: str = "") -> str:
    """Return a table. heads: plain text. rows: HTML. attributes: of the table, such as ` class="wide"`."""
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return f"<table{attributes}><thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table>"
