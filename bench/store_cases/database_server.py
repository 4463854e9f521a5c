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
        """Return the answer. Raises OSError: it is none, or says that it failed."""
        self._connection.request(method, path, body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise OSError(f"{self._name} answered {answer.status}")
        return content

    def close(self) -> None:
        """End it, and wait for its end."""
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
