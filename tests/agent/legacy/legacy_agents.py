"""Agents of the old kind, each with one habit that old code has; run as `python legacy_agents.py CLASS`."""

from __future__ import annotations

import http.server
import os
import queue
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import zmq

from argosy.agent.compat import BaseAgent


def say(*words: object) -> None:
    print(*words, flush=True)


def gate(name: str) -> None:
    """Wait until the test lets the agent go on."""
    while not Path(os.environ["GATES"], name).exists():
        time.sleep(0.005)


class Lacking(BaseAgent):
    """Its model is made of a package that is not there."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(name="LackingOld", port=4999, **kwargs)
        try:
            import no_such_torch  # noqa: PLC0415
        except ModuleNotFoundError:
            from argosy.agent.missing_packages import placeholder  # noqa: PLC0415

            no_such_torch = placeholder("no_such_torch")
        self.torch = no_such_torch

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"made": self.torch.zeros(1)}

    def _get_health_status(self) -> dict[str, Any]:
        return {"status": "HEALTHY", "models": 0}


class Plain(BaseAgent):
    """Nothing of its own but a handler and a payload."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(name="PlainOld", port=4999, **kwargs)
        self.count = 0

    def handle_request(self, request: dict[str, Any]) -> Any:
        self.count += 1
        if request.get("action") == "fail":
            raise ValueError("no such voice")
        if request.get("command") == "bare":
            return 7
        if request.get("action") == "report":
            self.report_error("voice", "it is hoarse", severity="WARNING")
            self.send_event("voice.changed", {"to": "low"})
        if request.get("action") == "attributes":
            return {
                key: getattr(self, key) for key in ("name", "port", "health_check_port", "running", "config")
            }
        if request.get("action") == "hold":
            gate("held")
        return {**request, "in": threading.current_thread().name, "count": self.count}

    def _get_health_status(self) -> dict[str, Any]:
        status = super()._get_health_status()
        status.update({"status": "HEALTHY", "count": self.count, "where": Path("/here"), "parts": {1, 2}})
        return status

    def cleanup(self) -> None:
        say("cleanup")
        super().cleanup()


class TakesTheInstance(BaseAgent):
    """Has a library that takes pyzmq's instance and ends it, and another that goes on with it."""

    def __init__(self) -> None:
        super().__init__(name="TakesTheInstance")
        self.others = zmq.Context.instance().socket(zmq.REP)
        with zmq.Context.instance().socket(zmq.PUB):
            pass
        zmq.Context.instance().term()
        self.later = zmq.Context.instance().socket(zmq.REQ)

    def handle_request(self, request: dict[str, Any]) -> Any:
        self.later.connect(f"tcp://127.0.0.1:{self.others.bind_to_random_port('tcp://127.0.0.1')}")
        self.later.send(b"still there")
        return {"heard": self.others.recv().decode()}


class ReadsItself(BaseAgent):
    """Answers on its socket in a thread of its own, and calls the `run` of its base as well."""

    def __init__(self) -> None:
        super().__init__(name="ReadsItself")
        self.socket = self.context.socket(zmq.REP)
        self.socket.bind(f"tcp://*:{self.port}")
        threading.Thread(target=self._loop, daemon=True).start()

    def _loop(self) -> None:
        while self.running:
            if self.socket.poll(50):
                self.socket.send_json({"by": "its thread", "asked": self.socket.recv_json()})

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"by": "its base"}


class OnlyHealthCheck(BaseAgent):
    """Says how it is by `health_check` alone."""

    def __init__(self) -> None:
        super().__init__()

    def health_check(self) -> dict[str, Any]:
        return {"status": "warning", "queue": 3}


class BeginsTooEarly(BaseAgent):
    """Begins a loop before it calls its base: the loop asks for `running` at once."""

    def __init__(self) -> None:
        self.rounds: queue.Queue[bool] = queue.Queue()
        threading.Thread(target=self.look, daemon=True).start()
        self.first = self.rounds.get(timeout=20)
        super().__init__()

    def look(self) -> None:
        self.rounds.put(self.running)

    def _get_health_status(self) -> dict[str, Any]:
        return {"first": self.first}


class InitializesTooEarly(BaseAgent):
    """Begins its initialisation in a thread, and sets what that needs afterwards."""

    def __init__(self, *, waits_s: float = 0.3) -> None:
        super().__init__()
        early = threading.Thread(target=self._perform_initialization, daemon=True)
        early.start()
        early.join(waits_s)
        self.is_late = not early.is_alive()
        self.address = "there"

    def _perform_initialization(self) -> None:
        self.found = getattr(self, "address", "nothing")

    def _get_health_status(self) -> dict[str, Any]:
        return {"found": self.found, "is_late": self.is_late}


class WaitsForInitialization(InitializesTooEarly):
    """Waits in its constructor until its initialisation has ended."""

    def __init__(self) -> None:
        super().__init__(waits_s=60)


class SlowConstructor(BaseAgent):
    def __init__(self) -> None:
        super().__init__(name="SlowConstructor")
        gate("constructor")
        self.model = "loaded"

    def _get_health_status(self) -> dict[str, Any]:
        return {"status": "ok", "model": self.model}


class BreaksInConstructor(BaseAgent):
    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError("no card")


class Initializes(BaseAgent):
    """Initialises apart, reading a field that its constructor sets last; and begins it itself too."""

    def __init__(self) -> None:
        super().__init__()
        self.path = "there"

    def _perform_initialization(self) -> None:
        gate("initialization")
        say("initialised", self.path)

    def run(self) -> None:
        self._perform_initialization()
        say("run")
        super().run()


class FailsToInitialize(BaseAgent):
    def _perform_initialization(self) -> None:
        raise OSError("no model file")


class OwnLoop(BaseAgent):
    """Loops in a `run` of its own, on nothing of its base."""

    def run(self) -> None:
        gate("run")
        while self.running:
            time.sleep(0.01)


class BreaksInLoop(BaseAgent):
    def run(self) -> None:
        gate("break")
        raise ValueError("lost")

    def _get_health_status(self) -> dict[str, Any]:
        return {"status": "ok", "payload": "of a lost agent"}


class Hangs(BaseAgent):
    """Leaves its loop, and hangs in its clean-up: the false ready."""

    def run(self) -> None:
        gate("leave")
        self.cleanup()

    def cleanup(self) -> None:
        gate("never")

    def _get_health_status(self) -> dict[str, Any]:
        return {"status": "ok", "payload": "of a hanging agent"}


class BindsTheBasesSocket(BaseAgent):
    """Takes the socket that its base has bound, and binds it once more where it is."""

    def __init__(self) -> None:
        super().__init__()
        self.socket.bind(f"tcp://*:{self.port}")

    def run(self) -> None:
        while self.running:
            if self.socket.poll(timeout=100):
                self.socket.send(b"raw " + self.socket.recv())


class OnSocket(BaseAgent):
    """Answers on `self.socket`, in a loop of its own, and not always in JSON."""

    def run(self) -> None:
        while self.running:
            if self.socket.poll(timeout=100):
                self.socket.send(b"raw " + self.socket.recv())


class BindsMain(BaseAgent):
    """Makes a context and binds its port again, before its constructor is over."""

    def __init__(self) -> None:
        super().__init__(port=4999)
        self.context = zmq.Context()
        self.rep = self.context.socket(zmq.REP)
        self.rep.bind(f"tcp://*:{self.port}")

    def run(self) -> None:
        while self.running:
            if self.rep.poll(100):
                self.rep.recv()
                self.rep.send_json({"from": "the agent"})


class BindsMainLate(BindsMain):
    """Binds its port when its base has it already."""

    def __init__(self) -> None:
        BaseAgent.__init__(self)

    def run(self) -> None:
        gate("bind")
        self.rep = zmq.Context().socket(zmq.REP)
        self.rep.bind(f"tcp://*:{self.port}")
        super().run()


class BindsHealth(BaseAgent):
    """Has a health socket and a health thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.health_socket = self.context.socket(zmq.REP)
        self.health_socket.bind(f"tcp://*:{self.health_check_port}")
        self.health_thread = threading.Thread(target=self.answer, daemon=True)
        self.health_thread.start()

    def answer(self) -> None:
        while self.running:
            if self.health_socket.poll(50):
                self.health_socket.recv()
                self.health_socket.send_json({"status": "ok", "from": "the agent"})


class ServesHttp(BaseAgent):
    """An HTTP server by plain sockets on its main port."""

    def run(self) -> None:
        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.HTTPServer(("", self.port), Page)
        server.timeout = 0.05
        while self.running:
            server.handle_request()


class TriesPort(BaseAgent):
    """Looks whether its health port is free, as old code does before it picks one."""

    def __init__(self) -> None:
        super().__init__()
        with socket.socket() as trial:
            trial.bind(("", self.health_check_port))


class BindsNeighbour(BaseAgent):
    """Publishes on a port that another agent declares."""

    def __init__(self) -> None:
        super().__init__()
        self.pub = self.context.socket(zmq.PUB)
        self.pub.bind(f"tcp://*:{os.environ['NEIGHBOUR']}")
        self.rep = self.context.socket(zmq.REP)
        self.rep.bind(f"tcp://*:{int(os.environ['NEIGHBOUR']) + 1}")

    def run(self) -> None:
        while self.running:
            if self.rep.poll(50):
                self.rep.recv()
                self.rep.send_json({"from": "the agent"})


class Helper(BaseAgent):
    """A library that happens to be an agent."""

    def __init__(self) -> None:
        super().__init__(name="Helper", port=4998)

    def _perform_initialization(self) -> None:
        self.is_initialized.set()
        self.prepared = True

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"from": "the helper"}


class Nests(BaseAgent):
    """Makes agents inside its constructor, before its base's and after."""

    def __init__(self) -> None:
        self.first = Helper()
        super().__init__(name="Nests")
        self.second = Helper()
        self.second.is_initialized.wait()

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"from": "the agent"}


class LoopsInConstructor(BaseAgent):
    """Its constructor is its life, and never returns while it lives."""

    def __init__(self) -> None:
        super().__init__()
        self.run()


class SlowPayload(BaseAgent):
    def _get_health_status(self) -> dict[str, Any]:
        gate("payload")
        return {"status": "ok", "sampled": True}


class BreaksInPayload(BaseAgent):
    def _get_health_status(self) -> dict[str, Any]:
        if not Path(os.environ["GATES"], "mended").exists():
            raise KeyError("gpu")
        return {"status": "ok", "gpu": 1}


class WorkingHealthLoop(BaseAgent):
    """Its `_health_check_loop` does work, and answers nobody."""

    def __init__(self) -> None:
        super().__init__()
        self.checks = 0

    def _health_check_loop(self) -> None:
        while self.running:
            self.checks += 1
            time.sleep(0.01)

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"checks": self.checks}


class RespondingHealthLoop(BaseAgent):
    """Its `_health_check_loop` is the copied one, in a thread that it starts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.health_thread = threading.Thread(target=self._health_check_loop, daemon=True)
        self.health_thread.start()

    def _health_check_loop(self) -> None:
        while self.running:
            if self.health_socket.poll(20):
                self.health_socket.recv()
                self.health_socket.send_json({"status": "ok", "from": "the copied loop"})


class NeverCallsBase(BaseAgent):
    def __init__(self) -> None:
        self.name = "Proud"
        self.special = 1

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {"special": self.special, "name": self.name, "running": self.running}


class Asks(BaseAgent):
    """Asks another agent the old way."""

    def handle_request(self, request: dict[str, Any]) -> Any:
        return {
            "answer": self.send_request_to_agent("Plain", {"action": "hello"}),
            "endpoint": self.get_agent_endpoint("Plain"),
        }


if __name__ == "__main__":
    made: Any = globals()[sys.argv[1]]()
    if made.running:
        made.run()
