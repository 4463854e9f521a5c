"""A start script: level by level, with a thread pool, polling the health of each agent until it is ok.

    level_barrier.py LAUNCH_SPEC.json

Prints `up` when the last level answers, or the error; stops its agents and exits when its standard input
closes.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import zmq

START_WITHIN_S = 60.0

AgentSpec = dict[str, Any]
Agents = dict[str, "subprocess.Popen[bytes]"]


def start_levels(levels: list[list[AgentSpec]], max_concurrent: int, poll_s: float, agents: Agents) -> None:
    """Start level by level; raises RuntimeError when an agent does not start."""
    with zmq.Context() as context:
        for level in levels:
            with ThreadPoolExecutor(max_concurrent) as pool:
                for _ in pool.map(lambda spec: start_one(context, spec, poll_s, agents), level):
                    pass


def start_one(
    context: "zmq.Context[zmq.Socket[bytes]]", spec: AgentSpec, poll_s: float, agents: Agents
) -> None:
    """Start one agent and poll it until its health is ok."""
    with open(spec["log"], "ab") as log:
        agent = subprocess.Popen(
            spec["argv"],
            cwd=spec["cwd"],
            env={**os.environ, **spec["env"]},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    agents[spec["name"]] = agent
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        began = time.monotonic()
        if is_healthy(context, spec["port"], poll_s):
            return
        if agent.poll() is not None:
            raise RuntimeError(f"{spec['name']} ended with {agent.returncode}")
        time.sleep(max(0.0, began + poll_s - time.monotonic()))
    raise RuntimeError(f"{spec['name']} was not healthy after {START_WITHIN_S:g} s")


def is_healthy(context: "zmq.Context[zmq.Socket[bytes]]", port: int, within_s: float) -> bool:
    """Ask once and wait `within_s` for the answer."""
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send_json({"action": "health"})
        return bool(socket.poll(int(within_s * 1000))) and socket.recv_json()["status"] == "ok"


def stop_all(agents: Agents) -> None:
    """Stop all agents at once; kill those that still run after 10 s."""
    for agent in agents.values():
        agent.terminate()
    deadline = time.monotonic() + 10
    for agent in agents.values():
        try:
            agent.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            agent.kill()
            agent.wait()


def main() -> None:
    """Start the fleet, print `up`, wait for the end of standard input, stop the fleet."""
    with open(sys.argv[1], encoding="utf-8") as file:
        launch_spec = json.load(file)
    agents: Agents = {}
    try:
        start_levels(launch_spec["levels"], launch_spec["max_concurrent"], launch_spec["poll_s"], agents)
        print("up", flush=True)
        sys.stdin.read()
    except RuntimeError as error:
        print(error, flush=True)
    finally:
        stop_all(agents)


if __name__ == "__main__":
    main()
