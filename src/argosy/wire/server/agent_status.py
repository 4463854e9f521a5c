"""The status of an agent: one object, read by its servers, its dispatcher and its health document."""

from __future__ import annotations

import time

from argosy.wire.protocol import frame


class AgentStatus:
    """Whether an agent takes requests, and its health.

    refusal: why it takes no requests, `starting` or `stopping`; empty while it takes them.
    health: one of `frame.STATES`. code: the number of the state that each message carries.
    since: epoch seconds of the last change of health. lag_s: how late its work loop is.
    """

    __slots__ = ("code", "health", "lag_s", "refusal", "since")

    def __init__(self) -> None:
        self.refusal = self.health = "starting"
        self.code = frame.STATES.index(self.health)
        self.since = time.time()
        self.lag_s = 0.0

    def open(self) -> None:
        """Take requests from now on."""
        self.refusal = ""
        if self.health == "starting":
            self.set_health("ok")

    def stop(self) -> None:
        """Take no more requests: clients wait for the next incarnation, whatever the health is."""
        self.refusal = "stopping"
        self.code = frame.STATES.index(self.refusal)

    def set_health(self, health: str) -> None:
        """Set the health, and the time of the change if it is one."""
        if health != self.health:
            self.health, self.since = health, time.time()
            if self.refusal != "stopping":
                self.code = frame.STATES.index(health)
