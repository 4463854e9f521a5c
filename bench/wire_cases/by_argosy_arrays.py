"""argosy's arrays: each in its own frame, without a copy at either end."""

from __future__ import annotations

from argosy.agent import trace
from argosy.wire import connect
from wire_cases.array_payload import BYTES, matrix
from wire_cases.load_loops import LoadFunction, check_answer, request_for


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `arrays`: one caller."""
    peer = connect("Echo")
    sent = matrix()

    def ask() -> None:
        check_answer(peer.array(array=sent).nbytes, BYTES)

    trace()
    return {"arrays": lambda seconds: request_for(seconds, ask)}
