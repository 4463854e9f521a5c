"""A rival's server on this machine: started on a free port, asked over one HTTP connection, ended."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

_READY_S = 30.0


class Server:
    """One server.

    words: the command that listens on a port. healthy: the path that it answers well once it is ready.
    Raises TimeoutError: it is not ready within half a minute.
    """

    def __init__(self, words: Callable[[int], Sequence[str]], healthy: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = words(port)
        self._name = command[0]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            self._await_ready(healthy)
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, path: str, body: str | None = None) -> bytes:
        """Return the answer. Raises OSError: it is none, or says that it failed."""
        self._link.request(method, path, body)
        answer = self._link.getresponse()
        told = answer.read()
        if answer.status >= 300:
            raise OSError(f"{self._name} answered {answer.status}")
        return told

    def close(self) -> None:
        """End it, and wait for its end."""
        self._link.close()
        self._process.terminate()
        self._process.wait(20)

    def _await_ready(self, healthy: str) -> None:
        until = time.monotonic() + _READY_S
        while True:
            try:
                self.ask("GET", healthy)
                return
            except OSError as error:
                self._link.close()
                if time.monotonic() > until:
                    raise TimeoutError(f"{self._name} was not ready after {_READY_S:.0f} s") from error
                time.sleep(0.05)
