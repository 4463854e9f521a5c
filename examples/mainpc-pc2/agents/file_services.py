"""Services on pc2: unit conversion, tokens, files below one folder, HTML pages of files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import secrets
import time
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.base_agent import ExampleAgent, RejectedError
from argosy.agent import request

_TO_BASE: Final = {"km": 1000.0, "m": 1.0, "cm": 0.01, "mi": 1609.344, "ft": 0.3048}
MAX_FILE_BYTES: Final = 256 * 1024


class UnitConverter(ExampleAgent):
    """Converts lengths between units."""

    machine = "pc2"

    async def contact_peers(self) -> None:
        """Check that the error collector is available."""
        await self.ask_at_start("SystemHealthManager", "counts")

    @request(short=True)
    def convert(self, value: float, source: str, target: str) -> float:
        """Return a length in another unit; rejected for an unknown unit."""
        unknown = [unit for unit in (source, target) if unit not in _TO_BASE]
        if unknown:
            raise RejectedError(f"`{unknown[0]}` is not a unit; known units: {', '.join(_TO_BASE)}")
        return value * _TO_BASE[source] / _TO_BASE[target]


class TokenService(ExampleAgent):
    """Issues and checks tokens that identify users (HMAC-SHA256, RFC 2104).

    The key exists only in this process: tokens become invalid when it restarts.
    """

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """ttl_s: the lifetime of a token in seconds."""

        ttl_s: float

    def __init__(self) -> None:
        super().__init__()
        self._key = secrets.token_bytes(32)
        self._issued = 0

    async def contact_peers(self) -> None:
        """Check that the other services are available."""
        await self.ask_at_start("UnifiedUtilsAgent")

    @request(short=True)
    def issue_token(self, user: str) -> str:
        """Return a token for a user."""
        self._issued += 1
        claim = f"{user}\n{time.time() + self.options.ttl_s:.3f}".encode()
        return _encode_base64(claim) + "." + _encode_base64(self._sign(claim))

    @request(short=True)
    def check(self, token: str) -> str:
        """Return the user of a token; rejected if it was not issued here or has expired."""
        try:
            claim, signature = (base64.urlsafe_b64decode(part) for part in token.split("."))
        except ValueError as error:
            raise RejectedError("this is not a token: expected two parts in base64") from error
        if not hmac.compare_digest(signature, self._sign(claim)):
            raise RejectedError("this token was not issued here")
        user, _, until = claim.decode().rpartition("\n")
        if time.time() > float(until):
            raise RejectedError(f"this token expired at {until}")
        return user

    def _sign(self, claim: bytes) -> bytes:
        return hmac.new(self._key, claim, hashlib.sha256).digest()

    def facts(self) -> dict[str, Any]:
        """Return the number of issued tokens."""
        return {"issued": self._issued}


def _encode_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


class FileService(ExampleAgent):
    """Lists and reads files below one folder."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """root: the folder."""

        root: str

    def __init__(self) -> None:
        super().__init__()
        self._root = Path(self.options.root).resolve()

    async def contact_peers(self) -> None:
        """Check that the other services are available."""
        await self.ask_at_start("UnifiedUtilsAgent")

    @request
    def listing(self, folder: str = ".") -> list[str]:
        """Return the names in a folder, folders with a `/`; rejected if it is not a folder below the root."""
        path = self._below(folder)
        if not path.is_dir():
            raise RejectedError(f"`{folder}` is not a folder")
        return sorted(each.name + "/" * each.is_dir() for each in path.iterdir())

    @request
    def read(self, path: str) -> str:
        """Return a file's text; rejected if it is not below the root, not text, or above 256 KiB."""
        file = self._below(path)
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise RejectedError(f"`{path}` has more than {MAX_FILE_BYTES} bytes")
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RejectedError(f"`{path}` cannot be read as text: {error}") from error

    def _below(self, path: str) -> Path:
        resolved = (self._root / path).resolve()
        if not resolved.is_relative_to(self._root):
            raise RejectedError(f"`{path}` is not below `{self._root}`")
        return resolved


class PageService(ExampleAgent):
    """Renders a file as an HTML page."""

    machine = "pc2"

    async def contact_peers(self) -> None:
        """Check that files and memory are available."""
        await self.ask_at_start("FileSystemAssistantAgent")
        await self.ask_at_start("MemoryOrchestratorService", "count")

    @request
    async def page(self, path: str) -> str:
        """Return a file as an HTML page."""
        text: str = await self.ask("FileSystemAssistantAgent", "read", returns=str, path=path)
        return f"<!doctype html><title>{html.escape(path)}</title><pre>{html.escape(text)}</pre>"
