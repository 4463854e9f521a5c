"""Smoke tests an image by running it without a network, as its own user, on a read-only root.

Every agent is imported; then each container of the image is started alone, has to pass its health check, and
is stopped. Agents that need agents of other containers cannot be ready here; they are counted.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import stat
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from argosy.fault import Fault, MissingError, RefusedError
from argosy.fleet.dependency_graph import build_graph
from argosy.image.build.image_builder import BuiltImage
from argosy.image.build.sandbox import SandboxConfig, sandbox_command
from argosy.image.content.blob_store import Blob, BlobStore, decompress
from argosy.image.content.staging import staged_folder, temporary_folder
from argosy.image.plan.container_plan import ContainerPlan, ContainerService
from argosy.image.runtime.image_paths import APP_DIR, ENTRYPOINT, HEALTH_COMMAND, LIVENESS_COMMAND, USER_ID

_HEALTH_TIMEOUT_S: Final = 60.0
_HEALTH_POLL_S: Final = 0.05
_HEALTHCHECK_TIMEOUT_S: Final = 10.0
_LOG_LINES: Final = 8


class SmokeTestResult(msgspec.Struct, frozen=True):
    """The result of a smoke test. method: how the image was run.

    imported: count of agents that were imported; failed: the other agents, with their errors. ready: count of
    agents that became ready; waiting: of agents that need agents of other containers. faults: other errors.
    healthy_s: from the start to the first passed health check; stopped_s: from SIGTERM to the exit; both of
    the slowest container.
    """

    method: str
    imported: int
    failed: dict[str, str]
    ready: int
    waiting: int
    faults: tuple[str, ...]
    healthy_s: float
    stopped_s: float

    @property
    def is_passed(self) -> bool:
        return not self.failed and not self.faults


class ImportCheckLine(msgspec.Struct):
    """One line of `argosy.image.runtime.import_check`."""

    agent: str
    error: str


class ContainerRunResult(msgspec.Struct, frozen=True):
    """The result of running one container."""

    ready: int
    waiting: int
    faults: tuple[str, ...]
    healthy_s: float
    stopped_s: float


class SmokeTester:
    """Runs images from a store. cache: the folder below which each layer is unpacked once.

    Raises MissingError: not root, or a program of util-linux is missing.
    """

    def __init__(self, store: BlobStore, cache: Path, containers: ContainerPlan) -> None:
        if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "nsenter"))):
            message = "a smoke test runs in namespaces, which needs root and `unshare` of util-linux"
            hint = "run as root, or `--no-smoke-test`, which tags no image"
            raise MissingError(Fault("", "no-namespaces", message, hint))
        self.store = store
        self.cache = cache / "unpacked"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.containers = containers

    def test_image(self, built: BuiltImage) -> SmokeTestResult:
        """Run one image; never raises for errors of the image itself."""
        services = self.containers.services_of(built.image)
        failed = self.check_imports(built)
        runs = [] if failed else [self.run_service(built, service) for service in services]
        return SmokeTestResult(
            method="namespaces, read-only overlay of the layers",
            imported=len(built.image.agents) - len(failed),
            failed=failed,
            ready=sum(run.ready for run in runs),
            waiting=sum(run.waiting for run in runs),
            faults=tuple(fault for run in runs for fault in run.faults),
            healthy_s=round(max((run.healthy_s for run in runs), default=0.0), 3),
            stopped_s=round(max((run.stopped_s for run in runs), default=0.0), 3),
        )

    def check_imports(self, built: BuiltImage) -> dict[str, str]:
        """Return the agents that cannot be imported in the image, with their errors."""
        command = ("python3", "-m", "argosy.image.runtime.import_check", *built.image.agents)
        with self.image_command(built, command, "") as command_line:
            done = subprocess.run(
                command_line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        results = [msgspec.json.decode(line, type=ImportCheckLine) for line in done.stdout.splitlines()]
        failed = {item.agent: item.error for item in results if item.error}
        missing = set(built.image.agents) - {item.agent for item in results}
        last_lines = " / ".join(done.stderr.strip().splitlines()[-2:])
        reason = last_lines or f"the import check ended with code {done.returncode}"
        return failed | dict.fromkeys(sorted(missing), reason)

    def run_service(self, built: BuiltImage, service: ContainerService) -> ContainerRunResult:
        """Start one container, run its health check, and stop it."""
        waiting = self.agents_needing_others(service)
        health_command = LIVENESS_COMMAND if waiting else HEALTH_COMMAND
        with (
            self.image_command(built, (*ENTRYPOINT, "--no-wait"), service.name) as command_line,
            tempfile.TemporaryFile("w+") as log,
        ):
            began = time.monotonic()
            process = subprocess.Popen(
                command_line, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True
            )
            try:
                health_problem = self.await_health(process, health_command, built.variables)
                healthy_s = time.monotonic() - began
                stopped_s, code = self.stop(process, service.stop_s)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            log.seek(0)
            lines = log.read().splitlines()
        faults = [
            f"`{service.name}`: {fault}"
            for fault in (health_problem, _stop_problem(code, stopped_s, service.stop_s))
            if fault
        ]
        if faults:
            faults.append(f"last lines of `{service.name}`: {' / '.join(lines[-_LOG_LINES:])}")
        ready = {line.partition(":")[0] for line in lines if line.endswith(": ready")}
        return ContainerRunResult(len(ready), len(waiting), tuple(faults), healthy_s, stopped_s)

    def agents_needing_others(self, service: ContainerService) -> set[str]:
        """Return the agents of a service that depend on agents outside of it, directly or indirectly."""
        graph = build_graph(self.containers.fleet)
        return {
            name for name in service.agents if not set(graph.with_dependencies([name])) <= set(service.agents)
        }

    def await_health(
        self, process: subprocess.Popen[str], health_command: tuple[str, ...], variables: dict[str, str]
    ) -> str:
        """Run the health check in the container until it passes; return the problem when it never does."""
        deadline = time.monotonic() + _HEALTH_TIMEOUT_S
        problem = "the health check never answered"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with code {process.returncode} before it was healthy"
            inner = children_of(process.pid)
            if inner:
                done = subprocess.run(
                    nsenter_command(inner[0], health_command),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=_HEALTHCHECK_TIMEOUT_S,
                    env=variables,
                )
                if done.returncode == 0:
                    return ""
                problem = done.stdout.strip() or problem
            time.sleep(_HEALTH_POLL_S)
        return f"not healthy after {_HEALTH_TIMEOUT_S:.0f} s: {problem}"

    def stop(self, process: subprocess.Popen[str], timeout_s: float) -> tuple[float, int | None]:
        """Send SIGTERM; return the seconds until the exit, and the exit code, None after a time-out."""
        began = time.monotonic()
        for inner in children_of(process.pid):
            os.kill(inner, signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return timeout_s, None
        return time.monotonic() - began, process.returncode

    @contextmanager
    def image_command(self, built: BuiltImage, command: tuple[str, ...], service: str) -> Iterator[list[str]]:
        """Yield the command line that runs `command` in the image.

        service: the container that it runs as; empty for none.
        """
        # An overlay takes no folder twice; of a layer that also occurs in a base image, the upper one counts.
        upper = dict.fromkeys(str(self.unpack_blob(layer)) for layer in reversed(built.layers))
        layers = tuple(reversed(upper))
        variables = {**built.variables, "ARGOSY_MACHINE": service}
        with temporary_folder(self.cache) as root:
            hosts = {service: "127.0.0.1"} if service else {}
            config = SandboxConfig(layers, str(root), command, variables, APP_DIR, hosts=hosts)
            yield sandbox_command(config)

    def unpack_blob(self, layer: Blob) -> Path:
        """Return a folder with the unpacked content of a layer."""
        target = self.cache / layer.diff_id.removeprefix("sha256:")[:24]
        if not target.exists():
            uncompressed = io.BytesIO(decompress(self.store.path_of(layer.digest).read_bytes()))
            with staged_folder(target) as partial, tarfile.open(fileobj=uncompressed) as archive:
                unpack_layer(archive, partial)
                _apply_whiteouts(partial)
        return target


def unpack_layer(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the members of a layer below `folder`, with their modes and links.

    Raises RefusedError: a member would be written outside of it.
    """
    # The argument `filter` is new in Python 3.11.4; Debian 12 has 3.11.2.
    archive.extraction_filter = lambda member, _: member
    archive.extractall(folder, (_reject_escape(member, str(folder)) for member in archive))


def _reject_escape(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Return a member of a layer unchanged. A link may point anywhere, but nothing is written through one.

    Raises RefusedError: the member would be written, or hard-linked to a file, outside of the folder.
    """
    linked = [member.linkname] if member.islnk() else []
    for name in (member.name, *linked):
        parent, last = os.path.split(os.path.join(folder, name.lstrip("/")))
        place = os.path.realpath(parent)
        if last == ".." or os.path.commonpath([place, os.path.realpath(folder)]) != os.path.realpath(folder):
            message = f"a layer's member `{member.name}` would be written to `{place}`, outside of the layer"
            raise RefusedError(Fault("", "unsafe-layer", message, "use a base image that you trust"))
    return member


def _apply_whiteouts(folder: Path) -> None:
    """Replace the whiteout files of an OCI layer by the whiteouts of an overlay file system."""
    for path in list(folder.rglob(".wh.*")):
        path.unlink()
        if path.name == ".wh..wh..opq":
            os.setxattr(path.parent, "trusted.overlay.opaque", b"y")
        else:
            os.mknod(path.with_name(path.name.removeprefix(".wh.")), stat.S_IFCHR, os.makedev(0, 0))


def _stop_problem(code: int | None, took_s: float, timeout_s: float) -> str:
    if code is None:
        return f"it was still running {timeout_s:.0f} s after SIGTERM"
    return "" if code == 0 else f"it ended with code {code}, {took_s:.1f} s after SIGTERM"


def children_of(pid: int) -> list[int]:
    """Return the children of a process; of `unshare`, the first process of the namespaces."""
    try:
        return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def nsenter_command(pid: int, command: Iterable[str]) -> list[str]:
    """Return the command that runs another in the namespaces and root of a process, as the image's user."""
    enter = ["/usr/bin/nsenter", "--target", str(pid), "--mount", "--pid", "--net", "--ipc", "--root"]
    return [*enter, f"--setuid={USER_ID}", f"--setgid={USER_ID}", *command]
