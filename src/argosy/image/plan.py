"""The plan of a fleet's images: which agents, which packages, who drags each in, and what nobody needs.

Read from the sources alone: nothing is imported, no lock and no network is needed. What only a person can
tell is a question and goes into no image.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from collections.abc import Iterable, Mapping

import msgspec

from argosy.fleet.spec import Fleet
from argosy.image.catalogue import GPU, HEAVY, SYSTEM, architecture_of
from argosy.image.grouping import Group, group_agents, propose_groups, slug
from argosy.image.lists import Asked, read_lists
from argosy.image.reach import Use, reach_fleet
from argosy.image.statistic import Statistic, find_statistic
from argosy.source.distributions import brought_by, gives, is_tool, loaders_of, normalized
from argosy.source.suppliers import ELSEWHERE, Supplier, find_supplier, installed_supplier

RUNTIME = "argosy"


class Dragged(msgspec.Struct, frozen=True):
    """One agent that imports a package. how: who says that the module is the package's."""

    agent: str
    package: str
    how: str
    use: Use
    is_statistic: bool = False


class Image(msgspec.Struct, frozen=True):
    """One image to build.

    project: the fleet, as images are called by it. packages: distributions, normalised and sorted. system:
    packages of Debian that these load. gpu: the architecture that it computes on, such as `sm_89`; None for
    an image without a GPU package. files: of the tree, in it.
    """

    name: str
    project: str
    machine: str | None
    agents: tuple[str, ...]
    packages: tuple[str, ...]
    system: tuple[str, ...]
    gpu: str | None
    files: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The image's name in a registry or a local store, without a tag."""
        return f"{self.project}/{self.name}"


class Missing(msgspec.Struct, frozen=True):
    """A package that agents import and no list of the tree installs."""

    package: str
    modules: tuple[str, ...]
    agents: tuple[str, ...]
    first: Use


class Question(msgspec.Struct, frozen=True):
    """An imported module of which nobody says which package gives it."""

    module: str
    agents: tuple[str, ...]
    first: Use


class ImagePlan(msgspec.Struct, frozen=True):
    """All images of a fleet, and what is known of how they came to be.

    unused: package to the places that install it. tools: the same for what works without an import.
    unread: agent to why only a part of its imports is known. elsewhere: packages of other systems, to who
    imports them. notes: what a person should know of an image. computing: agents that
    need the GPU of their image. proposed: the images that what is imported would make, whatever groups the
    file names.
    """

    fleet: Fleet
    images: dict[str, Image]
    dragged: tuple[Dragged, ...]
    unused: dict[str, tuple[str, ...]]
    tools: dict[str, tuple[str, ...]]
    missing: dict[str, Missing]
    questions: dict[str, Question]
    elsewhere: dict[str, tuple[str, ...]]
    unread: dict[str, str]
    statistics: tuple[tuple[str, str, tuple[Statistic, ...]], ...]
    proposed: tuple[Image, ...]
    notes: tuple[str, ...]
    computing: frozenset[str] = frozenset()

    @property
    def is_grouped(self) -> bool:
        """Whether the fleet file names a group."""
        return any(agent.group for agent in self.fleet.agents.values())

    def image_of(self, agent: str) -> Image:
        """Return the image that an agent is in."""
        return next(image for image in self.images.values() if agent in image.agents)


def plan_images(fleet: Fleet) -> ImagePlan:
    """Return the plan of a fleet's images; every agent is in exactly one. Never raises for its sources."""
    return _Planner(fleet).plan()


class _Planner:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.root = os.path.dirname(fleet.path)
        self.reached = reach_fleet(fleet)
        self.asked = read_lists(self.root)
        self.suppliers: dict[str, Supplier | None] = {}

    def plan(self) -> ImagePlan:
        dragged = tuple(self.drag())
        packages = _by_agent(self.fleet, dragged)
        groups = group_agents(self.fleet, packages)
        statistics = tuple(self.statistics(dragged))
        light = {(agent, package) for agent, package, _ in statistics}
        images = {group.name: self.image(group, packages, light) for group in groups}
        unused, tools = _unused(self.asked, dragged)
        return ImagePlan(
            fleet=self.fleet,
            images=images,
            dragged=tuple(
                msgspec.structs.replace(item, is_statistic=(item.agent, item.package) in light)
                for item in dragged
            ),
            unused=unused,
            tools=tools,
            missing=_missing(self.asked, dragged),
            questions=self.questions(),
            elsewhere=_elsewhere(dragged),
            unread={name: item.unread for name, item in self.reached.items() if item.unread},
            statistics=statistics,
            proposed=tuple(
                self.image(group, packages, light) for group in propose_groups(self.fleet, packages)
            ),
            notes=tuple(self.notes(images)),
            computing=frozenset(name for name in self.fleet.agents if self.computes(name, packages, light)),
        )

    def drag(self) -> Iterable[Dragged]:
        for reached in self.reached.values():
            for use in reached.uses:
                found = self.supplier(use.module)
                if found is not None:
                    yield Dragged(reached.agent, found.distribution, found.how, use)

    def supplier(self, module: str) -> Supplier | None:
        if module not in self.suppliers:
            self.suppliers[module] = find_supplier(module, self.asked.places, installed_supplier)
        return self.suppliers[module]

    def image(self, group: Group, packages: Mapping[str, set[str]], light: set[tuple[str, str]]) -> Image:
        wanted = {name for agent in group.agents for name in packages[agent]}
        computes = any(self.computes(agent, packages, light) for agent in group.agents)
        machine = self.fleet.machines.get(group.machine or "")
        files = {path for agent in group.agents for path in self.reached[agent].files}
        return Image(
            name=group.name,
            project=slug(self.fleet.name),
            machine=group.machine,
            agents=group.agents,
            packages=tuple(sorted(wanted | {RUNTIME})),
            system=tuple(sorted({library for name in wanted for library in SYSTEM.get(name, ())})),
            gpu=architecture_of(machine.gpu) if computes and machine is not None else None,
            files=tuple(sorted(files)),
        )

    def computes(self, agent: str, packages: Mapping[str, set[str]], light: set[tuple[str, str]]) -> bool:
        """Tell whether an agent needs a GPU: it imports what computes on one, or declares memory of one."""
        imports = any(name in GPU and (agent, name) not in light for name in packages[agent])
        return imports or bool(self.fleet.agents[agent].gpu_memory_bytes)

    def questions(self) -> dict[str, Question]:
        found: dict[str, list[tuple[str, Use]]] = {}
        for reached in self.reached.values():
            for use in reached.uses:
                if self.supplier(use.module) is None:
                    found.setdefault(use.top, []).append((reached.agent, use))
        return {
            top: Question(top, _names(agent for agent, _ in places), _first(use for _, use in places))
            for top, places in sorted(found.items())
        }

    def statistics(self, dragged: Iterable[Dragged]) -> Iterable[tuple[str, str, tuple[Statistic, ...]]]:
        """Yield agent, package and files, where all that an agent takes of a heavy package are statistics."""
        places: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for item in dragged:
            if item.package in HEAVY:
                places.setdefault((item.agent, item.package), set()).add((item.use.path, item.use.top))
        known: dict[tuple[str, str], Statistic | None] = {}
        for (agent, package), files in sorted(places.items()):
            found = []
            for path, top in sorted(files):
                if (path, top) not in known:
                    known[path, top] = find_statistic(os.path.join(self.root, path), top, path)
                found.append(known[path, top])
            if all(found):
                yield agent, package, tuple(item for item in found if item is not None)

    def notes(self, images: Mapping[str, Image]) -> Iterable[str]:
        """Yield what keeps images that import a GPU package from a GPU, once for each machine."""
        kept: dict[str, list[str]] = {}
        for image in images.values():
            if image.machine is not None and image.gpu is None and GPU & set(image.packages):
                kept.setdefault(image.machine, []).append(f"`{image.name}`")
        for name, found in kept.items():
            model = self.fleet.machines[name].gpu
            if model is None:
                yield f"machine `{name}` states no `gpu`: {', '.join(found)} get builds for processors alone"
            elif architecture_of(model) is None:
                yield f"the architecture of `{model}` ({name}) is not known: write `gpu: {model} sm_NN`"


@functools.cache
def runtime_packages() -> tuple[str, ...]:
    """Return the distributions that argosy itself needs, which are in every image."""
    texts = [text for text in importlib.metadata.requires(RUNTIME) or () if "extra ==" not in text]
    found = (re.match(r"[A-Za-z0-9._-]+", text) for text in texts)
    return tuple(normalized(match[0]) for match in found if match)


def _by_agent(fleet: Fleet, dragged: Iterable[Dragged]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in fleet.agents}
    for item in dragged:
        if item.package not in ELSEWHERE:
            found[item.agent].add(item.package)
    return found


def _unused(
    asked: Asked, dragged: Iterable[Dragged]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return what lists install and no agent imports, and of that what works without an import."""
    tops = {item.use.top for item in dragged}
    wanted = {item.package for item in dragged}
    brought = {module for name in asked.places for module in brought_by(name) if gives(name, tops)}
    unused: dict[str, tuple[str, ...]] = {}
    tools: dict[str, tuple[str, ...]] = {}
    for name, places in sorted(asked.places.items()):
        is_used = name in wanted or gives(name, tops) or name in asked.projects
        if is_used or gives(name, brought) or any(loader in tops for loader in loaders_of(name)):
            continue
        (tools if is_tool(name) else unused)[name] = places
    return unused, tools


def _missing(asked: Asked, dragged: Iterable[Dragged]) -> dict[str, Missing]:
    brought = {module for name in asked.places for module in brought_by(name)}
    found: dict[str, list[Dragged]] = {}
    for item in dragged:
        is_there = item.package in asked.places or item.use.top in brought or item.package in asked.projects
        if not is_there and item.package not in (RUNTIME, *runtime_packages(), *ELSEWHERE):
            found.setdefault(item.package, []).append(item)
    return {
        package: Missing(
            package,
            _names(item.use.top for item in items),
            _names(item.agent for item in items),
            _first(item.use for item in items),
        )
        for package, items in sorted(found.items())
    }


def _elsewhere(dragged: Iterable[Dragged]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in dragged:
        if item.package in ELSEWHERE:
            found.setdefault(item.package, []).append(item.agent)
    return {package: _names(agents) for package, agents in sorted(found.items())}


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _first(uses: Iterable[Use]) -> Use:
    return min(uses, key=lambda use: (bool(use.when), use.path, use.line))
