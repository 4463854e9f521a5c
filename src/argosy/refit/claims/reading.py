"""Reads the Python files that queries ask about, each file once for all of them, in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import structs

from argosy.refit.claims.ground import Ground
from argosy.refit.claims.kind import Item, Kind
from argosy.refit.claims.lexical import Outline
from argosy.refit.claims.spec import Query
from argosy.refit.fact import FactKind
from argosy.refit.file import PythonFile
from argosy.refit.reader import Reader
from argosy.refit.record import Record
from argosy.refit.rule import Rule
from argosy.source.text import Source, Unparsed, take_source

# So few files are read before a second process has started.
_FEW = 12

Kinds = Callable[[], Mapping[str, Kind]]


class Read(msgspec.Struct, frozen=True):
    """What all files told. items: by query, then by path. unread: files that could not be read, and why."""

    items: Mapping[Query, Mapping[str, Sequence[Item]]]
    unread: Mapping[str, str]


def read_all(ground: Ground, wanted: Mapping[Query, Sequence[str]], kinds: Kinds) -> Read:
    """Read the files that the queries want.

    wanted: by query, the paths. kinds: a function of a module that returns the kinds by name; it is called in
    each reading process.
    """
    desk = _Desk(wanted, kinds())
    jobs = [path for path in desk.by_path if desk.open(path, ground.data(path))]
    _read(ground.root, jobs, partial(_rules, tuple(wanted), kinds), desk.take)
    return Read(desk.items, desk.unread)


class _Desk:
    """Gathers what the files tell. by_path: the queries that want each file."""

    def __init__(self, wanted: Mapping[Query, Sequence[str]], kinds: Mapping[str, Kind]) -> None:
        self.kinds = kinds
        self.items: dict[Query, dict[str, Sequence[Item]]] = {query: {} for query in wanted}
        self.unread: dict[str, str] = {}
        self.by_path: dict[str, list[Query]] = {}
        self.facts = {query: _fact(at, kinds[query.name], query) for at, query in enumerate(wanted)}
        self.data: dict[str, bytes] = {}
        for query, paths in wanted.items():
            for path in paths:
                self.by_path.setdefault(path, []).append(query)

    def open(self, path: str, data: bytes | None) -> bool:
        """Return whether a file has to be read: some query's word is in it."""
        if data is None:
            self.unread[path] = "cannot be read"
            return False
        words = (_word(self.kinds[query.name], query) for query in self.by_path[path])
        if not any(word in data for word in words):
            return False
        self.data[path] = data
        return True

    def take(self, path: str, record: Record | None) -> None:
        """Take what was read of a file."""
        assert record is not None  # no digest is known, so that everything is new
        fault = record.unparsed
        if fault is not None and fault.stage != "compile":
            self.take_words(path, fault)
            return
        if record.failures:  # a fault of argosy: what the file would have told is open
            self.unread[path] = record.failures[0].message
        for query in self.by_path[path]:
            data = record.facts.get(self.facts[query].name)
            if data is not None:
                self.items[query][path] = self.facts[query].decode(data)

    def take_words(self, path: str, fault: Unparsed) -> None:
        """Take what a file that does not parse tells by its words."""
        source = take_source(self.data[path], path)
        if not isinstance(source, Source):
            self.unread[path] = fault.message
            return
        outline = Outline(path, source.text())
        for query in self.by_path[path]:
            reading = self.kinds[query.name].reading
            if reading is not None and _word(self.kinds[query.name], query) in self.data[path]:
                items = reading.broken(outline, query.argument)
                self.items[query][path] = [structs.replace(item, by_tokens=True) for item in items]


def _read(
    root: str,
    paths: Sequence[str],
    load: Callable[[], Sequence[Rule]],
    take: Callable[[str, Record | None], None],
) -> None:
    if len(paths) <= _FEW:
        reader = Reader(root, load())
        for path in paths:
            take(path, reader.read(path))
        return
    from argosy.refit.readers import read_files  # noqa: PLC0415

    read_files(root, [(path, b"") for path in paths], os.cpu_count() or 1, take, load)


def _rules(queries: Sequence[Query], kinds: Kinds) -> tuple[Rule, ...]:
    """Return one rule that wants, as facts, what the queries take from a file."""
    facts = tuple(_fact(at, kinds()[query.name], query) for at, query in enumerate(queries))
    return (Rule(code="", title="claims", action="report", needs=facts),)


def _fact(at: int, kind: Kind, query: Query) -> FactKind[list[Item]]:
    reading = kind.reading
    assert reading is not None
    word = _word(kind, query)

    def collect(file: PythonFile) -> list[Item] | None:
        return (reading.file(file, query.argument) or None) if word in file.source.data else None

    return FactKind(str(at), list[Item], collect)


def _word(kind: Kind, query: Query) -> bytes:
    assert kind.reading is not None
    return kind.reading.word(query.argument).encode()
