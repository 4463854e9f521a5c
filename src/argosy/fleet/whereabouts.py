"""The functions of `resolver` under a former module name, which refitted code may still import."""

from __future__ import annotations

from argosy.fleet.resolver import endpoint, host

__all__ = ["endpoint", "host"]
