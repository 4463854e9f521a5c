"""Compose and Kubernetes files: dependency gates, no secrets, deterministic text."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from argosy.cli import main
from argosy.fleet import load_fleet
from argosy.image.manifests.compose_file import build_compose
from argosy.image.manifests.kubernetes import build_manifests
from argosy.image.manifests.manifest_validation import check_compose, check_manifests
from argosy.image.plan.container_plan import ContainerPlan, plan_containers
from argosy.image.plan.image_plan import plan_images
from rig.needs import require
from rig.trees import make_tree

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "mainpc-pc2" / "fleet.yaml"
PASSWORD = "hunter2-and-more"

FILES = {
    "fleet.yaml": f"""
fleet: Harbour_Fleet
machines: {{big: {{gpu: "RTX 4090"}}, small: {{}}}}
environments:
  development: {{big: 127.0.0.1, small: 127.0.0.1}}
  container: {{big: big, small: small, redis: "redis:6379"}}
agents:
  Registry: {{run: a.py, machine: big, group: core, port: 7200, health_port: 8200, ready: {{probe: tcp}}}}
  Mind:
    run: mind.py
    machine: big
    group: Deep_Thought
    port: 7210
    needs: [Registry]
    memory: 512MiB
    cpus: 1.5
    stop_timeout: 30s
    env: {{API_KEY: {PASSWORD}, MODE: fast, STORE: "redis://u:{PASSWORD}@redis:6379"}}
    env_file: secrets.env
  Late: {{run: a.py, machine: big, group: core, port: 7220, needs: [{{agent: Mind, on_death: restart}}]}}
  Far: {{run: a.py, machine: small, port: 7230, needs: [Late], wants: [Registry], restart: never}}
""",
    "a.py": "import zmq\n",
    "mind.py": "import torch\ntorch.zeros(3)\n",
}


@pytest.fixture
def containers(tmp_path: Path) -> ContainerPlan:
    return plan_containers(plan_images(make_tree(tmp_path, FILES)))


@pytest.fixture
def services(containers: ContainerPlan) -> dict[str, Any]:
    found: dict[str, Any] = build_compose(containers)["services"]
    return found


def deployments(containers: ContainerPlan) -> Iterator[dict[str, Any]]:
    return (item for item in build_manifests(containers) if item["kind"] == "Deployment")


def test_container_plan_splits_group_with_intermediate_dependency_into_stages(
    services: dict[str, Any],
) -> None:
    assert list(services) == ["core-1", "deep-thought", "core-2", "small-light"]
    assert {name: list(service.get("depends_on", {})) for name, service in services.items()} == {
        "core-1": [],
        "deep-thought": ["core-1"],
        "core-2": ["deep-thought"],
        "small-light": ["core-2"],
    }
    assert (
        services["core-1"]["image"]
        == services["core-2"]["image"]
        == "harbour-fleet/core:${ARGOSY_TAG:-latest}"
    )


def test_compose_service_waits_for_healthy_needs(services: dict[str, Any]) -> None:
    assert services["deep-thought"]["depends_on"] == {"core-1": {"condition": "service_healthy"}}
    # Of another machine's profile it need not be there.
    assert services["small-light"]["depends_on"] == {
        "core-2": {"condition": "service_healthy", "required": False}
    }


def test_compose_service_has_healthcheck_hardening_and_labels(services: dict[str, Any]) -> None:
    for service in services.values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["read_only"] is True
        assert service["user"] == "10001:10001"
        assert service["stop_signal"] == "SIGTERM"
        assert service["environment"]["ENV_TYPE"] == "container"
    labels = [service["labels"]["argosy.agents"] for service in services.values()]
    assert labels == ["Registry", "Mind", "Late", "Far"]
    assert services["deep-thought"]["stop_grace_period"] == "35s"
    assert services["small-light"]["restart"] == "no"
    assert services["small-light"]["profiles"] == ["small"]


def test_manifests_declare_resource_limits_and_gpus(
    containers: ContainerPlan, services: dict[str, Any]
) -> None:
    resources = services["deep-thought"]["deploy"]["resources"]
    assert resources["limits"] == {"cpus": "1.5", "memory": str(512 * 2**20)}
    assert resources["reservations"]["devices"][0]["capabilities"] == ["gpu"]
    assert "deploy" not in services["core-1"]
    limits = {
        item["metadata"]["name"]: item["spec"]["template"]["spec"]["containers"][0].get("resources", {})
        for item in deployments(containers)
    }
    assert limits["deep-thought"]["limits"] == {
        "memory": str(512 * 2**20),
        "cpu": "1500m",
        "nvidia.com/gpu": "1",
    }
    assert limits["core-1"] == {}


def test_manifests_contain_no_secret_values(containers: ContainerPlan, services: dict[str, Any]) -> None:
    texts = [
        json.dumps(build_compose(containers)),
        json.dumps(build_manifests(containers)),
        containers.fleet_text,
    ]
    assert not [text for text in texts if PASSWORD in text]
    assert {key: services["deep-thought"]["environment"][key] for key in ("API_KEY", "STORE")} == {
        "API_KEY": None,
        "STORE": None,
    }
    assert services["deep-thought"]["env_file"] == [{"path": "secrets.env", "required": False}]
    mind = next(item for item in deployments(containers) if item["metadata"]["name"] == "deep-thought")
    container = mind["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "harbour-fleet-secrets", "key": "API_KEY"} in [
        item["valueFrom"]["secretKeyRef"] for item in container["env"] if "valueFrom" in item
    ]


def test_manifest_commands_refuse_secret_among_arguments(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"fleet: f\nagents:\n  A: {{run: a.py, args: [--api-key, {PASSWORD}]}}\n"
    make_tree(tmp_path, {"fleet.yaml": text, "a.py": ""})
    for verb in ("compose", "k8s"):
        assert main([verb, "--fleet", str(tmp_path)]) == 1
        said = capsys.readouterr()
        assert not said.out
        assert "argument of `A`" in said.err
        assert PASSWORD not in said.err


def test_container_fleet_file_keeps_agents_of_fleet(containers: ContainerPlan) -> None:
    made = load_fleet("fleet.yaml", containers.fleet_text)
    plain = containers.fleet
    for name, agent in made.agents.items():
        other = plain.agents[name]
        for key in (
            "run",
            "args",
            "port",
            "health_port",
            "needs",
            "wants",
            "ready",
            "stop_timeout_s",
            "restart",
        ):
            assert getattr(agent, key) == getattr(other, key), (name, key)
    assert made.agents["Mind"].env == {"MODE": "fast"}
    assert made.environments == {
        "container": {name: name for name in made.machines} | {"redis": "redis:6379"}
    }


def test_kubernetes_container_has_three_exec_probes(containers: ContainerPlan) -> None:
    for item in deployments(containers):
        (container,) = item["spec"]["template"]["spec"]["containers"]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert list({"exec", "httpGet", "tcpSocket"} & set(container[probe])) == ["exec"]
        assert item["metadata"]["annotations"]["argosy.agents"]


def test_network_policies_allow_only_declared_edges(containers: ContainerPlan) -> None:
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in build_manifests(containers)
        if item["kind"] == "NetworkPolicy"
    }
    (ingress,) = policies["core-2"]["ingress"]
    assert ingress["from"][0]["podSelector"]["matchLabels"]["app.kubernetes.io/name"] == "small-light"
    assert ingress["ports"] == [{"port": 7220, "protocol": "TCP"}]
    clients = {
        peer["podSelector"]["matchLabels"]["app.kubernetes.io/name"]
        for rule in policies["core-1"]["ingress"]
        for peer in rule["from"]
    }
    assert clients == {"deep-thought", "small-light"}
    assert policies["small-light"]["ingress"] == []


def test_manifest_checks_accept_generated_files_and_report_broken_ones(containers: ContainerPlan) -> None:
    compose = build_compose(containers)
    assert check_compose(compose) == []
    compose["services"]["core-1"]["depends_on"] = {"core-2": {"condition": "service_started"}}
    compose["services"]["core-2"]["environment"]["TOKEN"] = PASSWORD
    compose["services"]["Bad_Name"] = {"image": "Upper/Case"}
    assert sorted(fault.code for fault in check_compose(compose)) == [
        *("cycle", "dependency-condition", "healthcheck", "image", "name", "secret"),
    ]
    items = build_manifests(containers)
    assert check_manifests(items) == []
    container = next(deployments(containers))["spec"]["template"]["spec"]["containers"][0]
    broken = {
        "kind": "Deployment",
        "metadata": {"name": "a_b"},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    container["startupProbe"]["httpGet"] = {}
    del container["livenessProbe"]
    container["resources"] = {"limits": {"memory": "much", "nvidia.com/gpu": "0.5"}}
    assert sorted(fault.code for fault in check_manifests([broken])) == [
        *("gpu", "name", "probe", "probe", "quantity"),
    ]


@pytest.mark.parametrize("verb", ["compose", "k8s"])
def test_manifests_of_example_fleet_are_deterministic_and_complete(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = []
    for _ in range(2):
        assert main([verb, "--fleet", str(EXAMPLE)]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    documents = [item for item in yaml.safe_load_all(texts[0]) if item]
    if verb == "compose":
        agent_labels = [service["labels"]["argosy.agents"] for service in documents[0]["services"].values()]
    else:
        agent_labels = [
            item["metadata"]["annotations"]["argosy.agents"]
            for item in documents
            if item["kind"] == "Deployment"
        ]
    agents = [agent for text in agent_labels for agent in text.split(",")]
    assert sorted(agents) == sorted(load_fleet(EXAMPLE).agents)


def test_docker_compose_accepts_generated_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    require("docker-compose")
    assert main(["compose", "--fleet", str(EXAMPLE)]) == 0
    file = tmp_path / "compose.yaml"
    file.write_text(capsys.readouterr().out)
    done = subprocess.run(
        ["docker-compose", "-f", str(file), "--profile", "*", "config", "--format", "json"],
        capture_output=True,
        check=True,
    )
    services = plan_containers(plan_images(load_fleet(EXAMPLE))).services
    assert set(json.loads(done.stdout)["services"]) == {service.name for service in services}


def test_cell_does_not_wait_for_itself_through_another_service(tmp_path: Path) -> None:
    text = (
        "fleet: f\nagents:\n  A: {run: a:A, cell: c, port: 1001}\n"
        "  B: {run: a:A, group: g, port: 1002, needs: [A]}\n"
        "  C: {run: a:A, cell: c, port: 1003, needs: [B]}\n"
    )
    made = plan_containers(plan_images(make_tree(tmp_path, {"fleet.yaml": text, "a.py": "class A: ...\n"})))
    assert {service.name: service.depends_on for service in made.services}.keys() == {"g", "light"}
    assert len(made.notes) == 2
    assert check_compose(build_compose(made)) == []


EACH = """
fleet: each
containers: agent
machines: {big: {gpu: "RTX 4090"}}
agents:
  Registry: {run: a.py, machine: big, group: core, port: 7200}
  Mind_1: {run: mind.py, machine: big, group: core, port: 7210, needs: [Registry]}
  Left: {run: "left:Left", machine: big, group: core, cell: pair, port: 7220, needs: [Mind_1]}
  Right: {run: "left:Left", machine: big, group: core, cell: pair, port: 7230}
  mind-1: {run: a.py, machine: big, group: core, port: 7240, needs: [Right]}
"""


def test_containers_agent_option_gives_each_unit_its_own_container(tmp_path: Path) -> None:
    files = {
        **FILES,
        "fleet.yaml": EACH,
        "left.py": "from argosy.agent import Agent\nclass Left(Agent): ...\n",
    }
    found = plan_containers(plan_images(make_tree(tmp_path, files)))
    assert [(service.name, service.agents, service.depends_on) for service in found.services] == [
        ("registry", ("Registry",), ()),
        ("mind-1", ("Mind_1",), ("registry",)),
        ("pair", ("Left", "Right"), ("mind-1",)),
        ("mind-1-2", ("mind-1",), ("pair",)),
    ]
    assert {service.image.reference for service in found.services} == {"each/core"}
    made = load_fleet("fleet.yaml", found.fleet_text)
    assert {name: agent.machine for name, agent in made.agents.items()} == {
        "Registry": "registry",
        "Mind_1": "mind-1",
        "Left": "pair",
        "Right": "pair",
        "mind-1": "mind-1-2",
    }
    compose = build_compose(found)
    assert [name for name, service in compose["services"].items() if "deploy" in service] == ["mind-1"]
    assert compose["services"]["pair"]["depends_on"]["mind-1"] == {"condition": "service_healthy"}
    assert check_compose(compose) == []
    assert check_manifests(build_manifests(found)) == []


def test_example_fleet_can_run_with_one_container_per_agent(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    (tmp_path / "fleet.yaml").write_text(f"containers: agent\n{text}")
    found = plan_containers(plan_images(load_fleet(tmp_path / "fleet.yaml")))
    order = {agent: at for at, service in enumerate(found.services) for agent in service.agents}
    for agent in found.fleet.agents.values():
        assert all(order[need.agent] <= order[agent.name] for need in agent.needs)
    assert {len(service.agents) for service in found.services} == {1}
    assert check_compose(build_compose(found)) == []
