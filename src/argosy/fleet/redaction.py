"""Detects secrets in the environment by their names, and redacts them from texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

REDACTED = "***"
_WORD_PATTERN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PASSWORDS = ("password", "passwd", "pass", "passphrase", "pw")
_LOGINS = ("credential", "credentials", "auth", "authorization", "bearer", "jwt", "cookie", "dsn")
_SECRET_WORDS = frozenset({*_PASSWORDS, *_LOGINS, "secret", "secrets", "token", "apikey", "salt"})
# With one of these as the last word, the value is the location of a secret, not the secret.
_LOCATION_WORDS = frozenset(["file", "path", "dir", "folder", "name", "url", "uri", "host", "port"])
_URL_PASSWORD = re.compile(r"(?<=://)([^/\s:@]*):([^/\s@]+)(?=@)")
_ASSIGNMENT = re.compile(r"""(--[A-Za-z][\w-]*[= ]|\b[A-Za-z_]\w*(?:=|: ?))([^\s"'`,;]+)""")
# A shorter value may occur in any text by chance.
_MIN_SECRET_LENGTH = 6


def is_secret_name(name: str) -> bool:
    """Return whether a variable or option of this name holds a secret: `API_KEY`, `--db-password`."""
    words = [word.lower() for word in _WORD_PATTERN.findall(name)]
    if not words or words[-1] in _LOCATION_WORDS:
        return False
    return (words[-1] == "key" and len(words) > 1) or not _SECRET_WORDS.isdisjoint(words)


def redact_text(text: str) -> str:
    """Return `text` with the values of secret names, and passwords in URLs, redacted.

    Recognizes `NAME=value`, `NAME: value` and `--name value`.
    """
    return _ASSIGNMENT.sub(_redact_match, _URL_PASSWORD.sub(rf"\1:{REDACTED}", text))


def _redact_match(found: re.Match[str]) -> str:
    return found[1] + REDACTED if is_secret_name(found[1]) else found[0]


class Redactor:
    """Redacts the secret values of one environment from any text."""

    def __init__(self, env: Mapping[str, str]) -> None:
        found = {value for value in _secret_values(env) if len(value) >= _MIN_SECRET_LENGTH}
        # Longest first: one secret may be a prefix of another.
        parts = map(re.escape, sorted(found, key=len, reverse=True))
        self._pattern = re.compile("|".join(parts)) if found else None

    def redact(self, text: str) -> str:
        """Return `text` with every secret replaced by `***`."""
        return text if self._pattern is None else self._pattern.sub(REDACTED, text)


def _secret_values(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in env.items():
        if is_secret_name(name):
            yield value
        for login in _URL_PASSWORD.finditer(value):
            yield login[2]
