"""Classifies the agents of a round: every declared agent is ready or has the reason why not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from realfleet.observation import AgentObservation

_HEALTHY_STATUSES: Final = frozenset({"ok", "degraded"})
_LEGACY_HEALTHY_STATUSES: Final = frozenset(
    {"ok", "healthy", "degraded", "running", "success", "online", "active"}
)
_TRACEBACK: Final = "Traceback (most recent call last):"
RAISED: Final = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning|Again)\b.*")
_FRAME: Final = re.compile(r'^\s*File "([^"]+)", line (\d+), in (.+)$')
_PACKAGES: Final = re.compile(r"/[^'\"()]*?/site-packages/")
_ERROR_LINE: Final = re.compile(r"\b(?:error|critical|fatal|failed|exception)\b", re.IGNORECASE)


class RunOutcome(msgspec.Struct, frozen=True):
    """Ready and not ready add up to the declared agents; degraded is part of ready.

    degraded: what will fail by name. main_port: agents that answer on their declared main port.
    no_main_port: ready agents that do not, with the reason as seen from outside.
    """

    ready: list[str]
    degraded: dict[str, list[str]]
    not_ready: dict[str, str]
    main_port: list[str]
    no_main_port: dict[str, str]


def classify(
    looks: Mapping[str, AgentObservation], logs: Mapping[str, str], lacking: Mapping[str, Sequence[str]]
) -> RunOutcome:
    """Classify the observed agents.

    logs: the last lines of each agent. lacking: what of an agent's code will fail by name when it is used.
    """
    not_ready = {
        name: reason
        for name, look in looks.items()
        if (reason := not_ready_reason(name, look, logs.get(name, "")))
    }
    ready = [name for name in looks if name not in not_ready]
    degraded = {}
    for name in ready:
        reasons = [*lacking.get(name, ()), *degraded_reasons(looks[name])]
        if reasons:
            degraded[name] = reasons
    main_port = [name for name in ready if looks[name].main is not None]
    silent = {name: looks[name].main_holder for name in ready if looks[name].main is None}
    return RunOutcome(ready, degraded, not_ready, main_port, silent)


def not_ready_reason(name: str, look: AgentObservation, log: str) -> str:
    """Return why an agent is not ready, empty if it is."""
    if not look.pid:
        return f"{look.state}: {_joined(look.reason, last_error(log)) or 'it ended and said nothing'}"
    health = look.health
    if health is None:
        return f"no answer on its health port: {_joined(look.reason or look.state, last_error(log))}"
    word = str(health.get("status", "")).lower()
    if "pid" in health or ("name" in health and "uptime" in health):
        if health.get("name") != name or health.get("pid") != look.pid:
            return f"its health port is answered by `{health.get('name')}`, pid {health.get('pid')}"
        if word not in _HEALTHY_STATUSES:
            return f"{word}: {health.get('reason', '')} {last_error(log)}".strip()
        return ""
    if not look.owns_health_port:
        return "its health port is answered by a process that is not its own"
    if look.state not in ("ready", "degraded"):
        return f"{look.state}: {look.reason}"
    return (
        ""
        if word in _LEGACY_HEALTHY_STATUSES and not health.get("error")
        else f"its own health answer is {health}"
    )


def shorten_paths(account: RunOutcome, tree: str) -> RunOutcome:
    """Return the outcome with paths in its reasons relative to the tree or to the packages' folder.

    tree: the path under which the agents saw it.
    """

    def short(text: str) -> str:
        return _PACKAGES.sub("site-packages/", text.replace(f"{tree}/", ""))

    return msgspec.structs.replace(
        account, not_ready={name: short(text) for name, text in account.not_ready.items()}
    )


def _joined(reason: str, error: str) -> str:
    """Join the supervisor's reason and the agent's last error, without repetition."""
    reason = reason.partition("; last line: ")[0]
    return error if not reason or reason in error else f"{error}; {reason}" if error else reason


def degraded_reasons(look: AgentObservation) -> list[str]:
    """Return the reasons that an agent gives for being degraded."""
    health = look.health or {}
    if str(health.get("status", "")).lower() != "degraded":
        return []
    reasons = [health.get("reason"), health.get("error"), *_listed(health.get("warnings")), *_causes(health)]
    reasons = list(filter(None, reasons)) or [
        f"{key}: {each}" for key, each in health.items() if each is False
    ]
    return [f"it says so itself: {'; '.join(map(str, reasons)) or 'no reason given'}"]


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _causes(health: Mapping[str, object]) -> list[str]:
    """Return the parts of a payload that are degraded, with their texts."""
    parts = {key: each for key, each in health.items() if isinstance(each, dict)}
    return [f"{key}: {each}" for key, each in parts.items() if str(each.get("status", "")) == "degraded"]


def last_error(log: str) -> str:
    """Return the last exception of a log with its place, else the last error line."""
    lines = [line.partition(" | ")[2] or line for line in log.splitlines()]
    starts = [at for at, line in enumerate(lines) if _TRACEBACK in line]
    if starts:
        place = ""
        for line in lines[starts[-1] + 1 :]:
            text = line.strip()
            if frame := _FRAME.match(line.strip()):
                place = f"{frame[1]}:{frame[2]} in {frame[3]}"
            elif RAISED.match(text):
                return f"{text[:300]} ({place})" if place else text[:300]
    raised = [line.strip() for line in lines if RAISED.match(line.strip())]
    if raised:
        return raised[-1][:300]
    loud = [line.strip() for line in lines if _ERROR_LINE.search(line)]
    return loud[-1][:300] if loud else ""
