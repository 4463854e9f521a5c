"""Redaction: which names and values are secrets, and texts that must not show them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet.redaction import Redactor, is_secret_name, redact_text


@pytest.mark.parametrize(
    "name",
    ["API_KEY", "apiKey", "OPENAI_API_KEY", "PASSWORD", "dbPassword", "GITHUB_TOKEN", "--api-key", "JWT",
     "SECRET_KEY_BASE", "AWS_SECRET_ACCESS_KEY", "SENTRY_DSN", "MYSQL_PWD_TOKEN", "basic_auth"],
)  # fmt: skip
def test_is_secret_name_accepts_secret_names(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    ["PWD", "KEY", "MAX_TOKENS", "TOKEN_FILE", "AUTHOR", "KEYBOARD", "MONKEY", "TOKENIZER", "PASSAGE",
     "LOG_LEVEL", "SECRET_PATH", "COMPASS", "", "42", "TOKEN_URL"],
)  # fmt: skip
def test_is_secret_name_rejects_other_names(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("x.py --token abc --name y", "x.py --token *** --name y"),
        ("x.py --api-key=abc,1", "x.py --api-key=***,1"),
        ("API_TOKEN=abc ./run", "API_TOKEN=*** ./run"),
        ("password: abc", "password: ***"),
        ("postgres://me:abc@host/db", "postgres://me:***@host/db"),
        ("redis://:abc@host", "redis://:***@host"),
        ("port 7200 held by pid 12", "port 7200 held by pid 12"),
        ("http://host:80/x@y", "http://host:80/x@y"),
    ],
)
def test_redact_text_hides_secrets(text: str, shown: str) -> None:
    assert redact_text(text) == shown


@given(st.text(max_size=80))
def test_redact_text_accepts_any_text(text: str) -> None:
    redact_text(text)


@given(st.text("ab+*.\\([ü", min_size=6, max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_redactor_hides_secret_value_at_any_position(secret: str, before: str, after: str) -> None:
    env_redactor = Redactor({"API_KEY": secret, "LEVEL": "unveiled", "DB": "redis://u:hunter2@h"})
    assert secret not in env_redactor.redact(f"{before}{secret}{after}unveiled hunter2").replace("***", "\0")
    assert "unveiled" in env_redactor.redact("unveiled")
    assert env_redactor.redact("said hunter2") == "said ***"


def test_redactor_hides_longer_secret_with_common_prefix() -> None:
    for names in (("A_TOKEN", "B_TOKEN"), ("B_TOKEN", "A_TOKEN")):
        redactor = Redactor(dict(zip(names, ("abcdef", "abcdefghij"), strict=True)))
        assert redactor.redact("x abcdefghij y abcdef z") == "x *** y *** z"


def test_redactor_ignores_short_and_empty_values() -> None:
    assert Redactor({"API_KEY": "1", "DB_PASSWORD": ""}).redact("port 11") == "port 11"
