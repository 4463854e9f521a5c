"""Runs programs, many at a time, each in a process that is forked from one with pyzmq and argosy loaded.

Started as a program of its own: jobs come as lines of JSON, and go back as such with what became of them.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import threading
import time
import types
from typing import Any, Final

import zmq

import argosy.wire.zmq_context.context_handle  # noqa: F401  (so that no program has to load it)

AT_ONCE: Final = 64
BOUND_S: Final = 3.0
FIRST_PORT, PORTS_EACH, PORT_SLOTS = 20000, 8, 1500
LATE_FOR_MS: Final = 300


class At(dict[int, str]):
    """The endpoints of one run: the numbers of a program are other addresses in every run."""

    def __init__(self, number: int, folder: str) -> None:
        super().__init__()
        self.known: dict[int, str] = {}
        self._number, self._folder = number, folder

    def __call__(self, kind: str, number: int) -> str:
        """Return the endpoint that a number stands for."""
        if number in self.known:
            return self.known[number]
        if kind == "tcp:":
            port = FIRST_PORT + self._number % PORT_SLOTS * PORTS_EACH + number % PORTS_EACH
            return f"tcp://127.0.0.1:{port}"
        if kind == "ipc@:":
            return f"ipc://@{self._folder}/{self._number}/{number}"
        return f"{kind}//{self._folder}/{self._number}-{number}"


class Note:
    """Tells what one step returned or raised."""

    def __init__(self, step: int, pipe: int) -> None:
        self._step, self._pipe = step, pipe
        self._value: Any = None

    def __enter__(self) -> Note:
        return self

    def __call__(self, value: Any) -> None:
        self._value = value.decode() if isinstance(value, bytes) else value

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> bool:
        if error is not None and not isinstance(error, Exception):
            return False
        told = self._value
        if error is not None:
            told = [type(error).__name__, getattr(error, "errno", None)]
        line = json.dumps([threading.current_thread().name, self._step, told])
        os.write(self._pipe, f"{line}\n".encode())
        return True


def _watch_terms(pipe: int) -> None:
    """Let pyzmq's `term` tell when it waits for sockets that are open, and when it is back."""
    real = zmq.Context.term

    def term(self: zmq.Context[Any]) -> None:
        is_held = any(not each.closed for each in list(self._sockets))
        if is_held:
            os.write(pipe, b'["held", 0, 1]\n')
        real(self)
        if is_held:
            os.write(pipe, b'["held", 0, -1]\n')

    zmq.Context.term = term  # type: ignore[method-assign]


def _fork(part: Any) -> Any:
    """Run a part of the program in a child, and return how that ended."""
    if not (child := os.fork()):
        threading.current_thread().name = "child"
        part()
        os._exit(0)
    until = time.monotonic() + BOUND_S / 2
    while time.monotonic() < until:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "did not end"


def _run_late(endpoint: str, after_s: float, flag: str, pipe: int, number: int) -> None:
    """Be the receiver that comes late."""
    time.sleep(after_s)
    os.close(os.open(flag, os.O_CREAT))
    with zmq.Context() as context, context.socket(zmq.PULL) as pull:
        pull.rcvtimeo, pull.linger = LATE_FOR_MS, 0
        pull.bind(endpoint)
        got = []
        try:
            while True:
                got.append(pull.recv().decode())
        except zmq.Again:
            os.write(pipe, f"{json.dumps(['late', number, got])}\n".encode())


def _run(job: dict[str, Any], number: int, folder: str, pipe: int) -> None:
    """Be the process of one program; returns as the interpreter has to end."""
    at = At(number, folder)
    flag = f"{folder}/{number}.late"
    for late, (kind, endpoint, after_s) in enumerate(job["late"]):
        if not os.fork():
            _run_late(at(kind, endpoint), after_s, f"{flag}{late}", pipe, late)
            os._exit(0)

    def has_begun() -> list[bool]:
        return [os.path.exists(f"{flag}{late}") for late in range(len(job["late"]))]

    if job["is_own"]:
        _watch_terms(pipe)
    module = types.ModuleType("program")
    sys.modules["program"] = module
    exec(compile(job["source"], "program", "exec"), module.__dict__)
    module.main(lambda step: Note(step, pipe), at, _fork, has_begun)


class Server:
    """The processes that run now, by the pipe that each tells on."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.started = 0
        self.waiting: list[dict[str, Any]] = []
        self.runs: dict[int, dict[str, Any]] = {}
        self.selector = selectors.DefaultSelector()
        os.set_blocking(0, False)
        self.selector.register(0, selectors.EVENT_READ)
        self.unread = b""
        self.is_fed = True
        self.job: dict[str, Any] = {}  # and its pipe: in the process of a program
        self.pipe = -1

    def serve(self) -> bool:
        """Run what comes until nothing more does; return True in the process of a program."""
        while self.is_fed or self.waiting or self.runs:
            while self.waiting and len(self.runs) < AT_ONCE:
                if self._start(self.waiting.pop(0)):
                    return True
            for key, _ in self.selector.select(0.05):
                if key.fd:
                    self._hear(key.fd)
                else:
                    self._feed()
            for pipe, run in list(self.runs.items()):
                if time.monotonic() > run["until"]:
                    run["is_late"] = True
                    self._end(pipe)
        return False

    def _feed(self) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            self.is_fed = False
            self.selector.unregister(0)
        *lines, self.unread = (self.unread + data).split(b"\n")
        self.waiting += [json.loads(line) for line in lines]

    def _start(self, job: dict[str, Any]) -> bool:
        self.started += 1
        ours, theirs = os.pipe()
        pid = os.fork()
        if not pid:
            os.setpgid(0, 0)
            null = os.open(os.devnull, os.O_RDWR)
            for number in range(3):
                os.dup2(null, number)
            for pipe in [*self.runs, ours]:
                os.close(pipe)
            self.selector.close()
            self.job, self.pipe = job, theirs
            return True
        os.close(theirs)
        self.selector.register(ours, selectors.EVENT_READ)
        until = time.monotonic() + BOUND_S
        self.runs[ours] = {"pid": pid, "job": job, "told": b"", "until": until, "is_late": False}
        return False

    def _hear(self, pipe: int) -> None:
        data = os.read(pipe, 1 << 16)
        self.runs[pipe]["told"] += data
        if not data:  # everybody of this program has gone
            self._end(pipe)

    def stop(self) -> None:
        """Leave nothing behind."""
        for run in self.runs.values():
            _kill(run["pid"])
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, pipe: int) -> None:
        run = self.runs.pop(pipe)
        self.selector.unregister(pipe)
        os.close(pipe)
        _kill(run["pid"])
        _, status = os.waitpid(run["pid"], 0)
        end = "did not end" if run["is_late"] else os.waitstatus_to_exitcode(status)
        notes: dict[str, list[Any]] = {}
        for line in run["told"].splitlines():
            thread, step, told = json.loads(line)
            notes.setdefault(thread, []).append([step, told])
        held = sum(count for _, count in notes.pop("held", []))
        done = {"id": run["job"]["id"], "end": end, "notes": notes, "is_held": held > 0}
        sys.stdout.write(f"{json.dumps(done)}\n")
        sys.stdout.flush()


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> None:
    """Serve, or be a program: which ends as any does, by the end of the interpreter."""
    folder = tempfile.mkdtemp(prefix="differential-")
    server = Server(folder)
    try:
        is_program = server.serve()
    except BaseException:  # such as that nobody reads what it tells
        server.stop()
        raise
    if is_program:
        _run(server.job, server.started, folder, server.pipe)
    else:
        server.stop()


if __name__ == "__main__":
    main()
