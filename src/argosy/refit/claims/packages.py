"""Queries about packages in requirement files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

import msgspec

from argosy.refit.claims.answer import Answer, Bounds, Spot
from argosy.refit.claims.kind import Ask, Kind

# A line of a requirement file (PEP 508): a name, perhaps extras, then what versions it takes.
_LINE = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")


class Listed(msgspec.Struct, frozen=True):
    """One line. name: normalized (PEP 503). versions: what it takes, without spaces; empty for any."""

    path: str
    line: int
    name: str
    versions: str

    def spot(self) -> Spot:
        return Spot(self.path, self.line, 1, f"{self.name}{self.versions}")


def normal(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _listed(ask: Ask) -> Iterator[Listed]:
    for path in ask.paths:
        for number, line in enumerate((ask.ground.text(path) or "").splitlines(), 1):
            match = _LINE.match(line)
            if match is not None:
                versions = re.sub(r"\s+(?:--hash\S*|\\)?|@\s*", "", match[2])
                yield Listed(path, number, normal(match[1]), versions)


def _named(ask: Ask) -> Answer:
    wanted = normal(ask.argument) if ask.argument else "*"
    return Answer(tuple(item.spot() for item in _listed(ask) if fnmatchcase(item.name, wanted)))


def _unpinned(ask: Ask) -> Answer:
    return Answer(tuple(item.spot() for item in _listed(ask) if not item.versions.startswith("==")))


def _different(ask: Ask) -> Answer:
    """The packages whose lines disagree; the places are those lines."""
    by_name: dict[str, list[Listed]] = {}
    for item in _listed(ask):
        by_name.setdefault(item.name, []).append(item)
    differing = [items for items in by_name.values() if len({item.versions for item in items}) > 1]
    spots = tuple(item.spot() for items in differing for item in items)
    return Answer(spots, {}, Bounds(len(differing), len(differing)))


def _distinct(ask: Ask) -> Answer:
    items = list(_listed(ask))
    count = len({item.name for item in items})
    return Answer(tuple(item.spot() for item in items), {}, Bounds(count, count))


def _name_trouble(argument: str) -> str:
    if not argument or re.fullmatch(r"[A-Za-z0-9*?][A-Za-z0-9._*?-]*", argument):
        return ""
    return f"`{argument}` is no name of a package"


_WHERE = ("requirements",)

KINDS = (
    Kind(
        name="packages.listed",
        argument="[NAME]",
        counts="lines of requirement files that name a package",
        scope=_WHERE,
        check=_name_trouble,
        answer=_named,
    ),
    Kind(
        name="packages.distinct",
        counts="packages in requirement files, each once",
        scope=_WHERE,
        is_sum=True,
        answer=_distinct,
    ),
    Kind(
        name="packages.unpinned",
        counts="lines of requirement files that do not name one version",
        scope=_WHERE,
        answer=_unpinned,
    ),
    Kind(
        name="packages.different",
        counts="packages whose lines in requirement files name different versions, or one none",
        scope=_WHERE,
        is_sum=True,
        answer=_different,
    ),
)
