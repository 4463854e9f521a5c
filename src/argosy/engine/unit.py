"""One agent on this machine: its process, its timers, its way through the state machine.

The unit carries out what `state` and `policy` decide. What it cannot do alone (fork, look at other
agents, tell clients) it asks of its `Crew`, which is the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from argosy.agent.health import Status
from argosy.engine import lease, ports, process
from argosy.engine.logs import last_line, open_log
from argosy.engine.memory import Memory, read_memory
from argosy.engine.notify import NotifySocket
from argosy.engine.order import Order
from argosy.engine.policy import Budget, Ending, decide_exit
from argosy.engine.probe import wait_ready
from argosy.engine.process import Identity
from argosy.engine.state import READY_STATES, RUNNING_STATES, Action, Event, State, step
from argosy.engine.will import Will, read_will, write_will
from argosy.fleet.spec import Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from argosy.engine.folder import Folder
    from argosy.engine.order import Birth
    from argosy.engine.plan import ProcessSpec

_LEASE_PATIENCE_S = 1.0
_LEASE_LOOK_S = 0.01


class Needs(NamedTuple):
    """What an agent needs and has not: names not ready yet, and names that will not come, with the reason."""

    waiting_on: list[str]
    failed: dict[str, str]


class Crew(Protocol):
    """What a unit asks of the supervisor."""

    loop: asyncio.AbstractEventLoop
    folder: Folder
    generation: int
    boot: bytes

    def needs_of(self, unit: Unit) -> Needs: ...
    def may_spawn(self, unit: Unit) -> bool: ...
    def spawn(self, unit: Unit, order: Order, output: int) -> None: ...
    def environment_of(self, unit: Unit) -> dict[str, str]: ...
    def changed(self, unit: Unit) -> None: ...
    def is_rising(self, unit: Unit) -> None: ...
    def is_falling(self, unit: Unit) -> None: ...
    def has_concluded(self, unit: Unit) -> None: ...
    def has_ended(self, unit: Unit) -> None: ...


class Unit:
    """One agent and its process, if it has one.

    started_at, ready_at: loop time of the last spawn and of the readiness that followed.
    since_s: epoch seconds of the last change of state.
    """

    def __init__(self, spec: ProcessSpec, crew: Crew) -> None:
        self.spec = spec
        self.name = spec.name
        self.state = State.EXITED
        self.wanted = False
        self.reason = "not started"
        self.since_s = time.time()
        self.identity: Identity | None = None
        self.incarnation = 0
        self.running_digest = spec.digest
        self.restarts = 0
        self.health: str | None = None
        self.started_at = 0.0
        self.ready_at: float | None = None
        self.was_killed = False
        self.memory: Memory | None = None
        self.memory_at = 0.0
        self.is_adopted = False
        self.lost_needs: set[str] = set()
        self._crew = crew
        self._budget = Budget(spec.restart_times, spec.restart_within_s)
        self._pidfd: int | None = None
        self._notify: NotifySocket | None = None
        self._probe: asyncio.Task[None] | None = None
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._cause = "exit"
        self._next_spec: ProcessSpec | None = None
        self._restart_asked = False

    # ---- what others ask of it

    @property
    def pid(self) -> int | None:
        """The number of its process, None when there is none."""
        return self.identity.pid if self.identity else None

    @property
    def is_ready(self) -> bool:
        """Whether dependents may count on it."""
        return self.state in READY_STATES

    @property
    def is_running(self) -> bool:
        """Whether it has a process, or one is about to be born."""
        return self.state in RUNNING_STATES

    def start(self) -> None:
        """Want it up. A start that a person asks for forgives earlier restarts."""
        self.wanted = True
        self._budget.forgive()
        self._fire(Event.START, "")

    def stop(self) -> None:
        """Want it down."""
        self.wanted = False
        self._restart_asked = False
        self._write_will()
        self._fire(Event.STOP, "stopped")

    def kill(self) -> None:
        """Kill its process group now; it is wanted down."""
        self.wanted = False
        self._restart_asked = False
        if self._pidfd is not None:
            self.was_killed = True
            process.kill_group(self._pidfd)

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Stop it and start it again, as `spec` from then on when one is given."""
        self.wanted = True
        self._next_spec = spec
        if self.is_running:
            self._restart_asked = True
            self._fire(Event.STOP, "restarting")
            return
        self._take_next_spec()
        self.start()

    def renew(self, spec: ProcessSpec) -> None:
        """Be `spec` from the next start on; for a unit without a process."""
        self._next_spec = spec
        self._take_next_spec()

    def needs_changed(self) -> None:
        """Look again at what it needs: it may start now, or never."""
        needs = self._crew.needs_of(self)
        if needs.failed:
            why = "; ".join(f"`{name}`, which {reason}" for name, reason in needs.failed.items())
            self._fire(Event.NEED_FAILED, f"needs {why}")
        elif not needs.waiting_on:
            self._fire(Event.NEEDS_READY, "")
        elif self.state is State.BLOCKED:
            self._fire(Event.NEED_REVIVED, "")

    def need_lost(self, name: str) -> None:
        """Be degraded while `name` is away (on_death: degrade)."""
        self.lost_needs.add(name)
        self._judge()

    def need_back(self, name: str) -> None:
        """Stop being degraded for the sake of `name`."""
        self.lost_needs.discard(name)
        self._judge()

    def close(self) -> None:
        """Let go of sockets, timers and descriptors; the process is left as it is."""
        self._disarm()
        if self._notify:
            self._notify.close()
            self._notify = None
        self._drop_pidfd()

    # ---- the state machine

    def _fire(self, event: Event, reason: str) -> None:
        before = self.state
        self.state, action = step(before, event)
        if self.state is not before or action is not Action.NONE:
            if reason or self.state is not before:
                self.reason = reason
            self.since_s = time.time()
            if self.state is not before:
                self._crew.changed(self)
            self._act(action)

    def _act(self, action: Action) -> None:
        if action is Action.CHECK_NEEDS:
            self.needs_changed()
        elif action is Action.SPAWN:
            self._spawn()
        elif action is Action.ANNOUNCE:
            self._announce()
        elif action is Action.RETRACT:
            self._crew.is_falling(self)
        elif action is Action.TERMINATE:
            self._terminate()
        elif action is Action.CONCLUDE:
            self._disarm()
            self._write_will()
            self._crew.has_concluded(self)

    def _announce(self) -> None:
        self._cancel("deadline")
        self.ready_at = self._crew.loop.time()
        self._write_will()
        self._crew.is_rising(self)

    def _judge(self) -> None:
        """Turn the health it tells, and the needs it has lost, into an event."""
        if self.health == Status.FAILING:
            self._fire(Event.UNHEALTHY, "its own health says failing")
        elif self.health == Status.DEGRADED:
            self._fire(Event.DEGRADED, "its own health says degraded")
        elif self.lost_needs:
            self._fire(Event.DEGRADED, f"without `{'`, `'.join(sorted(self.lost_needs))}`")
        elif self.health in (Status.OK, None):
            self._fire(Event.READY, "")

    # ---- start

    def _spawn(self) -> None:
        """Start the process, or say why not; a held port is a failed start like any other."""
        if self.spec.refusal:
            self._fire(Event.GIVE_UP, self.spec.refusal)
            return
        if not self._crew.may_spawn(self):
            return  # the crew calls again when there is room
        self.ready_at = None
        self.was_killed = False
        self.started_at = self._crew.loop.time()
        self.health = None
        held = self._held_port()
        if held:
            self._after_end(Ending(None, "port", False), held)
            return
        self._cause = "exit"
        self.running_digest = self.spec.digest
        self.incarnation = secrets.randbits(62)
        self.listen()
        self._arm("deadline", self.spec.start_timeout_s, self._too_late)
        order = Order(
            name=self.name,
            incarnation=self.incarnation,
            generation=self._crew.generation,
            lease=str(self._crew.folder.lease(self.name)),
            generation_file=str(self._crew.folder.lock),
            argv=list(self.spec.argv),
            env=self._crew.environment_of(self),
            cwd=self.spec.cwd,
            open_files=self.spec.open_files,
        )
        self._crew.spawn(self, order, open_log(self._crew.folder.log(self.name)))

    def spawn_now(self) -> None:
        """Start the process that had to wait for room."""
        if self.state is State.STARTING and self.identity is None:
            self._spawn()

    def _held_port(self) -> str:
        for host, port in self.spec.ports:
            try:
                if not ports.is_free(host, port):
                    return f"not started, {ports.holder_of(port)}"
            except OSError as error:
                return f"not started, port {port} cannot be bound on {host}: {error.strerror}"
        return ""

    def listen(self) -> None:
        """Bind the notify socket, once."""
        if self._notify is None:
            path = self._crew.folder.notify(self.name)
            self._notify = NotifySocket(path, self._crew.loop, self._on_notify)

    def born(self, birth: Birth, pidfd: int) -> None:
        """Take note of the process that was forked for it."""
        self.identity = Identity(birth.pid, birth.started)
        self._pidfd = pidfd
        if self.state is State.STOPPING:
            self._terminate()
        self._start_probe()
        self._crew.changed(self)

    def _start_probe(self) -> None:
        if self.spec.probe.probe != "notify" and self.identity is not None:
            asked = self._ask(self.identity.pid, self.spec.probe, self.spec.probe_port)
            self._probe = self._crew.loop.create_task(asked)

    async def _ask(self, session: int, probe: Probe, port: int | None) -> None:
        status = await wait_ready(probe, self.spec.host, port, session)
        self.health = None if probe.probe == "alive" else status.value
        self._judge()

    def adopt(self, identity: Identity, pidfd: int, incarnation: int) -> None:
        """Take over a process that an earlier supervisor started; ready again once it says so."""
        will = read_will(self._crew.folder.will(self.name))
        self.identity, self._pidfd, self.incarnation = identity, pidfd, incarnation
        self.wanted = will.wanted if will else True
        self.restarts = will.restarts if will else 0
        self.running_digest = will.digest if will else self.spec.digest
        self.is_adopted = True
        self.started_at = self._crew.loop.time()
        self.state, self.reason = State.STARTING, "adopted, not heard of yet"
        self.since_s = time.time()
        self.listen()
        self._crew.loop.add_reader(pidfd, self._adopted_end)
        self._arm("deadline", self.spec.start_timeout_s, self._too_late)
        if will and will.ready_s and will.incarnation == incarnation and not self.spec.is_sdk:
            # A plain script says READY once, and not to every supervisor that comes along.
            self._judge()
            return
        if self.spec.is_sdk and self.spec.port is not None:
            # Its next beat may be seconds away, and it answers health on its port at once.
            self._probe = self._crew.loop.create_task(
                self._ask(identity.pid, Probe(probe="zmq"), self.spec.port)
            )
        else:
            self._start_probe()

    def _on_notify(self, sender: int, fields: dict[str, str]) -> None:
        if self.spec.probe.notify != "all" and sender != self.pid:
            return
        if "WATCHDOG" in fields and self.spec.watchdog_s:
            self._arm("watchdog", self.spec.watchdog_s, self._frozen)
        if "STOPPING" in fields:
            return
        told = fields.get("X_ARGOSY_HEALTH")
        if self.state is State.STARTING:
            if fields.get("READY") != "1" or self.spec.probe.probe != "notify":
                return
            if self.spec.watchdog_s:
                self._arm("watchdog", self.spec.watchdog_s, self._frozen)
        if told is not None or fields.get("READY") == "1":
            self.health = told or self.health or Status.OK.value
            self._judge()

    # ---- end

    def _too_late(self) -> None:
        self._cause = "timeout"
        alive = f"process alive, pid {self.pid}" if self.identity else "no process"
        said = last_line(self._crew.folder.log(self.name))
        tail = f", last line: {said}" if said else ", no output"
        self._fire(Event.TIMEOUT, f"was not ready after {self.spec.start_timeout_s:.1f} s ({alive}{tail})")

    def _frozen(self) -> None:
        self._cause = "frozen"
        self._fire(Event.FROZEN, f"gave no sign of life for {self.spec.watchdog_s:.1f} s (pid {self.pid})")

    def _terminate(self) -> None:
        if self._pidfd is None:
            return  # not born yet: born() comes back here
        process.send_signal(self._pidfd, signal.SIGTERM)
        # A stopped process takes the signal only when it goes on.
        process.send_signal(self._pidfd, signal.SIGCONT)
        self._arm("grace", self.spec.stop_timeout_s, self._grace_is_over)

    def _grace_is_over(self) -> None:
        if self._pidfd is not None:
            self.was_killed = True
            process.kill_group(self._pidfd)

    def _adopted_end(self) -> None:
        """An adopted process has ended: its group is killed here, its status read from the pidfd."""
        assert self._pidfd is not None
        self._crew.loop.remove_reader(self._pidfd)
        process.kill_group(self._pidfd)
        self._await_status(tries=10)

    def _await_status(self, tries: int) -> None:
        """Take the exit status, from the zombie or from the kernel once its parent has reaped it."""
        assert self._pidfd is not None
        assert self.identity is not None
        status = process.zombie_status(self.identity.pid)
        if status is None:
            status = process.exit_status(self._pidfd)
        if status is None and tries:
            self._arm("status", _LEASE_LOOK_S, lambda: self._await_status(tries - 1))
        else:
            self.ended(status)

    def ended(self, status: int | None) -> None:
        """The process has ended; what follows waits until the lease is free."""
        self._disarm()
        code = process.exit_code(status)
        ending = Ending(code, self._cause, self.ready_at is not None)
        if self.is_ready:
            self._crew.is_falling(self)
        self._drop_pidfd()
        why = self.reason if self._cause != "exit" or self.state is State.STOPPING else self._describe(ending)
        self._release_lease(ending, why, self._crew.loop.time() + _LEASE_PATIENCE_S)

    def _describe(self, ending: Ending) -> str:
        lived = self._crew.loop.time() - self.started_at
        words = process.describe_exit(ending.code)
        if not ending.was_ready:
            words += f" after {lived:.1f} s, before it was ready"
            said = last_line(self._crew.folder.log(self.name))
            words += f"; last line: {said}" if said else "; no output"
        return words

    def _release_lease(self, ending: Ending, why: str, patience: float) -> None:
        """Go on once no descendant holds the lease; kill what still does after a second."""
        path = self._crew.folder.lease(self.name)
        if lease.is_free(path):
            self.identity = None
            self._after_end(ending, why)
            return
        if self._crew.loop.time() > patience:
            holders = process.holders_of_file(str(path))
            for pid in holders:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            patience = self._crew.loop.time() + _LEASE_PATIENCE_S
            self.reason = f"failing: child pid {', '.join(map(str, holders)) or '?'} still holds it"
            self._crew.changed(self)
        self._arm("lease", _LEASE_LOOK_S, lambda: self._release_lease(ending, why, patience))

    def _after_end(self, ending: Ending, why: str) -> None:
        """Let the policy decide what follows."""
        self.health = None
        self.memory = None
        self.is_adopted = False
        self._crew.has_ended(self)
        if self._restart_asked:
            self._restart_asked = False
            self._take_next_spec()
            self.restarts += 1
            self._back_off(Event.RETRY, "restarting", 0.0)
            return
        verdict = decide_exit(self.spec, ending, self.wanted, self._budget, self._crew.loop.time())
        if verdict.event is Event.RETRY:
            self.restarts += 1
            self._back_off(verdict.event, why, verdict.delay_s)
            return
        if verdict.event is Event.GIVE_UP and ending.cause != "timeout":
            why = f"given up after {self.restarts} restarts: {why}" if self.restarts else why
        self._fire(verdict.event, why)

    def _back_off(self, event: Event, why: str, delay_s: float) -> None:
        self._fire(event, why)
        self._write_will()
        if delay_s > 0:
            self._arm("backoff", delay_s, lambda: self._fire(Event.BACKOFF_OVER, why))
        else:
            self._fire(Event.BACKOFF_OVER, why)

    def _take_next_spec(self) -> None:
        if self._next_spec is not None:
            self.spec, self._next_spec = self._next_spec, None
            self._budget = Budget(self.spec.restart_times, self.spec.restart_within_s)

    # ---- keeping

    def sample_memory(self) -> None:
        """Read its memory now."""
        if self.identity is not None:
            self.memory = read_memory(self.identity.pid)
            self.memory_at = self._crew.loop.time()

    def _write_will(self) -> None:
        is_up = self.is_ready
        write_will(
            self._crew.folder.will(self.name),
            Will(
                wanted=self.wanted,
                digest=self.running_digest,
                incarnation=self.incarnation,
                restarts=self.restarts,
                ready_s=self.since_s if is_up else None,
                reason=self.reason,
            ),
        )

    def _drop_pidfd(self) -> None:
        if self._pidfd is not None:
            self._crew.loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _arm(self, timer: str, delay_s: float, call: Callable[[], None]) -> None:
        self._cancel(timer)
        self._timers[timer] = self._crew.loop.call_later(delay_s, call)

    def _cancel(self, timer: str) -> None:
        handle = self._timers.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def _disarm(self) -> None:
        for timer in list(self._timers):
            self._cancel(timer)
        if self._probe is not None:
            self._probe.cancel()
            self._probe = None
