"""Bearing: a forker or zygote as a real process, and the directory that its requests use."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from argosy.engine.fork.forker_client import _SOURCE_DIR, BARE_INTERPRETER_ARGS
from argosy.engine.fork.zygote import ZYGOTE_CODE, PreloadRecipe
from argosy.engine.protocol.fork_protocol import (
    MAX_MESSAGE_BYTES,
    Exited,
    ForkerEvent,
    Spawned,
    SpawnRequest,
    ZygoteReady,
    send_spawn_request,
    unpack_event,
)
from argosy.engine.state.generation import acquire_lock, raise_generation

ENVIRONMENT = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"}


class Bearing:
    """recipe: of a zygote; None for a bare forker. python: the interpreter of the zygote and its programs.

    is_awaited: whether to return only when the zygote is warm. env: more variables of the zygote.
    """

    def __init__(
        self,
        folder: Path,
        recipe: PreloadRecipe | None = None,
        python: str = sys.executable,
        *,
        is_awaited: bool = True,
        env: dict[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.python = python
        self.log = folder / "log"
        self.lock = acquire_lock(folder / "lock", 1.0)
        assert self.lock is not None
        self.generation = raise_generation(self.lock)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(20)
        descriptors = [theirs.fileno()]
        if recipe is not None:
            memory = os.memfd_create("recipe", 0)
            os.write(memory, json.dumps(recipe._asdict()).encode())
            descriptors.insert(0, memory)
        words = BARE_INTERPRETER_ARGS if recipe is None else ("-c", ZYGOTE_CODE)
        self.process = subprocess.Popen(
            [python, *words, _SOURCE_DIR, *map(str, descriptors)],
            pass_fds=descriptors,
            env=None if recipe is None else ENVIRONMENT | (env or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            cwd="/",
        )
        theirs.close()
        self.spawned_pid = 0
        self.warm: ZygoteReady | None = None
        if recipe is not None:
            os.close(descriptors[0])
        if recipe is not None and is_awaited:
            received = self.received()
            assert isinstance(received, ZygoteReady)
            self.warm = received

    def order(self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
        """Order `python WORDS`."""
        made = SpawnRequest(
            name="A",
            incarnation=1,
            generation=self.generation,
            lease=str(self.folder / "lease"),
            generation_file=str(self.folder / "lock"),
            argv=[self.python, *words],
            env=ENVIRONMENT | (env or {}),
            cwd=str(cwd or self.folder),
        )
        self.log.write_bytes(b"")
        output = os.open(self.log, os.O_WRONLY | os.O_APPEND)
        send_spawn_request(self.channel, made, output)
        os.close(output)

    def received(self) -> ForkerEvent:
        """Return the next event; pidfds are closed."""
        data, descriptors, _, _ = socket.recv_fds(self.channel, MAX_MESSAGE_BYTES, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        return unpack_event(data)

    def spare(self, *but: int) -> int:
        """Wait for the zygote's spare child, another than these, and return its number."""
        pid = self.process.pid
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                try:
                    shown = Path(f"/proc/{child}/cmdline").read_bytes()
                except OSError:
                    continue  # it has ended meanwhile
                if shown == b"argosy: preforked\0" and int(child) not in but:
                    return int(child)
            time.sleep(0.002)
        raise AssertionError("the zygote has no spare child")

    def run(self, *words: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> int:
        """Order a program, wait for its end and return how it did; `spawned_pid` is its number then."""
        self.order(*words, cwd=cwd, env=env)
        birth = self.received()
        assert isinstance(birth, Spawned), birth
        self.spawned_pid = birth.pid
        end = self.received()
        assert isinstance(end, Exited)
        return os.waitstatus_to_exitcode(end.status)

    def log_text(self) -> str:
        """Return what the program wrote."""
        return self.log.read_text()

    def close(self) -> None:
        """End it; what it bore runs on."""
        self.channel.close()
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(20)
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None
