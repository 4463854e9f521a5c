"""Services on pc2: measures, tokens, files below one folder, pages made of them."""

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

from agents.base_agent import Member, RefusalError
from argosy.agent import request

_TO_BASE: Final = {"km": 1000.0, "m": 1.0, "cm": 0.01, "mi": 1609.344, "ft": 0.3048}
LARGEST_BYTES: Final = 256 * 1024


class Measures(Member):
    """Turns lengths from one unit into another."""

    machine = "pc2"

    async def greet(self) -> None:
        """See that errors are collected."""
        await self.meet("SystemHealthManager", "counts")

    @request(short=True)
    def convert(self, value: float, source: str, target: str) -> float:
        """Return a length in another unit; refused for an unknown one."""
        unknown = [unit for unit in (source, target) if unit not in _TO_BASE]
        if unknown:
            raise RefusalError(f"`{unknown[0]}` is no unit; those are {', '.join(_TO_BASE)}")
        return value * _TO_BASE[source] / _TO_BASE[target]


class Tokens(Member):
    """Gives out tokens that say who somebody is, and checks them (HMAC-SHA256, RFC 2104).

    The key is of this process alone: what was given out before a restart is no longer good.
    """

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """ttl_s: seconds that a token is good for."""

        ttl_s: float

    def __init__(self) -> None:
        super().__init__()
        self._key = secrets.token_bytes(32)
        self._given = 0

    async def greet(self) -> None:
        """See that the other services are there."""
        await self.meet("UnifiedUtilsAgent")

    @request(short=True)
    def give(self, user: str) -> str:
        """Return a token for a user."""
        self._given += 1
        claim = f"{user}\n{time.time() + self.options.ttl_s:.3f}".encode()
        return _armoured(claim) + "." + _armoured(self._sign(claim))

    @request(short=True)
    def check(self, token: str) -> str:
        """Return whose token this is; refused when it was not given here, or is past its time."""
        try:
            claim, signature = (base64.urlsafe_b64decode(part) for part in token.split("."))
        except ValueError as error:
            raise RefusalError("this is not a token: two parts in base64 were expected") from error
        if not hmac.compare_digest(signature, self._sign(claim)):
            raise RefusalError("this token was not given out here")
        user, _, until = claim.decode().rpartition("\n")
        if time.time() > float(until):
            raise RefusalError(f"this token was good until {until}")
        return user

    def _sign(self, claim: bytes) -> bytes:
        return hmac.new(self._key, claim, hashlib.sha256).digest()

    def facts(self) -> dict[str, Any]:
        """Return how many tokens were given out."""
        return {"given": self._given}


def _armoured(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode()


class Files(Member):
    """Lists and reads files below one folder, and never outside of it."""

    machine = "pc2"

    class Options(msgspec.Struct, frozen=True):
        """root: the folder."""

        root: str

    def __init__(self) -> None:
        super().__init__()
        self._root = Path(self.options.root).resolve()

    async def greet(self) -> None:
        """See that the other services are there."""
        await self.meet("UnifiedUtilsAgent")

    @request
    def listing(self, folder: str = ".") -> list[str]:
        """Return the names in a folder, folders with a `/`; refused when it is none below the root."""
        place = self._below(folder)
        if not place.is_dir():
            raise RefusalError(f"`{folder}` is no folder")
        return sorted(each.name + "/" * each.is_dir() for each in place.iterdir())

    @request
    def read(self, path: str) -> str:
        """Return a file's text; refused when it is not below the root, no text, or above 256 KiB."""
        place = self._below(path)
        try:
            if place.stat().st_size > LARGEST_BYTES:
                raise RefusalError(f"`{path}` has more than {LARGEST_BYTES} bytes")
            return place.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusalError(f"`{path}` cannot be read as text: {error}") from error

    def _below(self, path: str) -> Path:
        place = (self._root / path).resolve()
        if not place.is_relative_to(self._root):
            raise RefusalError(f"`{path}` is not below `{self._root}`")
        return place


class Pages(Member):
    """Makes a page of a file."""

    machine = "pc2"

    async def greet(self) -> None:
        """See that files and memory are there."""
        await self.meet("FileSystemAssistantAgent")
        await self.meet("MemoryOrchestratorService", "count")

    @request
    async def page(self, path: str) -> str:
        """Return a file as a page of HTML."""
        text: str = await self.ask("FileSystemAssistantAgent", "read", returns=str, path=path)
        return f"<!doctype html><title>{html.escape(path)}</title><pre>{html.escape(text)}</pre>"
