"""The stored result of analyzing one file."""

from __future__ import annotations

import msgspec

from argosy.refit.core.finding import Finding, IgnoreComment, RuleFailure
from argosy.source.python_source import Unparsed


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
