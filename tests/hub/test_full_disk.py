"""Full disk: the hub reports it, serves its records, and writes again once there is space."""

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


def test_hub_reports_full_disk_and_keeps_and_serves_acknowledged_records(
    accounts: dict[str, Any],
) -> None:
    found = accounts["fills_disk"]
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


def test_hub_closed_on_full_disk_keeps_acknowledged_records_and_starts_new_epoch(
    accounts: dict[str, Any],
) -> None:
    found = accounts["closes_on_full_disk"]
    assert "the store cannot be opened: database or disk is full\nhint: free space" in found.pop("refused")
    assert found == {
        "waiter": "hub: the store cannot be written: database or disk is full",
        "same_epoch": False,
        "kept": True,
        "goes_on": True,
    }


def test_hub_delivers_each_alert_once_while_disk_is_full(
    accounts: dict[str, Any],
) -> None:
    found = accounts["alerts_on_full_disk"]
    assert found == {
        "shown_but_not_stored": True,
        "failure": "database or disk is full",
        "action": "hub: the store cannot be written: database or disk is full",
        "text": "the store of mainpc cannot be written: database or disk is full; free space on the disk of "
        "DISK (until then alerts are delivered, and records wait in memory)",
        "open_after_restart": [],
        "told": [
            ["raised", "mainpc"],
            ["raised", "A"],
            ["cleared", "A"],
            ["raised", "C"],
            ["cleared", "mainpc"],
            ["cleared", "C"],
            ["raised", "B"],
        ],
        "delivered_after_restart": ["B"],
        "stored_as_delivered": True,
        "delivered_to_of_full_disk_alerts": [["webhook"]] * 4,
        "at_last": ["raised", "mainpc"],
    }


def test_hub_started_on_full_disk_serves_alerts_and_stores_once_space_is_free(
    accounts: dict[str, Any],
) -> None:
    for found, before in zip(accounts["starts_on_full_disk"], (20, 0), strict=True):
        assert found == {
            "there": list(range(1, before + 1)),
            "served": True,
            "says_why": True,
            "told": [["raised", "mainpc"], ["cleared", "mainpc"]],
            "kept": list(range(1, before + 2)),
            "alerts": ["raised", "cleared"],
            "served_at_last": True,
        }


def test_hubs_keep_store_size_limit_when_they_write_more_than_disk_size(accounts: dict[str, Any]) -> None:
    found = accounts["keeps_size_limit"]
    assert found["written_over_bound"] > 3
    assert found["largest_over_bound"] < 1.4
    assert found["failures"] == [""]
    assert found["newest_are_there"] == [True, True]
