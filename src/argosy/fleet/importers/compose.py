"""Reads a Docker Compose file: its services, as the processes they run.

A service that says what it runs is an agent. One that only names an image is something the agents
talk to: it gets an address in every environment, and nothing starts it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Literal

from argosy.fault import Fault, InputError
from argosy.fleet.importers.command import Command, read_words
from argosy.fleet.importers.container import Container
from argosy.fleet.importers.found import Decision, FoundAgent, FoundEdge, Service, Source
from argosy.fleet.importers.intake import Data, Intake, Steps
from argosy.fleet.importers.interpolate import Interpolation, read_env_file
from argosy.fleet.importers.leftover import tell_leftovers
from argosy.fleet.importers.peers import tell_peers
from argosy.fleet.importers.row import as_port, has_script

KIND = "a Docker Compose file (`services: {NAME: {command: ...}}`)"

_TAKEN = frozenset(
    {
        *("command", "entrypoint", "working_dir", "environment", "env_file", "depends_on", "links"),
        *("ports", "expose", "restart", "stop_grace_period", "mem_limit", "cpus", "deploy", "profiles"),
        *("build", "image", "volumes"),
    }
)
_RESTARTS: Mapping[str, Literal["on-failure", "always", "never"]] = {
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
_REASONS = {
    "healthcheck": "it runs inside the container; the probe under `ready` is chosen from the ports",
    "networks": "addresses come from the environment of the fleet file",
    "container_name": "the agent is called what the service is called",
    "extends": "what it would add from another service is missing here",
}


def is_compose(intake: Intake) -> bool:
    """Return whether the file has `services` that say an image, a build or a command."""
    services = intake.mapping().get("services")
    if not isinstance(services, dict) or not services:
        return False
    return all(isinstance(one, dict) and not has_script(one) for one in services.values()) and any(
        key in one
        for one in services.values()
        if isinstance(one, dict)
        for key in ("image", "build", "command")
    )


def read_compose(intake: Intake) -> Source:
    """Return the services of a Compose file, in its order.

    Raises InputError: a command whose quotes do not match.
    """
    interpolation = Interpolation(read_env_file(intake.path.parent / ".env"))
    services = interpolation.fill(intake.mapping()["services"])
    agents: list[FoundAgent] = []
    others: list[Service] = []
    decisions: list[Decision] = []
    holders: list[tuple[str, Steps, Mapping[str, object]]] = []
    for name, keys in services.items() if isinstance(services, dict) else ():
        reader = _ServiceReader(intake, name, keys if isinstance(keys, dict) else {})
        found = reader.read()
        if isinstance(found, Service):
            others.append(found)
        else:
            agents.append(found)
            holders.append((name, ("services", name), reader.keys))
        decisions += reader.decisions
    return Source(
        path=intake.path,
        kind=KIND,
        agents=tuple(agents),
        services=tuple(others),
        decisions=(
            *decisions,
            *tell_leftovers(intake, holders, _TAKEN, _reason),
            *_tell_variables(intake, interpolation),
            *_tell_sections(intake),
            *tell_peers(intake, agents),
        ),
    )


def _reason(key: str) -> str:
    return _REASONS.get(key, "it is about the container, not about the process in it")


def _tell_variables(intake: Intake, interpolation: Interpolation) -> Iterator[Decision]:
    where = intake.where(("services",))
    for name, text in interpolation.defaulted.items():
        yield Decision(
            where, f"`${name}` is written as its default `{text}`", "`.env` beside the file does not set it"
        )
    for name in sorted(interpolation.unset):
        why = "`.env` beside the file does not set it, and it has no default; Compose does the same"
        yield Decision(where, f"`${name}` is filled in as nothing", why)


def _tell_sections(intake: Intake) -> Iterator[Decision]:
    for key in ("include", "secrets", "configs"):
        if key in intake.mapping():
            why = (
                "name an included file on the command line to read it as well"
                if key == "include"
                else _reason(key)
            )
            yield Decision(intake.where((key,)), f"`{key}` is not taken over", why)


class _ServiceReader:
    """Reads one service and keeps the decisions that this took."""

    def __init__(self, intake: Intake, name: str, keys: Mapping[str, Data]) -> None:
        self.keys = keys
        self.decisions: list[Decision] = []
        self._intake = intake
        self._name = name
        self._steps: Steps = ("services", name)
        self._container = Container(intake.path.parent, keys)

    def read(self) -> FoundAgent | Service:
        """Return the agent that the service is, or the service itself when nothing says what it runs."""
        words = self._words()
        ports = self._ports()
        where = self._intake.where(self._steps)
        if not words or words[0].startswith("-"):
            self._decide(
                "image",
                f"`{self._name}` is no agent: nothing here says what it runs; it gets an address instead",
                "its image knows; start it as you do today",
            )
            return Service(self._name, where, ports[0] if ports else None)
        try:
            command = read_words(words)
        except ValueError as error:
            raise self._bad_command("command", words, error) from error
        for what, why in command.notes:
            self._decide("command", what, why)
        return self._agent(command, ports, where)

    def _agent(self, command: Command, ports: list[int], where: str) -> FoundAgent:
        run = command.run
        if len(ports) > 1:
            rest = ", ".join(map(str, ports[1:]))
            self._decide(
                "ports", f"`port` of `{self._name}` is {ports[0]}", f"the first it lists; it has {rest} too"
            )
        self._tell_image()
        return FoundAgent(
            name=self._name,
            where=where,
            run=self._container.script(run) if isinstance(run, str) else run,
            args=command.args,
            env={**command.env, **self._environment()},
            env_file=self._env_file(),
            cwd=self._container.folder(),
            python=command.python,
            port=ports[0] if ports else None,
            edges=tuple(self._edges()),
            required=self._required(),
            restart=self._restart(),
            stop_timeout_s=self._stop_timeout(),
            memory=self._memory(),
            cpus=self._cpus(),
        )

    def _decide(self, key: str, what: str, why: str) -> None:
        self.decisions.append(Decision(self._intake.where((*self._steps, key)), what, why, self._name))

    def _words(self) -> tuple[str, ...]:
        """Return what the container runs: entry point and command, else what its Dockerfile says."""
        entry, command = self._split("entrypoint"), self._split("command")
        if entry or (command and not command[0].startswith("-")):
            return (*entry, *command)
        words = self._container.process.words
        if words:
            what = f"`{self._name}` runs `{shlex.join(words)}`"
            self._decide("build", what, f"the Dockerfile `{self._container.dockerfile}` says so")
        return (*words, *command)

    def _split(self, key: str) -> tuple[str, ...]:
        value = self.keys.get(key)
        if isinstance(value, list):
            return tuple(str(word) for word in value)
        try:
            return tuple(shlex.split(str(value))) if value else ()
        except ValueError as error:
            raise self._bad_command(key, value, error) from error

    def _bad_command(self, key: str, found: object, error: ValueError) -> InputError:
        message = f"the `{key}` of `{self._name}` cannot be read: {str(error).lower()}: `{found}`"
        return InputError(Fault(self._intake.where((*self._steps, key)), "bad-command", message))

    def _tell_image(self) -> None:
        if "image" in self.keys and "build" not in self.keys:
            what = (
                f"`{self._name}` ran in the image `{self.keys['image']}` and runs on the machine itself now"
            )
            self._decide("image", what, "what its command needs must be installed there")

    def _ports(self) -> list[int]:
        """Return the ports that the process itself listens on: those inside its container."""
        value = self.keys.get("ports") or self.keys.get("expose") or []
        ports: list[int] = []
        for item in value if isinstance(value, list) else [value]:
            ports += self._port(item)
        return list(dict.fromkeys(ports))

    def _port(self, item: Data) -> list[int]:
        if isinstance(item, dict):
            inside, outside, protocol = (
                item.get("target"),
                item.get("published"),
                str(item.get("protocol", "tcp")),
            )
        else:
            text, _, protocol = str(item).partition("/")
            *before, inside = text.split(":")
            outside = before[-1] if before else None
        port = as_port(str(inside).partition("-")[0])
        if port is None or protocol not in ("", "tcp"):
            self._decide("ports", f"the port `{item}` is left out", "a port is a TCP port from 1 to 65535")
            return []
        if outside not in (None, "", inside, str(inside)):
            what = f"`{self._name}` listens on {port}, published as {outside}"
            self._decide("ports", what, "without a container there is no other number outside")
        return [port]

    def _environment(self) -> dict[str, str]:
        value = self.keys.get("environment")
        if isinstance(value, dict):
            pairs = [(name, None if one is None else self._text(name, one)) for name, one in value.items()]
        else:
            texts = [str(one).partition("=") for one in value] if isinstance(value, list) else []
            pairs = [(name, text if sign else None) for name, sign, text in texts]
        # A name without a value is handed on from the one who starts the fleet; agents inherit it anyway.
        return {name.strip(): text for name, text in pairs if text is not None}

    def _text(self, name: str, value: Data) -> str:
        """Return the value of a variable: filled in where it is text, as written where it is a number."""
        return value if isinstance(value, str) else self._intake.written((*self._steps, "environment", name))

    def _env_file(self) -> str | None:
        value = self.keys.get("env_file")
        items = value if isinstance(value, list) else [value] if value else []
        paths = [str(item.get("path", "")) if isinstance(item, dict) else str(item) for item in items]
        if len(paths) > 1:
            what = f"`env_file` of `{self._name}` is `{paths[-1]}` alone"
            self._decide(
                "env_file", what, f"a fleet file takes one; of {len(paths)} the last wins in Compose too"
            )
        return str(self._intake.path.parent / paths[-1]) if paths else None

    def _edges(self) -> Iterator[FoundEdge]:
        value = self.keys.get("depends_on")
        for at, item in enumerate(value if isinstance(value, list) else []):
            yield FoundEdge(str(item), self._intake.where((*self._steps, "depends_on", at)))
        for to, how in value.items() if isinstance(value, dict) else ():
            yield self._edge_of(to, how if isinstance(how, dict) else {})
        links = self.keys.get("links")
        for at, item in enumerate(links if isinstance(links, list) else []):
            yield FoundEdge(str(item).partition(":")[0], self._intake.where((*self._steps, "links", at)))

    def _edge_of(self, to: str, how: Mapping[str, Data]) -> FoundEdge:
        where = self._intake.where((*self._steps, "depends_on", to))
        if how.get("condition") == "service_completed_successfully":
            what = f"`{self._name}` needs `{to}` to be ready; Compose waits until it has ended well"
            self.decisions.append(Decision(where, what, "an agent is expected to go on running", self._name))
        if how.get("required") is False:
            return FoundEdge(to, where, "want")
        return FoundEdge(to, where)

    def _required(self) -> bool:
        profiles = self.keys.get("profiles")
        if not profiles:
            return True
        names = ", ".join(f"`{one}`" for one in profiles) if isinstance(profiles, list) else f"`{profiles}`"
        what = f"`{self._name}` starts only with the profile {names} today and gets `required: false`"
        self._decide("profiles", what, "argosy starts every agent of the file: take it out, or use `--only`")
        return False

    def _restart(self) -> Literal["on-failure", "always", "never"] | None:
        value = self.keys.get("restart")
        if value is None:
            return None
        word = str(value).lower().partition(":")[0]
        if word not in _RESTARTS:
            self._decide(
                "restart", f"`restart: {value}` is not taken over", f"known are {', '.join(_RESTARTS)}"
            )
        return _RESTARTS.get(word)

    def _stop_timeout(self) -> float | None:
        parts = _DURATION.findall(str(self.keys.get("stop_grace_period", "")))
        return sum(float(number) * _SECONDS[unit] for number, unit in parts) if parts else None

    def _limits(self) -> Mapping[str, Data]:
        value: Data = dict(self.keys)
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
