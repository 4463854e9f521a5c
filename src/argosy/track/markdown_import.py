"""Imports a tracker written in Markdown: its metrics, their completion state, and its contradictions.

A metric is read from a table whose header has baseline, current, target or status, from an arrow (`41 -> 1`),
or from a heading or list item with a number. None was measured, so each becomes a *stated* value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Literal

import msgspec

CompletionState = Literal["done", "open", ""]

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
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        "the a an of in to and for with by on all per from into is are was were be new our now it its this "
        "that complete completed done achieved success successful next target pending status phase week day",
    )
)
_MAX_WORDS = 60


class MarkdownMetric(msgspec.Struct, frozen=True, kw_only=True):
    """A metric of a tracker. heading: the heading above it. line: from 1. quote: its line as plain text.

    current: the value it claims. state: whether the tracker calls it done or open.
    """

    name: str
    heading: str
    line: int
    quote: str
    current: float | None = None
    baseline: float | None = None
    target: float | None = None
    unit: str = ""
    state: CompletionState = ""


class Contradiction(msgspec.Struct, frozen=True, order=True):
    """Two contradictory statements of a tracker. lines: their line numbers."""

    lines: tuple[int, ...]
    description: str


class MarkdownTracker(msgspec.Struct, frozen=True):
    """A parsed tracker."""

    title: str
    metrics: tuple[MarkdownMetric, ...]
    contradictions: tuple[Contradiction, ...]


class Quantity(msgspec.Struct, frozen=True):
    """A number as written. value: of a range, its middle. text: the source text."""

    value: float
    unit: str
    text: str


def parse_markdown_tracker(text: str) -> MarkdownTracker:
    """Return the metrics and contradictions of a Markdown text."""
    metrics = tuple(_find_metrics(text.splitlines()))
    statements = tuple(_find_statements(text.splitlines()))
    title = next(
        (_strip_markdown(line.lstrip("# ")) for line in text.splitlines() if line.startswith("# ")), "tracker"
    )
    return MarkdownTracker(title, metrics, tuple(sorted(set(_find_contradictions(metrics, statements)))))


def parse_quantity(text: str) -> Quantity | None:
    """Return the first number of a text, None if it has none; `3-5 min` is 4 min, `462/464` is 462."""
    for found in _NUMBER.finditer(_strip_markdown(text)):
        low = _parse_float(found["low"])
        value = low
        if found["high"] and "/" not in (found["more"] or ""):
            value = (low + _parse_float(found["high"])) / 2
        return Quantity(value, found["unit"] or "", found[0].strip())
    return None


def _parse_float(digits: str) -> float:
    return float(digits.replace(",", "").replace("_", ""))


def _find_metrics(lines: Sequence[str]) -> Iterator[MarkdownMetric]:
    heading, heading_state = "", ""
    columns: dict[str, int] = {}
    fenced = False
    for number, line in enumerate(lines, 1):
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        if fenced:
            continue
        if line.startswith("#"):
            heading, heading_state, columns = _title(line), _completion_state(line), {}
        if line.lstrip().startswith("|"):
            cells = _cells(line)
            if not columns:
                columns = _header_columns(cells)
            elif not _is_separator(cells):
                yield from _row_metric(cells, columns, heading, number, line)
            continue
        columns = {}
        found = _sentence_metric(line, heading, number)
        if found is not None:
            yield found if found.state else msgspec.structs.replace(found, state=heading_state)


def _title(line: str) -> str:
    """Return a heading without its number and its completion words."""
    plain = _strip_markdown(line.lstrip("# "))
    bare = _DONE.sub(" ", _OPEN.sub(" ", re.sub(r"^\d+[.)]\s+", "", plain)))
    return " ".join(bare.split()).strip(" .:,-\u2013()") or plain


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _is_separator(cells: Sequence[str]) -> bool:
    return all(re.fullmatch(r":?-+:?", cell) for cell in cells if cell)


def _header_columns(cells: Sequence[str]) -> dict[str, int]:
    columns = {"name": 0}
    for index, cell in enumerate(cells[1:], 1):
        word = _strip_markdown(cell).lower()
        for column, names in _COLUMNS.items():
            if column not in columns and any(word.startswith(name) for name in names):
                columns[column] = index
                break
    return columns


def _row_metric(
    cells: Sequence[str], columns: dict[str, int], heading: str, number: int, line: str
) -> Iterator[MarkdownMetric]:
    def cell(column: str) -> str:
        index = columns.get(column, -1)
        return cells[index] if 0 <= index < len(cells) else ""

    if len(columns) < 2 or not _strip_markdown(cells[0]):
        return
    current, baseline, target = (parse_quantity(cell(column)) for column in ("current", "baseline", "target"))
    sides = _arrow_sides(cell("current"))
    if sides is not None:
        baseline, current = baseline or sides[0], sides[1]
    if current is None and baseline is None and target is None:
        return
    known = current or baseline or target
    yield MarkdownMetric(
        name=_strip_markdown(cells[0]),
        heading=heading,
        line=number,
        quote=_strip_markdown(line.replace("|", " ")),
        current=current.value if current else None,
        baseline=baseline.value if baseline else None,
        target=target.value if target else None,
        unit=known.unit if known else "",
        state=_completion_state(cell("status") or line),
    )


def _sentence_metric(line: str, heading: str, number: int) -> MarkdownMetric | None:
    """Return the metric of a heading or list item; of other lines, only one with an arrow."""
    plain = re.sub(r"^\d+[.)]\s+", "", _strip_markdown(line.lstrip("#-*+ \t")))
    is_item = bool(re.match(r"\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s)", line))
    sides = _arrow_sides(plain)
    if sides is None and not is_item:
        return None
    name = _subject_of(plain) or heading
    if sides is not None:
        return MarkdownMetric(
            name=name,
            heading=heading,
            line=number,
            quote=plain,
            baseline=sides[0].value,
            current=sides[1].value,
            unit=sides[1].unit or sides[0].unit,
            state=_completion_state(line),
        )
    found = parse_quantity(plain)
    if found is None or not re.search(r"[A-Za-z]", plain):
        return None
    return MarkdownMetric(
        name=name,
        heading=heading,
        line=number,
        quote=plain,
        current=found.value,
        unit=found.unit,
        state=_completion_state(line),
    )


def _arrow_sides(text: str) -> tuple[Quantity, Quantity] | None:
    """Return the numbers before and after an arrow, None unless both are numbers."""
    parts = _ARROW.split(text, maxsplit=1)
    if len(parts) != 2:
        return None
    before = None
    for found in _NUMBER.finditer(parts[0]):
        before = parse_quantity(found[0])
    after = parse_quantity(parts[1])
    if before is None or after is None:
        return None
    # A number several words after the arrow has another subject: `15 -> next target in week 3`.
    if len(_subject_words(parts[1][: parts[1].find(after.text)])) > 1:
        return None
    return before, after


def _subject_of(plain: str) -> str:
    """Return the subject of a sentence: the text before its colon or first number."""
    head = re.split(r":\s|\s[-\u2013\u2014]\s", plain, maxsplit=1)[0]
    if not _subject_words(head) or head == plain:
        head = _NUMBER.split(plain, maxsplit=1)[0]
    head = head if _subject_words(head) else plain
    return " ".join(_DONE.sub(" ", _OPEN.sub(" ", head)).split()[:12]).strip(" .:,-\u2013()")


class _Statement(msgspec.Struct, frozen=True):
    """A heading, list item or table row that calls a subject done or open."""

    words: frozenset[str]
    name: str
    line: int
    state: CompletionState


def _find_statements(lines: Sequence[str]) -> Iterator[_Statement]:
    for number, line in enumerate(lines, 1):
        if not re.match(r"\s*(?:#{1,6}\s|[-*+]\s|\d+[.)]\s|\|)", line):
            continue
        state = _completion_state(line)
        subject = _cells(line)[0] if line.lstrip().startswith("|") else line.lstrip("#-*+ \t")
        name = _subject_of(_strip_markdown(subject))
        words = _subject_words(name)
        if state and words and len(words) <= _MAX_WORDS:
            yield _Statement(frozenset(words), name, number, state)


def _find_contradictions(
    metrics: Iterable[MarkdownMetric], statements: Sequence[_Statement]
) -> Iterator[Contradiction]:
    for one, other in combinations(statements, 2):
        if {one.state, other.state} == {"done", "open"} and _is_same_subject(one.words, other.words):
            done, left = (one, other) if one.state == "done" else (other, one)
            description = f"“{done.name}” is done, but “{left.name}” is open"
            yield Contradiction((done.line, left.line), description)
    kept = [metric for metric in metrics if metric.current is not None]
    for metric in kept:
        if metric.state != "done":
            continue
        if metric.baseline is not None and metric.baseline == metric.current:
            description = f"“{metric.name}” is done, but unchanged: {metric.quote}"
            yield Contradiction((metric.line,), description)
        elif _misses_target(metric):
            description = f"“{metric.name}” is done, but its target is not met: {metric.quote}"
            yield Contradiction((metric.line,), description)
    for here, there in combinations(kept, 2):
        if here.unit != there.unit or here.current == there.current:
            continue
        names = frozenset(_subject_words(here.name)), frozenset(_subject_words(there.name))
        if len(names[0]) > 1 and names[0] == names[1]:
            description = (
                f"“{here.name}” is {here.current:g} {here.unit}".rstrip() + f", and {there.current:g}"
            )
            yield Contradiction((here.line, there.line), description)


def _misses_target(metric: MarkdownMetric) -> bool:
    """Return whether a metric is between its baseline and its target, so that the target is not met."""
    if metric.target is None or metric.baseline is None or metric.current is None:
        return False
    if metric.target == metric.baseline:
        return False
    return (metric.current - metric.target) * (metric.baseline - metric.target) > 0


def _is_same_subject(one: frozenset[str], other: frozenset[str]) -> bool:
    """Return whether two subjects are the same: most words of the shorter one are in the longer one."""
    both = len(one & other)
    return both >= min(2, len(one), len(other)) and both / min(len(one), len(other)) >= 0.6


def _completion_state(text: str) -> CompletionState:
    if _NEGATED.search(text) or _OPEN.search(text):
        return "open"
    return "done" if _DONE.search(text) else ""


def _subject_words(text: str) -> set[str]:
    """Return the significant words of a subject, in lower case, without hyphens and plurals."""
    plain = re.sub(r"(?<=\w)[-_](?=\w)", "", _DONE.sub(" ", _OPEN.sub(" ", text)).lower())
    words = re.findall(r"[a-z][a-z0-9]+", plain)
    return {
        word.removesuffix("s") if len(word) > 3 else word for word in words if word not in _STOP_WORDS
    } - _STOP_WORDS


def _strip_markdown(text: str) -> str:
    """Return a line without Markdown markup."""
    text = re.sub(r"!?\[([^\]]{2,})\]\([^)]*\)", r"\1", text)
    return " ".join(re.sub(r"[*`_]{1,3}(?=\S)|(?<=\S)[*`_]{1,3}(?!\w)|~~", "", text).split())
