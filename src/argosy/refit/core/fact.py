"""Kinds of facts: small data taken from each file, for rules that check all files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from argosy.refit.core.source_file import BrokenFile, PythonFile, TextFile
from argosy.source.python_source import Unparsed

T = TypeVar("T")


class FactKind(Generic[T]):
    """A kind of facts: small data, collected once from every file and stored, for cross-file rules.

    name: unique, a noun. type_: the type of a fact, a msgspec struct or any type that msgspec encodes.
    collect: takes it from a Python file, None when there is none. collect_broken: takes it from a file that
    does not parse. collect_text: takes it from other files that match one of `file_patterns`. only_filename:
    the only name of the Python files to collect from; empty for any.
    """

    def __init__(
        self,
        name: str,
        type_: type[T],
        collect: Callable[[PythonFile], T | None] | None = None,
        *,
        only_filename: str = "",
        file_patterns: tuple[str, ...] = (),
        collect_text: Callable[[TextFile], T | None] | None = None,
        collect_broken: Callable[[BrokenFile], T | None] | None = None,
    ) -> None:
        self.name = name
        self.collect = collect
        self.only_filename = only_filename
        self.file_patterns = file_patterns
        self.collect_text = collect_text
        self.collect_broken = collect_broken
        self._decoder = msgspec.msgpack.Decoder(type_)
        self._encoder = msgspec.msgpack.Encoder(order="deterministic")

    def encode(self, fact: T) -> bytes:
        """Return the stored bytes of a fact; equal facts have equal bytes."""
        return self._encoder.encode(fact)

    def decode(self, data: bytes) -> T:
        """Return a fact from its bytes."""
        return self._decoder.decode(data)


# `FileAnalyzer` stores it: there is nothing to collect.
PARSE_FAILURES = FactKind("parse failures", Unparsed)
