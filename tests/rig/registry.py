"""A real registry on loopback (Debian's docker-registry), and a relay before it that can be cut."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rig.authority import ServerCertificate
from rig.fleet import free_ports
from rig.needs import require
from rig.tokens import ISSUER, SERVICE, TokenService

# Of USER and PASSWORD, by bcrypt: the registry takes no other.
_LINE = "argosy:$2b$04$pfWknP.Zb0AFqVAg1tumVePLWsuS7wzeWdvgkP5iLaMPyCbhKpUYu\n"


@contextmanager
def registry(
    folder: Path,
    *,
    is_closed: bool = False,
    tokens: TokenService | None = None,
    shows: ServerCertificate | None = None,
) -> Iterator[int]:
    """Run a registry that keeps its blobs in `folder`; give its port.

    is_closed: it asks for a password. tokens: it wants tokens of this service. shows: it speaks TLS, with
    this certificate.
    """
    require("docker-registry")
    folder.mkdir(exist_ok=True)
    for _ in range(5):  # a port that was free a moment ago may be somebody's by now
        (port,) = free_ports(1)
        process = _started(folder, port, is_closed=is_closed, tokens=tokens, shows=shows)
        try:
            if _answers(f"{'https' if shows else 'http'}://127.0.0.1:{port}/v2/", process):
                yield port
                return
        finally:
            process.kill()
            process.wait()
    raise AssertionError(f"the registry does not answer: {(folder / 'log').read_text()[-500:]}")


def _started(
    folder: Path, port: int, *, is_closed: bool, tokens: TokenService | None, shows: ServerCertificate | None
) -> subprocess.Popen[bytes]:
    tls = f", tls: {{certificate: '{shows.certificate}', key: '{shows.key}'}}" if shows else ""
    lines = ["version: 0.1", "log: {level: error}", f"http: {{addr: '127.0.0.1:{port}'{tls}}}"]
    if tokens is not None:
        words = f"realm: '{tokens.realm}', service: {SERVICE}, issuer: {ISSUER}"
        lines.append(f"auth: {{token: {{{words}, rootcertbundle: '{tokens.authority.certificate}'}}}}")
    lines.append(f"storage: {{filesystem: {{rootdirectory: '{folder / 'blobs'}'}}}}")
    if is_closed:
        (folder / "users").write_text(_LINE)
        lines.append(f"auth: {{htpasswd: {{realm: yard, path: '{folder / 'users'}'}}}}")
    (folder / "config.yml").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        return subprocess.Popen(command, stdout=log, stderr=log)


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Wait for the first answer; False when the program ended, or says nothing for long."""
    deadline = time.monotonic() + 30
    anybody = ssl._create_unverified_context() if url.startswith("https") else None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5, context=anybody):
                return process.poll() is None
        except urllib.error.HTTPError as error:
            error.close()
            return process.poll() is None  # it asks who one is
        except OSError:
            time.sleep(0.02)
    return False


class Relay:
    """Passes connections on to a port; ends them all, and takes no more, once so many bytes went there."""

    def __init__(self, port: int, most_bytes: int) -> None:
        self._to, self._left = port, most_bytes
        self._lock = threading.Lock()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._cut()
        for thread in self._threads:
            thread.join(30)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            with self._lock:
                self._ends += [near, far]
                for pair in ((near, far, True), (far, near, False)):
                    self._threads.append(threading.Thread(target=self._pass, args=pair))
                    self._threads[-1].start()

    def _pass(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
                if is_counted:
                    self._left -= len(data)
                    if self._left < 0:
                        self._cut()
                        return
        except OSError:
            return
        try:
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def _cut(self) -> None:
        with self._lock:
            for each in (self._server, *self._ends):
                try:
                    each.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                each.close()
