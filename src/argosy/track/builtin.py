"""The measures that need no command: what argosy can count and weigh of a tree or a fleet itself."""

from __future__ import annotations

import re
from typing import Literal

import msgspec


class Builtin(msgspec.Struct, frozen=True):
    """A built-in measure.

    of: what it is about. is_portable: two machines give the same value. is_live: it changes with time alone,
    and is measured in every run. rooms: of argosy's own code, those that the value hangs on.
    """

    name: str
    of: Literal["tree", "fleet"]
    unit: str
    is_portable: bool
    doc: str
    is_live: bool = False

    @property
    def rooms(self) -> tuple[str, ...]:
        if self.of == "tree":
            return ("fleet", "refit", "source")
        return ("agent", "engine", "fleet", "wire")


_ALL = (
    Builtin("audit.CODE.count", "tree", "findings", True, "findings of a rule (`Z301`) or a family (`A`)"),
    Builtin("audit.all.count", "tree", "findings", True, "findings of all rules"),
    Builtin("audit.files.count", "tree", "files", True, "Python files"),
    Builtin("audit.unparseable.count", "tree", "files", True, "Python files that do not parse"),
    Builtin("fleet.declared", "fleet", "agents", True, "agents that the fleet file has"),
    Builtin("fleet.ready", "fleet", "agents", True, "agents that are ready after `argosy up`"),
    Builtin("fleet.contexts", "fleet", "contexts", True, "ZeroMQ contexts of the running fleet"),
    Builtin("fleet.threads", "fleet", "threads", False, "threads of the running fleet's agents"),
    Builtin("fleet.pss", "fleet", "bytes", False, "proportional memory of the running fleet's agents"),
    Builtin(
        "start.seconds", "fleet", "s", False, "from the command to the account: `argosy up -d`, from cold"
    ),
    Builtin("image.size", "fleet", "bytes", True, "what all built images take, shared layers once", True),
    Builtin("image.largest", "fleet", "bytes", True, "the largest built image, unpacked", True),
    Builtin("image.unproven", "fleet", "images", True, "built images that no run has proven", True),
    Builtin("hub.lost", "fleet", "records", True, "records that the hub of the running fleet lacks", True),
)
_CODE = re.compile(r"audit\.([A-Z]\d{0,3})\.count")


def find_builtin(name: str) -> Builtin | None:
    """Return the built-in measure of a name such as `audit.Z301.count`, None when there is none."""
    known = {builtin.name: builtin for builtin in _ALL}
    if name in known and name != "audit.CODE.count":
        return known[name]
    return known["audit.CODE.count"] if _CODE.fullmatch(name) else None


def audit_code(name: str) -> str:
    """Return the code that `audit.CODE.count` counts; empty for the other measures of an audit."""
    found = _CODE.fullmatch(name)
    return found[1] if found else ""


def shown_builtins() -> tuple[str, ...]:
    """Return the names, as help and hints list them."""
    return tuple(builtin.name for builtin in _ALL)


def all_builtins() -> tuple[Builtin, ...]:
    """Return them all."""
    return _ALL
