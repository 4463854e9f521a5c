"""Public path of `argosy.agent.legacy.service_discovery`, which answers lookups from the fleet file."""

from __future__ import annotations

from argosy.agent.legacy.service_discovery import (
    DiscoveryResult,
    ServiceDiscoveryClient,
    connect_to_service,
    discover_service,
    get_service_address,
    get_service_discovery_client,
    register_service,
)

__all__ = [
    "DiscoveryResult",
    "ServiceDiscoveryClient",
    "connect_to_service",
    "discover_service",
    "get_service_address",
    "get_service_discovery_client",
    "register_service",
]
