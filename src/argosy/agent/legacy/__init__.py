"""Old agents on argosy's machinery: `BaseAgent`, the base class that their subclasses expect.

A subclass runs unchanged. What its old base did with a thread, a port or a context for each
feature is done by one responder for the process: it answers health on the declared ports, hands
requests to the work loop in the main thread, and tells the supervisor where that thread is.
"""

from __future__ import annotations

from argosy.agent.legacy.base_agent import BaseAgent, logger

__all__ = ["BaseAgent", "logger"]
