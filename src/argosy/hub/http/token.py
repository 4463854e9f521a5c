"""The token that reads and actions need: one for each fleet, in a file readable only by its owner.

A browser that sends the token gets a cookie, which is derived from it and valid only for reads: a browser
sends cookies to every port of a host, so another user's server there may receive one.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path

from argosy.atomic_file import create_atomic, write_atomic
from argosy.fault import Fault, RefusedError


def read_token(path: Path) -> str:
    """Return the token, created if there is none.

    Raises RefusedError: the file cannot be read or written, or is empty.
    """
    try:
        with contextlib.suppress(FileNotFoundError):
            return _require_token(path, path.read_text("ascii"))
        _write_token(path, is_new=True)
        return _require_token(path, path.read_text("ascii"))
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(
            Fault(str(path), "hub-token", f"the token cannot be read or written: {error}")
        ) from error


def renew_token(path: Path) -> str:
    """Replace the token by a new one, and return it; the old token becomes invalid."""
    try:
        _write_token(path, is_new=False)
    except OSError as error:
        message = f"the token cannot be written: {error}"
        raise RefusedError(Fault(str(path), "hub-token", message)) from error
    return read_token(path)


def is_token(path: Path, candidate: str) -> bool:
    """Return whether a candidate is the token, by a constant-time comparison."""
    return hmac.compare_digest(read_token(path).encode(), candidate.encode("utf-8", "replace"))


def cookie_name(path: Path, port: int) -> str:
    """Return the name of the cookie of a hub by its token's file and its port."""
    return f"argosy-{port}-{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"


def cookie_value(path: Path, name: str) -> str:
    """Return the cookie's value, which becomes invalid with the token."""
    return hmac.new(read_token(path).encode(), name.encode(), hashlib.sha256).hexdigest()


def _require_token(path: Path, text: str) -> str:
    if not text.strip():
        raise RefusedError(
            Fault(str(path), "hub-token", "the token is empty", "`argosy hub --renew-token` makes another")
        )
    return text.strip()


def _write_token(path: Path, *, is_new: bool) -> None:
    """Write a new token atomically. is_new: keep a token that another process has just created."""
    write = create_atomic if is_new else write_atomic
    write(path, secrets.token_urlsafe(32).encode() + b"\n", mode=0o600)
