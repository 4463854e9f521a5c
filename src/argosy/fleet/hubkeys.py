"""What must hold in the `hub` of a fleet file: the agents that it names, bounds, recoveries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from argosy.fleet.spelling import suggestion

if TYPE_CHECKING:
    from argosy.fleet.soundness import Scene


def check_hub(scene: Scene) -> None:
    """Add the faults of the hub's part."""
    if "hub" in scene.misfits:
        return
    for path, name in _named(scene):
        if path not in scene.misfits and name not in scene.names:
            scene.faults.add(
                scene.place(path),
                "unknown-agent",
                f"`{path}` is `{name}`, which is not under `agents`",
                suggestion(name, scene.names, "agents"),
            )
    _check_thresholds(scene)
    _check_recoveries(scene)


def _named(scene: Scene) -> Iterator[tuple[str, str]]:
    hub = scene.fleet.hub
    named = [(f"hub.alerts.thresholds.{n}", each.agents) for n, each in enumerate(hub.alerts.thresholds)]
    named += [(f"hub.recovery.{n}", each.agents) for n, each in enumerate(hub.recovery)]
    for path, agents in named:
        for index, name in enumerate(agents):
            yield f"{path}.agents.{index}", name


def _check_thresholds(scene: Scene) -> None:
    for number, each in enumerate(scene.fleet.hub.alerts.thresholds):
        path = f"hub.alerts.thresholds.{number}"
        if (each.above is None) == (each.below is None) and not _has_misfit(scene, path):
            found = "neither `above` nor `below`" if each.above is None else "both `above` and `below`"
            message = f"`{path}` has {found}, expected one of them"
            scene.faults.add(scene.place(path), "threshold", message, "such as `above: 500`")


def _check_recoveries(scene: Scene) -> None:
    figures = {each.figure for each in scene.fleet.hub.alerts.thresholds}
    for number, each in enumerate(scene.fleet.hub.recovery):
        path = f"hub.recovery.{number}"
        if _has_misfit(scene, path):
            continue
        if each.do == "run" and not each.run:
            hint = "such as `run: [./free-gpu.sh]`"
            scene.faults.add(scene.place(f"{path}.do"), "recovery", f"`{path}` is to run nothing", hint)
        elif each.do != "run" and each.run:
            message = f"`{path}.run` has no meaning for `do: {each.do}`"
            scene.faults.add(scene.place(f"{path}.run"), "recovery", message, "`do: run`, or take it out")
        if each.figure is not None and each.figure not in figures:
            message = f"`{path}.figure` is `{each.figure}`, of which no threshold raises an alert"
            hint = "add it under `hub.alerts.thresholds`"
            scene.faults.add(scene.place(f"{path}.figure"), "recovery", message, hint)


def _has_misfit(scene: Scene, path: str) -> bool:
    return any(each == path or each.startswith(f"{path}.") for each in scene.misfits)
