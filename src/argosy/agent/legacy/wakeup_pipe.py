"""A descriptor that one thread makes readable and another waits on together with its sockets."""

from __future__ import annotations

import os


class WakeupPipe:
    """A pipe that holds at most a byte or so: any number of wakes before a clear count as one."""

    def __init__(self) -> None:
        self.fd, self._write_fd = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._write_fd, False)
        self._is_set = False

    def wake(self) -> None:
        """Make the descriptor readable; safe in any thread and in a signal handler."""
        if not self._is_set:
            self._is_set = True
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        """Make it unreadable again; to be called before what it announced is taken."""
        try:
            os.read(self.fd, 64)
        except BlockingIOError:
            pass
        self._is_set = False  # after the read, or a wake in between would be lost with its byte

    def close(self) -> None:
        """Close both ends; a later wake is an error of its caller."""
        os.close(self.fd)
        os.close(self._write_fd)
