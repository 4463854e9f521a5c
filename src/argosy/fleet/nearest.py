"""The fleet file that is nearest to some code, and where it says that things are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from argosy.fault import Fault, InputError, MissingError
from argosy.fleet.environment import environments_of
from argosy.fleet.load import load_fleet
from argosy.fleet.lookup import Lookup
from argosy.fleet.placement import Placement
from argosy.fleet.spec import Fleet

_FILE: Final = "fleet.yaml"
_read: dict[str, tuple[tuple[int, int], Fleet]] = {}


def find_host(name: str, folder: str) -> str:
    """Return the host of a name for code in `folder`; raises as `whereabouts.host`."""
    fleet, lookup = _lookup(folder)
    return host_in(fleet, lookup, name)


def host_in(fleet: Fleet, lookup: Lookup, name: str) -> str:
    """Return the host that a fleet has for a machine, an agent or a service.

    Raises InputError: no such name here, or an unset variable.
    """
    if name in fleet.machines:
        return lookup.machine_host(name).value
    if name in fleet.agents:
        return lookup.agent_host(fleet.agents[name]).value
    return lookup.service(name)[0].value


def find_endpoint(name: str, folder: str) -> str:
    """Return the endpoint of a name for code in `folder`; raises as `whereabouts.endpoint`."""
    fleet, lookup = _lookup(folder)
    placement = Placement(lookup)
    return (placement.connect(name) if name in fleet.agents else placement.service(name)).url


def _lookup(folder: str) -> tuple[Fleet, Lookup]:
    fleet = _load(_find(folder))
    environment = os.environ.get("ENV_TYPE") or "development"
    known = environments_of(fleet)
    if environment not in known:
        listed = ", ".join(f"`{each}`" for each in known)
        message = f"there is no environment `{environment}`; this fleet has {listed}"
        raise InputError(Fault("ENV_TYPE", "unknown-environment", message, "ENV_TYPE chooses one of them"))
    return fleet, Lookup(fleet, environment, dict(os.environ))


def _find(folder: str) -> Path:
    chosen = os.environ.get("ARGOSY_FLEET_FILE")
    if chosen:
        return Path(chosen)
    for start in filter(None, (folder, os.getcwd())):
        found = next(filter(Path.is_file, _above(Path(start))), None)
        if found is not None:
            return found
    raise MissingError(
        Fault(
            folder or os.getcwd(),
            "no-fleet",
            f"no `{_FILE}` in this folder or above it, nor above the working folder",
            "`export ARGOSY_FLEET_FILE=PATH`",
        )
    )


def _above(folder: Path) -> Iterator[Path]:
    for each in (folder, *folder.parents):
        yield each / _FILE


def _load(path: Path) -> Fleet:
    key = os.path.abspath(path)
    try:
        told = os.stat(key)
    except OSError as error:
        message = f"the fleet file cannot be read: {error.strerror}"
        raise MissingError(Fault(key, "no-fleet", message, "ARGOSY_FLEET_FILE names it")) from error
    stamp = (told.st_mtime_ns, told.st_size)
    known = _read.get(key)
    if known is None or known[0] != stamp:
        known = _read[key] = (stamp, load_fleet(path))
    return known[1]
