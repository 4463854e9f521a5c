"""Lines that stand left of the block which goes on below them.

They were put in after something that looked like the last import. Where the whole file uses what they
bind, they were meant for the module, and move above the statement of the module that they
interrupt; else they were part of the block, and get its column again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from argosy.refit.island import Island, find_island
from argosy.refit.repair.bound import names_bound, names_of
from argosy.refit.repair.broken import Broken, headers_above
from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit, line_start, lines_of, set_margin
from argosy.refit.statements import Statement, width

NAME = "left-lines"


def propose(broken: Broken) -> Iterator[Candidate]:
    fracture = broken.fracture
    island = find_island(broken.statements, fracture) if fracture is not None else None
    if island is None:
        return
    inside = set(range(island.start, island.stop))
    wide = {at for at in inside if _is_for_all(broken, island, at)}
    ways = [wide] if _is_guarded(broken, island) and not wide else [wide, set(), inside]
    if island.is_only or _is_guarded(broken, island):
        ways = [set(), *ways]
    seen: list[set[int]] = []
    for moved in ways:
        if moved in seen or (island.is_only and moved):
            continue
        seen.append(moved)
    for doubt, moved in enumerate(seen):
        edits = _edits(broken, island, moved)
        yield Candidate(
            NAME, broken.statements[island.start].line, edits, _said(island, moved), doubt, len(seen)
        )


def _said(island: Island, moved: set[int]) -> str:
    count = island.stop - island.start
    what = "a line" if count == 1 else f"{count} lines"
    if not moved:
        return f"{what} left of the block get its column"
    if len(moved) == count:
        return f"{what} left of the block move above the statement that they interrupt"
    return (
        f"{what} left of the block: {len(moved)} move above the statement that they interrupt, the others in"
    )


def _is_guarded(broken: Broken, island: Island) -> bool:
    """Return whether the block is one of a try: an import there is meant to be caught."""
    around = headers_above(broken.statements, island.start, island.column)
    island_words = {statement.word for statement in broken.statements[island.start : island.stop]}
    is_import = island_words <= {"import", "from"}
    return is_import and bool(around) and broken.statements[around[-1]].word == "try"


def _is_for_all(broken: Broken, island: Island, at: int) -> bool:
    """Return whether names that the statement `at` binds are read outside of the function it interrupts."""
    bound = names_bound(broken.statements[at])
    if not bound:
        return False
    start, stop = _function_span(broken, island)
    outside = (*broken.statements[:start], *broken.statements[stop:])
    # Where another line binds the name too, each has its own.
    wanted = bound - set().union(*(names_bound(statement) for statement in outside))
    return any(wanted & names_of(statement) for statement in outside)


def _function_span(broken: Broken, island: Island) -> tuple[int, int]:
    """Return the statements, by index, of the innermost function around the island, or outermost block."""
    statements = broken.statements
    around = headers_above(statements, island.start, island.column)
    functions = [at for at in around if statements[at].word == "def"]
    start = functions[-1] if functions else (around[0] if around else island.start)
    stop = island.stop
    while stop < len(statements) and statements[stop].indent > statements[start].indent:
        stop += 1
    return start, stop


def _edits(broken: Broken, island: Island, moved: set[int]) -> tuple[Edit, ...]:
    statements = broken.statements
    margin = _margin(broken, island)
    edits: list[Edit] = []
    taken: list[str] = []
    for at in range(island.start, island.stop):
        if at in moved:
            start, stop = _with_comment(broken, at, island)
            taken.append(broken.text[start:stop])
            edits.append(Edit(start, stop, ""))
        else:
            edits += _indented(broken, statements[at], margin)
    edits += _astray(broken, island, margin, moved)
    if taken:
        target = _top_of(broken, island)
        edits.append(Edit(target, target, "".join(taken)))
    return tuple(edits)


def _astray(broken: Broken, island: Island, margin: str, moved: set[int]) -> Iterator[Edit]:
    """Yield the change of a lone first line of the block that is deeper than the block goes on."""
    if island.start < 2 or len(moved) == island.stop - island.start:
        return
    header, before = broken.statements[island.start - 2 : island.start]
    if header.is_opener and header.indent < island.column < before.indent and not before.is_opener:
        yield set_margin(before, margin)


def _margin(broken: Broken, island: Island) -> str:
    after = broken.statements[island.stop] if island.stop < len(broken.statements) else None
    if after is not None and after.indent == island.column:
        return after.margin
    return " " * island.column


def _indented(broken: Broken, statement: Statement, margin: str) -> Iterator[Edit]:
    """Yield the changes that move a statement right, with the lines that go on in its brackets."""
    lines = {token.line for token in statement.tokens}
    yield set_margin(statement, margin)
    for line in sorted(lines - {statement.line}):
        first = next(token for token in statement.tokens if token.line == line)
        start = line_start(broken.text, first.start)
        if not broken.text[start : first.start].strip(" \t"):
            yield Edit(start, start, margin)


def _with_comment(broken: Broken, at: int, island: Island) -> tuple[int, int]:
    """Return the span of a statement's lines with the comment above it, which stands as far left."""
    statement = broken.statements[at]
    start, stop = lines_of(broken.text, (statement,))
    while start > 0:
        above = line_start(broken.text, start - 1)
        line = broken.text[above:start]
        is_comment = line.lstrip(" \t").startswith("#")
        if not is_comment or width(line[: len(line) - len(line.lstrip(" \t"))]) != statement.indent:
            break
        start = above
    return start, stop


def _top_of(broken: Broken, island: Island) -> int:
    """Return the offset of the statement of the module that the island interrupts, decorators included."""
    statements = broken.statements
    at = island.start - 1
    while at > 0 and statements[at].indent > 0:
        at -= 1
    while at > 0 and (
        statements[at].word in ("elif", "else", "except", "finally") or _is_decorator(statements, at - 1)
    ):
        at -= 1
        while at > 0 and statements[at].indent > 0:
            at -= 1
    target = line_start(broken.text, statements[at].first.start)
    # Its comment stays with it.
    while target > 0 and broken.text[line_start(broken.text, target - 1)] == "#":
        target = line_start(broken.text, target - 1)
    return target


def _is_decorator(statements: Sequence[Statement], at: int) -> bool:
    return statements[at].first.text == "@" and statements[at].indent == 0
