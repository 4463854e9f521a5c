"""Docker Compose importer: services, edges, ports, environments and Dockerfiles."""

from __future__ import annotations

import pytest

from argosy.fault import InputError
from fleet.importers.import_tree import Imported, Read, Tree

SAMPLE = """\
x-base: &base
  build: .
  restart: unless-stopped
  environment: &env
    LEVEL: INFO
    VERSION: 1.10

services:
  redis:
    image: redis:7
    ports: ["6379:6379"]
    healthcheck: {test: [CMD, redis-cli, ping]}
  registry:
    <<: *base
    command: python agents/registry.py --backend redis --url redis://redis:6379/0
    working_dir: /app
    ports:
      - "127.0.0.1:8100:7100"
      - "7101"
      - "5353:5353/udp"
    depends_on: [redis]
    healthcheck: {test: [CMD, "true"]}
    stop_grace_period: 1m30s
    mem_limit: 512m
  web:
    <<: *base
    entrypoint: ["python", "-m"]
    command: ["web.main", "--name", "${NAME:-site} $$5"]
    environment:
      - A=b=c
      - HANDED_ON
      - EMPTY=
    ports: [{target: 9000, published: 9000}]
    depends_on:
      registry: {condition: service_healthy}
      seed: {condition: service_completed_successfully}
      extra: {condition: service_started, required: false}
    deploy: {resources: {limits: {cpus: "0.5", memory: 1G}}}
  seed:
    image: tools
    command: seed --all
    restart: "no"
  extra:
    build: {context: ., dockerfile: docker/Extra.Dockerfile}
    profiles: [debug]
    env_file: [a.env, {path: b.env}]
    links: ["registry:reg"]
"""


@pytest.fixture
def sample(tree: Tree) -> Imported:
    tree.write("agents/registry.py")
    tree.write(
        "docker/Extra.Dockerfile",
        'FROM a\nCMD old\nFROM b\nWORKDIR /srv\n# x\nCMD ["python", \\\n "extra.py"]\n',
    )
    tree.write("docker-compose.yml", SAMPLE)
    return tree.read("docker-compose.yml")


def test_compose_service_with_command_becomes_agent(sample: Imported) -> None:
    assert list(sample.fleet.agents) == ["registry", "web", "seed", "extra"]
    registry = sample.fleet.agents["registry"]
    assert registry.run == "agents/registry.py"
    assert registry.args[:2] == ("--backend", "redis")
    assert sample.fleet.agents["web"].run == ("python", "-m", "web.main", "--name", "site $5")


def test_compose_service_with_only_image_becomes_address(sample: Imported) -> None:
    environments = sample.fleet.environments
    assert environments["container"]["redis"] == "redis:6379"
    assert environments["production"]["redis"] == "$REDIS_HOST:6379"
    assert environments["testing"]["redis"] == "127.0.0.1:6379"
    assert sample.decision("`redis` is not an agent").where == "docker-compose.yml:10:5"
    assert (
        sample.decision("`redis` is omitted from the needs of `registry`").where == "docker-compose.yml:21:18"
    )
    assert sample.decision("contain the host `redis`")


def test_compose_depends_on_is_read_as_list_and_map(sample: Imported) -> None:
    web = sample.fleet.agents["web"]
    assert [need.agent for need in web.needs] == ["registry", "seed"]
    assert web.wants == ("extra",)
    assert [need.agent for need in sample.fleet.agents["extra"].needs] == ["registry"]
    assert sample.plan.edge_count == 5
    assert sample.decision("`web` needs `seed` to be ready").where == "docker-compose.yml:36:7"


def test_compose_port_is_container_port(sample: Imported) -> None:
    registry = sample.fleet.agents["registry"]
    assert registry.port == 7100
    assert registry.ready.probe == "tcp"
    assert sample.decision("listens on 7100, published as 8100")
    assert sample.decision("`5353:5353/udp`")
    assert sample.decision("others are 7101")
    assert sample.fleet.agents["web"].port == 9000


def test_compose_environment_is_read_as_list_and_map(sample: Imported) -> None:
    assert sample.fleet.agents["registry"].env == {"LEVEL": "INFO", "VERSION": "1.10"}
    assert sample.fleet.agents["web"].env == {"A": "b=c", "EMPTY": ""}


def test_compose_limits_restart_and_stop_timeout_are_imported(sample: Imported) -> None:
    agents = sample.fleet.agents
    assert (agents["registry"].memory_bytes, agents["registry"].stop_timeout_s) == (512 * 2**20, 90)
    assert (agents["web"].memory_bytes, agents["web"].cpus) == (2**30, 0.5)
    assert [agents[name].restart for name in agents] == ["always", "always", "never", "on-failure"]


def test_compose_build_without_command_uses_dockerfile(sample: Imported) -> None:
    extra = sample.fleet.agents["extra"]
    assert (extra.run, extra.required, extra.env_file) == ("extra.py", False, "b.env")
    assert sample.decision("`extra` runs `python extra.py`")
    assert sample.decision("only with the profile `debug`")


def test_compose_importer_reports_healthchecks_once(sample: Imported) -> None:
    assert sample.decision("`healthcheck` of `registry`").where == "docker-compose.yml:22:5"


def test_compose_variables_come_from_dotenv_file(tree: Tree) -> None:
    tree.write(".env", "PORT=7100 # here\nNAME='a b'\n")
    tree.write(
        "compose.yaml",
        """\
        services:
          a:
            command: [serve, "$NAME", "${UNSET}", "${NAME:+set}"]
            ports: ["${PORT}:${PORT}"]
        """,
    )
    imported = tree.read("compose.yaml")
    assert imported.fleet.agents["a"].run == ("serve", "a b", "", "set")
    assert imported.fleet.agents["a"].port == 7100
    assert imported.decision("`$UNSET` is replaced by an empty text")


def test_compose_importer_finds_scripts_through_volumes(tree: Tree) -> None:
    tree.write("src/agents/a.py")
    tree.write(
        "deploy/compose.yaml",
        """\
        services:
          a:
            image: python:3.11
            volumes: ["../src:/code:ro", "cache:/cache"]
            command: python /code/agents/a.py
        """,
    )
    assert tree.read("deploy/compose.yaml").fleet.agents["a"].run == "src/agents/a.py"


def test_compose_command_with_open_quote_names_its_place(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("compose.yml", "services:\n  a:\n    image: x\n    command: python 'a\n")
    assert caught.value.faults[0].where == "compose.yml:4:5"


def test_compose_file_with_only_images_is_error(read: Read) -> None:
    with pytest.raises(InputError) as caught:
        read("compose.yml", "services:\n  a: {image: redis}\n")
    assert caught.value.faults[0].code == "nothing-found"
