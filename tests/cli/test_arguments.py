"""Arguments: which fleet a command selects, and the error if its path cannot be accessed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from argosy.cli.arguments import find_fleet
from argosy.fault import InputError

NOBODY = 65534


@contextmanager
def as_nobody() -> Iterator[None]:
    """Give up what lets root pass any folder."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder below one that nobody may pass."""
    inner = tmp_path / "locked" / "inner"
    inner.mkdir(parents=True)
    (inner / "fleet.yaml").write_text("fleet: f\n")
    inner.parent.chmod(0)
    yield inner
    inner.parent.chmod(0o700)


@pytest.mark.parametrize("tail", ["", "fleet.yaml"])
def test_find_fleet_reports_folder_without_permission(locked: Path, tail: str) -> None:
    with as_nobody(), pytest.raises(InputError) as caught:
        find_fleet(str(locked / tail))
    fault = caught.value.faults[0]
    assert (caught.value.exit_code, fault.code) == (2, "unreadable")
    assert fault.message.endswith("cannot be accessed: permission denied")
    assert "namei -l" in fault.hint


def test_find_fleet_reports_too_long_file_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be accessed: file name too long"):
        find_fleet(str(tmp_path / ("x" * 300) / "fleet.yaml"))


def test_find_fleet_reports_deleted_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InputError) as caught:
        find_fleet(None)
    assert caught.value.faults[0].code == "unreadable"


def test_find_fleet_reports_unknown_home_as_missing_file() -> None:
    with pytest.raises(InputError) as caught:
        find_fleet("~nobody-of-that-name/fleet.yaml")
    assert caught.value.faults[0].code == "no-fleet"
