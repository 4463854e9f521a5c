"""Former path of the resolver, for code that an earlier refit wrote; new code imports `argosy.api`."""

from __future__ import annotations

from argosy.fleet.resolver import endpoint, host

__all__ = ["endpoint", "host"]
