"""How one file is read: by which rules, for which facts, and what it silences."""

from __future__ import annotations

import io
import os
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from argosy.refit.fact import FactKind
from argosy.refit.facts.faults import FAULTS
from argosy.refit.file import BrokenFile, PythonFile, TextFile
from argosy.refit.finding import Failure, Finding, Ignore
from argosy.refit.record import Record
from argosy.refit.rule import Rule, fact_kinds
from argosy.refit.walk import Names
from argosy.source.collector import collector_paused
from argosy.source.digest import blake2b
from argosy.source.parse import build, parse
from argosy.source.text import Source, Unparsed, read_data, take_source

_IGNORE = re.compile(r"#\s*argosy:\s*ignore(-file)?\b(?:\s*\[([^\]]*)\])?")
_MARK = b"argosy:"
Job = tuple[str, bytes]
_CODES = re.compile(r"[A-Za-z]\d*")

T = TypeVar("T")


class Reader:
    """Reads files by the rules that there are; one for each process. kinds: those of the rules, if None."""

    def __init__(
        self, root: str, rules: Sequence[Rule], kinds: Sequence[FactKind[Any]] | None = None
    ) -> None:
        self.root = root
        self.kinds = fact_kinds(rules) if kinds is None else kinds
        self.file_rules = [
            (rule, rule.file, frozenset(rule.words)) for rule in rules if rule.file is not None
        ]
        self.words = frozenset().union(*(words for _, _, words in self.file_rules))
        self.broken_rules = [(rule, rule.broken) for rule in rules if rule.broken is not None]
        self.text_rules = [(rule, rule.text, Names(rule.names)) for rule in rules if rule.text is not None]
        self.texts_rules = [(rule, rule.texts, Names(rule.names)) for rule in rules if rule.texts is not None]
        self.text_kinds = [
            (kind, kind.collect_text, Names(kind.names))
            for kind in self.kinds
            if kind.collect_text is not None
        ]

    def read(self, path: str, known: bytes = b"") -> Record | None:
        """Return what there is to keep of one file, None when its digest is still `known`; never raises."""
        return self.read_together([(path, known)])[0]

    def read_together(self, jobs: Sequence[Job]) -> list[Record | None]:
        """Return what there is to keep of each of several files; rules that can look at them in one go."""
        begun = [self._begin(path, known) for path, known in jobs]
        texts = [item for item in begun if isinstance(item, _Text)]
        for rule, check, names in self.texts_rules:
            fit = [item for item in texts if names.fit(item.work.path, os.path.basename(item.work.path))]
            _run_together(rule, check, fit)
        return [item.record() if isinstance(item, _Text) else item for item in begun]

    def are_together(self, path: str) -> bool:
        """Return whether a rule looks at the file at `path` in one go with others."""
        return any(names.fit(path, os.path.basename(path)) for _, _, names in self.texts_rules)

    def _begin(self, path: str, known: bytes) -> Record | _Text | None:
        data = read_data(os.path.join(self.root, path))
        if isinstance(data, Unparsed):
            return self.refuse(path, data.message)
        digest = blake2b(data, digest_size=16).digest()
        if digest == known:
            return None
        with collector_paused():
            return (
                self._python(path, data, digest) if path.endswith(".py") else self._text(path, data, digest)
            )

    def refuse(self, path: str, reason: str) -> Record:
        """Return what there is to keep of a file that could not be read."""
        work = _Work(path)
        fault = Unparsed(path, 1, 1, reason, "read")
        if path.endswith(".py"):
            self._broken(work, None, fault)
        return work.record(b"", fault, ())

    def _python(self, path: str, data: bytes, digest: bytes) -> Record:
        work = _Work(path)
        source = take_source(data, os.path.join(self.root, path))
        parsed = parse(source, is_compiled=False) if isinstance(source, Source) else source
        built = parsed if isinstance(parsed, Unparsed) else build(parsed)
        fault, code = (built, None) if isinstance(built, Unparsed) else (None, built)
        if fault is not None:
            fault = msgspec.structs.replace(fault, path=path)
            self._broken(work, source if isinstance(source, Source) else None, fault)
        file = (
            None if isinstance(parsed, Unparsed) else work.attempt("", lambda: PythonFile(path, parsed, code))
        )
        if file is not None:
            held = {word for word in self.words if word in data}
            for rule, check, words in self.file_rules:
                if not words or not words.isdisjoint(held):
                    work.run(rule, check, file)
            name = os.path.basename(path)
            for kind in self.kinds:
                if kind.collect is not None and kind.only in ("", name):
                    work.collect(kind, kind.collect, file)
            file.forget()
        return work.record(digest, fault, find_ignores(data))

    def _broken(self, work: _Work, source: Source | None, fault: Unparsed) -> None:
        file = BrokenFile(work.path, source, fault)
        work.facts[FAULTS.name] = FAULTS.encode(fault)
        for rule, check in self.broken_rules:
            work.run(rule, check, file)
        if fault.stage != "compile":
            for kind in self.kinds:
                if kind.collect_broken is not None:
                    work.collect(kind, kind.collect_broken, file)

    def _text(self, path: str, data: bytes, digest: bytes) -> _Text:
        work = _Work(path)
        file = TextFile(self.root, path, data)
        name = os.path.basename(path)
        for rule, check, names in self.text_rules:
            if names.fit(path, name):
                work.run(rule, check, file)
        for kind, collect, names in self.text_kinds:
            if names.fit(path, name):
                work.collect(kind, collect, file)
        return _Text(work, file, digest)


class _Work:
    """What comes together while one file is read; a rule that fails does not stop the others."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.findings: list[Finding] = []
        self.facts: dict[str, bytes] = {}
        self.failures: list[Failure] = []

    def attempt(self, code: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except Exception as error:  # a rule that fails is told, and stops neither the others nor the audit
            self.failures.append(Failure(self.path, code, describe(error)))
            return None

    def run(self, rule: Rule, check: Callable[[T], Iterable[Finding]], file: T) -> None:
        self.findings += self.attempt(rule.code, lambda: rule.stamp(check(file))) or ()

    def collect(self, kind: FactKind[Any], collect: Callable[[T], object], file: T) -> None:
        kept = self.attempt(kind.name, lambda: _encoded(kind, collect(file)))
        if kept is not None:
            self.facts[kind.name] = kept

    def record(self, digest: bytes, fault: Unparsed | None, ignores: tuple[Ignore, ...]) -> Record:
        return Record(digest, fault, tuple(self.findings), self.facts, ignores, tuple(self.failures))


class _Text(NamedTuple):
    """A text of which all is read but what rules say that look at several."""

    work: _Work
    file: TextFile
    digest: bytes

    def record(self) -> Record:
        return self.work.record(self.digest, None, find_ignores(self.file.data, is_python=False))


def _run_together(
    rule: Rule, check: Callable[[Sequence[TextFile]], Sequence[Iterable[Finding]]], texts: Sequence[_Text]
) -> None:
    """Have a rule look at several texts; one that fails for all is told at the first."""
    if texts:
        told = texts[0].work.attempt(rule.code, lambda: check([item.file for item in texts]))
        for item, found in zip(texts, told or (), strict=False):
            item.work.run(rule, lambda _, found=found: found, item.file)  # type: ignore[misc]


def _encoded(kind: FactKind[Any], fact: object) -> bytes | None:
    return None if fact is None else kind.encode(fact)


def describe(error: Exception) -> str:
    """Return an error with the place that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = ""
    if trace is not None:
        place = f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
    return f"{type(error).__name__}: {error}{place}"


def find_ignores(data: bytes, *, is_python: bool = True) -> tuple[Ignore, ...]:
    """Return the comments that silence findings.

    `# argosy: ignore[Z301, S] why` is about its own line, or about the next one when it stands alone;
    without codes about all; `ignore-file` about the whole file.
    """
    if _MARK not in data:
        return ()
    comments = _comments(data) if is_python else None
    lines = data.decode("utf-8", "replace").splitlines()
    if comments is None:
        comments = iter([(number, line) for number, line in enumerate(lines, 1) if "#" in line])
    found: list[Ignore] = []
    for number, comment in comments:
        match = _IGNORE.search(comment)
        if match is None:
            continue
        is_alone = number <= len(lines) and lines[number - 1].lstrip().startswith("#")
        codes = tuple(code.upper() for code in _CODES.findall(match[2] or ""))
        found.append(Ignore(0 if match[1] else number + is_alone, codes))
    return tuple(found)


def _comments(data: bytes) -> Iterator[tuple[int, str]] | None:
    """Return the comments of a source with their lines, None where it cannot be cut into tokens."""
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(data).readline))
    except (SyntaxError, tokenize.TokenError, ValueError, RecursionError):
        return None
    return ((token.start[0], token.string) for token in tokens if token.type == tokenize.COMMENT)
