"""The change in progress, and the refusal that other clients get meanwhile."""

from __future__ import annotations

import time
from typing import NamedTuple

from argosy.fault import Fault


class ChangeLock(NamedTuple):
    """Which command changes the fleet, since when (epoch seconds), from which machine (empty: this one)."""

    verb: str
    pid: int
    since_s: float
    machine: str = ""

    def busy_fault(self) -> Fault:
        """Return the fault for another client that wants to change the fleet."""
        origin = f"on machine `{self.machine}`" if self.machine else f"pid {self.pid}"
        since = time.strftime("%H:%M:%S", time.localtime(self.since_s))
        return Fault(
            "",
            "busy",
            f"`argosy {self.verb}` ({origin}) has been changing this fleet since {since}",
            "wait for it, or stop it (Ctrl-C there, or `argosy down` here)",
        )
