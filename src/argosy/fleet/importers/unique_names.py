"""Names as a fleet file takes them, and unlike one another."""

from __future__ import annotations

import re
from collections.abc import Collection


def to_fleet_name(text: str) -> str:
    """Return `text` as a name: what a name may not hold becomes `_`, and one goes before a first digit."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text.strip(), flags=re.ASCII)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def make_unique(name: str, used_names: Collection[str]) -> str:
    """Return `name`, with `_2`, `_3` and so on behind it while it is taken."""
    number, candidate = 2, name
    while candidate in used_names:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def to_variable_name(text: str) -> str:
    """Return `text` as the name of an environment variable."""
    return re.sub(r"\W", "_", text, flags=re.ASCII).upper()
