"""The zygote: a forker that has loaded what its agents share, and forks them without an exec.

A fresh interpreter, started with the options and variables of its agents. It loads installed
packages only, never the user's code. It forks only while it has one thread, no descriptor of its
own, and exactly the code that is on disk; else it declines, and the supervisor spawns that agent
and replaces the zygote.

    zygote: SOURCE RECIPE CHANNEL [careful]

While nothing is to be done one child waits for the next order: see `spare`.

The first time it trusts its packages; when the heap they leave is not fit for a fork, it starts
itself anew and tries each in a throw-away child.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from argosy.engine import program as programs
from argosy.engine.bootstrap import refuse
from argosy.engine.forker import Forker
from argosy.engine.order import NOT_EXECUTABLE, Declined, Order, Warm
from argosy.engine.parentdeath import fork_dependent
from argosy.engine.process import close_all_but
from argosy.engine.program import Program
from argosy.engine.shadow import Shadows
from argosy.engine.signature import Signature
from argosy.engine.spare import Spare, await_order, fork_spare
from argosy.engine.title import keep_for_ever, show_as
from argosy.engine.warmth import Warmth, open_descriptors, threads_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CODE = (
    "import sys; sys.path[0] = sys.argv[1]; "
    "from argosy.engine.names import lay_names; lay_names(); "
    "from argosy.engine.zygote import main; run = main(); run and run()"
)
_AT_ONCE_S = 0.0
_REST_MS = 20
# What every agent of the library loads, at the latest when it runs.
SURE = ["msgspec", "argosy.agent.runner", "argosy.wire", "asyncio", "uvloop"]


class Recipe(NamedTuple):
    """What a zygote is to load.

    programs: (is_module, target, words, folders first on its sys.path) of each agent. root: the
    fleet file's folder. modules: what to load, None to find it out from the programs' sources.
    is_careful: whether to try each in a throw-away child first.
    """

    programs: list[tuple[bool, str, list[str], list[str]]]
    root: str
    modules: list[str] | None
    is_careful: bool = False


class Settled(BaseException):
    """Carries a child out of the zygote's loop to the bottom of its stack, where its program runs."""

    def __init__(self, order: Order, lease: int) -> None:
        super().__init__()
        self.order = order
        self.lease = lease


class Zygote(Forker):
    """A forker whose children become their program by themselves."""

    def __init__(
        self, channel: socket.socket, warmth: Warmth, shadows: Shadows, kept_files: Iterable[str] = ()
    ) -> None:
        super().__init__(channel)
        self._warmth = warmth
        self._shadows = shadows
        self._signature = Signature(kept_files)
        self._looked_ns = 0
        self._read = {name: os.environ.get(name) for name in map(os.fsdecode, warmth.reads.names)}
        self.descriptors |= self._signature.descriptors
        self._spare: Spare | None = None
        self._wants_spare = True

    def greet(self, seconds: float) -> None:
        """Tell the supervisor that orders may come."""
        self._tell(Warm(self._warmth.loaded, self._warmth.left_out, seconds))

    def obstacle(self, order: Order, output: int, sent_ns: int) -> Declined | None:
        """Return why this agent is not forked here."""
        why = self._spent(output, sent_ns)
        if why:
            return Declined(order.incarnation, why, True)
        why = self._differing(order) or self._shadows.shadowed(order)
        return Declined(order.incarnation, why, False) if why else None

    def patience_ms(self) -> int | None:
        """A spare child is forked once no order has come for a while: a start of many has no time for it."""
        return _REST_MS if self._wants_spare else None

    def rest(self) -> None:
        """Fork the spare child."""
        self._wants_spare = False
        spare = fork_spare()
        if isinstance(spare, Spare):
            self._spare = spare
            self.descriptors.add(spare.number)
        elif spare is not None:
            self.live(lambda: self._await_order(spare))

    def _await_order(self, channel: socket.socket) -> tuple[Order, int] | None:
        """In the spare child: copy the pages that an agent writes to, then wait."""
        show_as(["argosy: spare"], {})
        self._warmth.practise()
        return await_order(channel)

    def bear(self, order: Order, output: int) -> bool:
        """Hand the order to the spare child, or fork one for it."""
        spare, self._wants_spare = self._give_up_spare(), True
        if spare is None:
            return super().bear(order, output)
        if spare.is_stopped():
            spare.end()
            return super().bear(order, output)
        try:
            return self.report_birth(order.incarnation, spare.pid, lambda: spare.hand(order, output))
        finally:
            spare.channel.close()

    def forget(self, pid: int) -> bool:
        """The spare child has ended before it was anything; the next is forked after the next order."""
        spare = self._spare
        if spare is None or spare.pid != pid:
            return False
        self._give_up_spare()
        spare.channel.close()
        return True

    def _give_up_spare(self) -> Spare | None:
        """Return the spare child, which is none from now on."""
        spare, self._spare = self._spare, None
        if spare is not None:
            self.descriptors.discard(spare.number)
        return spare

    def become(self, order: Order, lease: int | None) -> NoReturn:
        """In the settled child: leave the loop."""
        assert lease is not None, "errands go to the bare forker"
        raise Settled(order, lease)

    def _spent(self, output: int, sent_ns: int) -> str:
        """Return why nothing can be forked from this process any more.

        One look covers all orders that were sent before it: nothing but the loop runs in between.
        """
        if sent_ns < self._looked_ns:
            return ""
        looked_ns = time.monotonic_ns()
        if threads_within(_AT_ONCE_S) > 1:
            return "the zygote has a second thread"
        for number, target in open_descriptors(self.descriptors):
            if number != output:
                return f"the zygote holds `{target}` open"
        changed = self._signature.changed()
        if changed:
            return f"`{changed}` has changed since the zygote loaded it"
        self._looked_ns = looked_ns
        return ""

    def _differing(self, order: Order) -> str:
        for name, value in self._read.items():
            if order.env.get(name) != value:
                return f"its `{name}` is another than the one that its packages were loaded with"
        return ""


def main() -> Callable[[], None] | None:
    """Serve until the supervisor is gone; returns in a child only, with what is left to run there."""
    began = time.monotonic()
    _, memory, number, *mode = sys.argv[1:]
    del sys.path[0]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(int(memory), closefd=False) as file:
        file.seek(0)
        recipe = Recipe(**json.load(file))
    channel = socket.socket(fileno=int(number))
    warmth = Warmth([channel.fileno(), int(memory)], recipe.root)
    shadows = Shadows()
    _load(recipe, warmth, shadows, is_careful=recipe.is_careful or bool(mode))
    os.close(int(memory))
    channel.set_inheritable(False)
    show_as(["argosy: zygote"], {})
    kept = [programs.keep(name) for name in (programs.RUNNER,) if name in sys.modules]
    zygote = Zygote(channel, warmth, shadows, kept)
    warmth.freeze()
    zygote.greet(time.monotonic() - began)
    try:
        zygote.run()
    except Settled as child:
        order, lease = child.order, child.lease
    else:
        os._exit(0)
    # Never freed: that would write to the page of each path and name that they hold.
    keep_for_ever([zygote, warmth, shadows])
    return _enter(order, lease)


def _load(recipe: Recipe, warmth: Warmth, shadows: Shadows, *, is_careful: bool) -> None:
    entries = recipe.modules
    if entries is None:
        runners = {target for is_module, target, *_ in recipe.programs if is_module}
        sure = SURE if programs.RUNNER in runners else []
        warmth.load(sure[:1])  # the scout needs it too
        entries, shadows.own = _scouted(recipe, lambda: warmth.load(sure[1:]))
    if is_careful:
        warmth.load_carefully(entries)
        return
    warmth.load(entries)
    if warmth.unfit():
        os.execv(sys.executable, [*sys.orig_argv[: 1 - len(sys.argv)], *sys.argv[1:], "careful"])


def _scouted(recipe: Recipe, meanwhile: Callable[[], None]) -> tuple[list[str], dict[str, list[str]]]:
    """Return what `scout` finds, in a child of its own: it loads much that is not to stay."""
    reading, writing = os.pipe()
    pid = fork_dependent()
    if pid == 0:
        try:
            from argosy.engine.preload import scout  # noqa: PLC0415 - not to be loaded in the zygote

            given = [
                (Program(is_module, target, tuple(words)), roots)
                for is_module, target, words, roots in recipe.programs
            ]
            with open(writing, "wb") as file:
                file.write(json.dumps(scout(given, recipe.root)).encode())
        finally:
            os._exit(0)
    os.close(writing)
    meanwhile()
    with open(reading, "rb") as file:
        found = file.read()
    os.waitpid(pid, 0)
    return tuple(json.loads(found)) if found else ([], {})


def _enter(order: Order, lease: int) -> Callable[[], None]:
    """Close what is the zygote's, and return the program, ready to run."""
    close_all_but(lease)
    program = programs.parse_command(order.argv)
    assert program is not None, "the supervisor orders nothing else from a zygote"
    try:
        programs.take_over(program, order.argv, order.env)
    except (ValueError, OSError) as error:
        refuse(order, f"its command or environment cannot be passed on: {error}", NOT_EXECUTABLE)
    return lambda: programs.run_program(program)
