"""Container init: it waits for dependencies, reaps orphans, answers health checks and stops in order."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from argosy.fleet import load_fleet, place
from argosy.image.manifests.compose_file import build_compose
from argosy.image.plan.container_plan import plan_containers
from argosy.image.plan.image_plan import plan_images
from argosy.image.runtime.container_main import local_fleet
from argosy.image.runtime.dependency_wait import remote_dependencies
from rig import port
from rig.fleet import free_ports
from rig.needs import require
from rig.port import put
from rig.trees import make_tree

PATIENCE_S = 30.0

FLEET = """
fleet: pair
machines: {{first: {{}}, second: {{}}}}
environments: {{container: {{first: 127.0.0.1, second: 127.0.0.1}}}}
agents:
  Base: {{run: base.py, machine: first, port: {0}, ready: {{probe: tcp}}}}
  Next: {{run: "agents:Next", machine: second, port: {1}, needs: [Base]}}
  Last: {{run: "agents:Next", machine: second, port: {2}, needs: [Next], wants: [Base]}}
"""
BASE = """
import os, socket
server = socket.create_server(("0.0.0.0", int(os.environ["ARGOSY_PORT"])))
while True:
    server.accept()[0].close()
"""


class Container:
    """One container's first process, with a state of its own."""

    def __init__(self, file: Path, machine: str) -> None:
        self.file = file
        self.runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))  # short: socket paths are
        self.env = dict(
            os.environ,
            ENV_TYPE="container",
            ARGOSY_MACHINE=machine,
            ARGOSY_HUB="off",
            XDG_STATE_HOME=str(file.parent / f"state-{machine}"),
            XDG_RUNTIME_DIR=str(self.runtime),
        )
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "argosy.image.runtime.container_init", str(self.file)],
            env=self.env,
            stdout=subprocess.PIPE,
            text=True,
        )

    def checkup(self, *words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "argosy.image.runtime.healthcheck", *words, str(self.file)],
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    def await_health(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (said := self.checkup())[0] != 0:
            assert time.monotonic() < deadline, said
            assert self.process is not None
            assert self.process.poll() is None, self.process.communicate()

    def end(self) -> tuple[int, str]:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, output

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end()
        shutil.rmtree(self.runtime)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Container, Container]]:
    file = tmp_path / "fleet.yaml"
    file.write_text(FLEET.format(*free_ports(3)))
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "agents.py").write_text("from argosy.agent import Agent\nclass Next(Agent): ...\n")
    made = Container(file, "first"), Container(file, "second")
    yield made
    for container in made:
        container.close()


def test_container_waits_for_dependency_and_stops_in_order(pair: tuple[Container, Container]) -> None:
    first, second = pair
    second.start()
    assert second.checkup() == (1, "no supervisor answers")
    first.start()
    first.await_health()
    assert first.checkup("--alive")[0] == 0
    second.await_health()
    assert second.checkup() == (0, "ok, 2 agents")
    code, output = second.end()
    assert code == 0
    lines = output.splitlines()
    assert lines.index("Next: ready") < lines.index("Last: ready")
    assert lines[-1] == "2 agents stopped, 0 killed"
    assert second.checkup() == (1, "no supervisor answers")
    assert first.end()[0] == 0


def test_container_stops_on_sigterm_while_it_waits(pair: tuple[Container, Container]) -> None:
    _, second = pair
    second.start()
    assert second.process is not None
    _await_handler(second.process.pid)
    assert second.end() == (0, "")


def _await_handler(pid: int) -> None:
    """Wait until a process has a handler of its own for SIGTERM."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        status = Path(f"/proc/{pid}/status").read_text()
        caught = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), 16)
        if caught >> (signal.SIGTERM - 1) & 1:
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_container_with_unknown_name_lists_container_names(pair: tuple[Container, Container]) -> None:
    first, _ = pair
    first.env["ARGOSY_MACHINE"] = "third"
    first.start()
    assert first.process is not None
    output, _ = first.process.communicate(timeout=PATIENCE_S)
    assert first.process.returncode == 2
    assert "found `third`, expected one of the fleet's containers: `first`, `second`" in output


def test_local_fleet_turns_remote_needs_into_dependencies_and_wants(
    pair: tuple[Container, Container],
) -> None:
    fleet = load_fleet(pair[0].file)
    (gate,) = remote_dependencies(fleet, place(fleet, "container", {}), "second")
    assert (gate.agent, gate.kind, gate.port) == ("Base", "tcp", fleet.agents["Base"].port)
    assert remote_dependencies(fleet, place(fleet, "container", {}), "first") == ()
    agents = local_fleet(fleet, "second").agents
    assert (agents["Next"].needs, agents["Next"].wants) == ((), ("Base",))
    assert ([need.agent for need in agents["Last"].needs], agents["Last"].wants) == (["Next"], ("Base",))


def test_one_container_per_agent_starts_and_stops_with_compose_settings(tmp_path: Path) -> None:
    ports = free_ports(port.PORTS)
    fleet = make_tree(tmp_path, {"fleet.yaml": port.FLEET.format(*ports), **port.FILES})
    laid = plan_containers(plan_images(fleet))
    services = build_compose(laid)["services"]
    assert {name: service["labels"]["argosy.agents"].split(",") for name, service in services.items()} == (
        port.SERVICES
    )
    assert list(services) == ["pair", "old", "memory", "speaker"]
    # The file that the containers read; all of their addresses are this machine's.
    read = yaml.safe_load(laid.fleet_text)
    read["environments"]["container"] = dict.fromkeys(services, "127.0.0.1")
    file = tmp_path / "containers.yaml"
    file.write_text(yaml.safe_dump(read))
    made = {
        name: Container(file, service["environment"]["ARGOSY_MACHINE"]) for name, service in services.items()
    }
    try:
        for name in reversed(made):  # nobody holds them back here: each waits for what it needs
            made[name].start()
        for container in made.values():
            container.await_health()
        assert put(f"tcp://127.0.0.1:{ports[0]}", port.QUESTION) == port.ANSWER
        for name in reversed(made):
            code, output = made[name].end()
            assert code == 0, output
            assert output.splitlines()[-1] == f"{len(port.SERVICES[name])} agents stopped, 0 killed"
    finally:
        for container in made.values():
            container.close()


# Process one has a child that leaves an orphan behind, and ends with code 7 when it is told to end.
PARENT = """
import ctypes, os, signal, sys
from argosy.image.runtime.container_init import forward_signals_and_reap
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
first = os.getpid()
child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
    middle = os.fork()
    if middle == 0:
        orphan = os.fork()
        if orphan == 0:
            while os.getppid() != first:
                pass
            os._exit(0)
        os.write(1, b"%7d" % orphan)
        os._exit(0)
    os.waitpid(middle, 0)
    while True:
        signal.pause()
sys.exit(forward_signals_and_reap(child))
"""


def test_container_init_reaps_orphans_and_forwards_signals() -> None:
    process = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE)
    assert process.stdout is not None
    orphan = Path(f"/proc/{process.stdout.read(7).decode().strip()}")
    deadline = time.monotonic() + PATIENCE_S
    while orphan.exists():  # as long as nobody has taken it in
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 7


def test_container_init_runs_as_pid_1_of_namespace(pair: tuple[Container, Container]) -> None:
    first, _ = pair
    require("unshare")
    if os.geteuid() != 0:
        pytest.skip("only root can have a namespace of processes")
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    command += [sys.executable, "-m", "argosy.image.runtime.container_init", str(first.file)]
    process = subprocess.Popen(command, env=first.env, stdout=subprocess.PIPE, text=True)
    try:
        first.process = process
        first.await_health()
        (inner,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGTERM)
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert output.splitlines()[-1] == "1 agents stopped, 0 killed"
    finally:
        first.process = None
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("module", "line"),
    [("first", "the file cannot be read"), ("checkup", "no supervisor answers")],
)
def test_legacy_container_modules_still_run(module: str, line: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"argosy.image.{module}", str(tmp_path / "fleet.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert line in done.stdout
