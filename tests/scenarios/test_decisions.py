"""Decision file of a scenario: its limits, and errors where a decision does not fit its file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from realfleet import decisions, outcome
from realfleet.observation import AgentObservation
from realfleet.progress import ScenarioError


def read(folder: Path, entries: list[dict[str, object]]) -> decisions.Decisions:
    (folder / "d.yaml").write_text(yaml.safe_dump({"decisions": entries}))
    return decisions.read_decisions(folder / "d.yaml")


def entry(number: int = 0, **more: object) -> dict[str, object]:
    return {"file": f"{number}.py", "why": "because", "replace": [{"old": "a", "new": "b"}], **more}


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(number) for number in range(17)], "17 decisions, and 16"),
        ([entry(number, shared=True) for number in range(4)], "4 shared decisions, and 3"),
        ([{"file": f"{n}.py", "why": "w", "adapter": "x\n"} for n in range(5)], "5 adapters, and 4"),
        ([{"file": "a.py", "why": "w", "adapter": "x\n" * 41}], "41 lines, and 40"),
        ([entry(), entry()], "two entries about one file"),
        ([{"file": "a.py", "why": "w"}], "says nothing"),
        ([entry(adapter="x\n")], "says nothing, or two things"),
        ([entry(why="  ")], "has no reason"),
        ([entry(settings={"A": {"env": {}}})], "says nothing, or two things"),
        ([entry(unknown=1)], "is not a decision file"),
    ],
)
def test_decision_file_beyond_limits_is_refused(
    tmp_path: Path, entries: list[dict[str, object]], reason: str
) -> None:
    with pytest.raises(ScenarioError, match=reason):
        read(tmp_path, entries)


TEXT = "class A:\n    def f(self):\n        one()\n\n    def f(self):\n        two()\n\n    # end\n"


def apply(folder: Path, **more: object) -> tuple[str, decisions.Applied]:
    (folder / "0.py").write_text(TEXT)
    told = read(folder, [{"file": "0.py", "why": "w", **more}])
    (applied,) = decisions.apply(folder, told.decisions)
    return (folder / "0.py").read_text(), applied


def test_delete_decision_removes_duplicated_body(tmp_path: Path) -> None:
    text, told = apply(tmp_path, delete=[{"first": "def f(self):", "until": "# end", "nth": 2}])
    assert text == "class A:\n    def f(self):\n        one()\n\n    # end\n"
    assert (told.kind, told.added, told.removed) == ("delete", 0, 3)


def test_restore_decision_counts_restored_lines_separately(tmp_path: Path) -> None:
    body = "    def g(self):\n        return self.x + self.xs + self.x.x\n"
    (tmp_path / "old.py").write_text(f"class B:\n{body}")
    text, told = apply(
        tmp_path,
        replace=[{"old": "one()", "new": "three()"}],
        restore={"source": "old.py", "into": "A", "names": ["B.g"], "renamed": {"x": "y"}},
    )
    assert "    def g(self):\n        return self.y + self.xs + self.y.x\n" in text
    assert (told.restored, told.added, told.removed) == (3, 4, 1)


def test_adapter_of_40_lines_is_accepted(tmp_path: Path) -> None:
    told = read(tmp_path, [{"file": "a.py", "why": "w", "adapter": "x\n" * 40}])
    assert decisions.apply(tmp_path, told.decisions)[0].added == 40


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"replace": [{"old": "three()", "new": ""}]}, "0 places"),
        ({"replace": [{"old": "def f", "new": ""}]}, "2 places"),
        ({"replace": [{"old": "one()", "new": "x\n" * 11}]}, "adds 12 lines"),
        ({"delete": [{"first": "nothing", "until": "x"}]}, "0 lines"),
        ({"adapter": "text\n"}, "for which the decisions supply"),
        ({"restore": {"source": "0.py", "into": "A", "names": ["A.gone"]}}, "no `A.gone`"),
    ],
)
def test_decision_that_does_not_fit_file_raises_error(
    tmp_path: Path, more: dict[str, object], reason: str
) -> None:
    with pytest.raises(ScenarioError, match=reason):
        apply(tmp_path, **more)


def test_real_fleet_decisions_are_within_limits() -> None:
    folder = Path(__file__).resolve().parents[2] / "scenarios" / "real-fleet"
    assert decisions.read_decisions(folder / "decisions.yaml").decisions


GOOD = {"status": "ok", "name": "A", "pid": 7, "uptime": 1.0}


@pytest.mark.parametrize(
    ("look", "reason"),
    [
        (AgentObservation(7, "ready", "", GOOD), ""),
        (AgentObservation(7, "ready", "", {**GOOD, "status": "degraded"}), ""),
        (
            AgentObservation(7, "starting", "", {**GOOD, "status": "starting", "reason": "run"}),
            "starting: run",
        ),
        (AgentObservation(7, "ready", "", {**GOOD, "status": "stopping"}), "stopping"),
        (AgentObservation(7, "ready", "", {**GOOD, "pid": 8}), "answered by `A`, pid 8"),
        (AgentObservation(7, "ready", "", {**GOOD, "name": "B"}), "answered by `B`"),
        (AgentObservation(7, "ready", "", None), "no answer on its health port"),
        (AgentObservation(None, "exited", "code 1"), "exited: "),
        (AgentObservation(7, "ready", "", {"status": "HEALTHY"}, owns_health_port=True), ""),
        (
            AgentObservation(7, "starting", "late", {"status": "HEALTHY"}, owns_health_port=True),
            "starting: late",
        ),
        (AgentObservation(7, "ready", "", {"status": "HEALTHY"}), "a process that is not its own"),
        (
            AgentObservation(7, "ready", "", {"status": "error"}, owns_health_port=True),
            "its own health answer",
        ),
    ],
)
def test_not_ready_reason_checks_state_and_health_answer(look: AgentObservation, reason: str) -> None:
    told = outcome.not_ready_reason("A", look, "")
    assert told.startswith(reason) if reason.endswith(": ") else reason in told
    assert bool(told) == bool(reason)


def test_last_error_is_read_from_log() -> None:
    log = (
        "A | ValueError: an earlier one\n"
        "A | Traceback (most recent call last):\n"
        'A |   File "/t/a.py", line 3, in go\n'
        "A |     raise KeyError(1)\n"
        "A | KeyError: 1\n"
        "A | bye\n"
    )
    assert outcome.last_error(log) == "KeyError: 1 (/t/a.py:3 in go)"
    assert outcome.last_error("A | all is well\nA | ERROR no device\n") == "ERROR no device"
    assert outcome.last_error("A | all is well\n") == ""


@pytest.mark.parametrize(
    ("health", "said"),
    [
        ({"status": "ok", "reason": "x"}, []),
        ({"status": "degraded", "reason": "x", "peer_reachable": False}, ["it says so itself: x"]),
        ({"status": "degraded", "peer_reachable": False}, ["it says so itself: peer_reachable: False"]),
        ({"status": "degraded"}, ["it says so itself: no reason given"]),
    ],
)
def test_degraded_reason_is_read_from_health(health: dict[str, object], said: list[str]) -> None:
    assert outcome.degraded_reasons(AgentObservation(7, "ready", "", health)) == said
