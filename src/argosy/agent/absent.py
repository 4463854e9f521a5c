"""Former names of placeholders, for code that an earlier repair wrote; new code imports `argosy.api`."""

from __future__ import annotations

from typing import Any

from argosy.agent.missing_packages import missing_packages as absent
from argosy.agent.missing_packages import placeholder

__all__ = ["absent", "stand_in"]


def stand_in(name: str, *, behind_probes: bool = False) -> Any:
    """Return `placeholder(name, behind_device_check=behind_probes)`."""
    return placeholder(name, behind_device_check=behind_probes)
