"""Where Python stumbles over a file and what it says: told to those that import it."""

from __future__ import annotations

from argosy.refit.core.fact import FactKind
from argosy.source.python_source import Unparsed

# Each reader has it already: there is nothing to collect.
PARSE_FAILURES = FactKind("parse failures", Unparsed)
