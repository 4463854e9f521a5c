"""Resolves a machine, an agent or a service to its address by name.

Replaces addresses that were literals in source code. The fleet file is the one in ARGOSY_FLEET_FILE,
else the nearest `fleet.yaml` in the folders above the calling file, else above the working folder. It
is loaded on first use and reloaded when it changes; a call whose variable is set does not load it.
"""

from __future__ import annotations

import importlib
import os
import sys


def host(name: str, *variables: str) -> str:
    """Return the host of a machine, an agent or a service in the environment that ENV_TYPE chooses.

    variables: environment variables that override the fleet; the first one set is returned, even if
    empty, so code that had a literal as the default of a variable keeps its behaviour.
    Raises MissingError: there is no fleet file. InputError: the name is unknown in the fleet or in this
    environment, or its address comes from a variable that is not set.
    """
    for variable in variables:
        if variable in os.environ:
            return os.environ[variable]
    discovery = importlib.import_module("argosy.fleet.fleet_discovery")
    found: str = discovery.find_host_for(name, _calling_folder())
    return found


def endpoint(name: str) -> str:
    """Return the `tcp://host:port` of an agent or a service in the environment that ENV_TYPE chooses.

    Raises MissingError, InputError: as `host`; or it has no port.
    """
    discovery = importlib.import_module("argosy.fleet.fleet_discovery")
    found: str = discovery.find_endpoint_for(name, _calling_folder())
    return found


def _calling_folder() -> str:
    """Return the folder of the calling file; empty if the caller has no file."""
    path = sys._getframe(2).f_globals.get("__file__")
    return os.path.dirname(os.path.abspath(path)) if isinstance(path, str) else ""
