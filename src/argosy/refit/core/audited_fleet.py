"""The fleet file that a tree is compared with, cached until it changes."""

from __future__ import annotations

import msgspec

from argosy.fault import Fault, InputError
from argosy.fleet.fleet_spec import Fleet
from argosy.refit.core.audit_cache import TreeCache


class AuditedFleet(msgspec.Struct, frozen=True, array_like=True):
    """A loaded fleet file. key: identifies its content and the code that read it. faults: of the whole."""

    key: bytes
    fleet: Fleet
    faults: tuple[Fault, ...]


def load_audited_fleet(tree_cache: TreeCache, path: str, key: bytes) -> AuditedFleet:
    """Return the fleet file at `path`, from the cache if it was stored with `key`.

    Raises InputError: the file cannot be read, or a value in it has the wrong type.
    """
    cached = tree_cache.load("fleet", AuditedFleet)
    if cached is not None and cached.key == key:
        return cached
    # Most trees have no fleet file, and loading the YAML reader is slow.
    from argosy.fleet.loader import read_fleet  # noqa: PLC0415

    fleet, faults = read_fleet(path)
    if fleet is None:
        raise InputError(*faults)
    loaded = AuditedFleet(key, fleet, tuple(faults))
    tree_cache.store("fleet", loaded)
    return loaded
