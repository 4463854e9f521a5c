"""Proves an image by running it: no network, its own user, a read-only root. Only then it gets its name.

Every agent is imported; then each container of the image is started alone, answers its health check, and is
told to stop. Agents that need others elsewhere are not expected to be ready here, and are counted.
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
from argosy.fleet.graph import build_graph
from argosy.image.blobs import Blob, Store, decompress
from argosy.image.build import Built
from argosy.image.containers import Containers, Service
from argosy.image.inside import ALIVE, APP, HEALTH, START, USER_ID
from argosy.image.sandbox import Cell, command_of
from argosy.image.whole import growing_folder, scratch_folder

_HEALTHY_WITHIN_S: Final = 60.0
_ASK_EVERY_S: Final = 0.05
_CHECKED_WITHIN_S: Final = 10.0
_TAIL: Final = 8


class Proof(msgspec.Struct, frozen=True):
    """What was found. way: what ran the image. imported: agents that could be loaded; failed: the others.

    ready: agents that were seen ready; waiting: those that need others elsewhere. faults: what else went
    wrong. healthy_s: from the start to the first good answer, the longest of its containers; stopped_s:
    from the signal to the end.
    """

    way: str
    imported: int
    failed: dict[str, str]
    ready: int
    waiting: int
    faults: tuple[str, ...]
    healthy_s: float
    stopped_s: float

    @property
    def is_good(self) -> bool:
        return not self.failed and not self.faults


class Trial(msgspec.Struct):
    """One line of `argosy.image.trial`."""

    agent: str
    error: str


class Run(msgspec.Struct, frozen=True):
    """How one container did."""

    ready: int
    waiting: int
    faults: tuple[str, ...]
    healthy_s: float
    stopped_s: float


class Prover:
    """Runs images from a store. cache: where their layers are unpacked, each once."""

    def __init__(self, store: Store, cache: Path, containers: Containers) -> None:
        if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "nsenter"))):
            message = "an image is proven in namespaces, which needs root and `unshare` of util-linux"
            hint = "run as root, or `--no-proof`: then no image gets a name"
            raise MissingError(Fault("", "no-namespaces", message, hint))
        self.store = store
        self.cache = cache / "unpacked"
        self.cache.mkdir(parents=True, exist_ok=True)
        self.containers = containers

    def prove(self, built: Built) -> Proof:
        """Run one image; never raises for what the image does."""
        services = [each for each in self.containers.services if each.image.name == built.image.name]
        failed = self.import_all(built)
        runs = [] if failed else [self.run(built, service) for service in services]
        return Proof(
            way="namespaces, read-only overlay of the layers",
            imported=len(built.image.agents) - len(failed),
            failed=failed,
            ready=sum(run.ready for run in runs),
            waiting=sum(run.waiting for run in runs),
            faults=tuple(fault for run in runs for fault in run.faults),
            healthy_s=round(max((run.healthy_s for run in runs), default=0.0), 3),
            stopped_s=round(max((run.stopped_s for run in runs), default=0.0), 3),
        )

    def import_all(self, built: Built) -> dict[str, str]:
        """Return the agents that cannot be loaded inside, and why."""
        command = ("python3", "-m", "argosy.image.trial", *built.image.agents)
        with self.cell(built, command, "") as words:
            done = subprocess.run(
                words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
            )
        told = [msgspec.json.decode(line, type=Trial) for line in done.stdout.splitlines()]
        failed = {item.agent: item.error for item in told if item.error}
        missed = set(built.image.agents) - {item.agent for item in told}
        why = (
            " / ".join(done.stderr.strip().splitlines()[-2:])
            or f"the trial ended with code {done.returncode}"
        )
        return failed | dict.fromkeys(sorted(missed), why)

    def run(self, built: Built, service: Service) -> Run:
        """Start one container, ask for its health, and stop it."""
        outside = self.waiting_in(service)
        asked = ALIVE if outside else HEALTH
        with (
            self.cell(built, (*START, "--alone"), service.name) as words,
            tempfile.TemporaryFile("w+") as log,
        ):
            began = time.monotonic()
            process = subprocess.Popen(words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, text=True)
            try:
                said = self.await_health(process, asked, built.variables)
                healthy_s = time.monotonic() - began
                stopped_s, code = self.stop(process, service.stop_s)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
            log.seek(0)
            lines = log.read().splitlines()
        faults = [
            f"`{service.name}`: {fault}" for fault in (said, _ended(code, stopped_s, service.stop_s)) if fault
        ]
        if faults:
            faults.append(f"`{service.name}` said: {' / '.join(lines[-_TAIL:])}")
        ready = {line.partition(":")[0] for line in lines if line.endswith(": ready")}
        return Run(len(ready), len(outside), tuple(faults), healthy_s, stopped_s)

    def waiting_in(self, service: Service) -> set[str]:
        """Return the agents of a service that need somebody outside of it, directly or not."""
        graph = build_graph(self.containers.fleet)
        return {name for name in service.agents if not set(graph.closure([name])) <= set(service.agents)}

    def await_health(
        self, process: subprocess.Popen[str], asked: tuple[str, ...], variables: dict[str, str]
    ) -> str:
        """Ask for health inside until it is good; return what is wrong when it never was."""
        deadline = time.monotonic() + _HEALTHY_WITHIN_S
        said = "it never answered its health check"
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"it ended with code {process.returncode} before it was healthy"
            inner = children_of(process.pid)
            if inner:
                done = subprocess.run(
                    inside(inner[0], asked),
                    capture_output=True,
                    text=True,
                    check=False,
                    timeout=_CHECKED_WITHIN_S,
                    env=variables,
                )
                if done.returncode == 0:
                    return ""
                said = done.stdout.strip() or said
            time.sleep(_ASK_EVERY_S)
        return f"not healthy after {_HEALTHY_WITHIN_S:.0f} s: {said}"

    def stop(self, process: subprocess.Popen[str], within_s: float) -> tuple[float, int | None]:
        """Tell the container to stop; return how long that took, and its exit code, None when it did not."""
        began = time.monotonic()
        for inner in children_of(process.pid):
            os.kill(inner, signal.SIGTERM)
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            return within_s, None
        return time.monotonic() - began, process.returncode

    @contextmanager
    def cell(self, built: Built, command: tuple[str, ...], service: str) -> Iterator[list[str]]:
        """Give the command that runs another command in the image."""
        # An overlay takes no folder twice; of a layer that a given base has too, the upper hides the lower.
        upper = dict.fromkeys(str(self.unpacked(layer)) for layer in reversed(built.layers))
        layers = tuple(reversed(upper))
        variables = {**built.variables, "ARGOSY_MACHINE": service}
        with scratch_folder(self.cache) as root:
            hosts = {service: "127.0.0.1"} if service else {}
            cell = Cell(layers, str(root), command, variables, APP, hosts=hosts)
            yield command_of(cell)

    def unpacked(self, layer: Blob) -> Path:
        """Return a folder with what a layer holds."""
        target = self.cache / layer.diff_id.removeprefix("sha256:")[:24]
        if not target.exists():
            plain = io.BytesIO(decompress(self.store.path_of(layer.digest).read_bytes()))
            with growing_folder(target) as partial, tarfile.open(fileobj=plain) as archive:
                unpack_layer(archive, partial)
                _white_out(partial)
        return target


def unpack_layer(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the members of a layer below `folder`, with their modes and links.

    Raises RefusedError: one would be written outside of it.
    """
    # The argument `filter` came with 3.11.4; Debian 12 has 3.11.2.
    archive.extraction_filter = lambda member, _: member
    archive.extractall(folder, (_stay_inside(member, str(folder)) for member in archive))


def _stay_inside(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Return a member of a layer as it is; its links may point anywhere, but it is not written through one.

    Raises RefusedError: it would be written, or linked to a file, outside of the folder.
    """
    linked = [member.linkname] if member.islnk() else []
    for name in (member.name, *linked):
        parent, last = os.path.split(os.path.join(folder, name.lstrip("/")))
        place = os.path.realpath(parent)
        if last == ".." or os.path.commonpath([place, os.path.realpath(folder)]) != os.path.realpath(folder):
            message = f"a layer's member `{member.name}` would be written to `{place}`, outside of the layer"
            raise RefusedError(Fault("", "unsafe-layer", message, "use a base image that you trust"))
    return member


def _white_out(folder: Path) -> None:
    """Put what an overlay takes for deleted in place of the marks that layers have for it."""
    for path in list(folder.rglob(".wh.*")):
        path.unlink()
        if path.name == ".wh..wh..opq":
            os.setxattr(path.parent, "trusted.overlay.opaque", b"y")
        else:
            os.mknod(path.with_name(path.name.removeprefix(".wh.")), stat.S_IFCHR, os.makedev(0, 0))


def _ended(code: int | None, took_s: float, within_s: float) -> str:
    if code is None:
        return f"it had not ended {within_s:.0f} s after SIGTERM"
    return "" if code == 0 else f"it ended with code {code}, {took_s:.1f} s after SIGTERM"


def children_of(pid: int) -> list[int]:
    """Return the children of a process: of `unshare`, the first process of the namespaces."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def inside(pid: int, command: Iterable[str]) -> list[str]:
    """Return the command that runs another beside a process, in its namespaces and root, as its user."""
    enter = ["/usr/bin/nsenter", "--target", str(pid), "--mount", "--pid", "--net", "--ipc", "--root"]
    return [*enter, f"--setuid={USER_ID}", f"--setgid={USER_ID}", *command]
