"""Plan and difference: what each agent's process is, and what an apply changes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from argosy.engine.plan.process_plan import LivenessSchedule, ProcessPlan, full_environment, plan_fleet
from argosy.engine.state.state_dir import StateDir
from argosy.engine.supervisor.plan_diff import PlanDiff, RunningAgent, diff_plan, select_scope
from argosy.fault import InputError
from argosy.fleet.environments import local_machines, place
from argosy.fleet.fleet_spec import Probe
from argosy.fleet.loader import load_fleet


def plan_of(root: Path, agents: str, **variables: str) -> ProcessPlan:
    text = "fleet: f\nagents:\n" + "".join(f"  {line}\n" for line in agents.splitlines())
    fleet = load_fleet(root / "fleet.yaml", text)
    placement = place(fleet, "testing", variables)
    return plan_fleet(
        fleet, placement, local_machines(placement, None, variables), StateDir(root / "s", root / "r")
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("")
    return tmp_path


def test_command_lines(root: Path) -> None:
    plan = plan_of(
        root,
        "S: {run: a.py, args: [--x, 1]}\n"
        "C: {run: 'pkg.m:C'}\n"
        "L: {run: [echo, hi], args: [there]}\n"
        "P: {run: a.py, python: .venv/bin/python}\n"
        "Q: {run: a.py, python: python3.99}",
    )
    script = str(root / "a.py")
    assert {name: spec.argv for name, spec in plan.processes.items()} == {
        "S": (sys.executable, script, "--x", "1"),
        "C": (sys.executable, "-m", "argosy.agent", "pkg.m:C"),
        "L": ("echo", "hi", "there"),
        "P": (str(root / ".venv/bin/python"), script),
        "Q": ("python3.99", script),
    }


def test_environment_of_an_agent(root: Path) -> None:
    (root / "vars").write_text("A=file\nB='quoted # x'\nexport C=3 # note\n")
    plan = plan_of(
        root, "X: {run: a.py, port: 7000, env: {A: own}, env_file: vars, liveness: {watchdog: 2s}}"
    )
    spec = plan.processes["X"]
    env = full_environment({"HOME": "/h", "NOTIFY_SOCKET": "/of/the/caller", "LISTEN_FDS": "3"}, spec)
    assert (env["A"], env["B"], env["C"], env["HOME"]) == ("own", "quoted # x", "3", "/h")
    assert env["NOTIFY_SOCKET"] == str(root / "r" / "notify" / "X.sock")
    assert (env["ARGOSY_AGENT"], env["ARGOSY_FLEET"], env["ARGOSY_PORT"]) == ("X", "f", "7000")
    assert (env["ENV_TYPE"], env["WATCHDOG_USEC"], env["PYTHONUNBUFFERED"]) == ("testing", "2000000", "1")
    assert "LISTEN_FDS" not in env


def test_a_wrong_env_file_is_that_agents_own_trouble_and_shows_nothing_of_it(root: Path) -> None:
    (root / "vars").write_text("hunter2-secret\n")
    spec = plan_of(root, "X: {run: a.py, env_file: vars}\nY: {run: a.py}").processes["X"]
    assert "vars:1:1" in spec.start_error
    assert "hunter2" not in spec.start_error


def test_what_is_missing_is_a_refusal_with_its_place(root: Path) -> None:
    plan = plan_of(root, "X: {run: none.py}\nY: {run: a.py, cwd: nowhere}\nZ: {run: a.py}")
    assert "fleet.yaml:3:3" in plan.processes["X"].start_error
    assert "none.py" in plan.processes["X"].start_error
    assert "nowhere" in plan.processes["Y"].start_error
    assert plan.processes["Z"].start_error == ""


def test_a_liveness_probe_and_the_port_of_a_readiness_probe(root: Path) -> None:
    agents = (
        "X: {run: a.py, port: 2, liveness: {probe: tcp, every: 2s, failures: 5}}\n"
        "Y: {run: a.py, port: 3, health_port: 4, ready: {probe: http}}"
    )
    plan = plan_of(root, agents)
    x, y = plan.processes["X"], plan.processes["Y"]
    assert (x.liveness, x.liveness_schedule, x.probe_port) == (
        Probe(probe="tcp", port=2),
        LivenessSchedule(2.0, 5),
        None,
    )
    assert (y.liveness, y.probe_port, y.probe.path) == (None, 4, "/health")


BASE = "A: {run: a.py}\nB: {run: a.py, args: [x], env: {K: v}, needs: [A]}"


@pytest.mark.parametrize(
    "changed",
    [
        "\n\n# moved\n" + BASE,
        BASE.replace("needs: [A]", "wants: [A]"),
        BASE.replace(
            "needs: [A]", "needs: [A], restart: always, stop_timeout: 1s, group: g, required: false"
        ),
    ],
)
def test_what_a_running_process_need_not_know_does_not_restart_it(root: Path, changed: str) -> None:
    before = plan_of(root, BASE).processes["B"].digest
    assert plan_of(root, changed).processes["B"].digest == before


@pytest.mark.parametrize(
    "changed",
    [
        "args: [y], env: {K: v}",
        "args: [x], env: {K: w}",
        "args: [x], env: {K: v}, memory: 1GiB",
        "args: [x], env: {K: v}, port: 7001",
        "cwd: s",
    ],
)
def test_what_it_must_know_does(root: Path, changed: str) -> None:
    (root / "s").mkdir()
    before = plan_of(root, BASE).processes["B"].digest
    after = plan_of(root, f"A: {{run: a.py}}\nB: {{run: a.py, {changed}, needs: [A]}}").processes["B"].digest
    assert after != before


def test_a_script_that_was_deleted_does_not_restart_what_runs(root: Path) -> None:
    before = plan_of(root, BASE).processes["B"]
    (root / "a.py").unlink()
    after = plan_of(root, BASE).processes["B"]
    assert after.start_error
    assert after.digest == before.digest


def test_a_difference_has_each_name_once(root: Path) -> None:
    plan = plan_of(root, "A: {run: a.py}\nB: {run: a.py}\nC: {run: a.py}")
    running = {
        "A": RunningAgent(plan.processes["A"].digest),
        "B": RunningAgent("another"),
        "Gone": RunningAgent("x"),
    }
    change = diff_plan(running, plan, ["A", "B", "C"])
    assert change == PlanDiff(start=["C"], restart=["B"], stop=["Gone"], adopted=["A"], move=[])
    told = change.to_preview(3)
    assert (told.start, told.restart, told.stop, told.adopted) == (["C"], ["B"], ["Gone"], ["A"])
    assert told.declared == 3


CELL = "A: {run: 'm:A', cell: c}\nB: {run: 'm:B', cell: c}\nC: {run: 'm:C'}"


def running_as(plan: ProcessPlan) -> dict[str, RunningAgent]:
    return {name: RunningAgent(spec.digest, spec.cell) for name, spec in plan.processes.items()}


def test_an_agent_of_a_cell_that_has_to_restart_takes_the_others_with_it(root: Path) -> None:
    running = running_as(plan_of(root, CELL))
    plan = plan_of(root, CELL.replace("'m:A'", "'m:A', args: [--x, 1]"))
    change = diff_plan(running, plan, ["A"])
    assert change == PlanDiff(start=[], restart=["A", "B"], stop=[], adopted=[], move=[])


def test_who_leaves_a_cell_or_joins_one_touches_nobody_else(root: Path) -> None:
    running = running_as(plan_of(root, CELL))
    plan = plan_of(root, CELL.replace("'m:B', cell: c", "'m:B'").replace("'m:C'", "'m:C', cell: c"))
    change = diff_plan(running, plan, ["A", "B", "C"])
    assert change == PlanDiff(start=[], restart=[], stop=[], adopted=["A"], move=["B", "C"])
    assert change.to_preview(3).restart == ["B", "C"]


def test_a_cell_has_the_shortest_watchdog_and_the_longest_times_of_its_agents(root: Path) -> None:
    plan = plan_of(
        root,
        "A: {run: 'm:A', cell: c, liveness: {watchdog: 9s}, stop_timeout: 1s, port: 5555}\n"
        "B: {run: 'm:B', cell: c, liveness: {watchdog: 4s}, stop_timeout: 3s, env: {}}",
    )
    hull = plan.cell_processes["c"]
    assert (hull.watchdog_s, hull.stop_timeout_s, hull.ports) == (4.0, 3.0, ())
    assert hull.env["WATCHDOG_USEC"] == "4000000"
    assert "ARGOSY_AGENT" not in hull.env
    assert "ARGOSY_PORT" not in hull.env
    assert [spec.watchdog_s for spec in plan.processes.values()] == [None, None], "the cell is watched as one"


def test_scope_takes_needs_with_it_and_leaves_out_what_is_skipped(root: Path) -> None:
    plan = plan_of(
        root,
        "A: {run: a.py}\nB: {run: a.py, needs: [A]}\nC: {run: a.py, needs: [B]}\nD: {run: a.py, wants: [C]}",
    )
    assert select_scope(plan, None, {}) == ["A", "B", "C", "D"]
    assert select_scope(plan, ["C"], {}) == ["A", "B", "C"]
    assert select_scope(plan, ["D"], {}) == ["D"]
    assert select_scope(plan, ["C"], {"B": "why"}) == ["A", "C"]
    with pytest.raises(InputError) as caught:
        select_scope(plan, ["A", "Bb", "zz"], {})
    assert [fault.hint for fault in caught.value.faults] == [
        "did you mean `B`?",
        "`argosy graph` lists the agents",
    ]
