"""Public API of argosy.wire and argosy.agent: exports, and copies of errors."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

import argosy.agent
import argosy.wire
from argosy.wire import errors


@pytest.mark.parametrize("package", [argosy.wire, argosy.agent])
def test_all_exports_are_sorted_and_exist(package: object) -> None:
    names: list[str] = package.__all__  # type: ignore[attr-defined]
    assert names == sorted(names)
    assert len(names) <= 12
    assert all(getattr(package, name) is not None for name in names)
    with pytest.raises(AttributeError):
        package.nothing  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (errors.NotSent, ConnectionError),
        (errors.DeadlineExceeded, TimeoutError),
        (errors.PeerFrozen, ConnectionError),
        (errors.PeerLost, ConnectionError),
        (errors.TooLarge, ValueError),
    ],
)
def test_errors_survive_pickling_and_derive_from_builtins(
    kind: type[errors.WireError], builtin: type
) -> None:
    error = kind("Back", "answer", "why")
    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert str(twin) == str(error)
        assert "`answer`" in str(twin)
        assert (twin.peer, twin.method, twin.reason) == ("Back", "answer", "why")
    assert isinstance(error, builtin)


def test_remote_error_survives_pickling() -> None:
    error = errors.BadArgument("Back", "answer", "bad-argument", "Expected `str`")
    twin = pickle.loads(pickle.dumps(error))
    assert (twin.code, twin.message, str(twin)) == (error.code, error.message, str(error))


def test_errors_docstring_lists_every_error() -> None:
    assert errors.__doc__ is not None
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.WireError)]
    assert all(kind.__name__ in errors.__doc__ for kind in kinds)
    assert len(kinds) == 11


def test_wire_context_imports_neither_asyncio_nor_msgspec() -> None:
    code = (
        "import sys, argosy.wire as w; w.context; print(*[m in sys.modules for m in ('asyncio', 'msgspec')])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == "False False\n"
