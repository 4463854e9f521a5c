"""Reads the services of a Docker Compose file as agents and external services.

A service with a command is an agent. A service with only an image is external: it gets an address in
every environment and is not started.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from argosy.fleet.importers.agent_rows import has_script, parse_port_value
from argosy.fleet.importers.command_line import CommandLine, command_error, parse_argv
from argosy.fleet.importers.container_paths import ContainerPaths
from argosy.fleet.importers.import_model import (
    STARTS_EVERY_AGENT,
    ExternalService,
    ImportDecision,
    ImportedAgent,
    ImportedEdge,
    ImportSource,
    unsupported_key_decisions,
)
from argosy.fleet.importers.input_file import InputFile, KeyPath, PlainData
from argosy.fleet.importers.interpolation import Interpolation, read_env_file
from argosy.fleet.quantities import format_names

COMPOSE_FORMAT = "a Docker Compose file (`services: {NAME: {command: ...}}`)"

_SUPPORTED_KEYS = frozenset(
    {
        *("command", "entrypoint", "working_dir", "environment", "env_file", "depends_on", "links"),
        *("ports", "expose", "restart", "stop_grace_period", "mem_limit", "cpus", "deploy", "profiles"),
        *("build", "image", "volumes"),
    }
)
_RESTART_POLICIES: Mapping[str, Literal["on-failure", "always", "never"]] = {
    "no": "never",
    "false": "never",
    "always": "always",
    "unless-stopped": "always",
    "on-failure": "on-failure",
}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m|h)")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([bkmg])?(?:i?b)?$", re.IGNORECASE)
_UNITS = {"": "B", "b": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
_UNSUPPORTED_REASONS = {
    "include": "name an included file on the command line to import it too",
    "healthcheck": "it runs inside the container; the probe under `ready` is chosen by the ports",
    "networks": "addresses come from the environment of the fleet file",
    "container_name": "the agent has the name of the service",
    "extends": "the keys of the extended service are missing here",
}


def is_compose(input_file: InputFile) -> bool:
    """Return whether the file has `services` with an image, a build or a command."""
    services = input_file.top_mapping().get("services")
    if not isinstance(services, dict) or not services:
        return False
    return all(isinstance(one, dict) and not has_script(one) for one in services.values()) and any(
        key in one
        for one in services.values()
        if isinstance(one, dict)
        for key in ("image", "build", "command")
    )


def read_compose(input_file: InputFile) -> ImportSource:
    """Return the services of a Compose file, in file order.

    Raises InputError: a command whose quotes do not match.
    """
    interpolation = Interpolation(read_env_file(input_file.path.parent / ".env"))
    services = interpolation.substitute(input_file.top_mapping()["services"])
    agents: list[ImportedAgent] = []
    external_services: list[ExternalService] = []
    decisions: list[ImportDecision] = []
    agent_keys: list[tuple[str, KeyPath, Mapping[str, object]]] = []
    for name, keys in services.items() if isinstance(services, dict) else ():
        reader = _ServiceReader(input_file, name, keys if isinstance(keys, dict) else {})
        found = reader.read()
        if isinstance(found, ExternalService):
            external_services.append(found)
        else:
            agents.append(found)
            agent_keys.append((name, ("services", name), reader.keys))
        decisions += reader.decisions
    return ImportSource(
        path=input_file.path,
        kind=COMPOSE_FORMAT,
        agents=tuple(agents),
        services=tuple(external_services),
        decisions=(
            *decisions,
            *unsupported_key_decisions(input_file, agent_keys, _SUPPORTED_KEYS, _unsupported_reason),
            *_variable_decisions(input_file, interpolation),
            *_section_decisions(input_file),
            *_hostname_decisions(input_file, agents),
        ),
    )


def _unsupported_reason(key: str) -> str:
    return _UNSUPPORTED_REASONS.get(key, "it configures the container, not the process in it")


def _variable_decisions(input_file: InputFile, interpolation: Interpolation) -> Iterator[ImportDecision]:
    where = input_file.location_of(("services",))
    for name, text in interpolation.defaults_used.items():
        what = f"`${name}` is replaced by its default `{text}`"
        yield ImportDecision(where, what, "`.env` next to the file does not set it")
    for name in sorted(interpolation.unset_names):
        why = "`.env` next to the file does not set it, and it has no default; Compose does the same"
        yield ImportDecision(where, f"`${name}` is replaced by an empty text", why)


def _section_decisions(input_file: InputFile) -> Iterator[ImportDecision]:
    for key in ("include", "secrets", "configs"):
        if key in input_file.top_mapping():
            where = input_file.location_of((key,))
            yield ImportDecision(where, f"`{key}` is not imported", _unsupported_reason(key))


def _hostname_decisions(input_file: InputFile, agents: Sequence[ImportedAgent]) -> Iterator[ImportDecision]:
    """Yield one decision about host names for the file, and one for each agent that uses some."""
    yield ImportDecision(
        input_file.location_of(("services",)),
        "in `container` too, the address of an agent is that of its machine",
        "in Compose each service has its own host name; `<AGENT>_HOST` overrides the host of an agent",
    )
    services = input_file.top_mapping().get("services")
    names = "|".join(re.escape(name) for name in services) if isinstance(services, dict) else ""
    # `redis:6379` and `redis://redis/0`, but not `--name redis` or `my-redis:1`.
    host = re.compile(rf"(?<![\w.-])({names}):\d|//(?:[^@/\s]*@)?({names})(?![\w.-])")
    for agent in agents:
        texts = [*agent.args, *agent.env.values(), *(agent.run if isinstance(agent.run, tuple) else ())]
        found = {match[1] or match[2]: None for word in texts for match in host.finditer(word)}
        if found:
            what = f"arguments or variables of `{agent.name}` contain the host {format_names(found)}"
            why = "service names resolve only in a container network: write an address that is valid here"
            yield ImportDecision(agent.where, what, why, agent.name)


class _ServiceReader:
    """Reads one service and records the decisions."""

    def __init__(self, input_file: InputFile, name: str, keys: Mapping[str, PlainData]) -> None:
        self.keys = keys
        self.decisions: list[ImportDecision] = []
        self._input_file = input_file
        self._name = name
        self._key_path: KeyPath = ("services", name)
        self._container = ContainerPaths(input_file.path.parent, keys)

    def read(self) -> ImportedAgent | ExternalService:
        """Return the service as an agent, or as an external service if it has no command."""
        argv = self._container_argv()
        ports = self._ports()
        where = self._location()
        if not argv or argv[0].startswith("-"):
            what = f"`{self._name}` is not an agent: it has no command here; it gets an address instead"
            self._add_decision("image", what, "the command is in its image; start it separately")
            return ExternalService(self._name, where, ports[0] if ports else None)
        with command_error(self._location("command"), f"the `command` of `{self._name}`", argv):
            command = parse_argv(argv)
        for what, why in command.notes:
            self._add_decision("command", what, why)
        return self._agent(command, ports, where)

    def _agent(self, command: CommandLine, ports: list[int], where: str) -> ImportedAgent:
        run = command.run
        if len(ports) > 1:
            rest = ", ".join(map(str, ports[1:]))
            what = f"`port` of `{self._name}` is {ports[0]}"
            self._add_decision("ports", what, f"the first one listed; others are {rest}")
        if "image" in self.keys and "build" not in self.keys:
            what = f"`{self._name}` ran in the image `{self.keys['image']}` and now runs on the machine"
            self._add_decision("image", what, "the dependencies of its command must be installed there")
        return ImportedAgent(
            name=self._name,
            where=where,
            run=self._container.host_script(run) if isinstance(run, str) else run,
            args=command.args,
            env={**command.env, **self._environment()},
            env_file=self._env_file(),
            cwd=self._container.host_working_dir(),
            python=command.python,
            port=ports[0] if ports else None,
            edges=tuple(self._dependency_edges()),
            required=self._required(),
            restart=self._restart(),
            stop_timeout_s=self._stop_timeout(),
            memory=self._memory(),
            cpus=self._cpus(),
        )

    def _location(self, *path: str | int) -> str:
        return self._input_file.location_of((*self._key_path, *path))

    def _add_decision(self, key: str, what: str, why: str) -> None:
        self.decisions.append(ImportDecision(self._location(key), what, why, self._name))

    def _container_argv(self) -> tuple[str, ...]:
        """Return what the container runs: entry point and command, else those of its Dockerfile."""
        entry, command = self._split_command("entrypoint"), self._split_command("command")
        if entry or (command and not command[0].startswith("-")):
            return (*entry, *command)
        argv = self._container.process.argv
        if argv:
            what = f"`{self._name}` runs `{shlex.join(argv)}`"
            self._add_decision("build", what, f"from the Dockerfile `{self._container.dockerfile}`")
        return (*argv, *command)

    def _split_command(self, key: str) -> tuple[str, ...]:
        value = self.keys.get(key)
        if isinstance(value, list):
            return tuple(str(word) for word in value)
        with command_error(self._location(key), f"the `{key}` of `{self._name}`", value):
            return tuple(shlex.split(str(value))) if value else ()

    def _ports(self) -> list[int]:
        """Return the ports that the process listens on, as seen inside its container."""
        value = self.keys.get("ports") or self.keys.get("expose") or []
        ports: list[int] = []
        for item in value if isinstance(value, list) else [value]:
            ports += self._parse_port(item)
        return list(dict.fromkeys(ports))

    def _parse_port(self, item: PlainData) -> list[int]:
        if isinstance(item, dict):
            inside, outside = item.get("target"), item.get("published")
            protocol = str(item.get("protocol", "tcp"))
        else:
            text, _, protocol = str(item).partition("/")
            *before, inside = text.split(":")
            outside = before[-1] if before else None
        port = parse_port_value(str(inside).partition("-")[0])
        if port is None or protocol not in ("", "tcp"):
            why = "a port is a TCP port from 1 to 65535"
            self._add_decision("ports", f"the port `{item}` is omitted", why)
            return []
        if outside not in (None, "", inside, str(inside)):
            what = f"`{self._name}` listens on {port}, published as {outside}"
            self._add_decision("ports", what, "without a container there is no port mapping")
        return [port]

    def _environment(self) -> dict[str, str]:
        value = self.keys.get("environment")
        if isinstance(value, dict):
            pairs = [(name, self._variable_text(name, one)) for name, one in value.items()]
        else:
            texts = [str(one).partition("=") for one in value] if isinstance(value, list) else []
            pairs = [(name, text if sign else None) for name, sign, text in texts]
        # A name without a value is inherited from the caller's environment, which agents inherit anyway.
        return {name.strip(): text for name, text in pairs if text is not None}

    def _variable_text(self, name: str, value: PlainData) -> str | None:
        """Return the value of a variable: interpolated if it is text, as written if it is a number."""
        if value is None or isinstance(value, str):
            return value
        return self._input_file.scalar_text((*self._key_path, "environment", name))

    def _env_file(self) -> str | None:
        value = self.keys.get("env_file")
        items = value if isinstance(value, list) else [value] if value else []
        paths = [str(item.get("path", "")) if isinstance(item, dict) else str(item) for item in items]
        if len(paths) > 1:
            what = f"`env_file` of `{self._name}` is only `{paths[-1]}`"
            why = f"a fleet file allows one; of {len(paths)} the last wins in Compose too"
            self._add_decision("env_file", what, why)
        return str(self._input_file.path.parent / paths[-1]) if paths else None

    def _dependency_edges(self) -> Iterator[ImportedEdge]:
        value = self.keys.get("depends_on")
        for at, item in enumerate(value if isinstance(value, list) else []):
            yield ImportedEdge(str(item), self._location("depends_on", at))
        for to, how in value.items() if isinstance(value, dict) else ():
            yield self._dependency_edge(to, how if isinstance(how, dict) else {})
        links = self.keys.get("links")
        for at, item in enumerate(links if isinstance(links, list) else []):
            yield ImportedEdge(str(item).partition(":")[0], self._location("links", at))

    def _dependency_edge(self, to: str, options: Mapping[str, PlainData]) -> ImportedEdge:
        where = self._location("depends_on", to)
        if options.get("condition") == "service_completed_successfully":
            what = f"`{self._name}` needs `{to}` to be ready; Compose waits until it has exited with 0"
            why = "an agent is expected to keep running"
            self.decisions.append(ImportDecision(where, what, why, self._name))
        return ImportedEdge(to, where, "want" if options.get("required") is False else "need")

    def _required(self) -> bool:
        profiles = self.keys.get("profiles")
        if not profiles:
            return True
        names = format_names(map(str, profiles if isinstance(profiles, list) else [profiles]))
        what = f"`{self._name}` starts only with the profile {names} and gets `required: false`"
        self._add_decision("profiles", what, STARTS_EVERY_AGENT)
        return False

    def _restart(self) -> Literal["on-failure", "always", "never"] | None:
        value = self.keys.get("restart")
        if value is None:
            return None
        word = str(value).lower().partition(":")[0]
        if word not in _RESTART_POLICIES:
            why = f"known values: {', '.join(_RESTART_POLICIES)}"
            self._add_decision("restart", f"`restart: {value}` is not imported", why)
        return _RESTART_POLICIES.get(word)

    def _stop_timeout(self) -> float | None:
        parts = _DURATION.findall(str(self.keys.get("stop_grace_period", "")))
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None

    def _limits(self) -> Mapping[str, PlainData]:
        value: PlainData = dict(self.keys)
        for key in ("deploy", "resources", "limits"):
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def _memory(self) -> str | None:
        value = self._limits().get("memory", self.keys.get("mem_limit"))
        match = _SIZE.match(str(value)) if value is not None else None
        return f"{match[1]}{_UNITS[(match[2] or '').lower()]}" if match else None

    def _cpus(self) -> float | None:
        value = self._limits().get("cpus", self.keys.get("cpus"))
        try:
            cpus = float(str(value)) if value is not None else 0.0
        except ValueError:
            return None
        return cpus if 0 < cpus < float("inf") else None
