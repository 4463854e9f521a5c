"""Writes the plan of an image as a multi-stage Containerfile, to build it with a container engine.

The result has the same packages, files, user and health check, but not the same bytes, since engines and
installers write times. An image with a GPU is built from NVIDIA's images, with the architecture of its
machine as a build argument for packages that compile; other images have none of that.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator
from typing import Final

from argosy.image.content.debian import PYTHON
from argosy.image.lock import ImageLock
from argosy.image.plan.container_plan import ContainerPlan
from argosy.image.plan.image_plan import RUNTIME_PACKAGE, Image, runtime_packages
from argosy.image.plan.known_packages import CACHE_VARIABLES, build_variables
from argosy.image.runtime.image_paths import (
    AGENTS_LABEL,
    APP_DIR,
    ENTRYPOINT,
    FLEET_FILE,
    HEALTH_COMMAND,
    IMAGE_VARIABLES,
    RUNTIME_DIR,
    STATE_DIR,
    STOP_SIGNAL,
    TEMP_DIR,
    USER_ID,
    USER_NAME,
)

CUDA_VERSION: Final = "12.8.1"
_CPU_IMAGE: Final = f"python:{PYTHON}-slim-trixie"
_CUDA_DEVEL: Final = f"nvidia/cuda:{CUDA_VERSION}-devel-ubuntu24.04"
_CUDA_RUNTIME: Final = f"nvidia/cuda:{CUDA_VERSION}-runtime-ubuntu24.04"
_SITE_PACKAGES: Final = "/opt/site"


def render_containerfile(image: Image, containers: ContainerPlan, lock: ImageLock | None) -> str:
    """Return the Containerfile of one image; the same plan always gives the same text.

    lock: packages are installed in its versions, checked by digest. Without a lock, and for an image with a
    GPU, which needs other wheels, packages are installed by name.
    """
    if lock is not None and image.gpu is None:
        requirements = [wheel.requirement for wheel in lock.wheels_for(image.packages)]
    else:
        requirements = sorted({*image.packages, *runtime_packages()} - {RUNTIME_PACKAGE})
    lines = [
        f"# Written by `argosy image containerfile` for `{image.name}`: {', '.join(image.agents)}.",
        "# The build context is the fleet file's folder; argosy's package is a second context:",
        f"#   podman build --build-context argosy=PATH/TO/argosy -t {image.reference} -f FILE .",
        *_build_stage(image, requirements),
        "",
        *_runtime_stage(image, containers),
    ]
    return "\n".join(lines) + "\n"


def _build_stage(image: Image, requirements: list[str]) -> Iterator[str]:
    hashed = " --require-hashes" if any("--hash" in line for line in requirements) else ""
    if image.gpu is None:
        yield f"FROM {_CPU_IMAGE} AS build"
        binary = " --only-binary=:all:"
    else:
        yield f"FROM {_CUDA_DEVEL} AS build"
        tools = "python3-pip python3-dev cmake ninja-build"
        yield f"RUN apt-get update && apt-get install -y --no-install-recommends {tools}"
        yield f"ARG CUDA_ARCHITECTURE={image.gpu.removeprefix('sm_')}"
        for name, value in _build_variables(image, requirements):
            yield f'ENV {name}="{value}"'
        binary = ""
    yield _write_instruction(requirements, "/requirements.txt")
    extra = " --break-system-packages" if image.gpu is not None else ""
    yield (
        f"RUN python3 -m pip install --no-cache-dir --no-compile{extra}{binary}{hashed} "
        f"--target {_SITE_PACKAGES} -r /requirements.txt"
    )
    yield f"COPY --from=argosy / {_SITE_PACKAGES}/argosy"
    yield f"RUN python3 -m compileall -q --invalidation-mode unchecked-hash {_SITE_PACKAGES} || true"


def _build_variables(image: Image, requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the variables that builds of packages read, with the build argument as the architecture."""
    found: dict[str, str] = {}
    for name in requirements:
        found |= build_variables(name, image.gpu or "")
    plain = (image.gpu or "").removeprefix("sm_")
    for key, value in sorted(found.items()):
        yield key, value.replace(f"={plain}", "=${CUDA_ARCHITECTURE}") if "ARCHITECTURES" in value else value


def _runtime_stage(image: Image, containers: ContainerPlan) -> Iterator[str]:
    yield f"FROM {_CPU_IMAGE if image.gpu is None else _CUDA_RUNTIME}"
    system = [*image.system, *(["python3-minimal"] if image.gpu is not None else [])]
    if system:
        packages = " ".join(system)
        yield (
            f"RUN apt-get update && apt-get install -y --no-install-recommends {packages} "
            f"&& rm -rf /var/lib/apt/lists/*"
        )
    folders = f"{STATE_DIR} {RUNTIME_DIR} {APP_DIR}"
    yield (
        f"RUN groupadd -g {USER_ID} {USER_NAME} && useradd -u {USER_ID} -g {USER_ID} -d {STATE_DIR} "
        f"-s /usr/sbin/nologin {USER_NAME} && mkdir -p {folders} "
        f"&& chown {USER_ID}:{USER_ID} {STATE_DIR} {RUNTIME_DIR}"
    )
    yield f"COPY --from=build {_SITE_PACKAGES} {_SITE_PACKAGES}"
    for path in image.files:
        yield f"COPY {json.dumps([path, f'{APP_DIR}/{path}'])}"
    yield _write_instruction(containers.fleet_text.splitlines(), FLEET_FILE)
    services = containers.services_of(image)
    variables = {**IMAGE_VARIABLES, "PYTHONPATH": _SITE_PACKAGES, **_cache_folders(image)}
    if len(services) == 1:
        variables["ARGOSY_MACHINE"] = services[0].name
    for name, value in sorted(variables.items()):
        yield f"ENV {name}={value}"
    yield f"WORKDIR {APP_DIR}"
    yield f"VOLUME {json.dumps([STATE_DIR])}"
    yield f"USER {USER_ID}:{USER_ID}"
    yield f"STOPSIGNAL {STOP_SIGNAL}"
    healthcheck = json.dumps(list(HEALTH_COMMAND))
    yield f"HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD {healthcheck}"
    yield f"LABEL {AGENTS_LABEL}={json.dumps(','.join(image.agents))}"
    yield f"ENTRYPOINT {json.dumps(list(ENTRYPOINT))}"


def _write_instruction(lines: Iterable[str], path: str) -> str:
    """Return the instruction that writes a file; not every builder supports here-documents."""
    quoted = " \\\n".join(f"    {shlex.quote(line)}" for line in lines)
    return f"RUN printf '%s\\n' \\\n{quoted} \\\n    > {path}"


def _cache_folders(image: Image) -> dict[str, str]:
    return {
        name: f"{TEMP_DIR}/cache" for package in image.packages for name in CACHE_VARIABLES.get(package, ())
    }
