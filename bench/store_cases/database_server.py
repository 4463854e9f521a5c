"""Runs a local database server on a free port, with one HTTP connection to it."""

from __future__ import annotations

import http.client
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

_READY_S = 30.0


class Server:
    """One server.

    command_for_port: return the command that listens on a port. health_path: a path that succeeds once the
    server is ready. Raises TimeoutError: the server is not ready within half a minute.
    """

    def __init__(self, command_for_port: Callable[[int], Sequence[str]], health_path: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = command_for_port(port)
        self._name = command[0]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            self._await_ready(health_path)
        except BaseException:
            self.close()
            raise

    def request(self, method: str, path: str, body: str | None = None) -> bytes:
        """Return the body of the answer. Raises OSError: no answer, or a status of 300 or more."""
        self._connection.request(method, path, body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise OSError(f"{self._name} answered {answer.status}")
        return content

    def close(self) -> None:
        """Stop the server and wait for its exit."""
        self._connection.close()
        self._process.terminate()
        self._process.wait(20)

    def _await_ready(self, health_path: str) -> None:
        until = time.monotonic() + _READY_S
        while True:
            try:
                self.request("GET", health_path)
                return
            except OSError as error:
                self._connection.close()
                if time.monotonic() > until:
                    raise TimeoutError(f"{self._name} was not ready after {_READY_S:.0f} s") from error
                time.sleep(0.05)
