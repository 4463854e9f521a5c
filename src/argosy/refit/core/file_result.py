"""What is kept of one file once it has been read."""

from __future__ import annotations

import msgspec

from argosy.refit.core.finding import Finding, IgnoreComment, RuleFailure
from argosy.source.python_source import Unparsed


class FileResult(msgspec.Struct, frozen=True, array_like=True):
    """All that an audit needs of a file for as long as it stays as it is.

    digest: of its content. unparsed: why Python cannot run it, None for one that it can; a tree there is
    unless the stage is `read` or `parse`. facts: by kind, as bytes.
    """

    digest: bytes
    unparsed: Unparsed | None
    findings: tuple[Finding, ...] = ()
    facts: dict[str, bytes] = {}
    ignores: tuple[IgnoreComment, ...] = ()
    failures: tuple[RuleFailure, ...] = ()
