"""The zygote: a forker that preloads the modules its agents share, and forks agents without an exec.

It is a fresh interpreter, started with the options and variables of its agents. It loads installed
packages only, never the user's code. It forks only while it has one thread, no unexpected open
descriptor, and exactly the code that is on disk; otherwise it declines, and the supervisor starts
that agent by exec and replaces the zygote.

    zygote: SOURCE RECIPE CHANNEL [careful]

While it is idle, it forks one child before there is a request, so that a restart need not wait for a
fork. This preforked child waits on a socket for its request. Until then it is not reported, and it
ends with its zygote.

The first run imports all packages directly; if the process cannot be forked afterwards, the zygote
re-executes itself and tries each package in a throw-away child first.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from argosy.engine.fork import python_program as programs
from argosy.engine.fork.child_setup import exit_unstarted
from argosy.engine.fork.copy_on_write import is_on
from argosy.engine.fork.forker import Forker
from argosy.engine.fork.loaded_modules import LoadedCode, ModuleShadowing
from argosy.engine.fork.preloader import Preloader, open_descriptors, wait_single_thread
from argosy.engine.fork.python_program import PythonProgram
from argosy.engine.process.os_process import close_other_descriptors, read_stat
from argosy.engine.process.prctl import fork_dependent, keep_forever, outlive_parent, set_process_title
from argosy.engine.protocol.fork_protocol import (
    NOT_EXECUTABLE,
    SpawnDeclined,
    SpawnRequest,
    ZygoteReady,
    receive_spawn_request,
    send_spawn_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ZYGOTE_CODE = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from argosy.engine.fork.zygote import main; run = main(); run and run()"
)
_NO_WAIT_S = 0.0
_IDLE_TIMEOUT_MS = 20
# Loaded by every agent of the library, at the latest when it runs.
ALWAYS_LOADED = ["msgspec", "argosy.agent.runner", "argosy.wire", "asyncio", "uvloop"]


class PreloadRecipe(NamedTuple):
    """What a zygote loads.

    programs: (is_module, target, arguments, first directories of its sys.path) of each agent.
    root: the fleet file's directory. modules: the modules to load; None derives them from the
    programs' sources. is_careful: whether to try each module in a throw-away child first.
    """

    programs: list[tuple[bool, str, list[str], list[str]]]
    root: str
    modules: list[str] | None
    is_careful: bool = False


class PreforkedChild(NamedTuple):
    """The zygote's handle of a preforked child."""

    pid: int
    channel: socket.socket

    @property
    def fd(self) -> int:
        """The descriptor of the channel."""
        return self.channel.fileno()

    def is_stopped(self) -> bool:
        """Return whether it is stopped by a signal and would not take a request."""
        found = read_stat(self.pid)
        return found is not None and found.state in "Tt"

    def kill(self) -> None:
        """Kill it and close the channel."""
        os.kill(self.pid, signal.SIGKILL)
        self.channel.close()

    def assign(self, spawn_request: SpawnRequest, output: int) -> None:
        """Send it its request; raises BrokenPipeError or ConnectionResetError: it has died."""
        send_spawn_request(self.channel, spawn_request, output)


class ChildReady(BaseException):
    """Unwinds a child from the zygote's loop to the bottom of the stack, where its program runs."""

    def __init__(self, spawn_request: SpawnRequest, lease: int) -> None:
        super().__init__()
        self.spawn_request = spawn_request
        self.lease = lease


class Zygote(Forker):
    """A forker whose children run their program without an exec."""

    def __init__(
        self, channel: socket.socket, preloader: Preloader, module_shadowing: ModuleShadowing
    ) -> None:
        super().__init__(channel)
        self._preloader = preloader
        self._module_shadowing = module_shadowing
        self._loaded_code = LoadedCode()
        self._checked_ns = 0
        self._import_environment = {
            name: os.environ.get(name) for name in map(os.fsdecode, preloader.environment_reads.names_read)
        }
        self.descriptors |= self._loaded_code.descriptors
        self._preforked: PreforkedChild | None = None
        self._is_prefork_wanted = True

    def report_ready(self, seconds: float) -> None:
        """Report to the supervisor that requests are accepted."""
        self._send_event(ZygoteReady(self._preloader.loaded, self._preloader.left_out, seconds))

    def check_request(self, spawn_request: SpawnRequest, output: int, sent_ns: int) -> SpawnDeclined | None:
        """Return why this agent is not forked here, or None."""
        reason = self._exhausted_reason(output, sent_ns)
        if reason:
            return SpawnDeclined(spawn_request.incarnation, reason, True)
        reason = self._environment_difference(spawn_request) or self._module_shadowing.shadowing_reason(
            spawn_request
        )
        return SpawnDeclined(spawn_request.incarnation, reason, False) if reason else None

    def idle_timeout_ms(self) -> int | None:
        """Return the delay before a child is preforked: a burst of starts leaves no time for it."""
        return _IDLE_TIMEOUT_MS if self._is_prefork_wanted and is_on("prefork") else None

    def on_idle(self) -> None:
        """Fork the preforked child."""
        self._is_prefork_wanted = False
        preforked = _prefork()
        if isinstance(preforked, PreforkedChild):
            self._preforked = preforked
            self.descriptors.add(preforked.fd)
        elif preforked is not None:
            self.child_main(lambda: self._await_request(preforked))

    def _await_request(self, channel: socket.socket) -> tuple[SpawnRequest, int] | None:
        """In the preforked child: wait for a request."""
        set_process_title(["argosy: preforked"], {})
        return _await_request(channel)

    def fork_child(self, spawn_request: SpawnRequest, output: int) -> bool:
        """Hand the request to the preforked child, or fork a new one for it."""
        preforked, self._is_prefork_wanted = self._take_preforked(), True
        if preforked is None:
            return super().fork_child(spawn_request, output)
        if preforked.is_stopped():
            preforked.kill()
            return super().fork_child(spawn_request, output)
        try:
            return self.report_spawned(
                spawn_request.incarnation, preforked.pid, lambda: preforked.assign(spawn_request, output)
            )
        finally:
            preforked.channel.close()

    def is_unreported(self, pid: int) -> bool:
        """Return whether `pid` is the preforked child; the next one is forked after the next request."""
        preforked = self._preforked
        if preforked is None or preforked.pid != pid:
            return False
        self._take_preforked()
        preforked.channel.close()
        return True

    def _take_preforked(self) -> PreforkedChild | None:
        """Return the preforked child and forget it."""
        preforked, self._preforked = self._preforked, None
        if preforked is not None:
            self.descriptors.discard(preforked.fd)
        return preforked

    def run_child(self, spawn_request: SpawnRequest, lease: int | None) -> NoReturn:
        """In the child, after its setup: leave the loop."""
        assert lease is not None, "helper processes go to the bare forker"
        raise ChildReady(spawn_request, lease)

    def _exhausted_reason(self, output: int, sent_ns: int) -> str:
        """Return why nothing can be forked from this process any more, or an empty string.

        One check covers all requests sent before it: only the loop runs in between.
        """
        if sent_ns < self._checked_ns:
            return ""
        checked_ns = time.monotonic_ns()
        if wait_single_thread(_NO_WAIT_S) > 1:
            return "the zygote has a second thread"
        for number, target in open_descriptors(self.descriptors):
            if number != output:
                return f"the zygote holds `{target}` open"
        changed = self._loaded_code.changed_path()
        if changed:
            return f"`{changed}` has changed since the zygote loaded it"
        self._checked_ns = checked_ns
        return ""

    def _environment_difference(self, spawn_request: SpawnRequest) -> str:
        for name, value in self._import_environment.items():
            if spawn_request.env.get(name) != value:
                return f"its `{name}` differs from the value that the packages were loaded with"
        return ""


def _prefork() -> PreforkedChild | socket.socket | None:
    """Return the handle, or in the child its end of the channel; None if no process can be forked."""
    parent_end, child_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid = fork_dependent()
    except OSError:
        parent_end.close()
        child_end.close()
        return None
    if pid == 0:
        parent_end.close()
        return child_end
    child_end.close()
    return PreforkedChild(pid, parent_end)


def _await_request(channel: socket.socket) -> tuple[SpawnRequest, int] | None:
    """In the child: return the request and its output, None if the zygote has closed the channel."""
    received = receive_spawn_request(channel)
    if received is None:
        return None
    outlive_parent()  # it is an agent now, which outlives its zygote
    spawn_request, output, _ = received
    return spawn_request, output


def main() -> Callable[[], None] | None:
    """Serve until the supervisor is gone; returns only in a child, with the program to run there."""
    started_at = time.monotonic()
    _, memory, number, *mode = sys.argv[1:]
    del sys.path[0]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(int(memory), closefd=False) as file:
        file.seek(0)
        recipe = PreloadRecipe(**json.load(file))
    channel = socket.socket(fileno=int(number))
    preloader = Preloader([channel.fileno(), int(memory)], recipe.root)
    module_shadowing = ModuleShadowing()
    _load(recipe, preloader, module_shadowing, is_careful=recipe.is_careful or bool(mode))
    os.close(int(memory))
    channel.set_inheritable(False)
    set_process_title(["argosy: zygote"], {})
    zygote = Zygote(channel, preloader, module_shadowing)
    preloader.freeze()
    zygote.report_ready(time.monotonic() - started_at)
    try:
        zygote.run()
    except ChildReady as child:
        spawn_request, lease = child.spawn_request, child.lease
    else:
        os._exit(0)
    if is_on("keep"):  # freeing them would write to the page of each object that they hold
        keep_forever([zygote, preloader, module_shadowing])
    return _become_program(spawn_request, lease)


def _load(
    recipe: PreloadRecipe, preloader: Preloader, module_shadowing: ModuleShadowing, *, is_careful: bool
) -> None:
    entries = recipe.modules
    if entries is None:
        runners = {target for is_module, target, *_ in recipe.programs if is_module}
        always_loaded = ALWAYS_LOADED if programs.RUNNER_MODULE in runners else []
        preloader.load(always_loaded[:1])  # `plan_preload` needs it too
        entries, module_shadowing.local_modules = _plan_in_child(
            recipe, lambda: preloader.load(always_loaded[1:])
        )
    if is_careful:
        preloader.load_in_trials(entries)
        return
    preloader.load(entries)
    if preloader.fork_obstacle():
        os.execv(sys.executable, [*sys.orig_argv[: 1 - len(sys.argv)], *sys.argv[1:], "careful"])


def _plan_in_child(
    recipe: PreloadRecipe, while_waiting: Callable[[], None]
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the result of `plan_preload`, run in a child: it loads modules that must not stay here."""
    reading, writing = os.pipe()
    pid = fork_dependent()
    if pid == 0:
        try:
            from argosy.engine.fork.preload_plan import plan_preload  # noqa: PLC0415 - must not load in the zygote

            entries = [
                (PythonProgram(is_module, target, tuple(arguments)), roots)
                for is_module, target, arguments, roots in recipe.programs
            ]
            with open(writing, "wb") as file:
                file.write(json.dumps(plan_preload(entries, recipe.root)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    while_waiting()
    with open(reading, "rb") as file:
        found = file.read()
    os.waitpid(pid, 0)
    return tuple(json.loads(found)) if found else ([], {})


def _become_program(spawn_request: SpawnRequest, lease: int) -> Callable[[], None]:
    """Close the zygote's descriptors, and return the program, ready to run."""
    close_other_descriptors(lease)
    program = programs.parse_command(spawn_request.argv)
    assert program is not None, "the supervisor requests only Python programs from a zygote"
    try:
        programs.prepare_process(program, spawn_request.argv, spawn_request.env)
    except (ValueError, OSError) as error:
        exit_unstarted(
            spawn_request, f"its command or environment cannot be passed to it: {error}", NOT_EXECUTABLE
        )
    return lambda: programs.run_program(program)
