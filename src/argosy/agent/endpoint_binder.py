"""Binding an agent's endpoints, with authentication of other machines where it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argosy.agent.settings import Settings
from argosy.wire.pubsub.topic import Publisher
from argosy.wire.security.curve_keys import is_curve_endpoint
from argosy.wire.server.rpc_server import RpcServer
from argosy.wire.transport.reactor import Reactor

if TYPE_CHECKING:
    from argosy.wire.security.zap import CurveAuthenticator


class EndpointBinder:
    """Binds endpoints of this machine as they are, and others with the fleet's keys only."""

    def __init__(self, settings: Settings, reactor: Reactor) -> None:
        self._settings = settings
        self._reactor = reactor
        self._authenticator: CurveAuthenticator | None = None

    def bind(self, server: RpcServer, endpoints: Sequence[str]) -> None:
        """Bind `endpoints`. Raises RefusedError: an endpoint cannot be bound, or a key is missing."""
        curve_endpoints = [each for each in endpoints if self._is_curve(each)]
        server.bind(each for each in endpoints if each not in curve_endpoints)
        if curve_endpoints and (admission := self._get_authenticator()):
            server.protect(admission)
            server.bind(curve_endpoints)

    def bind_topics(self, publisher: Publisher) -> int:
        """Publish on this machine and, if there are any, to others; return the port for these, or 0."""
        if self._settings.topics_endpoint:
            publisher.bind(self._settings.topics_endpoint)
        endpoint = self._settings.remote_topics_endpoint
        if not endpoint:
            return 0
        if self._is_curve(endpoint) and (admission := self._get_authenticator()):
            publisher.protect(admission)
        return int(publisher.bind(endpoint).rpartition(":")[2])

    def close(self) -> None:
        """Stop authenticating; to be called before the protected sockets are closed."""
        if self._authenticator:
            self._authenticator.close()

    def _is_curve(self, endpoint: str) -> bool:
        return self._settings.keyring is not None and is_curve_endpoint(endpoint)

    def _get_authenticator(self) -> CurveAuthenticator | None:
        keyring = self._settings.keyring
        if keyring and not self._authenticator:
            from argosy.wire.security.zap import CurveAuthenticator  # noqa: PLC0415 - only where keys are in use

            self._authenticator = CurveAuthenticator(self._settings.name, keyring, self._reactor)
        return self._authenticator
