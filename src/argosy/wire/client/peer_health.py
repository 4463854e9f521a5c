"""The health of a peer, as far as its channel knows without asking.

Each message of a server carries its health state in the header, so every reply and heartbeat updates
it. Between messages only the end of a connection is noticed: a state is as old as the last message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from argosy.wire.protocol.frame import STATES

LOST: Final = "lost"  # it could not be dialled, or its connection ended
UNKNOWN: Final = "unknown"  # no request was sent yet


class PeerHealth:
    """The last known health state of one peer.

    on_change: called with each new state, in the thread of the channel.
    """

    __slots__ = ("_on_change", "code", "state")

    def __init__(self, on_change: Callable[[str], object] | None = None) -> None:
        self._on_change = on_change
        self.code = 0
        self.state = UNKNOWN

    def update(self, code: int) -> None:
        """Set the state from a message's code; 0 and codes unknown to this version change nothing."""
        if 0 < code < len(STATES):
            self.code = code
            self._set_state(STATES[code])

    def mark_lost(self) -> None:
        """The peer is unreachable."""
        self.code = 0
        self._set_state(LOST)

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            if self._on_change:
                self._on_change(state)
