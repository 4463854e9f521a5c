"""Who is changing the fleet, and what another one is told meanwhile."""

from __future__ import annotations

import time
from typing import NamedTuple

from argosy.fault import Fault


class ChangeLock(NamedTuple):
    """Who is changing the fleet, since when (epoch seconds), from which machine, empty for this one."""

    verb: str
    pid: int
    since_s: float
    machine: str = ""

    def busy_fault(self) -> Fault:
        """Return what another one is told."""
        origin = f"on machine `{self.machine}`" if self.machine else f"pid {self.pid}"
        since = time.strftime("%H:%M:%S", time.localtime(self.since_s))
        return Fault(
            "",
            "busy",
            f"`argosy {self.verb}` ({origin}) has been changing this fleet since {since}",
            "wait for it, or stop it (Ctrl-C there, or `argosy down` here)",
        )
