"""How a peer is, as far as its channel knows without asking.

Each message of a callee carries its word of health in its header, so every answer and beat tells
it. Between them nothing is known but that a connection has ended: a word is as old as the last
message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from argosy.wire.protocol.frame import STATES

LOST: Final = "lost"  # it could not be dialled, or its connection ended
UNKNOWN: Final = "unknown"  # it was never asked


class PeerHealth:
    """The last word about one peer.

    tell: called with each new word, in the thread of the channel.
    """

    __slots__ = ("_on_change", "code", "state")

    def __init__(self, on_change: Callable[[str], object] | None = None) -> None:
        self._on_change = on_change
        self.code = 0
        self.state = UNKNOWN

    def update(self, code: int) -> None:
        """Take the state that a message tells; 0, and what no version of ours says, tells nothing."""
        if 0 < code < len(STATES):
            self.code = code
            self._set_state(STATES[code])

    def mark_lost(self) -> None:
        """The peer is not to be reached."""
        self.code = 0
        self._set_state(LOST)

    def _set_state(self, state: str) -> None:
        if state != self.state:
            self.state = state
            if self._on_change:
                self._on_change(state)
