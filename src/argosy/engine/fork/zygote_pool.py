"""The supervisor's zygotes: which zygote forks which agent, and which agents start by exec and why.

There is one zygote for each set of variables that reach an interpreter before any Python code does
(and that at least two agents share). A request waits a short time for a zygote that is still loading
if other agents are about to start too. A zygote that dies, or declines because its code has changed,
is replaced. Its children are reparented to the supervisor and keep running.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.engine.fork.forker_client import ForkerClient, ForkerEventHandler
from argosy.engine.fork.python_program import PythonProgram, parse_command
from argosy.engine.fork.zygote import ZYGOTE_CODE, PreloadRecipe
from argosy.engine.plan.cell_plan import members_of, process_specs
from argosy.engine.plan.process_plan import full_environment
from argosy.engine.protocol.fork_protocol import (
    Exited,
    SpawnDeclined,
    Spawned,
    SpawnFailed,
    SpawnRequest,
    ZygoteReady,
)

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
    from argosy.engine.state.event_log import EventLog

_MIN_AGENTS = 2
# By then an agent started by exec would have loaded the same modules.
_READY_TIMEOUT_S = 2.0
_MAX_START_ATTEMPTS = 3
# Read by the interpreter, the C library or native libraries, which a zygote cannot detect.
_INTERPRETER_PREFIXES = (
    *("PYTHON", "LD_", "GLIBC_", "MALLOC_", "LC_", "OMP_", "OPENBLAS_", "GOTO_", "MKL_", "KMP_"),
    *("NUMEXPR_", "VECLIB_", "BLIS_", "CUDA_", "OPENSSL_", "SSL_", "NPY_"),
)
_INTERPRETER_VARIABLES = frozenset({"LANG", "LANGUAGE", "TZ", "TZDIR", "HOME", "VIRTUAL_ENV"})
_DEBUGGER_PREFIXES = ("COVERAGE_PROCESS_", "DEBUGPY_", "PYDEVD_")

InterpreterKey = tuple[tuple[str, str], ...]


class ZygoteHost(ForkerEventHandler, Protocol):
    """Receives the zygotes' reports; forks, failed forks and exits as from a forker."""

    @property
    def event_log(self) -> EventLog:
        """Where zygotes record their events."""

    def spawn_by_exec(self, spawn_request: SpawnRequest) -> None:
        """Start by exec an agent that no zygote forks."""

    def record_forkers(self) -> None:
        """Record the forkers; called when a zygote was started."""

    def on_zygote_lost(self) -> None:
        """Collect the exits that a lost zygote has not reported."""

    def respawn(self, incarnation: int) -> None:
        """Repeat the request that a lost zygote has not carried out."""


class ZygoteCandidate(NamedTuple):
    """An agent that a zygote may fork, with its whole environment."""

    spec: ProcessSpec
    program: PythonProgram
    env: dict[str, str]


class ZygotePool:
    """All zygotes of a machine's agents.

    exec_reasons: agent to the reason why no zygote forks it; complete after `prepare`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, host: ZygoteHost) -> None:
        self._loop = loop
        self._host = host
        self._zygotes: dict[InterpreterKey, _ZygoteProcess] = {}
        self._key_of: dict[str, InterpreterKey] = {}
        self._prepared: tuple[ProcessPlan, dict[str, str]] | None = None
        self.exec_reasons: dict[str, str] = {}

    def prepare(self, plan: ProcessPlan, environ: Mapping[str, str]) -> None:
        """Start a zygote for each group of agents that can share one; end those that the plan has not."""
        if self._prepared != (plan, environ):
            self._prepare(plan, environ)
            self._prepared = plan, dict(environ)
        for name, reason in self.exec_reasons.items():
            self._host.event_log.append("started-by-exec", agent=name, text=reason)

    def _prepare(self, plan: ProcessPlan, environ: Mapping[str, str]) -> None:
        groups = self._group(plan, environ)
        self._key_of = {each.spec.name: key for key, group in groups.items() for each in group}
        wanted = {key: _preload_recipe(plan, group) for key, group in groups.items()}
        for key, zygote in list(self._zygotes.items()):
            if wanted.get(key) != zygote.recipe:
                self._zygotes.pop(key).close()
        for key, recipe in wanted.items():
            if key not in self._zygotes:
                shared = set.intersection(*(set(each.env.items()) for each in groups[key]))
                self._zygotes[key] = _ZygoteProcess(self._loop, self._host, recipe, dict(shared))
        if wanted:
            self._host.record_forkers()

    def _group(
        self, plan: ProcessPlan, environ: Mapping[str, str]
    ) -> dict[InterpreterKey, list[ZygoteCandidate]]:
        groups: dict[InterpreterKey, list[ZygoteCandidate]] = {}
        self.exec_reasons = {}
        for name, spec in process_specs(plan.processes, plan.cell_processes).items():
            env = full_environment(environ, spec)
            reason = "`preload: none`" if plan.preload == "none" else exec_reason(spec, env)
            program = parse_command(spec.argv)
            if reason or program is None:
                self.exec_reasons[name] = reason
            else:
                groups.setdefault(_interpreter_key(env), []).append(ZygoteCandidate(spec, program, env))
        for key, (first, *others) in list(groups.items()):
            if len(others) + 1 < _MIN_AGENTS:
                del groups[key]
                self.exec_reasons[first.spec.name] = "no other agent has the same interpreter variables"
        return groups

    def submit(self, spawn_request: SpawnRequest, output: int, is_one_of_many: Callable[[], bool]) -> bool:
        """Pass a request to the agent's zygote; takes over `output` if it returns True.

        is_one_of_many(): whether more agents are about to start, so that waiting for a zygote pays off.
        """
        zygote = self._zygotes.get(self._key_of.get(spawn_request.name, (("", ""),)))
        return zygote is not None and zygote.submit(spawn_request, output, is_one_of_many)

    def has_pending(self, incarnation: int) -> bool:
        """Return whether a zygote has received this request and has not answered."""
        return any(each.has_pending(incarnation) for each in self._zygotes.values())

    def clients(self) -> list[ForkerClient]:
        """Return the clients of the running zygotes; each reaps its own process."""
        return [each.client for each in self._zygotes.values() if each.client is not None]

    def close(self) -> None:
        """End all zygotes; their children keep running."""
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()


def exec_reason(spec: ProcessSpec, env: Mapping[str, str]) -> str:
    """Return why an agent cannot be forked from a zygote, or an empty string."""
    program = parse_command(spec.argv)
    if spec.start == "spawn":
        return "`start: spawn`"
    if spec.argv[0] != sys.executable:
        return f"`{spec.argv[0]}` is not the interpreter that runs argosy"
    if program is None:
        return "its command passes options to the interpreter"
    if not program.is_module and not program.target.endswith(".py"):
        return f"`{program.target}` is not a .py file"
    hook = next((name for name in env if name.startswith(_DEBUGGER_PREFIXES)), None)
    if hook:
        return f"`{hook}` attaches a tool at its start"
    if any(not os.path.isabs(entry) for entry in env.get("PYTHONPATH", "/").split(os.pathsep)):
        return "its PYTHONPATH contains relative paths"
    return ""


def _interpreter_key(env: Mapping[str, str]) -> InterpreterKey:
    """Return the variables that keep their effect on an interpreter once it has started with them."""
    return tuple(
        sorted(
            item
            for item in env.items()
            if item[0].startswith(_INTERPRETER_PREFIXES) or item[0] in _INTERPRETER_VARIABLES
        )
    )


def _preload_recipe(plan: ProcessPlan, group: list[ZygoteCandidate]) -> PreloadRecipe:
    members = members_of(plan.processes)
    cells = {cell_unit.name: members[cell] for cell, cell_unit in plan.cell_processes.items()}
    return PreloadRecipe(
        programs=[
            (program.is_module, program.target, list(program.arguments[:1]), _sys_path_roots(candidate))
            for candidate in group
            for program in _programs_of(candidate, cells)
        ],
        root=os.path.dirname(plan.path),
        modules=None if isinstance(plan.preload, str) else list(plan.preload),
    )


def _programs_of(candidate: ZygoteCandidate, cells: Mapping[str, list[ProcessSpec]]) -> list[PythonProgram]:
    """Return the program of the process and, for a cell, the programs of its members."""
    found = [parse_command(spec.argv) for spec in cells.get(candidate.spec.name, ())]
    return [candidate.program, *(program for program in found if program is not None)]


def _sys_path_roots(candidate: ZygoteCandidate) -> list[str]:
    extra = candidate.env.get("PYTHONPATH", "").split(os.pathsep)
    return [candidate.program.sys_path_dir(candidate.spec.cwd), *filter(None, extra)]


class _ZygoteProcess:
    """One zygote and its requests; restarted when it dies, at most `_MAX_START_ATTEMPTS` times in a row."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, host: ZygoteHost, recipe: PreloadRecipe, env: dict[str, str]
    ) -> None:
        self.recipe = recipe
        self.client: ForkerClient | None = None
        self._loop, self._host, self._env = loop, host, env
        self._is_ready = self._is_overdue = False
        self._attempts = 0
        self._waiting: list[tuple[SpawnRequest, int]] = []
        self._sent: dict[int, SpawnRequest] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._start()

    def _start(self) -> None:
        self._attempts += 1
        self._is_ready = self._is_overdue = False
        # After a crash each package is tried in a throw-away child first.
        recipe = self.recipe._replace(is_careful=self._attempts > 1)
        memory = os.memfd_create("argosy-preload-recipe", 0)
        try:
            os.write(memory, json.dumps(recipe._asdict()).encode())
            self.client = ForkerClient(self._loop, self, ("-c", ZYGOTE_CODE), self._env, [memory])
        except OSError as error:
            self._host.event_log.append("zygote-failed", text=str(error))
        finally:
            os.close(memory)
        self._timer = self._loop.call_later(_READY_TIMEOUT_S, self._on_ready_timeout)

    def submit(self, spawn_request: SpawnRequest, output: int, is_one_of_many: Callable[[], bool]) -> bool:
        if self.client is None or self._is_overdue or not (self._is_ready or is_one_of_many()):
            return False
        if self._is_ready:
            self._send(spawn_request, output)
        else:
            self._waiting.append((spawn_request, output))
        return True

    def has_pending(self, incarnation: int) -> bool:
        return incarnation in self._sent or any(each.incarnation == incarnation for each, _ in self._waiting)

    def _send(self, spawn_request: SpawnRequest, output: int) -> None:
        assert self.client is not None, "a ready zygote has a client"
        self._sent[spawn_request.incarnation] = spawn_request
        self.client.send(spawn_request, output)

    def _on_ready_timeout(self) -> None:
        """Start waiting agents by exec, and those that follow until the zygote is ready."""
        if not self._is_ready:
            self._is_overdue = True
            self._exec_waiting()

    def _exec_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for spawn_request, output in waiting:
            os.close(output)
            self._host.spawn_by_exec(spawn_request)

    def on_zygote_event(self, event: ZygoteReady | SpawnDeclined) -> None:
        """The zygote is ready, or declines a request."""
        if isinstance(event, SpawnDeclined):
            self._on_declined(event)
            return
        self._is_ready, self._is_overdue = True, False
        self._attempts = 0
        text = f"{len(event.loaded)} modules in {event.seconds:.2f} s"
        left_out = "; ".join(f"`{name}` left out: {reason}" for name, reason in event.left_out.items())
        self._host.event_log.append("zygote-ready", text=f"{text}; {left_out}" if left_out else text)
        waiting, self._waiting = self._waiting, []
        for spawn_request, output in waiting:
            self._send(spawn_request, output)

    def _on_declined(self, declined: SpawnDeclined) -> None:
        spawn_request = self._sent.pop(declined.incarnation, None)
        if spawn_request is None:
            return
        self._host.event_log.append("started-by-exec", agent=spawn_request.name, text=declined.reason)
        self._host.spawn_by_exec(spawn_request)
        if declined.is_exhausted and self._is_ready:
            self._is_ready = False  # it declines the other requests already sent; then it is replaced
            self._loop.call_soon(self._replace)

    def _replace(self) -> None:
        if self.client is not None:
            self.client.drain()
        sent, self._sent = self._sent, {}
        self._stop()
        for spawn_request in sent.values():
            self._host.spawn_by_exec(spawn_request)
        self._start()
        self._host.record_forkers()

    def on_spawned(self, spawned: Spawned, pidfd: int) -> None:
        """A child was forked."""
        self._sent.pop(spawned.incarnation, None)
        self._host.on_spawned(spawned, pidfd)

    def on_spawn_failed(self, failure: SpawnFailed) -> None:
        """A child could not be forked."""
        self._sent.pop(failure.incarnation, None)
        self._host.on_spawn_failed(failure)

    def on_exit(self, exited: Exited) -> None:
        """A child has exited."""
        self._host.on_exit(exited)

    def on_forker_lost(self, reason: str) -> None:
        """The zygote has died; its children were reparented to this process."""
        self._host.event_log.append("zygote-lost", text=reason)
        sent, self._sent = self._sent, {}
        self._stop()
        if self._attempts < _MAX_START_ATTEMPTS:
            self._start()
            self._host.record_forkers()
        else:
            self._host.event_log.append(
                "zygote-failed", text=f"died {_MAX_START_ATTEMPTS} times before it was ready"
            )
        self._host.on_zygote_lost()
        for incarnation in sent:
            self._host.respawn(incarnation)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.client is not None:
            self.client.close()
            self.client = None
        self._exec_waiting()

    def close(self) -> None:
        """End the zygote."""
        self._is_overdue = True
        waiting, self._waiting = self._waiting, []
        for _, output in waiting:
            os.close(output)
        self._stop()
