"""Merge of several sources: machines, names, cycles, ports, paths, variables and addresses."""

from __future__ import annotations

import os

import pytest

from argosy.fault import InputError
from argosy.fleet.importers.edge_resolution import plan_cuts
from fleet.importers.import_tree import Tree


def test_machines_are_named_after_first_differing_path_part(tree: Tree) -> None:
    for path in ("one/config/s.yaml", "two/config/s.yaml", "two/config/t.yaml"):
        tree.write(path, f"agents: {{{path[0]}{path[-6]}: {{script: a.py}}}}\n")
    fleet = tree.read("one", "two/config/s.yaml", "two/config/t.yaml").fleet
    assert list(fleet.machines) == ["one", "s", "t"]
    assert fleet.environments["production"] == {"one": "$ONE_IP", "s": "$S_IP", "t": "$T_IP"}
    assert fleet.environments["container"]["one"] == "one"


def test_machine_option_names_machines(tree: Tree) -> None:
    tree.write("a/s.yaml", "agents: {A: {script: a.py}}\n")
    tree.write("b/s.yaml", "agents: {B: {script: b.py}}\n")
    fleet = tree.read("a", "b/s.yaml", machines={"big": "a", "small": "b/s.yaml"}).fleet
    assert {name: agent.machine for name, agent in fleet.agents.items()} == {"A": "big", "B": "small"}


def test_machine_option_without_source_is_error(tree: Tree) -> None:
    tree.write("a/s.yaml", "agents: {A: {script: a.py}}\n")
    with pytest.raises(InputError) as caught:
        tree.read("a", machines={"big": "b"})
    assert caught.value.faults[0].where.startswith("--machine big=")


def test_same_name_on_two_machines_makes_two_agents(tree: Tree) -> None:
    tree.write("a/s.yaml", "agents: {Hub: {script: hub.py, port: 9000}, X: {script: x.py, needs: [Hub]}}\n")
    tree.write(
        "b/s.yaml", "agents: {Hub: {script: hub.py, port: 9000}, Y: {script: y.py, needs: [Hub, X]}}\n"
    )
    imported = tree.read("a", "b")
    agents = imported.fleet.agents
    assert list(agents) == ["Hub", "X", "Hub-b", "Y"]
    assert [need.agent for need in agents["Y"].needs] == ["Hub-b", "X"]
    assert agents["Hub-b"].port == 9000
    assert imported.decision("`Hub` is called `Hub-b`").where == "b/s.yaml:1:10"


def test_invalid_agent_names_are_replaced_and_reported(tree: Tree) -> None:
    tree.write(
        "s.yaml", 'agents: {"9 lives": {script: a.py}, "_9_lives": {script: b.py, needs: ["9 lives"]}}\n'
    )
    imported = tree.read("s.yaml")
    assert list(imported.fleet.agents) == ["_9_lives", "_9_lives_2"]
    assert [need.agent for need in imported.fleet.agents["_9_lives_2"].needs] == ["_9_lives"]
    assert imported.decision("`9 lives` is called `_9_lives`")
    assert imported.decision("`_9_lives` is called `_9_lives_2`")


def test_duplicate_port_on_machine_is_omitted_and_reported(tree: Tree) -> None:
    tree.write("s.yaml", "agents: {A: {script: a.py, port: 1}, B: {script: b.py, port: 2, health_port: 1}}\n")
    imported = tree.read("s.yaml")
    assert (imported.fleet.agents["B"].health_port, imported.fleet.agents["B"].ready.probe) == (None, "tcp")
    assert imported.decision("`health_port` 1 of `B` is omitted", "`port` of `A`").where == "s.yaml:1:38"


def test_planned_cut_leaves_fewest_levels() -> None:
    # `a` stands on a chain of three; whoever waits for it starts late.
    needs = {"a": ("b", "x"), "b": ("c",), "c": ("a",), "x": ("y",), "y": ("z",), "z": ()}
    (cut,) = plan_cuts(needs)
    assert (cut.agent, cut.need, cut.levels) == ("c", "a", 4)
    assert cut.cycle == ("c", "a", "b")
    assert cut.others == (("a", "b", 6), ("b", "c", 5))


def test_import_cuts_cycle_and_comments_on_it(tree: Tree) -> None:
    tree.write(
        "s.yaml",
        "agents: {A: {script: a.py, needs: [B]}, B: {script: b.py, needs: [A, C]}, C: {script: c.py}}\n",
    )
    imported = tree.read("s.yaml")
    decision = imported.decision("cycle of 2 agents")
    cut = [(name, agent.wants) for name, agent in imported.fleet.agents.items() if agent.wants]
    assert len(cut) == 1
    assert f"`{cut[0][0]}` waits for itself" in decision.what
    assert "# s.yaml:" in imported.text
    assert imported.plan.edge_count == 3


def test_imported_paths_are_relative_to_fleet_file(tree: Tree) -> None:
    tree.write("tree/agents/a.py")
    tree.write("tree/agents/b.py")
    tree.write(
        "tree/box/config/s.yaml",
        "agents: {A: {script: agents/a.py}, B: {script: agents/b.py}, C: {script: agents/c.py}}\n",
    )
    imported = tree.read("tree/box/config/s.yaml")
    assert imported.fleet.agents["A"].run == os.path.join("tree", "agents", "a.py")
    assert imported.fleet.agents["A"].cwd == "tree"
    assert imported.plan.machines == ("box",)
    assert imported.decision("1 of its 3 scripts are not below `tree`")


def test_conflicting_variables_are_set_per_agent(tree: Tree) -> None:
    tree.write("a/s.yaml", "environment: {LEVEL: INFO, SAME: x}\nagents: {A: {script: a.py}}\n")
    tree.write(
        "b/s.yaml", "environment: {LEVEL: DEBUG, SAME: x}\nagents: {B: {script: b.py, env: {LEVEL: OWN}}}\n"
    )
    imported = tree.read("a", "b")
    assert imported.plan.env == {"SAME": "x"}
    assert imported.fleet.agents["A"].env == {"SAME": "x", "LEVEL": "INFO"}
    assert imported.fleet.agents["B"].env == {"SAME": "x", "LEVEL": "OWN"}


def test_machine_address_is_host_that_all_its_rows_share(tree: Tree) -> None:
    tree.write("a/s.yaml", "agents: {A: {script: a.py, host: 10.0.0.5}, B: {script: b.py, host: 10.0.0.5}}\n")
    tree.write("b/s.yaml", "agents: {C: {script: c.py, host: 10.0.0.6}, D: {script: d.py, host: 10.0.0.7}}\n")
    imported = tree.read("a", "b")
    assert imported.fleet.environments["development"] == {"a": "10.0.0.5", "b": "127.0.0.1"}
    assert imported.decision("`host: 10.0.0.7` of `D`", "have several")


def test_address_option_sets_machine_address_or_adds_service(tree: Tree) -> None:
    tree.write("a/s.yaml", "agents: {A: {script: a.py, host: 10.0.0.5}}\n")
    tree.write("b/s.yaml", "agents: {B: {script: b.py}}\n")
    given_addresses = {"b": "10.0.0.6", "a": "10.0.0.9", "redis": "10.0.0.7:6379", "llm": "10.0.0.8"}
    imported = tree.read("a", "b", addresses=given_addresses)
    environments = imported.fleet.environments
    assert environments["development"] == {
        "a": "10.0.0.9",
        "b": "10.0.0.6",
        "llm": "10.0.0.8",
        "redis": "10.0.0.7:6379",
    }
    assert environments["production"] == {
        "a": "$A_IP",
        "b": "$B_IP",
        "llm": "$LLM_HOST",
        "redis": "$REDIS_HOST:6379",
    }
    assert environments["container"]["redis"] == "redis:6379"
    assert environments["testing"]["llm"] == "127.0.0.1"
    assert imported.decision("`redis` is 10.0.0.7:6379")
    assert imported.decision("`host: 10.0.0.5` of `A`")


@pytest.mark.parametrize("address", ["10.0.0.6:80", "0.0.0.0", "a b", "10.0.0.6:$PORT"])
def test_address_option_rejects_invalid_machine_address(tree: Tree, address: str) -> None:
    tree.write("a/s.yaml", "agents: {A: {script: a.py}}\n")
    with pytest.raises(InputError) as caught:
        tree.read("a/s.yaml", machines={"m": "a"}, addresses={"m": address})
    assert caught.value.faults[0].where == "--address"


def test_address_option_with_host_only_keeps_port_of_service(tree: Tree) -> None:
    tree.write(
        "docker-compose.yml",
        "services: {a: {command: python a.py}, redis: {image: redis, ports: ['6379:6379']}}\n",
    )
    environments = tree.read("docker-compose.yml", addresses={"redis": "10.0.0.7"}).fleet.environments
    assert environments["development"]["redis"] == "10.0.0.7:6379"


def test_pythonpath_of_container_becomes_source_root(tree: Tree) -> None:
    tree.write("app/agents/a.py")
    tree.write(
        "deploy/compose.yaml",
        """\
        services:
          a:
            build: ../app
            working_dir: /app
            command: python agents/a.py
            environment: [PYTHONPATH=/app]
        """,
    )
    imported = tree.read("deploy/compose.yaml")
    agent = imported.fleet.agents["a"]
    assert (agent.run, agent.cwd, agent.env) == ("app/agents/a.py", "app", {"PYTHONPATH": "."})
    assert imported.decision("`PYTHONPATH: /app` of `a` becomes `.`")


def test_existing_pythonpath_is_kept(tree: Tree) -> None:
    tree.write("lib/x.py")
    tree.write("s.yaml", "env: {PYTHONPATH: lib}\nagents: {A: {script: lib/x.py}}\n")
    assert tree.read("s.yaml").fleet.agents["A"].env == {"PYTHONPATH": "lib"}


def test_source_with_only_services_adds_them_to_fleet(tree: Tree) -> None:
    tree.write("s.yaml", "agents: {A: {script: a.py, needs: [redis]}}\n")
    tree.write("compose.yaml", "services: {redis: {image: redis, ports: ['6379:6379']}}\n")
    imported = tree.read("s.yaml", "compose.yaml")
    assert imported.fleet.environments["container"]["redis"] == "redis:6379"
    assert imported.decision("`redis` is omitted from the needs of `A`")
