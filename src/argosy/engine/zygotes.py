"""The supervisor's zygotes: which agent is forked by which, and who of them is spawned, and why.

One zygote for each set of variables that reach an interpreter before any Python code does (and
that at least two agents share). An order waits for a zygote that is still loading when more agents
than this one are wanted, but not for long; a zygote that dies, or declines because its code has
changed, is replaced. What it bore falls to the supervisor and runs on.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.engine.cellplan import hosts_of, members_of
from argosy.engine.forkerlink import ForkerLink, Listener
from argosy.engine.order import Birth, Declined, Exit, NoBirth, Order, Warm
from argosy.engine.plan import full_environment
from argosy.engine.program import Program, parse_command
from argosy.engine.zygote import CODE, Recipe

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from argosy.engine.diary import Diary
    from argosy.engine.plan import Plan, ProcessSpec

_SHARED_BY = 2
# A spawn of its own would have brought an agent this far.
_PATIENCE_S = 2.0
_TRIES = 3
# Read by the interpreter, the C library or native libraries: no zygote could tell that they did.
_EARLY = (
    *("PYTHON", "LD_", "GLIBC_", "MALLOC_", "LC_", "OMP_", "OPENBLAS_", "GOTO_", "MKL_", "KMP_"),
    *("NUMEXPR_", "VECLIB_", "BLIS_", "CUDA_", "OPENSSL_", "SSL_", "NPY_"),
)
_EARLY_NAMES = frozenset({"LANG", "LANGUAGE", "TZ", "TZDIR", "HOME", "VIRTUAL_ENV"})
_HOOKS = ("COVERAGE_PROCESS_", "DEBUGPY_", "PYDEVD_")

Key = tuple[tuple[str, str], ...]


class Host(Listener, Protocol):
    """Whom the zygotes tell; births, exits and failed births as a forker's."""

    @property
    def diary(self) -> Diary:
        """Where they tell of themselves."""

    def spawn_bare(self, order: Order) -> None:
        """Spawn what no zygote forks."""

    def has_forked(self) -> None:
        """A zygote was started."""

    def on_zygote_lost(self) -> None:
        """Take the exits that it has not told."""

    def order_again(self, incarnation: int) -> None:
        """Order anew what a zygote that died was to bear."""


class Kin(NamedTuple):
    """An agent that a zygote may bear, with its whole environment."""

    spec: ProcessSpec
    program: Program
    env: dict[str, str]


class Zygotes:
    """All zygotes of a machine's agents.

    spawned: agent to the reason why no zygote bears it; complete after `prepare`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, host: Host) -> None:
        self._loop = loop
        self._host = host
        self._zygotes: dict[Key, _Zygote] = {}
        self._key_of: dict[str, Key] = {}
        self._prepared: tuple[Plan, dict[str, str]] | None = None
        self.spawned: dict[str, str] = {}

    def prepare(self, plan: Plan, environ: Mapping[str, str]) -> None:
        """Have a zygote for every two agents that can share one; those that fit the plan no more end."""
        if self._prepared != (plan, environ):
            self._prepare(plan, environ)
            self._prepared = plan, dict(environ)
        for name, why in self.spawned.items():
            self._host.diary.note("spawned", agent=name, text=why)

    def _prepare(self, plan: Plan, environ: Mapping[str, str]) -> None:
        groups = self._group(plan, environ)
        self._key_of = {kin.spec.name: key for key, group in groups.items() for kin in group}
        wanted = {key: _recipe(plan, group) for key, group in groups.items()}
        for key, zygote in list(self._zygotes.items()):
            if wanted.get(key) != zygote.recipe:
                self._zygotes.pop(key).close()
        for key, recipe in wanted.items():
            if key not in self._zygotes:
                shared = set.intersection(*(set(kin.env.items()) for kin in groups[key]))
                self._zygotes[key] = _Zygote(self._loop, self._host, recipe, dict(shared))
        if wanted:
            self._host.has_forked()

    def _group(self, plan: Plan, environ: Mapping[str, str]) -> dict[Key, list[Kin]]:
        groups: dict[Key, list[Kin]] = {}
        self.spawned = {}
        for name, spec in hosts_of(plan.processes, plan.hulls).items():
            env = full_environment(environ, spec)
            why = "`preload: none`" if plan.preload == "none" else why_spawned(spec, env)
            program = parse_command(spec.argv)
            if why or program is None:
                self.spawned[name] = why
            else:
                groups.setdefault(_early(env), []).append(Kin(spec, program, env))
        for key, (first, *others) in list(groups.items()):
            if len(others) + 1 < _SHARED_BY:
                del groups[key]
                self.spawned[first.spec.name] = "no other agent has the same interpreter variables"
        return groups

    def take(self, order: Order, output: int, is_one_of_many: Callable[[], bool]) -> bool:
        """Have an order carried out by its zygote; takes over `output` if it returns True.

        is_one_of_many(): whether more agents are about to start, so that waiting for a zygote pays.
        """
        zygote = self._zygotes.get(self._key_of.get(order.name, (("", ""),)))
        return zygote is not None and zygote.take(order, output, is_one_of_many)

    def holds(self, incarnation: int) -> bool:
        """Return whether a zygote has been asked for this start and has not answered."""
        return any(each.holds(incarnation) for each in self._zygotes.values())

    def links(self) -> list[ForkerLink]:
        """Return the links to the living zygotes; each reaps its own."""
        return [each.link for each in self._zygotes.values() if each.link is not None]

    def close(self) -> None:
        """End all zygotes; what they bore runs on."""
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()


def why_spawned(spec: ProcessSpec, env: Mapping[str, str]) -> str:
    """Return why an agent cannot be forked from a zygote, or nothing."""
    program = parse_command(spec.argv)
    if spec.start == "spawn":
        return "`start: spawn`"
    if spec.argv[0] != sys.executable:
        return f"`{spec.argv[0]}` is not the interpreter that runs argosy"
    if program is None:
        return "its interpreter has options of its own"
    if not program.is_module and not program.target.endswith(".py"):
        return f"`{program.target}` is no .py file"
    hook = next((name for name in env if name.startswith(_HOOKS)), None)
    if hook:
        return f"`{hook}` has a tool look at it from its first instruction"
    if any(not os.path.isabs(entry) for entry in env.get("PYTHONPATH", "/").split(os.pathsep)):
        return "its PYTHONPATH depends on its folder"
    return ""


def _early(env: Mapping[str, str]) -> Key:
    """Return the variables that an interpreter cannot be rid of once it has started with them."""
    return tuple(
        sorted(item for item in env.items() if item[0].startswith(_EARLY) or item[0] in _EARLY_NAMES)
    )


def _recipe(plan: Plan, group: list[Kin]) -> Recipe:
    members = members_of(plan.processes)
    cells = {hull.name: members[cell] for cell, hull in plan.hulls.items()}
    return Recipe(
        programs=[
            (program.is_module, program.target, list(program.words[:1]), _roots(kin))
            for kin in group
            for program in _programs(kin, cells)
        ],
        root=os.path.dirname(plan.path),
        modules=None if isinstance(plan.preload, str) else list(plan.preload),
    )


def _programs(kin: Kin, cells: Mapping[str, list[ProcessSpec]]) -> list[Program]:
    """Return what the process runs; of a cell's, what its agents are by themselves."""
    found = [parse_command(spec.argv) for spec in cells.get(kin.spec.name, ())]
    return [kin.program, *(program for program in found if program is not None)]


def _roots(kin: Kin) -> list[str]:
    extra = kin.env.get("PYTHONPATH", "").split(os.pathsep)
    return [kin.program.folder(kin.spec.cwd), *filter(None, extra)]


class _Zygote:
    """One zygote and what it is asked for; started again when it dies, `_TRIES` times in a row at most."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, host: Host, recipe: Recipe, env: dict[str, str]
    ) -> None:
        self.recipe = recipe
        self.link: ForkerLink | None = None
        self._loop, self._host, self._env = loop, host, env
        self._is_warm = self._is_late = False
        self._tries = 0
        self._waiting: list[tuple[Order, int]] = []
        self._sent: dict[int, Order] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._start()

    def _start(self) -> None:
        self._tries += 1
        self._is_warm = self._is_late = False
        # One that died over its packages looks at each of them when it tries again.
        recipe = self.recipe._replace(is_careful=self._tries > 1)
        memory = os.memfd_create("argosy-recipe", 0)
        try:
            os.write(memory, json.dumps(recipe._asdict()).encode())
            self.link = ForkerLink(self._loop, self, ("-c", CODE), self._env, [memory])
        except OSError as error:
            self._host.diary.note("no-zygote", text=str(error))
        finally:
            os.close(memory)
        self._timer = self._loop.call_later(_PATIENCE_S, self._too_late)

    def take(self, order: Order, output: int, is_one_of_many: Callable[[], bool]) -> bool:
        if self.link is None or self._is_late or not (self._is_warm or is_one_of_many()):
            return False
        if self._is_warm:
            self._send(order, output)
        else:
            self._waiting.append((order, output))
        return True

    def holds(self, incarnation: int) -> bool:
        return incarnation in self._sent or any(each.incarnation == incarnation for each, _ in self._waiting)

    def _send(self, order: Order, output: int) -> None:
        assert self.link is not None, "a warm zygote has a link"
        self._sent[order.incarnation] = order
        self.link.send(order, output)

    def _too_late(self) -> None:
        """What waits is spawned, and what comes until the zygote is warm."""
        if not self._is_warm:
            self._is_late = True
            self._spawn_waiting()

    def _spawn_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for order, output in waiting:
            os.close(output)
            self._host.spawn_bare(order)

    def on_word(self, word: Warm | Declined) -> None:
        """It is warm, or does not fork what was ordered."""
        if isinstance(word, Declined):
            self._declined(word)
            return
        self._is_warm, self._is_late = True, False
        self._tries = 0
        told = f"{len(word.loaded)} modules in {word.seconds:.2f} s"
        left = "; ".join(f"`{name}` left out: {why}" for name, why in word.left_out.items())
        self._host.diary.note("zygote", text=f"{told}; {left}" if left else told)
        waiting, self._waiting = self._waiting, []
        for order, output in waiting:
            self._send(order, output)

    def _declined(self, word: Declined) -> None:
        order = self._sent.pop(word.incarnation, None)
        if order is None:
            return
        self._host.diary.note("spawned", agent=order.name, text=word.reason)
        self._host.spawn_bare(order)
        if word.is_spent and self._is_warm:
            self._is_warm = False  # it declines what else was sent; then it is replaced
            self._loop.call_soon(self._replace)

    def _replace(self) -> None:
        if self.link is not None:
            self.link.drain()
        sent, self._sent = self._sent, {}
        self._end()
        for order in sent.values():
            self._host.spawn_bare(order)
        self._start()
        self._host.has_forked()

    def on_birth(self, birth: Birth, pidfd: int) -> None:
        """A child was forked."""
        self._sent.pop(birth.incarnation, None)
        self._host.on_birth(birth, pidfd)

    def on_no_birth(self, failure: NoBirth) -> None:
        """A child could not be forked."""
        self._sent.pop(failure.incarnation, None)
        self._host.on_no_birth(failure)

    def on_exit(self, end: Exit) -> None:
        """A child has ended."""
        self._host.on_exit(end)

    def on_forker_lost(self, why: str) -> None:
        """It has died; its children have fallen to this process."""
        self._host.diary.note("zygote-lost", text=why)
        sent, self._sent = self._sent, {}
        self._end()
        if self._tries < _TRIES:
            self._start()
            self._host.has_forked()
        else:
            self._host.diary.note("no-zygote", text=f"died {_TRIES} times before it was warm")
        self._host.on_zygote_lost()
        for incarnation in sent:
            self._host.order_again(incarnation)

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.link is not None:
            self.link.close()
            self.link = None
        self._spawn_waiting()

    def close(self) -> None:
        """End it."""
        self._is_late = True
        waiting, self._waiting = self._waiting, []
        for _, output in waiting:
            os.close(output)
        self._end()
