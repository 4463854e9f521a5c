"""Where a machine, an agent or a service is, for code that has the name and nothing else.

This stands where an address was typed into the source. The fleet file is the one that ARGOSY_FLEET_FILE
names, else the nearest `fleet.yaml` in the folders above the asking file, else above the working
folder. It is read when it is first needed, and again when it has changed: who has the variable
pays nothing.
"""

from __future__ import annotations

import importlib
import os
import sys


def host(name: str, *variables: str) -> str:
    """Return the host of a machine, an agent or a service in the environment that ENV_TYPE chooses.

    variables: asked before the fleet; the first that is set is the answer, an empty one too. So code
    that had a literal behind a variable keeps what it honoured.
    Raises MissingError: there is no fleet file. InputError: it has no such name, or not in this
    environment, or the address comes from a variable that is not set.
    """
    for variable in variables:
        if variable in os.environ:
            return os.environ[variable]
    found: str = importlib.import_module("argosy.fleet.fleet_discovery").find_host_for(
        name, _calling_folder()
    )
    return found


def endpoint(name: str) -> str:
    """Return the `tcp://host:port` of an agent or a service in the environment that ENV_TYPE chooses.

    Raises MissingError, InputError: as `host`; or it has no port.
    """
    found: str = importlib.import_module("argosy.fleet.fleet_discovery").find_endpoint_for(
        name, _calling_folder()
    )
    return found


def _calling_folder() -> str:
    """Return the folder of the file that asks; empty for one without a file."""
    path = sys._getframe(2).f_globals.get("__file__")
    return os.path.dirname(os.path.abspath(path)) if isinstance(path, str) else ""
