"""Markdown of the generated pages: tables, and regions in pages that are written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

# At the end of a page: the title of a page has to be its first line.
NOTICE = "\n<!-- Written by docs/generator; `script/docs` writes it again. -->\n"
_REGION = re.compile(r"(<!-- generated: ([\w.-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a bar in a cell is escaped."""
    lines = [header, ["---"] * len(header), *([_cell(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def code(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def fill_regions(text: str, regions: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with the content of each region. Raises KeyError: a region has no function."""
    return _REGION.sub(lambda match: f"{match[1]}\n{regions[match[2]]()}\n{match[3]}", text)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
