"""What a restart would touch on other machines: the verb foretells it there, and it is told here as one."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from argosy.cli.report import paint
from argosy.engine.client import connect
from argosy.engine.messages import Output, Relay
from argosy.fault import ArgosyError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from argosy.engine.folder import Folder
    from argosy.engine.messages import Report


class Afar(NamedTuple):
    """Agents of another machine; none that are named is all of them."""

    machine: str
    names: list[str]


def afar(report: Report, names: Collection[str], *, is_all: bool) -> list[Afar]:
    """Return which of `names` run on which other machine; is_all: and every other machine without names."""
    home = report.at_home()
    parts: dict[str, list[str]] = {}
    if is_all:
        parts = {machine: [] for machine, each in report.machines.items() if each.state != "here"}
    for name in names:
        if name in report.agents and name not in home:
            parts.setdefault(report.agents[name].machine or "", []).append(name)
    return [Afar(machine, there) for machine, there in parts.items()]


def foretold(folder: Folder, parts: Iterable[Afar], words: list[str]) -> dict[str, dict[str, Any]]:
    """Return the object `restart/1` of each machine; one that cannot be asked is told on stderr."""
    found = {}
    for machine, names in parts:
        told = _ask(folder, machine, ["restart", *names, "--here", "--dry-run", "--json", *words])
        if told is not None:
            found[machine] = told
    return found


def _ask(folder: Folder, machine: str, words: list[str]) -> dict[str, Any] | None:
    data = b""
    try:
        client = connect(folder, "restart")
        if client is None:
            return None
        with client:
            client.send(Relay(machine=machine, words=words))
            while isinstance(answer := client.receive(None), Output) and answer.data:
                data += answer.data
    except ArgosyError as error:
        _warn(machine, error.faults[0].message)
        return None
    told: dict[str, Any] = json.loads(data) if data else {"errors": [{"message": "it said nothing"}]}
    if "errors" in told:
        _warn(machine, "; ".join(each["message"] for each in told["errors"]))
        return None
    return told


def merged(told: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return several objects `restart/1` as one: each machine restarts its part at the same time."""
    every = list(told)
    whole = every[0]
    for more in every[1:]:
        for key, value in more.items():
            if isinstance(value, dict):
                whole[key] = {**whole.get(key, {}), **value}
            elif isinstance(value, list):
                whole[key] = [*whole.get(key, []), *value]
            elif key == "seconds":
                whole[key] = max(whole[key], value)
    return whole


def _warn(machine: str, why: str) -> None:
    sys.stderr.write(f"{paint('warning:', 'yellow', sys.stderr)} machine `{machine}` does not say: {why}\n")
