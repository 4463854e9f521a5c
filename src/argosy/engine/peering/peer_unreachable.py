"""The fault of a request to another machine that went out of sight over it."""

from __future__ import annotations

from argosy.fault import Fault, RefusedError


class PeerUnreachableError(RefusedError):
    """Another machine went out of sight while it was asked; whether it has done it is not known."""

    def __init__(self, machine: str, reason: str) -> None:
        message = f"machine `{machine}` went out of sight while it was asked: {reason}"
        hint = f"its agents run on; `argosy status` shows when `{machine}` is linked again"
        super().__init__(Fault(machine, "link-lost", message, hint))
