"""Analyzes one file: runs the rules, collects the facts, and reads the ignore comments."""

from __future__ import annotations

import io
import os
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from argosy.refit.core.discovery import FilePatterns
from argosy.refit.core.fact import PARSE_FAILURES, FactKind
from argosy.refit.core.finding import FileResult, Finding, IgnoreComment, RuleFailure
from argosy.refit.core.rule import Rule, collect_fact_kinds
from argosy.refit.core.source_file import BrokenFile, PythonFile, TextFile
from argosy.source.digest import blake2b
from argosy.source.python_parser import compile_parsed, parse, pause_gc
from argosy.source.python_source import SourceText, Unparsed, decode_source, read_source_bytes

_IGNORE_COMMENT = re.compile(r"#\s*argosy:\s*ignore(-file)?\b(?:\s*\[([^\]]*)\])?")
_IGNORE_MARKER = b"argosy:"
FileJob = tuple[str, bytes]
_CODE_PATTERN = re.compile(r"[A-Za-z]\d*")

T = TypeVar("T")


class FileAnalyzer:
    """Analyzes files with the given rules; one for each process. kinds: default is those of the rules."""

    def __init__(
        self, root: str, rules: Sequence[Rule], kinds: Sequence[FactKind[Any]] | None = None
    ) -> None:
        self.root = root
        self.kinds = collect_fact_kinds(rules) if kinds is None else kinds
        self.file_rules = [
            (rule, rule.check_file, frozenset(rule.required_words))
            for rule in rules
            if rule.check_file is not None
        ]
        self.required_words = frozenset().union(*(words for _, _, words in self.file_rules))
        self.broken_rules = [(rule, rule.check_broken) for rule in rules if rule.check_broken is not None]
        self.text_rules = [
            (rule, rule.check_text, FilePatterns(rule.file_patterns))
            for rule in rules
            if rule.check_text is not None
        ]
        self.batch_rules = [
            (rule, rule.check_texts, FilePatterns(rule.file_patterns))
            for rule in rules
            if rule.check_texts is not None
        ]
        self.text_kinds = [
            (kind, kind.collect_text, FilePatterns(kind.file_patterns))
            for kind in self.kinds
            if kind.collect_text is not None
        ]

    def analyze(self, path: str, known_digest: bytes = b"") -> FileResult | None:
        """Return the result of one file, None if its digest is still `known_digest`; never raises."""
        return self.analyze_batch([(path, known_digest)])[0]

    def analyze_batch(self, jobs: Sequence[FileJob]) -> list[FileResult | None]:
        """Return the results of several files; rules with `check_texts` see them all at once."""
        partial_results = [self._analyze_alone(path, known) for path, known in jobs]
        pending_texts = [item for item in partial_results if isinstance(item, _PendingText)]
        for rule, check, patterns in self.batch_rules:
            matching = [
                item
                for item in pending_texts
                if patterns.is_match(item.builder.path, os.path.basename(item.builder.path))
            ]
            _run_batch_rule(rule, check, matching)
        return [item.build() if isinstance(item, _PendingText) else item for item in partial_results]

    def is_batched(self, path: str) -> bool:
        """Return whether a rule checks the file at `path` together with others."""
        return any(patterns.is_match(path, os.path.basename(path)) for _, _, patterns in self.batch_rules)

    def _analyze_alone(self, path: str, known_digest: bytes) -> FileResult | _PendingText | None:
        data = read_source_bytes(os.path.join(self.root, path))
        if isinstance(data, Unparsed):
            return self.unreadable_result(path, data.message)
        digest = blake2b(data, digest_size=16).digest()
        if digest == known_digest:
            return None
        with pause_gc():
            return (
                self._analyze_python(path, data, digest)
                if path.endswith(".py")
                else self._analyze_text(path, data, digest)
            )

    def unreadable_result(self, path: str, reason: str) -> FileResult:
        """Return the result of a file that could not be read."""
        builder = _ResultBuilder(path)
        unparsed = Unparsed(path, 1, 1, reason, "read")
        if path.endswith(".py"):
            self._check_broken(builder, None, unparsed)
        return builder.build(b"", unparsed, ())

    def _analyze_python(self, path: str, data: bytes, digest: bytes) -> FileResult:
        builder = _ResultBuilder(path)
        source = decode_source(data, os.path.join(self.root, path))
        parsed = parse(source, is_compiled=False) if isinstance(source, SourceText) else source
        compiled = parsed if isinstance(parsed, Unparsed) else compile_parsed(parsed)
        unparsed, code = (compiled, None) if isinstance(compiled, Unparsed) else (None, compiled)
        if unparsed is not None:
            unparsed = msgspec.structs.replace(unparsed, path=path)
            self._check_broken(builder, source if isinstance(source, SourceText) else None, unparsed)
        file = (
            None
            if isinstance(parsed, Unparsed)
            else builder.run_guarded("", lambda: PythonFile(path, parsed, code))
        )
        if file is not None:
            present_words = {word for word in self.required_words if word in data}
            for rule, check, words in self.file_rules:
                if not words or not words.isdisjoint(present_words):
                    builder.run_rule(rule, check, file)
            name = os.path.basename(path)
            for kind in self.kinds:
                if kind.collect is not None and kind.only_filename in ("", name):
                    builder.collect_fact(kind, kind.collect, file)
            file.clear_derived()
        return builder.build(digest, unparsed, find_ignore_comments(data))

    def _check_broken(self, builder: _ResultBuilder, source: SourceText | None, unparsed: Unparsed) -> None:
        file = BrokenFile(builder.path, source, unparsed)
        builder.facts[PARSE_FAILURES.name] = PARSE_FAILURES.encode(unparsed)
        for rule, check in self.broken_rules:
            builder.run_rule(rule, check, file)
        if unparsed.stage != "compile":
            for kind in self.kinds:
                if kind.collect_broken is not None:
                    builder.collect_fact(kind, kind.collect_broken, file)

    def _analyze_text(self, path: str, data: bytes, digest: bytes) -> _PendingText:
        builder = _ResultBuilder(path)
        file = TextFile(self.root, path, data)
        name = os.path.basename(path)
        for rule, check, patterns in self.text_rules:
            if patterns.is_match(path, name):
                builder.run_rule(rule, check, file)
        for kind, collect, patterns in self.text_kinds:
            if patterns.is_match(path, name):
                builder.collect_fact(kind, collect, file)
        return _PendingText(builder, file, digest)


class _ResultBuilder:
    """Collects the result of one file; a failing rule does not stop the others."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.facts: dict[str, bytes] = {}
        self.failures: list[RuleFailure] = []

    def run_guarded(self, code: str, function: Callable[[], T]) -> T | None:
        try:
            return function()
        except Exception as error:  # a failing rule is reported and stops neither the others nor the audit
            self.failures.append(RuleFailure(self.path, code, describe_error(error)))
            return None

    def run_rule(self, rule: Rule, check: Callable[[T], Iterable[Finding]], file: T) -> None:
        self.findings += self.run_guarded(rule.code, lambda: rule.complete_findings(check(file))) or ()

    def collect_fact(self, kind: FactKind[Any], collect: Callable[[T], object], file: T) -> None:
        encoded = self.run_guarded(kind.name, lambda: _encode_fact(kind, collect(file)))
        if encoded is not None:
            self.facts[kind.name] = encoded

    def build(
        self, digest: bytes, unparsed: Unparsed | None, ignores: tuple[IgnoreComment, ...]
    ) -> FileResult:
        return FileResult(digest, unparsed, tuple(self.findings), self.facts, ignores, tuple(self.failures))


class _PendingText(NamedTuple):
    """A text file that waits for the rules that check several at once."""

    builder: _ResultBuilder
    file: TextFile
    digest: bytes

    def build(self) -> FileResult:
        return self.builder.build(self.digest, None, find_ignore_comments(self.file.data, is_python=False))


def _run_batch_rule(
    rule: Rule,
    check: Callable[[Sequence[TextFile]], Sequence[Iterable[Finding]]],
    pending_texts: Sequence[_PendingText],
) -> None:
    """Check several texts with one rule; if it fails for all, the failure is reported at the first."""
    if pending_texts:
        findings_by_file = pending_texts[0].builder.run_guarded(
            rule.code, lambda: check([item.file for item in pending_texts])
        )
        for item, found in zip(pending_texts, findings_by_file or (), strict=False):
            item.builder.run_rule(rule, lambda _, found=found: found, item.file)  # type: ignore[misc]


def _encode_fact(kind: FactKind[Any], fact: object) -> bytes | None:
    return None if fact is None else kind.encode(fact)


def describe_error(error: Exception) -> str:
    """Return an error with the location that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    location = ""
    if trace is not None:
        location = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{location}"


def find_ignore_comments(data: bytes, *, is_python: bool = True) -> tuple[IgnoreComment, ...]:
    """Return the comments that suppress findings.

    `# argosy: ignore[Z301, S] why` applies to its own line, or to the next line when it stands alone; without
    codes it applies to all rules; `ignore-file` applies to the whole file.
    """
    if _IGNORE_MARKER not in data:
        return ()
    comments = _tokenized_comments(data) if is_python else None
    lines = data.decode("utf-8", "replace").splitlines()
    if comments is None:
        comments = iter([(number, line) for number, line in enumerate(lines, 1) if "#" in line])
    found: list[IgnoreComment] = []
    for number, comment in comments:
        match = _IGNORE_COMMENT.search(comment)
        if match is None:
            continue
        is_alone = number <= len(lines) and lines[number - 1].lstrip().startswith("#")
        codes = tuple(code.upper() for code in _CODE_PATTERN.findall(match[2] or ""))
        found.append(IgnoreComment(0 if match[1] else number + is_alone, codes))
    return tuple(found)


def _tokenized_comments(data: bytes) -> Iterator[tuple[int, str]] | None:
    """Return the comments of a source with their lines, None if it cannot be tokenized."""
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(data).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError):
        return None
    return ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
