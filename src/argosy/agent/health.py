"""The health standard: five statuses, the facts of every agent, and the meaning of other status words.

An agent returns `Health` from `health()`; argosy adds its name, times and metrics. Payloads of
legacy agents keep their own keys; `normalize_status` translates their status word.

The health of the agents that it needs and wants comes from the replies to its own calls: nothing is sent for
it, an agent that is never called stays `unknown`, and a lost need does not make its agent fail.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Callable
from typing import Any

import msgspec

from argosy.agent.missing_packages import missing_packages
from argosy.wire.address_book import AgentAddress
from argosy.wire.client.peer_health import LOST, UNKNOWN


class Status(enum.StrEnum):
    """How an agent is.

    degraded: it serves, with less than it should. failing: it cannot serve.
    """

    STARTING = "starting"
    OK = "ok"
    DEGRADED = "degraded"
    FAILING = "failing"
    STOPPING = "stopping"


_STATUS_WORDS = {
    Status.STARTING: "starting initializing initialising initialized loading booting pending warming",
    Status.OK: "ok healthy running success up ready active online alive operational pass green true",
    Status.DEGRADED: "degraded warning warn partial limited slow impaired yellow",
    Status.FAILING: "failing error failed fail unhealthy critical down dead offline false red unavailable",
    Status.STOPPING: "stopping stopped shutdown shutting_down terminating exiting",
}
_STATUS_BY_WORD = {word: status for status, words in _STATUS_WORDS.items() for word in words.split()}

HEALTH_ACTIONS = frozenset(("health", "health_check", "ping", "status"))


def normalize_status(status_word: object) -> Status:
    """Return the Status that a status word stands for; an unknown word is degraded, never ok."""
    return (
        status_word
        if isinstance(status_word, Status)
        else _STATUS_BY_WORD.get(_normalize_word(status_word), Status.DEGRADED)
    )


def is_known_status_word(status_word: object) -> bool:
    """Return whether `normalize_status` knows a word."""
    return _normalize_word(status_word) in _STATUS_BY_WORD


def _normalize_word(word: object) -> str:
    return str(word).strip().lower().replace(" ", "_").replace("-", "_")


class Health(msgspec.Struct, kw_only=False):
    """An agent's own statement of its health.

    status: a Status, or another word for one. reason: why it is not ok, for people.
    facts: more keys for the document. needs: the states of its needs, which win over those observed.
    """

    status: str = Status.OK
    reason: str = ""
    facts: dict[str, Any] = {}
    needs: dict[str, str] = {}


def metric_facts(counts: dict[str, int], lag_s: float) -> dict[str, Any]:
    """Return the automatic metrics of an agent, under their published names.

    counts: of its servers. lag_s: of its work loop.
    """
    return {
        "loop_lag_ms": round(lag_s * 1000, 3),
        **{name: counts[name] for name in ("in_flight", "handled", "failed")},
        "rss_bytes": resident_bytes(),
    }


_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Return this process's resident memory; 0 where there is no /proc."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as statm:
            return int(statm.read().split()[1]) * _PAGE_BYTES
    except FileNotFoundError:
        return 0


def health_document(
    name: str,
    health: Health,
    since: float,
    uptime_s: float,
    metrics: dict[str, Any],
    dependencies: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return the reply to a health request; facts cannot replace the standard keys.

    since: epoch seconds of the last change of status. dependencies: the observed states of what it `needs`
    and `wants`; the agent's own state for a need wins.
    """
    status = normalize_status(health.status)
    unknown_word: dict[str, Any] = {} if status == health.status else {"status_word": str(health.status)}
    standard: dict[str, Any] = {
        "status": status.value,
        "name": name,
        "uptime": round(uptime_s, 3),
        "pid": os.getpid(),
        "since": since,
        **metrics,
        **unknown_word,
    }
    if health.reason:
        standard["reason"] = health.reason
    standard.update(dependencies or {})
    if health.needs:
        own = {need: _dependency_state(word) for need, word in health.needs.items()}
        standard["needs"] = {**standard.get("needs", {}), **own}
    return {**health.facts, **standard}


def with_missing_packages(health: Health) -> Health:
    """Return the health of an agent that runs on placeholders: degraded, with the missing packages."""
    packages = list(missing_packages())
    if not packages:
        return health
    facts = {**health.facts, "missing_packages": packages}
    if normalize_status(health.status) is not Status.OK:
        return msgspec.structs.replace(health, facts=facts)
    reason = f"without {', '.join(packages)}: what needs it fails"
    return msgspec.structs.replace(health, status=Status.DEGRADED, reason=reason, facts=facts)


def _dependency_state(state: object) -> str:
    """Return the state of a need: a status, or one that only a caller observes."""
    return str(state) if state in (LOST, UNKNOWN) else normalize_status(state).value


class DependencyHealth:
    """The last health state of each agent that was called; safe in any thread, the latest update counts."""

    def __init__(self) -> None:
        self._states: dict[str, str] = {}

    def observer(self, name: str) -> Callable[[str], object]:
        """Return what a channel to this agent calls with each new state."""

        def observe(state: str) -> None:
            self._states[name] = state

        return observe

    def by_kind(self, address: AgentAddress) -> dict[str, dict[str, str]]:
        """Return the state of each agent that is needed or wanted, under `needs` and `wants`."""
        kinds = {"needs": address.needs, "wants": address.wants}
        return {
            edge: {name: self._states.get(name, UNKNOWN) for name in names}
            for edge, names in kinds.items()
            if names
        }
