"""argosy's arrays: a frame of their own, copied at neither end."""

from __future__ import annotations

from argosy.agent import trace
from argosy.wire import connect
from wire_cases.array_payload import BYTES, matrix
from wire_cases.load_loops import Way, ask_for, check


def ways(where: str) -> dict[str, Way]:
    """Return `arrays`: one caller."""
    peer = connect("Echo")
    sent = matrix()

    def ask() -> None:
        check(peer.array(array=sent).nbytes, BYTES)

    trace()
    return {"arrays": lambda seconds: ask_for(seconds, ask)}
