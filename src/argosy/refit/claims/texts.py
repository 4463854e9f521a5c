"""Queries about files as text, of whatever kind, and about their names."""

from __future__ import annotations

import re

from argosy.refit.claims.answer import Answer, Spot
from argosy.refit.claims.kind import Ask, Kind, regex_trouble


def _matches(ask: Ask) -> Answer:
    """Every place where the expression finds something, line by line; binary files have none."""
    pattern = re.compile(ask.argument)
    spots: list[Spot] = []
    unread: list[str] = []
    for path in ask.paths:
        if ask.ground.data(path) is None:
            unread.append(path)
            continue
        for number, line in enumerate((ask.ground.text(path) or "").splitlines(), 1):
            spots += [Spot(path, number, match.start() + 1) for match in pattern.finditer(line)]
    return Answer(tuple(spots), dict.fromkeys(unread))


def _files(ask: Ask) -> Answer:
    return Answer(tuple(Spot(path) for path in ask.paths))


KINDS = (
    Kind(
        name="text.match",
        argument="REGEX",
        counts="places where a regular expression finds something, line by line, comments too",
        check=regex_trouble,
        answer=_matches,
    ),
    Kind(name="text.files", counts="files, of any kind", scope=("all",), answer=_files),
)
