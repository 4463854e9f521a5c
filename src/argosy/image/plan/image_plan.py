"""The plan of a fleet's images: their agents and packages, which import pulls each in, and unused packages.

It is read from the sources alone: nothing is imported, and neither a lock nor a network is needed. A module
whose package is not known is reported as ambiguous and is in no image.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
from collections.abc import Collection, Iterable, Mapping

import msgspec

from argosy.fleet.fleet_spec import Fleet
from argosy.image.plan.agent_imports import PackageUse, find_agent_imports
from argosy.image.plan.grouping import ImageGroup, group_agents, propose_groups, slug
from argosy.image.plan.known_packages import GPU_PACKAGES, HEAVY_PACKAGES, SYSTEM_LIBRARIES, gpu_architecture
from argosy.image.plan.metric_only_imports import MetricOnlyImport, find_metric_only_import
from argosy.image.plan.requirement_sources import RequestedPackages, read_requirement_sources
from argosy.source.distributions import bundled_modules, is_provider, is_tool, loaders_of, normalize_name
from argosy.source.import_to_distribution import (
    NOT_ON_LINUX,
    DistributionMatch,
    find_distribution,
    find_installed_distribution,
)

RUNTIME_PACKAGE = "argosy"


class PulledInPackage(msgspec.Struct, frozen=True):
    """One agent that imports a package. source: what says that the module belongs to the package."""

    agent: str
    package: str
    source: str
    use: PackageUse
    is_metric_only: bool = False


class Image(msgspec.Struct, frozen=True):
    """One image to build.

    project: the fleet's name as a prefix of image names. packages: distributions, normalised and sorted.
    system: Debian packages that these load. gpu: the architecture that it computes on, such as `sm_89`; None
    for an image without a GPU package. files: the files of the tree in it.
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
        """The image's name in a registry or a layout, without a tag."""
        return f"{self.project}/{self.name}"


class MissingPackage(msgspec.Struct, frozen=True):
    """A package that agents import and no requirement file of the tree installs."""

    package: str
    modules: tuple[str, ...]
    agents: tuple[str, ...]
    first_use: PackageUse


class AmbiguousModule(msgspec.Struct, frozen=True):
    """An imported module whose distribution is not known."""

    module: str
    agents: tuple[str, ...]
    first_use: PackageUse


class ImagePlan(msgspec.Struct, frozen=True):
    """All images of a fleet, and the evidence for their contents.

    unused: package to the places that install it. tools: the same for packages that are used without an
    import. unread: agent to the reason why only a part of its imports is known. other_systems: packages for
    other systems, to the agents that import them. metric_only_imports: agent, package and files that read
    only metrics of the package. proposed: the images by imports alone, whatever groups the file has. notes:
    warnings about images. gpu_agents: agents that need the GPU of their image.
    """

    fleet: Fleet
    images: dict[str, Image]
    pulled_in: tuple[PulledInPackage, ...]
    unused: dict[str, tuple[str, ...]]
    tools: dict[str, tuple[str, ...]]
    missing: dict[str, MissingPackage]
    ambiguous_modules: dict[str, AmbiguousModule]
    other_systems: dict[str, tuple[str, ...]]
    unread: dict[str, str]
    metric_only_imports: tuple[tuple[str, str, tuple[MetricOnlyImport, ...]], ...]
    proposed: tuple[Image, ...]
    notes: tuple[str, ...]
    gpu_agents: frozenset[str] = frozenset()

    @property
    def is_grouped(self) -> bool:
        """Whether the fleet file names a group."""
        return any(agent.group for agent in self.fleet.agents.values())

    def select(self, only: Collection[str]) -> list[Image]:
        """Return the images with these names; without any name all."""
        return [image for image in self.images.values() if not only or image.name in only]

    def image_of(self, agent: str) -> Image:
        """Return the image of an agent."""
        return next(image for image in self.images.values() if agent in image.agents)


def plan_images(fleet: Fleet) -> ImagePlan:
    """Return the plan of a fleet's images; every agent is in exactly one. Never raises for its sources."""
    return _Planner(fleet).plan()


class _Planner:
    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.root = os.path.dirname(fleet.path)
        self.agent_imports = find_agent_imports(fleet)
        self.requested = read_requirement_sources(self.root)
        self.matches: dict[str, DistributionMatch | None] = {}

    def plan(self) -> ImagePlan:
        pulled_in = tuple(self.find_pulled_in())
        packages = _packages_by_agent(self.fleet, pulled_in)
        groups = group_agents(self.fleet, packages)
        metric_only_imports = tuple(self.find_metric_only(pulled_in))
        metric_only_pairs = {(agent, package) for agent, package, _ in metric_only_imports}
        images = {group.name: self.build_image(group, packages, metric_only_pairs) for group in groups}
        unused, tools = _find_unused(self.requested, pulled_in)
        return ImagePlan(
            fleet=self.fleet,
            images=images,
            pulled_in=tuple(
                msgspec.structs.replace(item, is_metric_only=(item.agent, item.package) in metric_only_pairs)
                for item in pulled_in
            ),
            unused=unused,
            tools=tools,
            missing=_find_missing(self.requested, pulled_in),
            ambiguous_modules=self.find_ambiguous_modules(),
            other_systems=_find_other_systems(pulled_in),
            unread={name: item.unread for name, item in self.agent_imports.items() if item.unread},
            metric_only_imports=metric_only_imports,
            proposed=tuple(
                self.build_image(group, packages, metric_only_pairs)
                for group in propose_groups(self.fleet, packages)
            ),
            notes=tuple(self.collect_notes(images)),
            gpu_agents=frozenset(
                name for name in self.fleet.agents if self.needs_gpu(name, packages, metric_only_pairs)
            ),
        )

    def find_pulled_in(self) -> Iterable[PulledInPackage]:
        for reached in self.agent_imports.values():
            for use in reached.uses:
                found = self.match_distribution(use.module)
                if found is not None:
                    yield PulledInPackage(reached.agent, found.distribution, found.source, use)

    def match_distribution(self, module: str) -> DistributionMatch | None:
        if module not in self.matches:
            self.matches[module] = find_distribution(
                module, self.requested.places, find_installed_distribution
            )
        return self.matches[module]

    def build_image(
        self, group: ImageGroup, packages: Mapping[str, set[str]], metric_only: set[tuple[str, str]]
    ) -> Image:
        required = {name for agent in group.agents for name in packages[agent]}
        computes = any(self.needs_gpu(agent, packages, metric_only) for agent in group.agents)
        machine = self.fleet.machines.get(group.machine or "")
        files = {path for agent in group.agents for path in self.agent_imports[agent].files}
        return Image(
            name=group.name,
            project=slug(self.fleet.name),
            machine=group.machine,
            agents=group.agents,
            packages=tuple(sorted(required | {RUNTIME_PACKAGE})),
            system=tuple(
                sorted({library for name in required for library in SYSTEM_LIBRARIES.get(name, ())})
            ),
            gpu=gpu_architecture(machine.gpu) if computes and machine is not None else None,
            files=tuple(sorted(files)),
        )

    def needs_gpu(
        self, agent: str, packages: Mapping[str, set[str]], metric_only: set[tuple[str, str]]
    ) -> bool:
        """Return whether an agent needs a GPU: it imports a GPU package for more than metrics, or declares
        GPU memory."""
        imports = any(name in GPU_PACKAGES and (agent, name) not in metric_only for name in packages[agent])
        return imports or bool(self.fleet.agents[agent].gpu_memory_bytes)

    def find_ambiguous_modules(self) -> dict[str, AmbiguousModule]:
        found: dict[str, list[tuple[str, PackageUse]]] = {}
        for reached in self.agent_imports.values():
            for use in reached.uses:
                if self.match_distribution(use.module) is None:
                    found.setdefault(use.top, []).append((reached.agent, use))
        return {
            top: AmbiguousModule(
                top, _unique_names(agent for agent, _ in places), _first_use(use for _, use in places)
            )
            for top, places in sorted(found.items())
        }

    def find_metric_only(
        self, pulled_in: Iterable[PulledInPackage]
    ) -> Iterable[tuple[str, str, tuple[MetricOnlyImport, ...]]]:
        """Yield agent, package and files where the agent reads only metrics of a heavy package."""
        imports: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for item in pulled_in:
            if item.package in HEAVY_PACKAGES:
                imports.setdefault((item.agent, item.package), set()).add((item.use.path, item.use.top))
        known: dict[tuple[str, str], MetricOnlyImport | None] = {}
        for (agent, package), files in sorted(imports.items()):
            found = []
            for path, top in sorted(files):
                if (path, top) not in known:
                    known[path, top] = find_metric_only_import(os.path.join(self.root, path), top, path)
                found.append(known[path, top])
            if all(found):
                yield agent, package, tuple(item for item in found if item is not None)

    def collect_notes(self, images: Mapping[str, Image]) -> Iterable[str]:
        """Yield why images that import a GPU package get no GPU, once for each machine."""
        without_gpu: dict[str, list[str]] = {}
        for image in images.values():
            if image.machine is not None and image.gpu is None and GPU_PACKAGES & set(image.packages):
                without_gpu.setdefault(image.machine, []).append(f"`{image.name}`")
        for name, found in without_gpu.items():
            model = self.fleet.machines[name].gpu
            if model is None:
                yield f"machine `{name}` has no `gpu`: {', '.join(found)} get CPU-only builds"
            elif gpu_architecture(model) is None:
                yield f"the architecture of `{model}` ({name}) is not known: write `gpu: {model} sm_NN`"


@functools.cache
def runtime_packages() -> tuple[str, ...]:
    """Return the distributions that argosy itself requires, which are in every image."""
    texts = [text for text in importlib.metadata.requires(RUNTIME_PACKAGE) or () if "extra ==" not in text]
    found = (re.match(r"[A-Za-z0-9._-]+", text) for text in texts)
    return tuple(normalize_name(match[0]) for match in found if match)


def _packages_by_agent(fleet: Fleet, pulled_in: Iterable[PulledInPackage]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in fleet.agents}
    for item in pulled_in:
        if item.package not in NOT_ON_LINUX:
            found[item.agent].add(item.package)
    return found


def _find_unused(
    requested: RequestedPackages, pulled_in: Iterable[PulledInPackage]
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[str, ...]]]:
    """Return the installed packages that no agent imports: the unused ones, and tools that need no import."""
    tops = {item.use.top for item in pulled_in}
    required = {item.package for item in pulled_in}
    bundled = {
        module for name in requested.places for module in bundled_modules(name) if is_provider(name, tops)
    }
    unused: dict[str, tuple[str, ...]] = {}
    tools: dict[str, tuple[str, ...]] = {}
    for name, places in sorted(requested.places.items()):
        is_used = name in required or is_provider(name, tops) or name in requested.projects
        if is_used or is_provider(name, bundled) or any(loader in tops for loader in loaders_of(name)):
            continue
        (tools if is_tool(name) else unused)[name] = places
    return unused, tools


def _find_missing(
    requested: RequestedPackages, pulled_in: Iterable[PulledInPackage]
) -> dict[str, MissingPackage]:
    bundled = {module for name in requested.places for module in bundled_modules(name)}
    found: dict[str, list[PulledInPackage]] = {}
    for item in pulled_in:
        is_requested = (
            item.package in requested.places or item.use.top in bundled or item.package in requested.projects
        )
        if not is_requested and item.package not in (RUNTIME_PACKAGE, *runtime_packages(), *NOT_ON_LINUX):
            found.setdefault(item.package, []).append(item)
    return {
        package: MissingPackage(
            package,
            _unique_names(item.use.top for item in items),
            _unique_names(item.agent for item in items),
            _first_use(item.use for item in items),
        )
        for package, items in sorted(found.items())
    }


def _find_other_systems(pulled_in: Iterable[PulledInPackage]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for item in pulled_in:
        if item.package in NOT_ON_LINUX:
            found.setdefault(item.package, []).append(item.agent)
    return {package: _unique_names(agents) for package, agents in sorted(found.items())}


def _unique_names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _first_use(uses: Iterable[PackageUse]) -> PackageUse:
    return min(uses, key=lambda use: (bool(use.conditions), use.path, use.line))
