"""An agent's door to other machines: made once, when the first endpoint needs the fleet's keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from argosy.agent.settings import Settings
from argosy.wire.callee import Callee
from argosy.wire.keys import is_keyed_endpoint
from argosy.wire.reactor import Reactor
from argosy.wire.topic import Publisher

if TYPE_CHECKING:
    from argosy.wire.admission import Admission


class Door:
    """Binds what anyone on this machine may use as it is, and the rest for the fleet's keys alone."""

    def __init__(self, settings: Settings, reactor: Reactor) -> None:
        self._settings = settings
        self._reactor = reactor
        self._admission: Admission | None = None

    def bind(self, callee: Callee, endpoints: Sequence[str]) -> None:
        """Raises RefusedError: an endpoint cannot be bound, or a key is not there."""
        keyed = [each for each in endpoints if self._is_keyed(each)]
        callee.bind(each for each in endpoints if each not in keyed)
        if keyed and (admission := self._admit()):
            callee.guard(admission)
            callee.bind(keyed)

    def bind_topics(self, publisher: Publisher) -> int:
        """Publish on this machine, and to others where there are any; return the port for these, or 0."""
        if self._settings.topics:
            publisher.bind(self._settings.topics)
        endpoint = self._settings.topics_afar
        if not endpoint:
            return 0
        if self._is_keyed(endpoint) and (admission := self._admit()):
            publisher.guard(admission)
        return int(publisher.bind(endpoint).rpartition(":")[2])

    def close(self) -> None:
        """Admit nobody any more; to be called before what it guards is closed."""
        if self._admission:
            self._admission.close()

    def _is_keyed(self, endpoint: str) -> bool:
        return self._settings.keyring is not None and is_keyed_endpoint(endpoint)

    def _admit(self) -> Admission | None:
        keyring = self._settings.keyring
        if keyring and not self._admission:
            from argosy.wire.admission import Admission  # noqa: PLC0415 - only where keys are in use

            self._admission = Admission(self._settings.name, keyring, self._reactor)
        return self._admission
