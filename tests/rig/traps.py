"""Stops a process of the engine at a named step of its own code: kills it, pauses it, fills its disk.

Nothing in argosy knows of this. The test starts the command through this file,

    python traps.py FOLDER up -d --json

which hands itself on to what that command starts: the supervisor, its forker, its zygotes, and by
their forks the agents until their own program begins. In each it watches, with `sys.setprofile`, for
the calls that FOLDER names (see `rig.trial`):

    points.json     name of a point -> {kinds, at, on, nth, do}
    NAME.armed      made by the test; whoever comes to the point first renames it, and does it, once
    NAME.triggered     the same file then, with the number of the process
    mutants.json    kind of process -> Python code run there before it begins
    supervisors     the numbers of the supervisors that were started, the last one last
    calls.KIND      made by the test: every outward call of the first process of that kind is noted in it

`at` is `module.Function` or `module.Class.method`, or with ` name` behind it that builtin, called in it.
Standard library alone: the bare forker has nothing else.
"""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import sys

TYPE_CHECKING = False  # the forker's agents are not to find `typing` loaded
if TYPE_CHECKING:
    from types import FrameType
    from typing import Any

# What a builtin of these names does is seen from outside the process, or outlives it.
OUTWARD = frozenset(
    (
        *("bind", "chmod", "close", "connect", "dup2", "execve", "fcntl", "flock", "fork", "fork_exec"),
        *("kill", "killpg", "listen", "mkdir", "open", "pidfd_open", "pidfd_send_signal", "pwrite", "read"),
        *("recv", "recvmsg", "remove", "rename", "replace", "rmdir", "send", "sendall", "sendmsg", "sendto"),
        *("setsid", "shutdown", "truncate", "unlink", "waitid", "waitpid", "write"),
    )
)


class Watch:
    """The points of one process."""

    def __init__(self, folder: str, kind: str) -> None:
        self.folder, self.kind = folder, kind
        self.me = os.getpid()
        self.reached: dict[str, int] = {}
        self.points: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
        for name, point in _read_json(f"{folder}/points.json").items():
            if kind in point["kinds"]:
                self.points.setdefault((point["on"], point["at"]), []).append((name, point))
        self.functions = {at.partition(" ")[0].partition(".")[2] for _, at in self.points}
        self.builtins = {at.partition(" ")[2] for _, at in self.points}
        self.notes = self._notes()

    def _notes(self) -> str:
        noted = f"{self.folder}/calls.{self.kind}.noted"
        try:
            os.rename(f"{self.folder}/calls.{self.kind}", noted)  # whoever is first notes
        except FileNotFoundError:
            return ""
        self.builtins |= OUTWARD
        return noted

    def begin(self) -> None:
        """Watch this process from now on."""
        if self.points or self.notes:
            sys.setprofile(self)

    def __call__(self, frame: FrameType, event: str, arg: object) -> None:
        """Take one event of `sys.setprofile`."""
        code = frame.f_code
        if event.startswith("c_"):
            builtin = getattr(arg, "__name__", "")
            if builtin in self.builtins:
                self._meet(event, f"{_place(frame)} {builtin}")
        elif code.co_qualname in self.functions:
            self._meet(event, _place(frame))

    def _meet(self, event: str, place: str) -> None:
        if self.notes and event == "c_call" and os.getpid() == self.me:
            with open(self.notes, "a") as file:  # opened anew: a zygote may hold nothing open
                file.write(f"{place}\n")
        for name, point in self.points.get((event, place), ()):
            if os.path.exists(f"{self.folder}/{name}.armed"):
                self.reached[name] = self.reached.get(name, 0) + 1
                if self.reached[name] == point["nth"] and self._claim(name):
                    getattr(self, f"do_{point['do']}")()

    def _claim(self, name: str) -> bool:
        """Return whether this process is the first at the point."""
        beside = f"{self.folder}/{name}.{os.getpid()}"
        try:
            os.rename(f"{self.folder}/{name}.armed", beside)
        except FileNotFoundError:
            return False
        with open(beside, "w") as file:
            file.write(str(os.getpid()))
        os.rename(beside, f"{self.folder}/{name}.triggered")
        return True

    def do_kill(self) -> None:
        """Die as by kill -9."""
        os.kill(os.getpid(), signal.SIGKILL)

    def do_pause(self) -> None:
        """Stop until the test sends SIGCONT."""
        os.kill(os.getpid(), signal.SIGSTOP)

    def do_orphan(self) -> None:
        """Go on when the supervisor has died at this moment."""
        with open(f"{self.folder}/supervisors") as file:
            pid = int(file.read().split()[-1])
        pidfd = os.pidfd_open(pid)
        os.kill(pid, signal.SIGKILL)
        ended = select.poll()
        ended.register(pidfd, select.POLLIN)
        ended.poll()
        os.close(pidfd)

    def do_lose(self) -> None:
        """Delete what is in the folder `disk`, and it, as somebody may who tidies up."""
        top = os.path.realpath(f"{self.folder}/disk")
        for folder, _, files in os.walk(top, topdown=False):
            for name in files:
                os.unlink(f"{folder}/{name}")
            os.rmdir(folder)

    def do_fill(self) -> None:
        """Leave no room on the disk of the folder `disk`."""
        descriptor = os.open(f"{self.folder}/disk/ballast", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        size = 1 << 16
        while size:
            try:
                os.write(descriptor, b"x" * size)
            except OSError:
                size >>= 1
        os.close(descriptor)


def _place(frame: FrameType) -> str:
    module = frame.f_globals.get("__name__", "")
    return f"{module.rpartition('.')[2]}.{frame.f_code.co_qualname}"


def _read_json(path: str) -> dict[str, Any]:
    try:
        with open(path) as file:
            found: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return found


def install(folder: str, kind: str) -> None:
    """Make this process one of `kind`: client, supervisor, forker or zygote."""
    if kind == "supervisor":
        with open(f"{folder}/supervisors", "a") as file:
            file.write(f"{os.getpid()}\n")
    if kind == "client":
        _hand_on_to_fork(folder)
    if kind in ("client", "supervisor"):
        _hand_on(folder)
    exec(_read_json(f"{folder}/mutants.json").get(kind, ""), {"__name__": "mutant"})
    Watch(folder, kind).begin()


def _hand_on_to_fork(folder: str) -> None:
    """Have this file in the supervisor that is a fork of this client."""
    from argosy.engine.supervisor import daemonize  # noqa: PLC0415 - not in the forker

    become = daemonize._exec_child

    def become_watched(*given: Any) -> None:
        sys.setprofile(None)
        install(folder, "supervisor")
        become(*given)

    daemonize._exec_child = become_watched  # type: ignore[assignment]


def _hand_on(folder: str) -> None:
    """Have this file in every process of the engine that this one starts."""
    import subprocess  # noqa: PLC0415 - not in the forker, which has nothing to do with it

    begin = subprocess.Popen.__init__
    if begin.__name__ == "begin_watched":
        return  # this is the fork of a client

    def begin_watched(self: object, args: list[str], **options: object) -> None:
        begin(self, _watched(list(args), folder), **options)  # type: ignore[call-overload]

    subprocess.Popen.__init__ = begin_watched  # type: ignore[assignment, method-assign]


def _watched(words: list[str], folder: str) -> list[str]:
    if words[1:3] == ["-m", "argosy.engine.supervisor.entrypoint"]:
        return [words[0], __file__, folder, "--supervisor", *words[3:]]
    for at, word in enumerate(words):
        for kind in ("forker", "zygote"):
            begin = f"from argosy.engine.fork.{kind} import main; "
            if begin in word:
                code = f"traps = {{'__name__': 'traps'}}; exec(open({__file__!r}).read(), traps); "
                code += f"traps['install']({folder!r}, {kind!r}); del traps; "
                words[at] = word.replace(begin, begin + code)
    return words


def main() -> int:
    """Run a command of argosy, or the supervisor, with this file in it."""
    del sys.path[0]
    _, folder, *words = sys.argv
    is_supervisor = words[0] == "--supervisor"
    if is_supervisor:
        from argosy.engine.supervisor import entrypoint  # noqa: PLC0415

        run = functools.partial(entrypoint.main, words[1:])
    else:
        from argosy import cli  # noqa: PLC0415

        sys.argv = ["argosy", *words]
        run = cli.main
    install(folder, "supervisor" if is_supervisor else "client")
    return run()


if __name__ == "__main__":
    sys.exit(main())
