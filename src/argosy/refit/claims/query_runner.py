"""Matches queries in Python files: each file is read once for all queries, in several processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec
from msgspec import structs

from argosy.refit.claims.claim_spec import ClaimQuery
from argosy.refit.claims.codebase import Codebase
from argosy.refit.claims.query_kind import QueryKind, QueryMatch
from argosy.refit.claims.token_outline import TokenOutline
from argosy.refit.core.fact import FactKind
from argosy.refit.core.file_analyzer import FileAnalyzer
from argosy.refit.core.finding import FileResult
from argosy.refit.core.rule import Rule
from argosy.refit.core.source_file import PythonFile
from argosy.source.python_source import SourceText, Unparsed, decode_source

# Up to this count, reading in one process is faster than starting others.
_SEQUENTIAL_LIMIT = 12

LoadKinds = Callable[[], Mapping[str, QueryKind]]


class QueryMatches(msgspec.Struct, frozen=True):
    """The matches in all files, by query and path. unread: files that could not be read, and why."""

    matches: Mapping[ClaimQuery, Mapping[str, Sequence[QueryMatch]]]
    unread: Mapping[str, str]


def match_all_queries(
    codebase: Codebase, paths_by_query: Mapping[ClaimQuery, Sequence[str]], kinds: LoadKinds
) -> QueryMatches:
    """Return the matches of the queries.

    paths_by_query: the files to read for each query. kinds: a module-level function that returns the kinds by
    name; it is called in each worker process.
    """
    collector = _MatchCollector(paths_by_query, kinds())
    jobs = [
        path for path in collector.queries_by_path if collector.open_file(path, codebase.read_bytes(path))
    ]
    _analyze_files(
        codebase.root, jobs, partial(_make_rules, tuple(paths_by_query), kinds), collector.add_result
    )
    return QueryMatches(collector.matches, collector.unread)


class _MatchCollector:
    """Collects the matches in all files."""

    def __init__(
        self, paths_by_query: Mapping[ClaimQuery, Sequence[str]], kinds: Mapping[str, QueryKind]
    ) -> None:
        self.kinds = kinds
        self.matches: dict[ClaimQuery, dict[str, Sequence[QueryMatch]]] = {
            query: {} for query in paths_by_query
        }
        self.unread: dict[str, str] = {}
        self.queries_by_path: dict[str, list[ClaimQuery]] = {}
        self.facts = {
            query: _make_fact(index, kinds[query.name], query) for index, query in enumerate(paths_by_query)
        }
        self.data: dict[str, bytes] = {}
        for query, paths in paths_by_query.items():
            for path in paths:
                self.queries_by_path.setdefault(path, []).append(query)

    def open_file(self, path: str, data: bytes | None) -> bool:
        """Return whether a file has to be analyzed: it contains the required word of a query."""
        if data is None:
            self.unread[path] = "cannot be read"
            return False
        required_words = (
            _required_word(self.kinds[query.name], query) for query in self.queries_by_path[path]
        )
        if not any(word in data for word in required_words):
            return False
        self.data[path] = data
        return True

    def add_result(self, path: str, result: FileResult | None) -> None:
        """Add the matches of an analyzed file."""
        assert result is not None  # without a known digest every file is analyzed
        fault = result.unparsed
        if fault is not None and fault.stage != "compile":
            self.add_token_matches(path, fault)
            return
        if result.failures:  # an internal error: the matches of the file are not known
            self.unread[path] = result.failures[0].message
        for query in self.queries_by_path[path]:
            data = result.facts.get(self.facts[query].name)
            if data is not None:
                self.matches[query][path] = self.facts[query].decode(data)

    def add_token_matches(self, path: str, fault: Unparsed) -> None:
        """Add the matches of a file that does not parse, found by its tokens."""
        source = decode_source(self.data[path], path)
        if not isinstance(source, SourceText):
            self.unread[path] = fault.message
            return
        outline = TokenOutline(path, source.text())
        for query in self.queries_by_path[path]:
            matcher = self.kinds[query.name].matcher
            if matcher is not None and _required_word(self.kinds[query.name], query) in self.data[path]:
                items = matcher.match_tokens(outline, query.argument)
                self.matches[query][path] = [structs.replace(item, by_tokens=True) for item in items]


def _analyze_files(
    root: str,
    paths: Sequence[str],
    load: Callable[[], Sequence[Rule]],
    on_result: Callable[[str, FileResult | None], None],
) -> None:
    if len(paths) <= _SEQUENTIAL_LIMIT:
        analyzer = FileAnalyzer(root, load())
        for path in paths:
            on_result(path, analyzer.analyze(path))
        return
    from argosy.refit.core.parallel_analysis import analyze_files  # noqa: PLC0415

    analyze_files(root, [(path, b"") for path in paths], os.cpu_count() or 1, on_result, load)


def _make_rules(queries: Sequence[ClaimQuery], kinds: LoadKinds) -> tuple[Rule, ...]:
    """Return one rule whose facts are the matches of the queries."""
    facts = tuple(_make_fact(index, kinds()[query.name], query) for index, query in enumerate(queries))
    return (Rule(code="", title="claims", action="report", fact_kinds=facts),)


def _make_fact(index: int, kind: QueryKind, query: ClaimQuery) -> FactKind[list[QueryMatch]]:
    matcher = kind.matcher
    assert matcher is not None
    required_word = _required_word(kind, query)

    def collect(file: PythonFile) -> list[QueryMatch] | None:
        if required_word not in file.source.data:
            return None
        return matcher.match_file(file, query.argument) or None

    return FactKind(str(index), list[QueryMatch], collect)


def _required_word(kind: QueryKind, query: ClaimQuery) -> bytes:
    assert kind.matcher is not None
    return kind.matcher.required_word(query.argument).encode()
