"""Tries one class of an old tree on argosy's base: constructs it, runs it, asks for its health.

    python class_trial.py TREE FILE CLASS HEALTH_PORT MODULE...

MODULEs are those from which the tree takes its base class; each is answered with argosy's. The
limit on the constructor's time is the caller's affair, who may ask by SIGALRM where it hangs.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import json
import logging
import os
import signal
import sys
import threading
import time
import traceback
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import zmq

from argosy.agent import compat

TREE = sys.argv[1]
MODULES: set[str] = set()
ARGOSY = str(Path(compat.__file__).parents[2])
COMPLAINTS: list[str] = []
DONE = threading.Event()
WATCH_S = 2.0
PASSED = (
    "/legacy/port_arbiter.py",
    "/zmq_context/context_handle.py",
    "/zmq_context/context_shutdown.py",
    "/legacy/method_hooks.py",
)


class Redirect(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Answers imports of the tree's base modules with argosy's."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        is_above = any(module.startswith(f"{fullname}.") for module in MODULES)
        if fullname not in MODULES and not (is_above and _is_missing(fullname, path)):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=is_above)

    def exec_module(self, module: types.ModuleType) -> None:
        if module.__name__ in MODULES:
            vars(module).update(BaseAgent=compat.BaseAgent, logger=compat.logger)


def _is_missing(name: str, path: Sequence[str] | None) -> bool:
    return importlib.machinery.PathFinder.find_spec(name, path) is None


def arguments_for(cls: type) -> dict[str, Any]:
    """Return values for the arguments that a constructor insists on."""
    known = {"port": 5000, "name": cls.__name__, "config": {}, "agent_name": cls.__name__, "agent_port": 5000}
    parameters = list(inspect.signature(cls).parameters.values())
    wanted = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    return {name: known.get(name) for name in wanted}


def ask(port: int) -> Any:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = 3000
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send_json({"action": "health"})
        return socket.recv_json()


def tell(outcome: str, **facts: Any) -> None:
    """Print the outcome and end; threads of the agent do not matter any more."""
    sys.stdout.flush()
    os.write(int(os.environ["TRIAL_FD"]), json.dumps({"outcome": outcome, **facts}).encode())
    os._exit(0)


def failure(error: BaseException) -> dict[str, Any]:
    """Tell an error, where it was raised, and which frame of the tree or of argosy that was in.

    Binds of the tree pass through argosy, and are still the tree's.
    """
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith((TREE, ARGOSY)) and not f.filename.endswith(PASSED)]
    last = (ours or frames or [None])[-1]
    return {
        "error": f"{type(error).__name__}: {error}",
        "frame": last.filename if last else "",
        "line": last.lineno if last else 0,
        "missing": getattr(error, "name", None) if isinstance(error, AttributeError) else None,
        "of_agent": isinstance(getattr(error, "obj", None), compat.BaseAgent),
    }


def where_it_hangs(*_: object) -> None:
    frame = sys._current_frames()[threading.main_thread().ident or 0]
    stack = [f for f in traceback.extract_stack(frame) if f.filename != __file__]
    last = stack[-1]
    tell("slow", error=f"still in its constructor: {last.name}", frame=last.filename, line=last.lineno)


def main() -> None:
    tree, file, name, port, *modules = sys.argv[1:]
    MODULES.update(modules)
    sys.argv[1:] = []
    sys.path[:0] = [str(Path(file).parent), tree]
    sys.meta_path.insert(0, Redirect())
    signal.signal(signal.SIGALRM, where_it_hangs)
    logging.getLogger("argosy.agent").addHandler(Listener())
    try:
        spec = importlib.util.spec_from_file_location("trial", file)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["trial"] = module
        spec.loader.exec_module(module)
        cls = getattr(module, name)
    except BaseException as error:
        tell("not imported", **failure(error))
    try:
        agent = cls(**arguments_for(cls))
    except BaseException as error:
        tell("not constructed", **failure(error))
    threading.Thread(target=watch, args=[int(port)], daemon=True).start()
    try:
        agent.run()
    except BaseException as error:
        tell("broke in run", **failure(error))
    DONE.wait()


def watch(port: int) -> None:
    """Ask until the agent is more than starting, for `WATCH_S` at most, and tell what it says."""
    until_s = time.monotonic() + WATCH_S
    answer = {"status": "starting"}
    try:
        while answer["status"] == "starting" and time.monotonic() < until_s:
            answer = ask(port)
    except BaseException as error:
        tell("no answer", **failure(error))
    trouble = [m for m in COMPLAINTS if "responder" in m]
    if trouble:
        tell("no answer", error=trouble[0])
    tell(
        "answered",
        status=answer["status"],
        error=answer.get("reason", ""),
        is_own=answer["pid"] == os.getpid(),
    )


class Listener(logging.Handler):
    """Keeps what argosy complains of."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            COMPLAINTS.append(record.getMessage())


if __name__ == "__main__":
    main()
