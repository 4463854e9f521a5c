"""Reads a tracker that people wrote in Markdown: its figures, their state, and where it contradicts itself.

A figure is taken from a table whose head names it (baseline, current, target, status), from an arrow
(`41 -> 1`), or from a heading or list item that has a number. Nobody measured it, so each becomes a *stated*
figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal

import msgspec

State = Literal["done", "open", ""]

_NUMBER = re.compile(
    r"(?<![\w.])[~≈]?[<>≤≥]?\s?\$?(?P<low>\d[\d,_]*(?:\.\d+)?)"
    r"(?P<more>\+|\s?(?:-|\u2013|to|/)\s?(?P<high>\d[\d,_]*(?:\.\d+)?))?"
    r"\s?(?P<unit>%|[A-Za-zµ]+)?"
)
_ARROW = re.compile(r"\s(?:→|->|=>|⟶|➜)\s|\s?(?:→|⟶|➜)\s?")
_DONE = re.compile(
    r"✅|☑|✔|\[x\]|\b(?:complete[d]?|done|achieved|success(?:ful)?|finished|delivered|passed)\b", re.I
)
_OPEN = re.compile(
    r"🔄|⏳|🎯|\[ \]|"
    r"\b(?:next target|next|pending|todo|to do|planned|in progress|not started|open|blocked|upcoming)\b",
    re.I,
)
_NEGATED = re.compile(
    r"\b(?:not|in|never)\s?(?:yet\s)?(?:complete[d]?|done|achieved|finished)\b|\bincomplete\b", re.I
)
_COLUMNS = {
    "baseline": ("baseline", "before", "initial", "original", "from", "old"),
    "current": ("current", "now", "after", "actual", "result", "new", "achieved value"),
    "target": ("target", "goal", "objective value"),
    "status": ("status", "state", "progress"),
}
_STOP = frozenset(
    re.findall(
        r"\w+",
        "the a an of in to and for with by on all per from into is are was were be new our now it its this "
        "that complete completed done achieved success successful next target pending status phase week day",
    )
)
_MOST_WORDS = 60


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """A figure of a tracker. current: what it says is so. line: from 1. quote: its line, plain.

    heading: the title that it stands under. state: whether the tracker calls it done or open.
    """

    name: str
    heading: str
    line: int
    quote: str
    current: float | None = None
    baseline: float | None = None
    target: float | None = None
    unit: str = ""
    state: State = ""


class Contradiction(msgspec.Struct, frozen=True, order=True):
    """Two things that a tracker says and that cannot both be so. lines: where it says them."""

    lines: tuple[int, ...]
    what: str


class Tracker(msgspec.Struct, frozen=True):
    """What a tracker says. title: of the whole."""

    title: str
    figures: tuple[Figure, ...]
    contradictions: tuple[Contradiction, ...]


class Quantity(msgspec.Struct, frozen=True):
    """A number as written. value: the middle of a range. text: how it stands there."""

    value: float
    unit: str
    text: str


def read_tracker(text: str) -> Tracker:
    """Return the figures of a Markdown text and its contradictions."""
    figures = tuple(_figures(text.splitlines()))
    statements = tuple(_statements(text.splitlines()))
    title = next(
        (_plain(line.lstrip("# ")) for line in text.splitlines() if line.startswith("# ")), "tracker"
    )
    return Tracker(title, figures, tuple(sorted(set(_contradictions(figures, statements)))))


def quantity(text: str) -> Quantity | None:
    """Return the first number of a text, None when it has none; `3-5 min` is 4 min, `462/464` is 462."""
    for found in _NUMBER.finditer(_plain(text)):
        low = _float(found["low"])
        value = low
        if found["high"] and "/" not in (found["more"] or ""):
            value = (low + _float(found["high"])) / 2
        return Quantity(value, found["unit"] or "", found[0].strip())
    return None


def _float(digits: str) -> float:
    return float(digits.replace(",", "").replace("_", ""))


def _figures(lines: Sequence[str]) -> Iterator[Figure]:
    heading, heading_state = "", ""
    columns: dict[str, int] = {}
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if fenced:
            continue
        if line.startswith("#"):
            heading, heading_state, columns = _title(line), _state(line), {}
        if line.lstrip().startswith("|"):
            cells = _cells(line)
            if not columns:
                columns = _head(cells)
            elif not _is_rule(cells):
                yield from _row(cells, columns, heading, number, line)
            continue
        columns = {}
        found = _sentence(line, heading, number)
        if found is not None:
            yield found if found.state else msgspec.structs.replace(found, state=heading_state)


def _title(line: str) -> str:
    """Return a heading without its number and what it says of its state."""
    plain = _plain(line.lstrip("# "))
    bare = _DONE.sub(" ", _OPEN.sub(" ", re.sub(r"^\d+[.)]\s+", "", plain)))
    return " ".join(bare.split()).strip(" .:,-\u2013()") or plain


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_rule(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r":?-+:?", cell) for cell in cells if cell)


def _head(cells: Sequence[str]) -> dict[str, int]:
    columns = {"name": 0}
    for index, cell in enumerate(cells[1:], 1):
        word = _plain(cell).lower()
        for column, names in _COLUMNS.items():
            if column not in columns and any(word.startswith(name) for name in names):
                columns[column] = index
                break
    return columns


def _row(
    cells: Sequence[str], columns: dict[str, int], heading: str, number: int, line: str
) -> Iterator[Figure]:
    def cell(column: str) -> str:
        index = columns.get(column, -1)
        return cells[index] if 0 <= index < len(cells) else ""

    if len(columns) < 2 or not _plain(cells[0]):
        return
    current, baseline, target = (quantity(cell(column)) for column in ("current", "baseline", "target"))
    sides = _sides(cell("current"))
    if sides is not None:
        baseline, current = baseline or sides[0], sides[1]
    if current is None and baseline is None and target is None:
        return
    known = current or baseline or target
    yield Figure(
        name=_plain(cells[0]),
        heading=heading,
        line=number,
        quote=_plain(line.replace("|", " ")),
        current=current.value if current else None,
        baseline=baseline.value if baseline else None,
        target=target.value if target else None,
        unit=known.unit if known else "",
        state=_state(cell("status") or line),
    )


def _sentence(line: str, heading: str, number: int) -> Figure | None:
    """Return the figure of a heading or a list item; of other lines only that of an arrow."""
    plain = re.sub(r"^\d+[.)]\s+", "", _plain(line.lstrip("#-*+ \t")))
    is_item = bool(re.match(r"\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s)", line))
    sides = _sides(plain)
    if sides is None and not is_item:
        return None
    name = _name_of(plain) or heading
    if sides is not None:
        return Figure(
            name=name,
            heading=heading,
            line=number,
            quote=plain,
            baseline=sides[0].value,
            current=sides[1].value,
            unit=sides[1].unit or sides[0].unit,
            state=_state(line),
        )
    found = quantity(plain)
    if found is None or not re.search(r"[A-Za-z]", plain):
        return None
    return Figure(
        name=name,
        heading=heading,
        line=number,
        quote=plain,
        current=found.value,
        unit=found.unit,
        state=_state(line),
    )


def _sides(text: str) -> tuple[Quantity, Quantity] | None:
    """Return what stands before and behind an arrow, where both are numbers."""
    parts = _ARROW.split(text, maxsplit=1)
    if len(parts) != 2:
        return None
    before = None
    for found in _NUMBER.finditer(parts[0]):
        before = quantity(found[0])
    after = quantity(parts[1])
    if before is None or after is None:
        return None
    # A number far behind the arrow is about something else: `15 -> next target in week 3`.
    if len(_words(parts[1][: parts[1].find(after.text)])) > 1:
        return None
    return before, after


def _name_of(plain: str) -> str:
    """Return what a sentence is about: what stands before its colon or first number."""
    head = re.split(r":\s|\s[-\u2013\u2014]\s", plain, maxsplit=1)[0]
    if not _words(head) or head == plain:
        head = _NUMBER.split(plain, maxsplit=1)[0]
    head = head if _words(head) else plain
    return " ".join(_DONE.sub(" ", _OPEN.sub(" ", head)).split()[:12]).strip(" .:,-\u2013()")


class _Statement(msgspec.Struct, frozen=True):
    """A heading, item or row that calls a subject done or open."""

    words: frozenset[str]
    name: str
    line: int
    state: State


def _statements(lines: Sequence[str]) -> Iterator[_Statement]:
    for number, line in enumerate(lines, 1):
        if not re.match(r"\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s|\|)", line):
            continue
        state = _state(line)
        subject = _cells(line)[0] if line.lstrip().startswith("|") else line.lstrip("#-*+ \t")
        name = _name_of(_plain(subject))
        words = _words(name)
        if state and words and len(words) <= _MOST_WORDS:
            yield _Statement(frozenset(words), name, number, state)


def _contradictions(figures: Iterable[Figure], statements: Sequence[_Statement]) -> Iterator[Contradiction]:
    for one, other in combinations(statements, 2):
        if {one.state, other.state} == {"done", "open"} and _is_same(one.words, other.words):
            done, left = (one, other) if one.state == "done" else (other, one)
            told = f"“{done.name}” is done, and “{left.name}” is still to be done"
            yield Contradiction((done.line, left.line), told)
    kept = [figure for figure in figures if figure.current is not None]
    for figure in kept:
        if figure.state != "done":
            continue
        if figure.baseline is not None and figure.baseline == figure.current:
            told = f"“{figure.name}” is done, and is what it was: {figure.quote}"
            yield Contradiction((figure.line,), told)
        elif _misses(figure):
            told = f"“{figure.name}” is done, and is not at its target: {figure.quote}"
            yield Contradiction((figure.line,), told)
    for here, there in combinations(kept, 2):
        if here.unit != there.unit or here.current == there.current:
            continue
        names = frozenset(_words(here.name)), frozenset(_words(there.name))
        if len(names[0]) > 1 and names[0] == names[1]:
            told = f"“{here.name}” is {here.current:g} {here.unit}".rstrip() + f", and {there.current:g}"
            yield Contradiction((here.line, there.line), told)


def _misses(figure: Figure) -> bool:
    """Return whether a figure lies between its baseline and its target, so that the target is not met."""
    if figure.target is None or figure.baseline is None or figure.current is None:
        return False
    if figure.target == figure.baseline:
        return False
    return (figure.current - figure.target) * (figure.baseline - figure.target) > 0


def _is_same(one: frozenset[str], other: frozenset[str]) -> bool:
    """Return whether two subjects are one: most words of the shorter name are in the longer."""
    both = len(one & other)
    return both >= min(2, len(one), len(other)) and both / min(len(one), len(other)) >= 0.6


def _state(text: str) -> State:
    if _NEGATED.search(text) or _OPEN.search(text):
        return "open"
    return "done" if _DONE.search(text) else ""


def _words(text: str) -> set[str]:
    """Return the words that tell a subject: small, without hyphens and plurals."""
    plain = re.sub(r"(?<=\w)[-_](?=\w)", "", _DONE.sub(" ", _OPEN.sub(" ", text)).lower())
    words = re.findall(r"[a-z][a-z0-9]+", plain)
    return {word.removesuffix("s") if len(word) > 3 else word for word in words if word not in _STOP} - _STOP


def _plain(text: str) -> str:
    """Return a line without the marks of Markdown."""
    text = re.sub(r"!?\[([^\]]{2,})\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`_]{1,3}(?=\S)|(?<=\S)[*`_]{1,3}(?!\w)|~~", "", text).split())
