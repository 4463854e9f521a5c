"""`argosy restart`: its dry run predicts the real restart, and `--changed` selects changed agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ..conftest import SPEAKER

if TYPE_CHECKING:
    from ..conftest import Rig

FLEET = """
fleet: toy
defaults: {ready: {probe: notify}}
agents:
  A: {run: speaker.py}
  Stops: {run: speaker.py, needs: [{agent: A, on_death: stop}]}
  Follows: {run: speaker.py, needs: [{agent: Stops, on_death: restart}]}
  Ails: {run: speaker.py, needs: [{agent: A, on_death: degrade}]}
  Waits: {run: speaker.py, needs: [A]}
  Far: {run: speaker.py, needs: [Waits]}
  Other: {run: speaker.py}
"""


@pytest.fixture
def started(rig: Rig) -> Rig:
    rig.write(FLEET)
    rig.json("up", "-d")
    return rig


def test_restart_dry_run_predicts_restart_and_changes_nothing(started: Rig) -> None:
    before = {name: agent["pid"] for name, agent in started.agents().items()}
    told = started.json("restart", "A", "--dry-run")
    assert {name: agent["pid"] for name, agent in started.agents().items()} == before
    assert told["argosy"] == "restart/1"
    assert told["dry_run"] is True
    assert told["start_order"] == ["A", "Stops", "Follows"]
    assert told["degraded"] == ["Ails"]
    assert told["through"] == ["Far"]
    assert told["outages"]["Stops"]["why"] == "stop"
    assert told["outages"]["Follows"]["from"] >= told["outages"]["Stops"]["to"] > 0
    assert told["seconds"] == told["outages"]["Follows"]["to"]
    assert {outage["measured"] for outage in told["outages"].values()} == {1}
    done = started.json("restart", "A")
    for key in ("restarted", "reconnected"):
        assert told[key] == done[key]
    after = {name: agent["pid"] for name, agent in started.agents().items()}
    assert {name for name in after if after[name] != before[name]} == {"A", "Stops", "Follows"}


def test_restart_dry_run_text_names_affected_agents_and_reasons(started: Rig) -> None:
    done = started.argosy("restart", "A", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "3 would restart" in done.stdout
    assert "restart  Follows: after Stops; away from" in done.stdout
    assert "degraded Ails: without what it needs for" in done.stdout
    assert "indirectly affected: Far" in done.stdout


def test_restart_does_not_start_stopped_dependents(started: Rig) -> None:
    started.json("down", "--only", "Stops,Follows,Ails")
    told = started.json("restart", "A", "--dry-run")
    assert (told["restarted"], told["reconnected"]) == (["A"], ["Waits"])
    assert told["outages"]["A"]["measured"] == 1


def test_restart_reports_errors_with_exit_codes(rig: Rig) -> None:
    rig.write(FLEET)
    assert rig.json("restart", "A", "--dry-run", code=1)["errors"][0]["code"] == "not-running"
    rig.json("up", "-d", "--only", "A")
    assert rig.json("restart", "B", "--dry-run", code=2)["errors"][0]["code"] == "unknown-agent"
    assert rig.json("restart", "--dry-run", code=2)["errors"][0]["code"] == "usage"


def test_restart_changed_restarts_only_agents_with_changed_code(rig: Rig) -> None:
    (rig.folder / "shared.py").write_text("X = 1\n")
    (rig.folder / "other.py").write_text("import shared\n" + SPEAKER)
    rig.write(FLEET.replace("Other: {run: speaker.py}", "Other: {run: other.py}"))
    rig.json("up", "-d")
    before = {name: agent["pid"] for name, agent in rig.agents().items()}
    (rig.folder / "shared.py").touch()
    (rig.folder / "speaker.py").write_text(SPEAKER)
    none = rig.json("restart", "--changed")
    assert (none["restarted"], none["changed"]) == ([], {})
    (rig.folder / "shared.py").write_text("X = 2\n")
    told = rig.json("restart", "--changed", "--dry-run")
    assert (told["restarted"], told["changed"]) == (["Other"], {"Other": ["shared.py"]})
    assert rig.json("restart", "A", "--changed")["restarted"] == []
    done = rig.argosy("restart", "--changed")
    assert done.returncode == 0, done.stderr
    assert "changed  Other: shared.py\n1 restarted" in done.stdout
    after = {name: agent["pid"] for name, agent in rig.agents().items()}
    assert {name for name in after if after[name] != before[name]} == {"Other"}
    assert "no running agent has older code" in rig.argosy("restart", "--changed").stdout
    assert rig.json("restart", "B", "--changed", code=2)["errors"][0]["code"] == "unknown-agent"
