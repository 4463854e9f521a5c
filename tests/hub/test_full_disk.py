"""A hub on a real disk that runs full: it says so, serves what it has, and goes on once there is room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rig.needs import require

SCRIPT = Path(__file__).with_name("full_disk.py")


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `full_disk.py` found, in a mount namespace of its own: all that it mounts goes with it."""
    require("unshare", "mount")
    words = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount"]
    if (tried := subprocess.run([*words, "true"], capture_output=True, text=True)).returncode:
        pytest.skip(f"no mount namespace for user {os.geteuid()} here: {tried.stderr.strip()}")
    folder = tmp_path_factory.mktemp("full")
    done = subprocess.run(
        [*words, sys.executable, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_hub_whose_disk_is_full_says_so_and_serves_and_loses_nothing_that_it_acknowledged(
    accounts: dict[str, Any],
) -> None:
    found = accounts["runs_full"]
    assert found.pop("acknowledged_when_full") > 20
    assert found == {
        "failure": "database or disk is full",
        "kept_when_full": True,
        "served_when_full": True,
        "refused": "hub: the store cannot be written: database or disk is full",
        "failure_when_there_is_room": "",
        "kept": True,
        "served": True,
    }


def test_a_hub_that_ends_on_a_full_disk_has_what_it_acknowledged_and_its_next_life_another_epoch(
    accounts: dict[str, Any],
) -> None:
    found = accounts["ends_when_full"]
    assert "the store cannot be opened: database or disk is full\nhint: free space" in found.pop("refused")
    assert found == {
        "waiter": "hub: the store cannot be written: database or disk is full",
        "same_epoch": False,
        "kept": True,
        "goes_on": True,
    }


def test_alerts_are_told_while_the_disk_is_full_that_one_too_and_each_once_when_there_is_room(
    accounts: dict[str, Any],
) -> None:
    found = accounts["tells_when_full"]
    assert found == {
        "shown_and_not_kept": True,
        "failure": "database or disk is full",
        "action": "hub: the store cannot be written: database or disk is full",
        "text": "the store of mainpc cannot be written: database or disk is full; free space on the disk of "
        "DISK (until then alerts are delivered, and records wait in memory)",
        "open_in_next_life": [],
        "told": [
            ["raised", "mainpc"],
            ["raised", "A"],
            ["cleared", "A"],
            ["raised", "C"],
            ["cleared", "mainpc"],
            ["cleared", "C"],
            ["raised", "B"],
        ],
        "told_by_next_life": ["B"],
        "kept_as_told": True,
        "named_in_those_of_the_full_disk": [["webhook"]] * 4,
        "at_last": ["raised", "mainpc"],
    }


def test_a_hub_that_starts_on_a_full_disk_serves_and_tells_and_keeps_once_there_is_room(
    accounts: dict[str, Any],
) -> None:
    for found, before in zip(accounts["starts_when_full"], (20, 0), strict=True):
        assert found == {
            "there": list(range(1, before + 1)),
            "served": True,
            "says_why": True,
            "told": [["raised", "mainpc"], ["cleared", "mainpc"]],
            "kept": list(range(1, before + 2)),
            "alerts": ["raised", "cleared"],
            "served_at_last": True,
        }


def test_hubs_that_write_and_pull_more_than_the_disk_has_keep_their_bound(accounts: dict[str, Any]) -> None:
    found = accounts["keeps_its_bound"]
    assert found["written_over_bound"] > 3
    assert found["largest_over_bound"] < 1.4
    assert found["failures"] == [""]
    assert found["newest_are_there"] == [True, True]
