"""The built-in measures: values of a tree or a fleet that argosy measures itself."""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class BuiltinMeasure(msgspec.Struct, frozen=True):
    """A built-in measure.

    subject: what it measures. is_portable: two machines give the same value. is_live: it changes with time
    alone and is measured in every run. packages: those of argosy that the value depends on.
    """

    name: str
    subject: Literal["tree", "fleet"]
    unit: str
    is_portable: bool
    description: str
    is_live: bool = False

    @property
    def packages(self) -> tuple[str, ...]:
        if self.subject == "tree":
            return ("fleet", "refit", "source")
        return ("agent", "engine", "fleet", "wire")


_BUILTINS = (
    BuiltinMeasure(
        "audit.CODE.count", "tree", "findings", True, "findings of a rule (`Z301`) or a family (`A`)"
    ),
    BuiltinMeasure("audit.all.count", "tree", "findings", True, "findings of all rules"),
    BuiltinMeasure("audit.files.count", "tree", "files", True, "Python files"),
    BuiltinMeasure("audit.unparseable.count", "tree", "files", True, "Python files that do not parse"),
    BuiltinMeasure("fleet.declared", "fleet", "agents", True, "agents in the fleet file"),
    BuiltinMeasure("fleet.ready", "fleet", "agents", True, "agents that are ready after `argosy up`"),
    BuiltinMeasure("fleet.contexts", "fleet", "contexts", True, "ZeroMQ contexts of the running fleet"),
    BuiltinMeasure("fleet.threads", "fleet", "threads", False, "threads of the running fleet's agents"),
    BuiltinMeasure("fleet.pss", "fleet", "bytes", False, "proportional memory of the running fleet's agents"),
    BuiltinMeasure(
        "start.seconds", "fleet", "s", False, "from the command to its summary: `argosy up -d`, cold start"
    ),
    BuiltinMeasure(
        "image.size", "fleet", "bytes", True, "size of all built images, shared layers counted once", True
    ),
    BuiltinMeasure("image.largest", "fleet", "bytes", True, "the largest built image, unpacked", True),
    BuiltinMeasure(
        "image.unproven", "fleet", "images", True, "built images without a passed smoke test", True
    ),
    BuiltinMeasure(
        "hub.lost", "fleet", "records", True, "records that the hub of the running fleet has lost", True
    ),
)
_CODE = re.compile(r"audit\.([A-Z]\d{0,3})\.count")


def find_builtin(name: str) -> BuiltinMeasure | None:
    """Return the built-in measure with a name such as `audit.Z301.count`, None if there is none."""
    known = {builtin.name: builtin for builtin in _BUILTINS}
    if name in known and name != "audit.CODE.count":
        return known[name]
    return known["audit.CODE.count"] if _CODE.fullmatch(name) else None


def audit_code(name: str) -> str:
    """Return the code that an `audit.CODE.count` measure counts; empty for other measures."""
    found = _CODE.fullmatch(name)
    return found[1] if found else ""


def builtin_names() -> tuple[str, ...]:
    """Return the names of all built-in measures."""
    return tuple(builtin.name for builtin in _BUILTINS)


def all_builtins() -> tuple[BuiltinMeasure, ...]:
    """Return all built-in measures."""
    return _BUILTINS
