"""A ready queue over multiprocessing's forkserver: an agent is forked as soon as its needs are ready.

    forkserver.py LAUNCH_SPEC.json

Agents report readiness by the sd_notify protocol, as they do to argosy. Prints `up` when all are ready, or
the error; stops its agents and exits when its standard input closes.
"""

import json
import multiprocessing
import os
import runpy
import selectors
import socket
import sys
import time
from multiprocessing.process import BaseProcess
from typing import Any

START_WITHIN_S = 60.0

AgentSpec = dict[str, Any]


def run_agent(spec: AgentSpec) -> None:
    """Run the agent, in the forked child."""
    os.setsid()
    log = os.open(spec["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(spec["env"])
    os.chdir(spec["cwd"])
    _, _, module, *words = spec["argv"]  # python -m MODULE WORDS...
    sys.argv[1:] = words
    sys.path.insert(0, spec["cwd"])
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class ReadyQueue:
    """Starts each agent when all its needs are ready; `alive` holds the started processes."""

    def __init__(self, launch_spec: dict[str, Any]) -> None:
        self.alive: dict[str, BaseProcess] = {}
        self._home: str = launch_spec["home"]
        self._launch_spec: dict[str, AgentSpec] = {spec["name"]: spec for spec in launch_spec["agents"]}
        self._unmet_needs = {name: set(needs) for name, needs in launch_spec["needs"].items()}
        self._selector = selectors.DefaultSelector()
        self._context = multiprocessing.get_context("forkserver")
        multiprocessing.set_forkserver_preload(["__main__", *launch_spec["preload"]])

    def run(self) -> None:
        """Start all agents; raises RuntimeError when one does not become ready."""
        deadline = time.monotonic() + START_WITHIN_S
        self._start([name for name, needs in self._unmet_needs.items() if not needs])
        while self._selector.get_map():
            ready = self._selector.select(1.0)
            if time.monotonic() > deadline:
                waiting = sorted(key.data for key in self._selector.get_map().values())
                raise RuntimeError(f"{', '.join(waiting)} not ready after {START_WITHIN_S:g} s")
            for key, _ in ready:
                self._on_notify(key)

    def _start(self, names: list[str]) -> None:
        for name in names:
            path = f"{self._home}/{name}.sock"
            notify_socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            notify_socket.bind(path)
            self._selector.register(notify_socket, selectors.EVENT_READ, name)
            spec = self._launch_spec[name]
            spec["env"]["NOTIFY_SOCKET"] = path
            self.alive[name] = self._context.Process(target=run_agent, args=(spec,))
            self.alive[name].start()

    def _on_notify(self, key: selectors.SelectorKey) -> None:
        notify_socket = key.fileobj
        assert isinstance(notify_socket, socket.socket), "nothing else is registered"
        if b"READY=1" not in notify_socket.recv(8192).split(b"\n"):
            return
        self._selector.unregister(notify_socket)
        notify_socket.close()
        del self._unmet_needs[key.data]
        for needs in self._unmet_needs.values():
            needs.discard(key.data)
        self._start(
            [name for name, needs in self._unmet_needs.items() if not needs and name not in self.alive]
        )


def stop_all(agents: dict[str, BaseProcess]) -> None:
    """Stop all agents at once; kill those that still run after 10 s."""
    for agent in agents.values():
        agent.terminate()
    deadline = time.monotonic() + 10
    for agent in agents.values():
        agent.join(max(0.0, deadline - time.monotonic()))
        if agent.is_alive():
            agent.kill()
            agent.join()


def main() -> None:
    """Start the fleet, print `up`, wait for the end of standard input, stop the fleet."""
    with open(sys.argv[1], encoding="utf-8") as file:
        queue = ReadyQueue(json.load(file))
    try:
        queue.run()
        print("up", flush=True)
        sys.stdin.read()
    except RuntimeError as error:
        print(error, flush=True)
    finally:
        stop_all(queue.alive)


if __name__ == "__main__":
    main()
