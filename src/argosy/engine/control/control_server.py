"""The control socket: accepts connections, checks their owner, reads and writes lines.

The socket is bound under a temporary name and renamed once the supervisor has adopted the running
agents, so clients never see an incomplete state.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, Protocol

import msgspec

from argosy.engine.protocol.messages import (
    PROTOCOL,
    AgentStateChanged,
    ClientHello,
    ControlMessage,
    Refused,
    decode_request,
    encode_line,
)
from argosy.engine.state.runtime_sockets import peer_credentials
from argosy.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from argosy.engine.protocol.messages import ControlRequest

_MAX_LINE_BYTES = 64 * 1024 * 1024
# A client with more unread data than this (an `argosy up` stopped for hours) is disconnected.
_MAX_UNREAD_BYTES = 8 * 1024 * 1024
_FLUSH_TIMEOUT_S = 1.0


class ClientSession(Protocol):
    """The sender of a request and the receiver of its replies: a local client, or another machine.

    origin: the other machine, empty for a local client. is_gone: nobody waits for the reply any more.
    """

    pid: int
    client: str
    origin: str
    is_subscribed: bool
    is_gone: bool

    def send(self, message: ControlMessage) -> None:
        """Send a message; dropped when the receiver is gone."""


class ControlSession:
    """One client. pid: its process. is_subscribed: it receives every transition."""

    def __init__(self, writer: asyncio.StreamWriter, pid: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = writer
        self._unsent: list[bytes] = []
        self.pid = pid
        self.client = self.origin = ""
        self.is_subscribed = self.is_gone = False

    def send(self, message: ControlMessage) -> None:
        """Send a message; dropped when the client is gone or no longer reads.

        The transitions of one loop iteration are written together at its end.
        """
        self._unsent.append(encode_line(message))
        if not isinstance(message, AgentStateChanged):
            self._flush()
        elif len(self._unsent) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not unsent or self._writer.is_closing():
            return
        self._writer.write(b"".join(unsent))
        if self._writer.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            self._writer.transport.abort()


class ControlServer:
    """Serves `handle(session, request)` on a unix socket; each request runs in its own task.

    on_disconnect(): called when a client has disconnected.
    """

    def __init__(
        self,
        path: Path,
        handle: Callable[[ClientSession, ControlRequest], Awaitable[None]],
        on_disconnect: Callable[[], None],
    ) -> None:
        self._path = path
        self._handle = handle
        self._on_disconnect = on_disconnect
        self._server: asyncio.Server | None = None
        self._bound_stat: os.stat_result | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: dict[asyncio.StreamWriter, asyncio.Task[None]] = {}
        self.sessions: set[ControlSession] = set()

    async def bind(self) -> None:
        """Listen, under a temporary name."""
        unpublished_path = str(self._path) + ".new"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(unpublished_path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(unpublished_path)
        os.chmod(unpublished_path, 0o600)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=_MAX_LINE_BYTES)

    def publish(self) -> None:
        """Rename the socket to the name that clients connect to."""
        os.rename(str(self._path) + ".new", self._path)
        self._bound_stat = os.stat(self._path)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, uid = peer_credentials(writer.get_extra_info("socket"))
        session = ControlSession(writer, pid)
        if uid not in (os.getuid(), 0):
            session.send(
                Refused(faults=[Fault("", "forbidden", f"this fleet belongs to user {os.getuid()}")])
            )
            writer.close()
            return
        self.sessions.add(session)
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this in a task"
        self._writers[writer] = task
        try:
            while line := await reader.readline():
                self._dispatch(session, line)
        except (ConnectionResetError, BrokenPipeError):
            pass  # the client exited
        except ValueError:  # raised by StreamReader.readline beyond its limit
            fault = Fault("", "protocol", f"a request is longer than {_MAX_LINE_BYTES} bytes")
            session.send(Refused(faults=[fault]))
        finally:
            self.sessions.discard(session)
            session.is_gone = True
            self._writers.pop(writer, None)
            writer.close()
            self._on_disconnect()

    def _dispatch(self, session: ControlSession, line: bytes) -> None:
        try:
            request = decode_request(line)
        except msgspec.DecodeError as error:
            session.send(Refused(faults=[Fault("", "protocol", f"the request cannot be decoded: {error}")]))
            return
        if isinstance(request, ClientHello) and request.protocol != PROTOCOL:
            fault = Fault(
                "",
                "protocol",
                f"the supervisor speaks protocol {PROTOCOL}, this argosy {request.protocol}",
                "run `argosy down` with the argosy that started the fleet, then `argosy up`",
            )
            session.send(Refused(faults=[fault]))
            return
        task = asyncio.ensure_future(self._handle(session, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop listening, flush pending output, and remove the socket."""
        with contextlib.suppress(FileNotFoundError):
            if self._bound_stat is not None and os.path.samestat(os.stat(self._path), self._bound_stat):
                os.unlink(self._path)  # unless it belongs to another supervisor
        if self._server is not None:
            self._server.close()
        serving = dict(self._writers)
        for writer in serving:
            writer.close()  # flushes first
        if serving:
            _, unread = await asyncio.wait(serving.values(), timeout=_FLUSH_TIMEOUT_S)
            for task in unread:
                task.cancel()
