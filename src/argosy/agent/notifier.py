"""Readiness and heartbeats for the supervisor, by the sd_notify protocol.

Each state is one datagram, sent without a connection (which would be useless once the supervisor binds its
socket again) and without blocking. Readiness is a level: it is
repeated with every heartbeat, so that a supervisor that starts later, or whose queue was full, receives it.
"""

from __future__ import annotations

import errno
import socket
from typing import Final

HEARTBEAT_S: Final = 2.0


class Notifier:
    """Sends states to a notify socket; without one it does nothing.

    path: the value of NOTIFY_SOCKET; `@` at its start means an abstract socket.
    """

    def __init__(self, path: str, watchdog_s: float = 0.0) -> None:
        self._path = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog = b"\nWATCHDOG=1" if watchdog_s else b""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path else None
        if self._socket:
            self._socket.setblocking(False)
        self.heartbeat_s = min(HEARTBEAT_S, watchdog_s / 2) if watchdog_s else HEARTBEAT_S
        self.unsent = 0

    def send_heartbeat(self, *, ready: bool, health: str, text: str = "") -> None:
        """Send a heartbeat: READY=1 once ready, the health state, the text, and the watchdog."""
        prefix = b"READY=1\nX_ARGOSY_HEALTH=" if ready else b"X_ARGOSY_HEALTH="
        status = b"\nSTATUS=" + text.replace("\n", " ").encode() if text else b""
        self.send(prefix + health.encode() + status + self._watchdog)

    def send_stopping(self, text: str = "") -> None:
        """Report that the process is stopping."""
        self.send(b"STOPPING=1\nX_ARGOSY_HEALTH=stopping" + (b"\nSTATUS=" + text.encode() if text else b""))

    def send_permanent_failure(self, reason: str) -> None:
        """Report that this process ends by its input or code (ERRNO=EINVAL): every start would end alike."""
        self.send(b"ERRNO=%d\nSTATUS=" % errno.EINVAL + reason.replace("\n", " ").encode(errors="replace"))

    def send(self, lines: bytes) -> None:
        """Send lines of `KEY=value`; a failure is counted, and the next heartbeat repeats them."""
        if not self._socket:
            return
        try:
            self._socket.sendto(lines, self._path)
        except OSError:  # its queue is full, or the supervisor is being replaced
            self.unsent += 1

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
