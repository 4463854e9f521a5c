"""Readiness and life told to whoever started this process, by the sd_notify protocol.

Each word is one datagram, sent without a connection (a supervisor that binds its socket anew
would make a connected one useless for ever) and never waited for. Readiness is a level: it is
repeated with every beat, so that a supervisor which starts later, or whose queue was full, learns it.
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
        """Say how it is: READY=1 from the time it is, the health word, the text, and the watchdog."""
        prefix = b"READY=1\nX_ARGOSY_HEALTH=" if ready else b"X_ARGOSY_HEALTH="
        status = b"\nSTATUS=" + text.replace("\n", " ").encode() if text else b""
        self.send(prefix + health.encode() + status + self._watchdog)

    def send_stopping(self, text: str = "") -> None:
        """Say that the process is on its way out."""
        self.send(b"STOPPING=1\nX_ARGOSY_HEALTH=stopping" + (b"\nSTATUS=" + text.encode() if text else b""))

    def send_permanent_failure(self, reason: str) -> None:
        """Say that this process ends by its input or its code (ERRNO=EINVAL): every start would end alike."""
        self.send(b"ERRNO=%d\nSTATUS=" % errno.EINVAL + reason.replace("\n", " ").encode(errors="replace"))

    def send(self, lines: bytes) -> None:
        """Send lines of `KEY=value`; one that nobody takes is counted, the next beat repeats it."""
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
