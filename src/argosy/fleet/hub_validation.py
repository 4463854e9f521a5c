"""Validates the `hub` section of a fleet file: agent names, thresholds, recoveries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from argosy.fleet.suggestions import suggest

if TYPE_CHECKING:
    from argosy.fleet.validation_context import ValidationContext


def check_hub_section(context: ValidationContext) -> None:
    """Add the faults of the `hub` section."""
    if "hub" in context.invalid_paths:
        return
    for path, name in _agent_references(context):
        if path not in context.invalid_paths and name not in context.declared_names:
            context.faults.add(
                context.position_of(path),
                "unknown-agent",
                f"`{path}` is `{name}`, which is not under `agents`",
                suggest(name, context.declared_names, "agents"),
            )
    _check_thresholds(context)
    _check_recoveries(context)


def _agent_references(context: ValidationContext) -> Iterator[tuple[str, str]]:
    hub = context.fleet.hub
    named = [(f"hub.alerts.thresholds.{n}", each.agents) for n, each in enumerate(hub.alerts.thresholds)]
    named += [(f"hub.recovery.{n}", each.agents) for n, each in enumerate(hub.recovery)]
    for path, agents in named:
        for index, name in enumerate(agents):
            yield f"{path}.agents.{index}", name


def _check_thresholds(context: ValidationContext) -> None:
    for number, each in enumerate(context.fleet.hub.alerts.thresholds):
        path = f"hub.alerts.thresholds.{number}"
        if (each.above is None) == (each.below is None) and not _has_invalid_value(context, path):
            found = "neither `above` nor `below`" if each.above is None else "both `above` and `below`"
            message = f"`{path}` has {found}, expected one of them"
            context.faults.add(context.position_of(path), "threshold", message, "such as `above: 500`")


def _check_recoveries(context: ValidationContext) -> None:
    metrics = {each.metric for each in context.fleet.hub.alerts.thresholds}
    for number, each in enumerate(context.fleet.hub.recovery):
        path = f"hub.recovery.{number}"
        if _has_invalid_value(context, path):
            continue
        if each.do == "run" and not each.run:
            hint = "such as `run: [./free-gpu.sh]`"
            context.faults.add(
                context.position_of(f"{path}.do"), "recovery", f"`{path}` has `do: run` without `run`", hint
            )
        elif each.do != "run" and each.run:
            message = f"`{path}.run` has no meaning for `do: {each.do}`"
            context.faults.add(
                context.position_of(f"{path}.run"), "recovery", message, "set `do: run`, or remove it"
            )
        if each.metric is not None and each.metric not in metrics:
            message = f"`{path}.figure` is `{each.metric}`, which no threshold has"
            hint = "add it under `hub.alerts.thresholds`"
            context.faults.add(context.position_of(f"{path}.figure"), "recovery", message, hint)


def _has_invalid_value(context: ValidationContext, path: str) -> bool:
    return any(each == path or each.startswith(f"{path}.") for each in context.invalid_paths)
