"""Public path of `BaseAgent`, the base class of agents written before argosy; see docs/reference/compat.md.

`discovery` has the functions of their service discovery. The implementation is `argosy.agent.legacy`.
"""

from __future__ import annotations

from argosy.agent.legacy.base_agent import BaseAgent, logger

__all__ = ["BaseAgent", "logger"]
