"""The error of a request to another machine whose connection was lost."""

from __future__ import annotations

from argosy.fault import Fault, RefusedError


class PeerUnreachableError(RefusedError):
    """The connection was lost during a request; whether the request was carried out is unknown."""

    def __init__(self, machine: str, reason: str) -> None:
        message = f"machine `{machine}` became unreachable during a request: {reason}"
        hint = f"its agents keep running; `argosy status` shows when `{machine}` is linked again"
        super().__init__(Fault(machine, "peer-unreachable", message, hint))
