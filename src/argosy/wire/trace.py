"""The correlation id that travels with requests and events, as a context variable.

The start of a piece of work (an utterance, a job) begins a trace; every request and event sent in
that context carries it, and every handler runs in the context of its request.
"""

from __future__ import annotations

import os
from contextvars import ContextVar

trace_id: ContextVar[str] = ContextVar("argosy_trace", default="")


def trace() -> str:
    """Return the correlation id of this context; creates one if there is none."""
    return trace_id.get() or begin_trace()


def begin_trace(existing_id: str = "") -> str:
    """Set a new correlation id, or the given one, for this context and return it."""
    value = existing_id or os.urandom(8).hex()
    trace_id.set(value)
    return value
