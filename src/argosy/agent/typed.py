"""Former names of stream types, for stub files made before; new ones import `argosy.agent.stream_types`."""

from __future__ import annotations

from argosy.agent.stream_types import ItemStream as Items
from argosy.agent.stream_types import SyncItemStream as ItemsSync

__all__ = ["Items", "ItemsSync"]
