"""The fact that Python cannot run a file: where it stopped and its message, for files that import it."""

from __future__ import annotations

from argosy.refit.core.fact import FactKind
from argosy.source.python_source import Unparsed

# `FileAnalyzer` stores it: there is nothing to collect.
PARSE_FAILURES = FactKind("parse failures", Unparsed)
