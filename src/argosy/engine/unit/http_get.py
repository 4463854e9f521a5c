"""One HTTP request for a probe: returns the status code of a GET (RFC 9112)."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote

_MAX_REPLY_BYTES = 1 << 16
# Characters that a path may contain unescaped; a `%` of an escape is kept.
_PATH_CHARACTERS = "/?&=+:;,@!$'()*~%-._"


async def get_status(host: str, port: int, path: str, timeout_s: float) -> int | None:
    """Return the status of `GET path`, or None when no HTTP answer comes in time."""
    status = None
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(_request(host, port, path))
                status = _status_of(await reader.readline())
                await _discard_rest(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return status
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return status


def _request(host: str, port: int, path: str) -> bytes:
    target = quote("/" + path.removeprefix("/"), safe=_PATH_CHARACTERS)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"GET {target} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: argosy\r\nAccept: */*\r\n"
    return f"{head}Connection: close\r\n\r\n".encode()


def _status_of(line: bytes) -> int | None:
    """Return the code in a status line such as `HTTP/1.1 200 OK`, None when it is not one."""
    version, _, rest = line.partition(b" ")
    code = rest[:3]
    return int(code) if version.startswith(b"HTTP/") and len(code) == 3 and code.isdigit() else None


async def _discard_rest(reader: asyncio.StreamReader) -> None:
    """Read the rest of the answer: many servers log an error when it is left unread."""
    read_bytes = 0
    while read_bytes < _MAX_REPLY_BYTES and (data := await reader.read(_MAX_REPLY_BYTES)):
        read_bytes += len(data)
