"""Brings a fleet up by docker-compose, with an engine of its own, and asks every agent from outside.

`python compose_up.py FOLDER [SERVICE]` in namespaces of its own (`unshare`), so that nothing of it is left:
FOLDER has `tree/` with a fleet file and images in `tree/.argosy/images`. With the fleet of `rig.port`,
SERVICE is killed once, and has to come back. Prints one JSON object.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from argosy.fleet import load_fleet
from argosy.image.runtime.image_paths import AGENTS_LABEL
from rig.fleet import ARGOSY
from rig.port import QUESTION, put

PATIENCE_S = 60.0


def main(folder: Path, victim: str) -> None:
    """Run it all; a step that fails ends the program with what it said."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    tree, engine = folder / "tree", folder / "engine"
    engine.mkdir()
    end_point = f"unix://{engine}/sock"
    os.environ["DOCKER_HOST"] = end_point
    daemon = start_engine(engine, end_point)
    try:
        text = run([ARGOSY, "compose", "--fleet", str(tree)])
        file = folder / "compose.yaml"
        file.write_text(text)
        load_images(tree, end_point)
        compose = ["docker-compose", "-f", str(file), "--profile", "*"]
        began = time.monotonic()
        try:
            run([*compose, "up", "-d", "--wait"])
            up_s = time.monotonic() - began
            read = yaml.safe_load(text)
            found = ask_all(read, tree, engine / "sock")
            if victim:
                found |= kill_and_await_restart(read, victim, tree, engine / "sock")
            found |= stop_all(compose, read, engine / "sock")
        finally:
            down = run([*compose, "down", "--volumes"])
        print(json.dumps({**found, "up_s": up_s, "removed": "Removed" in down}))
    finally:
        daemon.terminate()
        daemon.wait(PATIENCE_S)


def start_engine(folder: Path, end_point: str) -> subprocess.Popen[bytes]:
    words = ["dockerd", "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    words += ["--pidfile", str(folder / "pid"), "--host", end_point]
    with open(folder / "log", "wb") as log:
        daemon = subprocess.Popen(words, stdout=log, stderr=log)
    deadline = time.monotonic() + PATIENCE_S
    while not answers(folder / "sock"):
        if daemon.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"dockerd does not work here: {(folder / 'log').read_text()[-300:]}")
        time.sleep(0.1)
    return daemon


def answers(path: Path) -> bool:
    try:
        return get(path, "/_ping") == "OK"
    except OSError:
        return False


def get(path: Path, what: str) -> Any:
    """Return what the engine answers to a GET."""
    with socket.socket(socket.AF_UNIX) as channel:
        channel.connect(str(path))
        channel.sendall(f"GET {what} HTTP/1.0\r\n\r\n".encode())
        data = b""
        while part := channel.recv(65536):
            data += part
    body = data.partition(b"\r\n\r\n")[2].decode()
    return json.loads(body) if body.startswith(("{", "[")) else body


def load_images(tree: Path, end_point: str) -> None:
    layout = tree / ".argosy" / "images"
    for item in json.loads((layout / "index.json").read_text())["manifests"]:
        name = item["annotations"]["org.opencontainers.image.ref.name"]
        copy = ["skopeo", "copy", "--quiet", "--dest-daemon-host", end_point]
        run([*copy, f"oci:{layout}:{name}", f"docker-daemon:{name}"])


def ask_all(compose: dict[str, Any], tree: Path, engine: Path) -> dict[str, Any]:
    """Ask each agent for its health over the bridge, as any old program would."""
    fleet = load_fleet(tree / "fleet.yaml")
    health: dict[str, str] = {}
    loose = []
    for name, service in compose["services"].items():
        details = inspect(compose, name, engine)
        address = address_of(details)
        if not details["HostConfig"]["ReadonlyRootfs"] or details["Config"]["User"] in ("", "0", "root"):
            loose.append(name)
        for agent in service["labels"][AGENTS_LABEL].split(","):
            health[agent] = ask(f"tcp://{address}:{fleet.agents[agent].port}")
    return {"health": health, "services": len(compose["services"]), "loose": loose}


def inspect(compose: dict[str, Any], service: str, engine: Path) -> Any:
    return get(engine, f"/containers/{compose['name']}-{service}-1/json")


def address_of(details: Any) -> str:
    return str(next(iter(details["NetworkSettings"]["Networks"].values()))["IPAddress"])


def kill_and_await_restart(compose: dict[str, Any], victim: str, tree: Path, engine: Path) -> dict[str, Any]:
    """Kill one container; return what its dependents say before, and after it is healthy again."""
    port = load_fleet(tree / "fleet.yaml").agents["Speaker"].port
    speaker = f"tcp://{address_of(inspect(compose, 'speaker', engine))}:{port}"
    before = put(speaker, QUESTION)
    os.kill(inspect(compose, victim, engine)["State"]["Pid"], signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        details = inspect(compose, victim, engine)
        is_back = (
            details["RestartCount"] == 1 and details["State"].get("Health", {}).get("Status") == "healthy"
        )
        if is_back or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    after = put(speaker, QUESTION)
    restarts = {name: inspect(compose, name, engine)["RestartCount"] for name in compose["services"]}
    return {"before": before, "after": after, "restarts": restarts}


def stop_all(command: list[str], compose: dict[str, Any], engine: Path) -> dict[str, Any]:
    """Stop what runs, in reverse order; return the exit code of each container, and how long all took."""
    began = time.monotonic()
    run([*command, "stop"])
    took_s = time.monotonic() - began
    ended = {name: inspect(compose, name, engine)["State"] for name in compose["services"]}
    return {"codes": {name: state["ExitCode"] for name, state in ended.items()}, "stop_s": took_s}


def ask(end_point: str) -> str:
    answer = put(end_point, {"action": "health"})
    return str(answer["status"] if isinstance(answer, dict) else answer)


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)[:200]}: {(done.stderr or done.stdout)[-600:]}")
    return done.stdout + done.stderr if command[0] == "docker-compose" else done.stdout


if __name__ == "__main__":
    main(Path(sys.argv[1]), "".join(sys.argv[2:]))
