"""Observes every running agent once from outside: its answers and its resources.

Health is requested by a plain REQ socket on the declared health port. The name and pid in the answer
identify the agent. An agent that answers there by its own socket without these keys must own the port's
socket, and its supervisor must have it as ready by its base's report on the main thread. An answer has the
age of the agent's own payload; one from before the observation is requested again.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml
import zmq

from realfleet.zmtp_greeting import socket_type

TIMEOUT_S: Final = 6.0
RETRY_S: Final = 0.5
_HEALTH: Final = "health"
_MAIN: Final = "main"
_HEALTH_REQUEST: Final = b'{"action":"health_check"}'
_REAPER: Final = "ZMQbg/Reaper"


class AgentObservation(msgspec.Struct, frozen=True):
    """The observation of one agent.

    health: the answer on the health port, or None. main: the answer on the main port as text, or None; then
    main_holder says what listens there. owns_health_port: the process itself listens on the health port.
    """

    pid: int | None
    state: str
    reason: str
    health: dict[str, Any] | None = None
    main: str | None = None
    main_holder: str = ""
    owns_health_port: bool = False
    contexts: int = 0
    threads: int = 0
    descriptors: int = 0
    pss_bytes: int = 0


def observe_fleet(fleet: Path, ask_status: Callable[[], Mapping[str, Any]]) -> dict[str, AgentObservation]:
    """Return an observation of each agent of a running fleet; all are asked at the same time.

    ask_status: return the supervisor's status of the agents; called again at the end, in case a request
    crashed an agent.
    """
    declared = yaml.safe_load(fleet.read_text(encoding="utf-8"))["agents"]
    rows = ask_status()["agents"]
    ports = {}
    for name, row in rows.items():
        for kind, key in ((_HEALTH, "health_port"), (_MAIN, "port")):
            if row["pid"] and declared[name].get(key):
                ports[kind, name] = declared[name][key]
    answers = _ask_all(ports)
    rows = ask_status()["agents"]
    looks = {}
    for name, row in rows.items():
        weight = _resource_usage(row["pid"]) if row["pid"] else {}
        port, main = declared[name].get("port"), _as_text(answers.get((_MAIN, name)))
        looks[name] = AgentObservation(
            row["pid"],
            row["state"],
            row["reason"] or "",
            _as_document(answers.get((_HEALTH, name))),
            main,
            _holder(port, row["pid"]) if row["pid"] and main is None else "",
            bool(row["pid"] and owns_port(row["pid"], declared[name].get("health_port") or 0)),
            **weight,
        )
    return looks


def query_health(fleet: Path, names: Collection[str]) -> dict[str, dict[str, Any]]:
    """Return the current health of those of these agents that answer."""
    declared = yaml.safe_load(fleet.read_text(encoding="utf-8"))["agents"]
    answers = _ask_all({(_HEALTH, name): declared[name]["health_port"] for name in names})
    return {name: told for (_, name), answer in answers.items() if (told := _as_document(answer))}


def _ask_all(ports: Mapping[tuple[str, str], int]) -> dict[tuple[str, str], bytes]:
    """Ask each port for health, as legacy programs do, and return the received answers."""
    context = zmq.Context()
    poller, asked, answers = zmq.Poller(), {}, {}
    began_s = time.monotonic()
    for key, port in ports.items():
        socket = context.socket(zmq.REQ)
        socket.linger = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        poller.register(socket, zmq.POLLIN)
        asked[socket] = key
        socket.send(_HEALTH_REQUEST)
    waiting, again = set(asked), dict[Any, float]()
    while (waiting or again) and (now_s := time.monotonic()) < began_s + TIMEOUT_S:
        for socket in [each for each, at_s in again.items() if at_s <= now_s]:
            del again[socket]
            waiting.add(socket)
            socket.send(_HEALTH_REQUEST)
        until_s = min([began_s + TIMEOUT_S, *again.values()])
        for socket, _ in poller.poll(max(1, int((until_s - now_s) * 1000))):
            waiting.discard(socket)
            answer = answers[asked[socket]] = socket.recv()
            now_s = time.monotonic()
            if asked[socket][0] == _HEALTH and _age_s(answer) > now_s - began_s:
                again[socket] = now_s + RETRY_S
    for socket in asked:
        socket.close()
    context.term()
    return answers


def _age_s(answer: bytes) -> float:
    """Return the age of the payload in an answer, 0 if it has none."""
    told = _as_document(answer)
    age = (told or {}).get("payload_age", 0.0)
    return float(age) if isinstance(age, int | float) else 0.0


def _holder(port: int | None, pid: int) -> str:
    """Return what listens on the main port of an agent that does not answer there."""
    if not port:
        return "no main port is declared"
    kind = socket_type(port)
    if not kind:
        return f"nobody listens on port {port}"
    whose = "its own" if owns_port(pid, port) else "another process's"
    what = "no ZeroMQ socket" if kind == "no ZeroMQ" else f"a {kind} socket"
    late = f", and gave no answer within {TIMEOUT_S:.0f} s" if kind in ("REP", "ROUTER") else ""
    return f"{what} of {whose} is on port {port}{late}"


def _as_document(answer: bytes | None) -> dict[str, Any] | None:
    try:
        told = json.loads(answer or b"null")
    except ValueError:
        return {"status": "error", "error": f"no JSON: {(answer or b'')[:80]!r}"}
    return told if isinstance(told, dict) or told is None else {"payload": told}


def _as_text(answer: bytes | None) -> str | None:
    return None if answer is None else answer[:200].decode(errors="replace")


def _resource_usage(pid: int) -> dict[str, int]:
    """Return the resources of a process, zeros if it has just exited. contexts: one reaper thread each."""
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
    """Return whether a process has the listening TCP socket of a local port."""
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
