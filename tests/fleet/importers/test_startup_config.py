"""Startup config importer: agents by name, and agents in lists."""

from __future__ import annotations

import pytest

from argosy.fault import InputError
from fleet.importers.import_tree import Imported, Read, Tree

GROUPS = """\
global_settings:
  environment: {PYTHONPATH: /app, LEVEL: INFO, DEBUG: 'false', RATIO: 1.10}
  resource_limits: {memory_mb: 2048}
agent_groups:
  core:
    Registry:
      script_path: agents/registry.py
      port: 7200
      health_check_port: 8200
      required: true
      dependencies: []
      config: {redis: {port: 6379}, command: not-an-agent}
    Twin:
      script_path: agents/twin.py
      port: "7220"
      required: no
      dependencies: [Registry, Registry]
  speech:
    Voice:
      script_path: agents/voice.py
      dependencies: [Twin, Nobody, Voice]
    Broken:
      port: 7
"""
LISTS = """\
whatever_services:
  - {name: A, script_path: agents/a.py, host: 0.0.0.0, port: 7000, health_check_port: 8000, dependencies: [B]}
  - {name: B, script_path: agents/b.py, port: 7001}
  - {script_path: agents/nameless.py}
more:
  - name: A
    script_path: agents/a.py
    port: 7000
    health_check_port: 7999
    dependencies: [C]
    startup_priority: 1
  - {name: C, command: "python -u agents/c.py --x", enabled: false}
  - {name: D, cmd: [node, d.js, 010], port: 99999}
bus_port: 7001
other_port: 7555
"""


@pytest.fixture
def groups(tree: Tree) -> Imported:
    for name in ("registry", "twin", "voice"):
        tree.write(f"agents/{name}.py")
    tree.write("config/startup.yaml", GROUPS)
    return tree.read("config/startup.yaml")


@pytest.fixture
def lists(tree: Tree) -> Imported:
    tree.write("agents/a.py")
    tree.write("startup.yaml", LISTS)
    return tree.read("startup.yaml")


def test_importer_reads_agents_by_name(groups: Imported) -> None:
    agents = groups.fleet.agents
    assert list(agents) == ["Registry", "Twin", "Voice"]
    registry = agents["Registry"]
    assert (registry.run, registry.group, registry.port, registry.health_port) == (
        "agents/registry.py",
        "core",
        7200,
        8200,
    )
    assert (registry.ready.probe, registry.ready.port, registry.ready.send) == (
        "zmq",
        8200,
        {"action": "health"},
    )
    assert (agents["Twin"].port, agents["Twin"].required, agents["Twin"].ready.probe) == (7220, False, "tcp")
    assert (agents["Voice"].ready.probe, agents["Voice"].ready.seconds) == ("alive", 1)


def test_importer_counts_and_reports_invalid_edges(groups: Imported) -> None:
    assert groups.plan.edge_count == 4
    assert [need.agent for need in groups.fleet.agents["Voice"].needs] == ["Twin"]
    assert groups.decision("`Twin` names `Registry` twice").where == "config/startup.yaml:17:32"
    assert groups.decision("`Nobody` is omitted").where == "config/startup.yaml:21:28"
    assert groups.decision("`Voice` names itself").where == "config/startup.yaml:21:36"


def test_importer_reports_entries_without_agent(groups: Imported) -> None:
    assert groups.decision("`Broken` is omitted").where == "config/startup.yaml:22:5"
    assert groups.decision("`config` of `Registry`").where == "config/startup.yaml:12:7"
    assert groups.decision("`global_settings.resource_limits`").where == "config/startup.yaml:3:3"


def test_global_environment_becomes_default_variables(groups: Imported) -> None:
    expected = {"PYTHONPATH": ".", "LEVEL": "INFO", "DEBUG": "false", "RATIO": "1.10"}
    assert groups.fleet.agents["Voice"].env == expected
    assert groups.decision("`PYTHONPATH: /app` becomes `.`")


def test_importer_merges_duplicate_rows(lists: Imported) -> None:
    agent = lists.fleet.agents["A"]
    assert (agent.port, agent.health_port) == (7000, 8000)
    assert [need.agent for need in agent.needs] == ["B", "C"]
    assert lists.decision("`A` is in two rows on port 7000").where == "startup.yaml:6:5"
    assert "`7999`" in lists.decision("the health port of `A` is `8000`").what


def test_importer_reports_other_keys_that_name_port_of_agent(lists: Imported) -> None:
    assert lists.decision("`bus_port: 7001` is also the `port` of `B`").where == "startup.yaml:14:1"
    assert not any("other_port: 7555" in one.what for one in lists.plan.decisions)


def test_importer_reads_commands_of_rows(lists: Imported) -> None:
    agents = lists.fleet.agents
    assert (agents["C"].run, agents["C"].args, agents["C"].required) == ("agents/c.py", ("--x",), False)
    assert agents["D"].run == ("node", "d.js", "010")
    assert agents["D"].port is None
    assert lists.decision("`row 3` is omitted").where == "startup.yaml:4:5"
    assert lists.decision("`port: 99999` of `D` is omitted").where == "startup.yaml:13:39"


def test_importer_takes_groups_from_keys_above_rows(lists: Imported) -> None:
    assert {name: agent.group for name, agent in lists.fleet.agents.items()} == {
        "A": "whatever_services",
        "B": "whatever_services",
        "C": "more",
        "D": "more",
    }


def test_importer_reads_named_and_listed_agents_of_one_file(read: Read) -> None:
    text = "agents: {A: {script: a.py, needs: B}}\nservices: [{name: B, script: b.py}]\n"
    agents = read("both.yml", text).fleet.agents
    assert [need.agent for need in agents["A"].needs] == ["B"]
    assert agents["B"].group is None


def test_syntax_error_names_its_place(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("startup.yaml", "agents:\n  A: {script: a.py\n")
    assert caught.value.faults[0].where.startswith("startup.yaml:")
    assert caught.value.faults[0].code == "yaml"


def test_command_with_open_quote_names_its_place(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("startup.yaml", 'x: [{name: A, command: "python \'a"}]\n')
    assert caught.value.faults[0].where == "startup.yaml:1:15"


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.yaml", "", "nothing-found"),
        ("a.yaml", "key: value\n", "unknown-format"),
        ("a.yaml", "fleet: f\nagents: {A: {run: a.py}}\n", "fleet-file"),
        ("a.txt", "just words\n", "unknown-format"),
        ("a.yaml", "services: {}\n", "unknown-format"),
    ],
)
def test_file_without_agents_is_error_with_hint(read: Read, name: str, text: str, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read(name, text)
    (fault,) = caught.value.faults
    assert (fault.where, fault.code) == (name, code)
    assert fault.hint


def test_importer_reports_non_utf8_file(tree: Tree) -> None:
    (tree.folder / "a.yaml").write_bytes(b"key: \xff\n")
    with pytest.raises(InputError) as caught:
        tree.read("a.yaml")
    assert caught.value.faults[0].code == "encoding"
