"""Makes names valid for a fleet file, and unique."""

from __future__ import annotations

import re
from collections.abc import Collection


def to_fleet_name(text: str) -> str:
    """Return `text` as a valid name: invalid characters become `_`, and a leading digit gets a `_` prefix."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", text.strip(), flags=re.ASCII)
    return name if re.match(r"[A-Za-z_]", name) else f"_{name}"


def make_unique(name: str, used_names: Collection[str]) -> str:
    """Return `name`, with the suffix `_2`, `_3` and so on if it is taken."""
    number, candidate = 2, name
    while candidate in used_names:
        candidate = f"{name}_{number}"
        number += 1
    return candidate


def to_variable_name(text: str) -> str:
    """Return `text` as the name of an environment variable."""
    return re.sub(r"\W", "_", text, flags=re.ASCII).upper()
