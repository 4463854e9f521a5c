"""Hub failures: a damaged store and a hub that cannot run are reported by page, status, doctor and up."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from rig.fleet import free_ports

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
hub: {{port: {port}, bind: {bind}}}
agents: {{Script: {{run: speaker.py, ready: {{probe: notify}}}}}}
"""


@pytest.fixture
def toy(rig: Rig) -> Iterator[Rig]:
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port, bind="127.0.0.1"))
    rig.env["ARGOSY_HUB"] = "on"
    rig.env["PORT"] = str(port)
    yield rig
    rig.argosy("down")


def fetch_json(rig: Rig, path: str) -> Any:
    request = urllib.request.Request(rig.hub() + path, headers={"authorization": f"Bearer {rig.token()}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.loads(answer.read())


def checks(rig: Rig) -> dict[str, tuple[str, str]]:
    found = json.loads(rig.argosy("doctor", "--json").stdout)
    return {each["name"]: (each["state"], each["message"]) for each in found["checks"]}


def test_hub_replaces_damaged_or_deleted_store_and_reports_it(toy: Rig) -> None:
    toy.json("up", "-d", "--no-hub")
    store = toy.state() / "hub.db"
    store.mkdir()
    toy.json("up", "-d")
    toy.hub()
    (aside,) = toy.json("status")["hub_damaged"]
    assert aside in toy.argosy("status").stdout
    assert checks(toy)["hub"][0] == "ok"
    assert checks(toy)["hub store"][0] == "warning"
    assert (
        "it is not a regular file" in fetch_json(toy, "/api/events?kind=store-damaged")["events"][0]["text"]
    )
    (notice,) = fetch_json(toy, "/api/alerts")["notices"]
    assert aside in notice["text"]
    store.unlink()
    toy.until(
        lambda: len(fetch_json(toy, "/api/events?kind=store-damaged")["events"]) == 1 and store.exists()
    )
    assert "deleted" in fetch_json(toy, "/api/events?kind=store-damaged")["events"][0]["text"]
    # What the engine had told is there again, from its event log.
    toy.until(
        lambda: "apply" in {each["kind"] for each in fetch_json(toy, "/api/events?most=10000")["events"]}
    )


def test_status_doctor_and_up_report_hub_that_cannot_run(toy: Rig) -> None:
    toy.write(FLEET.format(port=toy.env["PORT"], bind="203.0.113.7"))  # no address of this machine
    toy.json("up", "-d", "--no-hub")
    by_hand = toy.argosy("hub")
    assert by_hand.returncode == 1
    assert by_hand.stderr.startswith("error: ")
    assert "Traceback" not in by_hand.stderr
    toy.json("up", "-d")
    toy.until(lambda: bool(toy.json("status")["hub_trouble"]))
    assert toy.json("status")["hub"] is None
    said = "the hub's page cannot listen on 203.0.113.7"
    assert said in toy.argosy("status").stdout, toy.argosy("status").stdout
    state, message = checks(toy)["hub"]
    assert state == "error"
    assert said in message
    assert said in toy.json("up", "-d")["hub_trouble"]
    assert said in toy.argosy("up", "-d").stdout
    assert toy.argosy("hub", "--open").returncode == 3


NO_ROOM = """
import resource, signal, sys
from pathlib import Path
from argosy.engine.supervisor.hub_process import acquire_hub_lock, find_running_hub, write_hub_record
lock = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
acquire_hub_lock(lock)
assert not write_hub_record(lock, "http://here")
assert find_running_hub(lock) is None
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert write_hub_record(lock, "http://here")
assert find_running_hub(lock).url == "http://here"
"""


def test_hub_starts_although_its_lock_record_cannot_be_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", NO_ROOM, str(tmp_path / "hub.lock")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
