"""The results of an audit: findings, failures of rules, comments that suppress findings; and of one file."""

from __future__ import annotations

from typing import Literal

import msgspec

from argosy.source.python_source import Unparsed

FindingAction = Literal["", "auto", "review", "report"]


class Finding(msgspec.Struct, frozen=True, order=True, omit_defaults=True):
    """One fault that a rule found.

    path: relative to the root of the audit, with `/`. line, column: counted from 1, in characters. symbol:
    what it is about (a class and function such as `Translator.start`, or a name); baselines identify a
    finding by path, symbol and code, never by its line. action: `auto` where a refit may change it by itself,
    `review` where it can propose a change, `report` where a person has to decide. A rule leaves `code` and
    `action` empty to get its own. group: findings that belong together, such as copies of one function.
    """

    path: str
    line: int
    column: int
    code: str
    message: str
    action: FindingAction = ""
    symbol: str = ""
    hint: str = ""
    group: str = ""

    def key(self) -> tuple[str, str, str]:
        """Return what identifies the finding in a baseline."""
        return self.path, self.symbol, self.code


class RuleFailure(msgspec.Struct, frozen=True, order=True):
    """A rule that raised an error: a bug of argosy, reported with the findings. path: empty for the tree."""

    path: str
    code: str
    message: str


class IgnoreComment(msgspec.Struct, frozen=True, array_like=True):
    """A comment that suppresses findings. line: 0 for the whole file. codes: empty for all."""

    line: int
    codes: tuple[str, ...]

    def is_for(self, finding: Finding) -> bool:
        """Return whether the comment applies to `finding`; a letter stands for its family."""
        is_here = self.line in (0, finding.line)
        return is_here and (not self.codes or any(finding.code.startswith(code) for code in self.codes))


class FileResult(msgspec.Struct, frozen=True, array_like=True):
    """All that an audit needs from a file until it changes.

    digest: of its content. unparsed: why Python cannot run it, None if it can; the file has a syntax tree
    unless the stage is `read` or `parse`. facts: encoded, by kind.
    """

    digest: bytes
    unparsed: Unparsed | None
    findings: tuple[Finding, ...] = ()
    facts: dict[str, bytes] = {}
    ignores: tuple[IgnoreComment, ...] = ()
    failures: tuple[RuleFailure, ...] = ()
