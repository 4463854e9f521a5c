"""Fleet file writer: its output loads again, whatever the source contains."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from argosy.fleet import Fleet, load_fleet
from argosy.fleet.importers import ImportDecision, ImportPlan, plan_import, render_fleet_file, summarize_plan
from argosy.fleet.importers.fleet_file_writer import dump_inline
from argosy.fleet.importers.import_model import ImportedAgent, PlannedAgent
from fleet.importers.import_tree import Tree

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
TRICKY = st.sampled_from(
    ["0o17", "1e3", "yes", "null", "~", "<<", "a: b", "#", "1:30", "- x", "", " x ", "x\n\ny", "{a", "'\""]
)
# What may stand in a YAML source without an escape.
WRITTEN = st.text(st.characters(exclude_categories=["Cc", "Cn", "Co", "Cs", "Zl", "Zp"]), max_size=12)
WORD = st.one_of(TRICKY, TEXT)
PORTS = st.one_of(st.none(), st.integers(1, 65535))


def load(text: str) -> Fleet:
    return load_fleet(Path("fleet.yaml"), text)


@st.composite
def found_agents(draw: st.DrawFn) -> ImportedAgent:
    run = draw(st.one_of(st.just("a b/c:d.py"), st.lists(WORD, min_size=1, max_size=3).map(tuple)))
    return ImportedAgent(
        name="A",
        where="x:1:1",
        run=run,
        args=tuple(draw(st.lists(WORD, max_size=3))),
        env=draw(st.dictionaries(WORD, WORD, max_size=3)),
        group=draw(st.one_of(st.none(), WORD)),
        required=draw(st.booleans()),
        restart=draw(st.sampled_from([None, "always", "never", "on-failure"])),
        start_grace_s=draw(st.one_of(st.none(), st.floats(0, 100))),
        stop_timeout_s=draw(st.one_of(st.none(), st.floats(0.01, 1e6))),
        cpus=draw(st.one_of(st.none(), st.floats(0.01, 64))),
    )


@given(found_agents(), WORD, WORD)
def test_fleet_file_round_trips_any_text(found: ImportedAgent, what: str, cwd: str) -> None:
    plan = ImportPlan(
        fleet="f",
        sources=(what,),
        machines=("m",),
        environments={"testing": {"m": "127.0.0.1"}},
        agents=(PlannedAgent("A", "m", found),),
        edge_count=0,
        decisions=(ImportDecision(what, what, what), ImportDecision(what, what, what, "A")),
        env={"SHARED": what},
        cwd=cwd,
    )
    agent = load(render_fleet_file(plan)).agents["A"]
    assert (agent.run, agent.args, agent.group) == (found.run, found.args, found.group)
    assert agent.env == {"SHARED": what, **found.env}
    assert (agent.required, agent.cwd, agent.cpus) == (found.required, cwd, found.cpus)
    assert agent.stop_timeout_s == (10.0 if found.stop_timeout_s is None else found.stop_timeout_s)
    assert agent.ready.seconds == (1.0 if found.start_grace_s is None else found.start_grace_s)


@given(WORD)
def test_inline_dump_stays_on_one_line(text: str) -> None:
    assert "\n" not in dump_inline(text)
    assert "\n" not in dump_inline({text: [text]})


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, object]]:
    name = st.one_of(WRITTEN.filter(str.strip), st.sampled_from("ABCDE"))
    names = draw(st.lists(name, min_size=1, max_size=8))
    targets = st.one_of(st.sampled_from(names), WRITTEN)
    row = st.fixed_dictionaries(
        {"script_path": st.just("agents/a.py")},
        optional={
            "port": st.one_of(st.integers(-1, 12), PORTS),
            "health_check_port": st.integers(1, 12),
            "dependencies": st.lists(targets, max_size=4),
            "required": st.booleans(),
            "host": WRITTEN,
            "env": st.dictionaries(WRITTEN, WRITTEN, max_size=2),
        },
    )
    return [{"name": name, **draw(row)} for name in names]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows(), rows())
def test_imported_fleet_file_has_no_faults_for_any_rows(
    tmp_path: Path, one: list[dict[str, object]], two: list[dict[str, object]]
) -> None:
    paths = [tmp_path / "one.json", tmp_path / "two.json"]
    for path, content in zip(paths, (one, two), strict=True):
        path.write_text(json.dumps({"services": content}, ensure_ascii=False), encoding="utf-8")
    plan = plan_import(paths, tmp_path)
    fleet = load(render_fleet_file(plan))
    assert len(fleet.agents) == len({str(row["name"]).strip() for row in one}) + len(
        {str(row["name"]).strip() for row in two}
    )
    needs = sum(len(agent.needs) for agent in fleet.agents.values())
    wants = sum(len(agent.wants) for agent in fleet.agents.values())
    assert f"{needs} needs + {wants} wants + {plan.edge_count - needs - wants} omitted" in summarize_plan(
        plan
    )
    assert needs + wants <= plan.edge_count
    assert render_fleet_file(plan_import(paths, tmp_path)) == render_fleet_file(plan)


def test_importer_sets_watchdog_only_for_argosy_agents(tree: Tree) -> None:
    rows = """
    agents:
      - {name: Class, script_path: "agents.a:A", port: 7300}
      - {name: Module, command: "python -m argosy.agent agents.b:B --port 7301", port: 7301}
      - {name: Script, script_path: agents/c.py, port: 7302}
      - {name: Command, command: "node d.js", port: 7303}
    """
    tree.write("config/startup.yaml", rows)
    agents = tree.read("config/startup.yaml").fleet.agents
    watchdogs = {name: agent.liveness and agent.liveness.watchdog for name, agent in agents.items()}
    assert watchdogs == {"Class": "30s", "Module": "30s", "Script": None, "Command": None}
