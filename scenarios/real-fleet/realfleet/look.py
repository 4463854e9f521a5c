"""One look at every living agent from outside: its answers, and what it takes.

Health is asked by a plain REQ socket on the declared health port. That the answer is of this very
agent is taken from the name and pid inside it; an agent that answers there with a socket of its
own, and knows no such keys, must own the port's socket, and its supervisor must count it as ready by
what its base says of the main thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
import zmq

WITHIN_S: Final = 6.0
_REAPER: Final = "ZMQbg/Reaper"


class Look(msgspec.Struct, frozen=True):
    """What was seen of one agent.

    health: the answer on the health port, None without one. main: the answer on the main port, as text, None
    without one. owns_health_port: the process itself listens there.
    """

    pid: int | None
    state: str
    reason: str
    health: dict[str, Any] | None = None
    main: str | None = None
    owns_health_port: bool = False
    contexts: int = 0
    threads: int = 0
    descriptors: int = 0
    pss_bytes: int = 0


def look_at(fleet: Path, status: Mapping[str, Any]) -> dict[str, Look]:
    """Return a look at each agent of a running fleet; all are asked at the same time."""
    declared = yaml.safe_load(fleet.read_text(encoding="utf-8"))["agents"]
    rows = status["agents"]
    alive = [name for name, row in rows.items() if row["pid"]]
    health = _ask_all({name: declared[name].get("health_port") for name in alive})
    main = _ask_all({name: declared[name].get("port") for name in alive})
    looks = {}
    for name, row in rows.items():
        weight = _weigh(row["pid"]) if row["pid"] else {}
        looks[name] = Look(
            row["pid"],
            row["state"],
            row["reason"] or "",
            _as_document(health.get(name)),
            _as_text(main.get(name)),
            bool(row["pid"] and owns_port(row["pid"], declared[name].get("health_port") or 0)),
            **weight,
        )
    return looks


def _ask_all(ports: Mapping[str, int | None]) -> dict[str, bytes]:
    """Ask each port for health, the way old programs do, and return the answers that came."""
    context = zmq.Context()
    poller, waiting, answers = zmq.Poller(), {}, {}
    for name, port in ports.items():
        if port:
            socket = context.socket(zmq.REQ)
            socket.linger = 0
            socket.connect(f"tcp://127.0.0.1:{port}")
            socket.send(b'{"action":"health_check"}')
            poller.register(socket, zmq.POLLIN)
            waiting[socket] = name
    until_s = time.monotonic() + WITHIN_S
    while waiting and (left_s := until_s - time.monotonic()) > 0:
        for socket, _ in poller.poll(int(left_s * 1000)):
            answers[waiting.pop(socket)] = socket.recv()
            poller.unregister(socket)
            socket.close()
    for socket in waiting:
        socket.close()
    context.term()
    return answers


def _as_document(answer: bytes | None) -> dict[str, Any] | None:
    try:
        told = json.loads(answer or b"null")
    except ValueError:
        return {"status": "error", "error": f"no JSON: {(answer or b'')[:80]!r}"}
    return told if isinstance(told, dict) or told is None else {"payload": told}


def _as_text(answer: bytes | None) -> str | None:
    return None if answer is None else answer[:200].decode(errors="replace")


def _weigh(pid: int) -> dict[str, int]:
    """Return what a process takes; zeros when it has just ended. contexts: a reaper thread each."""
    try:
        tasks = Path(f"/proc/{pid}/task")
        names = [(tasks / task / "comm").read_text() for task in os.listdir(tasks)]
        pss = next(
            int(line.split()[1]) * 1024
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            if line.startswith("Pss:")
        )
        return {
            "contexts": sum(name.startswith(_REAPER) for name in names),
            "threads": len(names),
            "descriptors": len(os.listdir(f"/proc/{pid}/fd")),
            "pss_bytes": pss,
        }
    except (OSError, StopIteration):
        return {}


def owns_port(pid: int, port: int) -> bool:
    """Tell whether a process holds the listening TCP socket of a port of this machine."""
    wanted = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                wanted.add(f"socket:[{fields[9]}]")
    folder = f"/proc/{pid}/fd"
    for descriptor in os.listdir(folder) if os.path.isdir(folder) else ():
        try:
            if os.readlink(os.path.join(folder, descriptor)) in wanted:
                return True
        except OSError:
            continue
    return False
