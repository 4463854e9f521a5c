"""Process plan and its difference: what the process of each agent is, and what an apply changes."""

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


def test_plan_builds_command_line_of_each_agent(root: Path) -> None:
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


def test_plan_builds_environment_of_agent(root: Path) -> None:
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


def test_invalid_env_file_is_start_error_without_its_content(root: Path) -> None:
    (root / "vars").write_text("hunter2-secret\n")
    spec = plan_of(root, "X: {run: a.py, env_file: vars}\nY: {run: a.py}").processes["X"]
    assert "vars:1:1" in spec.start_error
    assert "hunter2" not in spec.start_error


def test_missing_script_or_cwd_is_start_error_with_location(root: Path) -> None:
    plan = plan_of(root, "X: {run: none.py}\nY: {run: a.py, cwd: nowhere}\nZ: {run: a.py}")
    assert "fleet.yaml:3:3" in plan.processes["X"].start_error
    assert "none.py" in plan.processes["X"].start_error
    assert "nowhere" in plan.processes["Y"].start_error
    assert plan.processes["Z"].start_error == ""


def test_plan_has_liveness_probe_and_port_of_readiness_probe(root: Path) -> None:
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
def test_digest_ignores_settings_of_supervisor_only(root: Path, changed: str) -> None:
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
def test_digest_changes_with_settings_of_process(root: Path, changed: str) -> None:
    (root / "s").mkdir()
    before = plan_of(root, BASE).processes["B"].digest
    after = plan_of(root, f"A: {{run: a.py}}\nB: {{run: a.py, {changed}, needs: [A]}}").processes["B"].digest
    assert after != before


def test_digest_ignores_deleted_script(root: Path) -> None:
    before = plan_of(root, BASE).processes["B"]
    (root / "a.py").unlink()
    after = plan_of(root, BASE).processes["B"]
    assert after.start_error
    assert after.digest == before.digest


def test_plan_diff_lists_each_agent_once(root: Path) -> None:
    plan = plan_of(root, "A: {run: a.py}\nB: {run: a.py}\nC: {run: a.py}")
    running = {
        "A": RunningAgent(plan.processes["A"].digest),
        "B": RunningAgent("another"),
        "Gone": RunningAgent("x"),
    }
    change = diff_plan(running, plan, ["A", "B", "C"])
    assert change == PlanDiff(start=["C"], restart=["B"], stop=["Gone"], adopted=["A"], move=[])
    preview = change.to_preview(3)
    assert (preview.start, preview.restart, preview.stop, preview.adopted) == (["C"], ["B"], ["Gone"], ["A"])
    assert preview.declared == 3


CELL = "A: {run: 'm:A', cell: c}\nB: {run: 'm:B', cell: c}\nC: {run: 'm:C'}"


def running_as(plan: ProcessPlan) -> dict[str, RunningAgent]:
    return {name: RunningAgent(spec.digest, spec.cell) for name, spec in plan.processes.items()}


def test_plan_diff_restarts_whole_cell_of_changed_agent(root: Path) -> None:
    running = running_as(plan_of(root, CELL))
    plan = plan_of(root, CELL.replace("'m:A'", "'m:A', args: [--x, 1]"))
    change = diff_plan(running, plan, ["A"])
    assert change == PlanDiff(start=[], restart=["A", "B"], stop=[], adopted=[], move=[])


def test_plan_diff_moves_only_agents_that_leave_or_join_cell(root: Path) -> None:
    running = running_as(plan_of(root, CELL))
    plan = plan_of(root, CELL.replace("'m:B', cell: c", "'m:B'").replace("'m:C'", "'m:C', cell: c"))
    change = diff_plan(running, plan, ["A", "B", "C"])
    assert change == PlanDiff(start=[], restart=[], stop=[], adopted=["A"], move=["B", "C"])
    assert change.to_preview(3).restart == ["B", "C"]


def test_cell_has_shortest_watchdog_and_longest_stop_timeout_of_agents(root: Path) -> None:
    plan = plan_of(
        root,
        "A: {run: 'm:A', cell: c, liveness: {watchdog: 9s}, stop_timeout: 1s, port: 5555}\n"
        "B: {run: 'm:B', cell: c, liveness: {watchdog: 4s}, stop_timeout: 3s, env: {}}",
    )
    cell_process = plan.cell_processes["c"]
    assert (cell_process.watchdog_s, cell_process.stop_timeout_s, cell_process.ports) == (4.0, 3.0, ())
    assert cell_process.env["WATCHDOG_USEC"] == "4000000"
    assert "ARGOSY_AGENT" not in cell_process.env
    assert "ARGOSY_PORT" not in cell_process.env
    assert [spec.watchdog_s for spec in plan.processes.values()] == [None, None], "the cell is watched as one"


def test_scope_includes_needs_and_excludes_skipped_agents(root: Path) -> None:
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
