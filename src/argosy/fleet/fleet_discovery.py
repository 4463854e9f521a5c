"""Finds the fleet file nearest to a piece of code, and the addresses in it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from argosy.fault import Fault, MissingError
from argosy.fleet.address_lookup import AddressLookup
from argosy.fleet.environments import check_environment
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.placement import Placement

_FILE_NAME: Final = "fleet.yaml"
_fleet_cache: dict[str, tuple[tuple[int, int], Fleet]] = {}


def find_host_for(name: str, folder: str) -> str:
    """Return the host of a name for code in `folder`; raises as `resolver.host`."""
    fleet, lookup = _lookup_for(folder)
    return host_of(fleet, lookup, name)


def host_of(fleet: Fleet, lookup: AddressLookup, name: str) -> str:
    """Return the host of a machine, an agent or a service in a fleet.

    Raises InputError: no such name in this environment, or an unset variable.
    """
    if name in fleet.machines:
        return lookup.host_of_machine(name).value
    if name in fleet.agents:
        return lookup.host_of_agent(fleet.agents[name]).value
    return lookup.address_of_service(name)[0].value


def find_endpoint_for(name: str, folder: str) -> str:
    """Return the endpoint of a name for code in `folder`; raises as `resolver.endpoint`."""
    fleet, lookup = _lookup_for(folder)
    placement = Placement(lookup)
    return (placement.endpoint_of(name) if name in fleet.agents else placement.endpoint_of_service(name)).url


def _lookup_for(folder: str) -> tuple[Fleet, AddressLookup]:
    fleet = _load_cached(_find_fleet_file(folder))
    environment = os.environ.get("ENV_TYPE") or "development"
    check_environment(fleet, environment)
    return fleet, AddressLookup(fleet, environment, dict(os.environ))


def _find_fleet_file(folder: str) -> Path:
    chosen = os.environ.get("ARGOSY_FLEET_FILE")
    if chosen:
        return Path(chosen)
    for start in filter(None, (folder, os.getcwd())):
        for each in (Path(start), *Path(start).parents):
            if (each / _FILE_NAME).is_file():
                return each / _FILE_NAME
    message = f"no `{_FILE_NAME}` in this folder or above it, nor above the working folder"
    raise MissingError(Fault(folder or os.getcwd(), "no-fleet", message, "`export ARGOSY_FLEET_FILE=PATH`"))


def _load_cached(path: Path) -> Fleet:
    key = os.path.abspath(path)
    try:
        file_stat = os.stat(key)
    except OSError as error:
        message = f"the fleet file cannot be read: {error.strerror}"
        raise MissingError(Fault(key, "no-fleet", message, "ARGOSY_FLEET_FILE names it")) from error
    fingerprint = (file_stat.st_mtime_ns, file_stat.st_size)
    cached = _fleet_cache.get(key)
    if cached is None or cached[0] != fingerprint:
        cached = _fleet_cache[key] = (fingerprint, load_fleet(path))
    return cached[1]
