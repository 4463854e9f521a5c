"""The plan of an image as a multi-stage Containerfile, for those who build with an engine of their own.

The same packages, files, user and health check; not the same to the byte, since engines write times and
installers write what they like. An image with a GPU is built from NVIDIA's images, with the architecture of
its machine as a build argument for whatever compiles; no other image gets any of that.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from typing import Final

from argosy.image.catalogue import CACHES, build_variables
from argosy.image.containers import Containers
from argosy.image.debian import PYTHON
from argosy.image.inside import (
    AGENTS_LABEL,
    APP,
    FLEET_FILE,
    HEALTH,
    RUN,
    START,
    STATE,
    STOP_SIGNAL,
    TEMPORARY,
    USER,
    USER_ID,
    VARIABLES,
)
from argosy.image.lock import Lock
from argosy.image.plan import RUNTIME, Image, runtime_packages

CUDA: Final = "12.8.1"
_PLAIN: Final = f"python:{PYTHON}-slim-trixie"
_CUDA_BUILD: Final = f"nvidia/cuda:{CUDA}-devel-ubuntu24.04"
_CUDA_RUN: Final = f"nvidia/cuda:{CUDA}-runtime-ubuntu24.04"
_SITE: Final = "/opt/site"


def containerfile(image: Image, containers: Containers, lock: Lock | None) -> str:
    """Return the text for one image; the same plan always gives the same text.

    lock: packages are installed in its versions by their digests; without one, and for an image with a GPU,
    whose wheels are others, by name.
    """
    is_locked = lock is not None and image.gpu is None
    lines = [
        f"# Written by `argosy image containerfile` for `{image.name}`: {', '.join(image.agents)}.",
        "# The context is the fleet file's folder; argosy's own package is a context of its own:",
        f"#   podman build --build-context argosy=PATH/TO/argosy -t {image.reference} -f FILE .",
        *_build_stage(image, _locked(image, lock) if is_locked and lock is not None else _named(image)),
        "",
        *_run_stage(image, containers),
    ]
    return "\n".join(lines) + "\n"


def _locked(image: Image, lock: Lock) -> list[str]:
    return [wheel.requirement for wheel in lock.wheels_for(image.packages)]


def _named(image: Image) -> list[str]:
    return sorted({*image.packages, *runtime_packages()} - {RUNTIME})


def _build_stage(image: Image, requirements: list[str]) -> Iterator[str]:
    hashed = " --require-hashes" if any("--hash" in line for line in requirements) else ""
    if image.gpu is None:
        yield f"FROM {_PLAIN} AS build"
        binary = " --only-binary=:all:"
    else:
        yield f"FROM {_CUDA_BUILD} AS build"
        tools = "python3-pip python3-dev cmake ninja-build"
        yield f"RUN apt-get update && apt-get install -y --no-install-recommends {tools}"
        yield f"ARG CUDA_ARCHITECTURE={image.gpu.removeprefix('sm_')}"
        for name, value in _variables(image, requirements):
            yield f'ENV {name}="{value}"'
        binary = ""
    yield _written(requirements, "/requirements.txt")
    extra = " --break-system-packages" if image.gpu is not None else ""
    yield (
        f"RUN python3 -m pip install --no-cache-dir --no-compile{extra}{binary}{hashed} --target {_SITE} "
        f"-r /requirements.txt"
    )
    yield f"COPY --from=argosy / {_SITE}/argosy"
    yield f"RUN python3 -m compileall -q --invalidation-mode unchecked-hash {_SITE} || true"


def _variables(image: Image, requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield what the builds of packages read, with the architecture left to the build argument."""
    found: dict[str, str] = {}
    for name in requirements:
        found |= build_variables(name, image.gpu or "")
    plain = (image.gpu or "").removeprefix("sm_")
    for key, value in sorted(found.items()):
        yield key, value.replace(f"={plain}", "=${CUDA_ARCHITECTURE}") if "ARCHITECTURES" in value else value


def _run_stage(image: Image, containers: Containers) -> Iterator[str]:
    yield f"FROM {_PLAIN if image.gpu is None else _CUDA_RUN}"
    system = [*image.system, *(["python3-minimal"] if image.gpu is not None else [])]
    if system:
        packages = " ".join(system)
        yield (
            f"RUN apt-get update && apt-get install -y --no-install-recommends {packages} "
            f"&& rm -rf /var/lib/apt/lists/*"
        )
    folders = f"{STATE} {RUN} {APP}"
    yield (
        f"RUN groupadd -g {USER_ID} {USER} && useradd -u {USER_ID} -g {USER_ID} -d {STATE} "
        f"-s /usr/sbin/nologin {USER} && mkdir -p {folders} && chown {USER_ID}:{USER_ID} {STATE} {RUN}"
    )
    yield f"COPY --from=build {_SITE} {_SITE}"
    for path in image.files:
        yield f"COPY {json.dumps([path, f'{APP}/{path}'])}"
    yield _written(containers.text.splitlines(), FLEET_FILE)
    services = [service for service in containers.services if service.image.name == image.name]
    variables = {**VARIABLES, "PYTHONPATH": _SITE, **_cache_folders(image)}
    if len(services) == 1:
        variables["ARGOSY_MACHINE"] = services[0].name
    for name, value in sorted(variables.items()):
        yield f"ENV {name}={value}"
    yield f"WORKDIR {APP}"
    yield f"VOLUME {json.dumps([STATE])}"
    yield f"USER {USER_ID}:{USER_ID}"
    yield f"STOPSIGNAL {STOP_SIGNAL}"
    yield f"HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD {json.dumps(list(HEALTH))}"
    yield f"LABEL {AGENTS_LABEL}={json.dumps(','.join(image.agents))}"
    yield f"ENTRYPOINT {json.dumps(list(START))}"


def _written(lines: Iterable[str], path: str) -> str:
    """Return the instruction that writes a file; a here-document is not known to every builder."""
    quoted = " \\\n".join(f"    {shlex.quote(line)}" for line in lines)
    return f"RUN printf '%s\\n' \\\n{quoted} \\\n    > {path}"


def _cache_folders(image: Image) -> dict[str, str]:
    return {name: f"{TEMPORARY}/cache" for package in image.packages for name in CACHES.get(package, ())}
