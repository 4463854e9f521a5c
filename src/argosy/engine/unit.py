"""One agent on this machine: its process, its timers, its way through the state machine.

The unit carries out what `state` and `policy` decide. What it cannot do alone (fork, look at other
agents, tell clients) it asks of its `Surroundings`, the crew.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from argosy.engine import lease, process
from argosy.engine.condition import judge_health, judge_needs
from argosy.engine.flawsearch import is_borne_out, words_of_flaw
from argosy.engine.lifetime import Lifetime
from argosy.engine.logs import append_end, last_lines, log_size, open_log, telling_line
from argosy.engine.messages import LastExit
from argosy.engine.policy import Budget, Ending, decide_exit, grace_s, jittered
from argosy.engine.signs import Signs
from argosy.engine.state import READY_STATES, RUNNING_STATES, Action, Event, State, step
from argosy.engine.timers import Timers
from argosy.engine.will import Will, will_of
from argosy.engine.words import words_of_end, words_of_lateness
from argosy.fleet.secret import Veil
from argosy.fleet.units import counted, shown_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from argosy.engine.memory import Memory
    from argosy.engine.order import Birth
    from argosy.engine.plan import ProcessSpec
    from argosy.engine.process import Identity
    from argosy.engine.surroundings import Surroundings
    from argosy.fault import Fault

_EXAMINED_WITHIN_S = 15.0

# What is kept of the reason of an end; a will has room for a page.
_LONGEST_WORDS = 500

_HEARD = READY_STATES | {State.FAILING}


class Unit:
    """One agent and its process, if it has one.

    waits_for_room: it may start but for what is scarce. started_at, ready_at: loop time of the last
    spawn and of the readiness that followed. is_remnant: its process ended while no supervisor was
    there, and something that it left is being ended. since_s: epoch seconds of the last change of state.
    log_start: the size of its log when its last start began. last_lines: what it printed last, of
    one that is given up. order: name of the Apply that began it last. is_disrupted: a drill has killed or
    frozen its process.
    """

    def __init__(self, spec: ProcessSpec, crew: Surroundings) -> None:
        self.spec = spec
        self.name = spec.name
        self.state = State.EXITED
        self.wanted = False
        self.order = ""
        self.reason = "not started"
        self.last_exit: LastExit | None = None
        self.last_end = ""  # how its last process ended, until one is ready
        self.since_s = time.time()
        self.running_digest = spec.digest
        self.version = ""  # of the tree, when its process was ordered
        self.restarts = 0
        self.health: str | None = None
        self.started_at = 0.0
        self.ready_at: float | None = None
        self.waits_for_room = False
        self.was_killed = False
        self.is_remnant = False
        self.is_disrupted = False
        self.memory: Memory | None = None
        self.memory_at = 0.0
        self.log_start = 0
        self.last_lines: list[str] = []
        self.lost_needs: set[str] = set()
        self._crew = crew
        self._veil = Veil(spec.env)
        self._budget = Budget(spec.restart_times, spec.restart_within_s)
        self._timers = Timers(crew.loop)
        self._log = crew.folder.log(spec.name)
        path, run = crew.folder.notify(spec.name), partial(crew.run_beside, self)
        ears = (crew.hear_forker, self._has_spoken, self._frozen)
        self._signs = Signs(path, self._log, crew.loop, run, crew.listeners, crew.hearing, *ears)
        self._life = Lifetime(spec.name, crew, self.ended, self._still_left)
        self._cause = "exit"
        self._next_spec: ProcessSpec | None = None
        self._restart_asked = False
        self._ended_badly = False
        self._is_examined = False  # whether its code was looked at since somebody asked for a start

    # ---- what others ask of it

    @property
    def identity(self) -> Identity | None:
        """Its process, until nothing of that is left."""
        return self._life.identity

    @property
    def incarnation(self) -> int:
        """The number of its process, or of the last; 0 before the first."""
        return self._life.incarnation

    @property
    def pid(self) -> int | None:
        """The number of its process, None when there is none."""
        return self._life.pid

    @property
    def is_ready(self) -> bool:
        """Whether dependents may count on it."""
        return self.state in READY_STATES

    @property
    def is_in_sight(self) -> bool:
        """Whether its machine is seen: it is this one."""
        return True

    @property
    def has_failed(self) -> bool:
        """Whether it has exited by an error, and is wanted up."""
        return self.state is State.EXITED and self.wanted and self._ended_badly

    @property
    def host(self) -> Unit:
        """The unit whose process it lives in: itself."""
        return self

    def need_names(self) -> tuple[str, ...]:
        """Return the names of the agents that must be ready first."""
        return self.spec.need_names()

    @property
    def has_process(self) -> bool:
        """Whether it has a process, one is about to be born, or something of one is left."""
        return self.state in RUNNING_STATES or self._life.pid is not None

    def start(self) -> None:
        """Want it up. A start that a person asks for forgives earlier restarts."""
        self.wanted = True
        self._timers.cancel("examination")
        self._is_examined = False
        self._budget.forgive()
        self._fire(Event.START, "")

    def stop(self) -> None:
        """Want it down."""
        self._want_down()
        self._fire(Event.STOP, "stopped")

    def kill(self) -> None:
        """Want it down, and kill its process group now."""
        self._want_down()
        self._kill()

    def _want_down(self) -> None:
        self.wanted = self._restart_asked = False
        self._write_will()

    def restart(self, spec: ProcessSpec | None = None) -> None:
        """Stop it and start it again, as `spec` from then on when one is given."""
        self.wanted = True
        self._next_spec = spec
        self._is_examined = False
        if self.state in RUNNING_STATES:
            self._restart_asked = True
            self._fire(Event.STOP, "restarting")
            return
        self._take_next_spec()
        self.start()

    def renew(self, spec: ProcessSpec) -> None:
        """Be `spec` from now on: its process differs in nothing, or there is none."""
        self._next_spec = spec
        self._take_next_spec()

    def needs_changed(self) -> None:
        """Look again at what it needs: it may start now, or never."""
        self._follow(judge_needs(self._crew.needs_of(self), self.state))

    def need_lost(self, name: str) -> None:
        """Be degraded while `name` is away."""
        self.lost_needs.add(name)
        if self.is_ready:
            self._judge()

    def need_back(self, name: str, *, is_renewed: bool) -> None:
        """Stop being degraded for the sake of `name`; or start anew, where that is asked for."""
        self.lost_needs.discard(name)
        if is_renewed and self.has_process:
            self.restart()
        elif self.is_ready:
            self._judge()

    def look_for_silence(self, now: float, pause_s: float) -> None:
        """Be degraded if it beats no more (see `Signs.falls_silent`)."""
        if self._signs.falls_silent(now, pause_s):
            self._judge()

    @property
    def silent_s(self) -> float | None:
        """How long it has not beaten, None when it is not missed."""
        return self._signs.silent_s if self.state in _HEARD else None

    def disrupt(self, number: int) -> None:
        """Send its process a signal for a drill; an end that comes of it spends no restart."""
        self.is_disrupted = True
        self._life.signal(number)

    def thaw(self) -> None:
        """Let its process go on that `disrupt` has stopped; where nobody noticed, nothing has happened."""
        self.is_disrupted = self.is_disrupted and not self.is_ready
        self._life.signal(signal.SIGCONT)

    def close(self) -> None:
        """Let go of sockets, timers and descriptors; the process is left as it is."""
        self._disarm()
        self._signs.close()
        self._life.close()

    # ---- the state machine

    def _fire(self, event: Event, reason: str) -> None:
        before, why = self.state, self._veil.over(reason)  # its last words may hold what it was told
        self.state, action = step(before, event)
        if self.state is before and action is Action.NONE:
            return
        if action is Action.RETELL:
            self._retell(why)
            return
        if reason or self.state is not before:
            self.reason = why
        if self.state is not before:
            self.since_s = time.time()
            is_given_up = self.state is State.GIVEN_UP and self.started_at
            said = last_lines(self._log, self.log_start) if is_given_up else ()
            self.last_lines = list(map(self._veil.over, said))
            self._crew.changed(self)
            if before in READY_STATES and not self.is_ready:
                self._crew.is_falling(self)
        self._act(action)

    def _retell(self, why: str) -> None:
        if why != self.reason:
            self.reason = why
            self._crew.changed(self)

    def _act(self, action: Action) -> None:
        if action is Action.CHECK_NEEDS:
            self.needs_changed()
        elif action is Action.SPAWN:
            self._spawn()
        elif action is Action.ANNOUNCE:
            self._announce()
        elif action is Action.TERMINATE:
            self._terminate()
        elif action is Action.CONCLUDE:
            self._disarm()
            self._write_will()
            self._crew.has_concluded(self)

    def _announce(self) -> None:
        self._timers.cancel("deadline")
        self.ready_at = self._crew.loop.time()
        self.last_end = ""
        self._crew.is_rising(self)
        self._write_will()  # after it: dependents need not wait for the disk

    def _has_spoken(self, health: str | None) -> None:
        """It is ready; `health` is what it says of itself, None when it cannot."""
        self.health = health
        self._judge()

    def _judge(self) -> None:
        """Turn the health it tells, and the needs it has lost, into an event."""
        self._follow(judge_health(self.health, self.lost_needs, self._signs.silent_s))

    def _follow(self, found: tuple[Event, str] | None) -> None:
        if found is not None:
            self._fire(*found)

    # ---- start

    def _spawn(self) -> None:
        """Start the process as soon as nothing is in its way, or say why not."""
        self._mark_log()
        if self.spec.refusal:
            self._fire(Event.GIVE_UP, self.spec.refusal)
            return
        self.waits_for_room = True
        self._crew.ask_room(self)

    def spawn_now(self) -> None:
        """Start the process; the crew calls this when there is room."""
        self.waits_for_room = False
        self.ready_at = None
        self.was_killed = self.is_disrupted = False
        self.health = None
        self.lost_needs.clear()
        self._cause = "exit"
        self.started_at = self._crew.loop.time()
        try:
            is_adopted = self._crew.adopt(self)
        except OSError as error:
            self._not_started(f"its lease cannot be read: {error.strerror}")
            return
        if not is_adopted:
            self._life.depart(self._order)  # what an earlier process left behind goes first

    def _order(self) -> None:
        """Have the process forked; a held port is a failed start like any other."""
        self._mark_log()  # what an earlier process left may have printed until now
        held = self._crew.listeners.obstacle(self.spec.ports, self.spec.probe_port)
        if held:
            self._not_started(held)
            return
        self.running_digest = self.spec.digest
        self.version = self._crew.tree_version()
        try:
            self._signs.listen()
            output = open_log(self._log)
            self.log_start = os.fstat(output).st_size
        except OSError as error:
            self._not_started(f"{error.filename or 'its notify socket'}: {error.strerror}")
            return
        self._life.order()
        self._write_will()
        self._timers.arm("deadline", self.spec.start_timeout_s, self._too_late)
        self._crew.spawn(self, output)

    def _mark_log(self) -> None:
        """Count no line that is there already as one of the start that begins."""
        self.log_start = log_size(self._log)

    def _not_started(self, why: str) -> None:
        self._after_end(Ending(None, "obstacle", False), f"not started, {why}")

    def born(self, birth: Birth, pidfd: int) -> None:
        """Take note of the process that was forked for it; takes over the descriptor."""
        self._life.born(birth, pidfd)
        if self.state is State.STOPPING:
            self._terminate()
        else:
            self._signs.begin(self.spec, birth.pid, self.log_start)
        self._crew.changed(self)

    def not_born(self, why: str) -> None:
        """No process came of the order, for the reason `why`; without one it is ordered again."""
        self._life.is_unborn = False
        if self.state is State.STOPPING:
            self._after_end(Ending(None, "exit", False), self.reason)
        elif why:
            self._not_started(why)
        else:
            self._spawn()

    def adopt(self, identity: Identity, pidfd: int, incarnation: int) -> None:
        """Take over a process that an earlier supervisor started; ready again once it says so."""
        known = self._crew.wills.read(self.name)
        will = known or Will(wanted=True, digest=self.spec.digest)
        is_same = will.incarnation == incarnation
        self._life.adopt(identity, pidfd, incarnation)
        self.wanted = self.wanted or will.wanted
        self.restarts = will.restarts
        self.version = will.version if is_same else ""
        self.last_exit = will.last_exit
        self.running_digest = will.digest if is_same else self.spec.digest
        self.started_at = self._crew.loop.time()
        self.state, self.reason = State.STARTING, "adopted, not heard of yet"
        self.since_s = time.time()
        self.log_start = will.log_start if is_same else log_size(self._log)
        self._signs.listen()
        if self.wanted:
            if known is None:  # a supervisor would have ended one that was late
                was_ready = lease.age_s(self._crew.folder.lease(self.name)) > self.spec.start_timeout_s
            else:
                was_ready = is_same and will.ready_s is not None
            self._timers.arm("deadline", self.spec.start_timeout_s, self._too_late)
            self._signs.recognise(self.spec, identity.pid, self.log_start, was_ready=was_ready)
        else:
            self._fire(Event.STOP, "stopped")  # its supervisor died over it

    def adopt_remains(self, pids: Sequence[int]) -> None:
        """End what is left of a process that ended while no supervisor was there; a start waits for it."""
        self.is_remnant = True
        self._life.adopt_remains(pids[0])
        self.state, self.since_s = State.FAILING, time.time()
        self.reason = f"failing: left process {', '.join(map(str, pids))}"
        self._crew.changed(self)
        self._life.depart(self._remains_gone)

    def _remains_gone(self) -> None:
        self.is_remnant = self._restart_asked = False
        self._life.finish()
        self._take_next_spec()
        self._crew.has_ended(self)
        if self.wanted:
            self._back_off(Event.RETRY, self.reason, 0.0, is_counted=False)
        else:
            self._fire(Event.FINISHED, "ended while nobody supervised it; what it left is gone")

    # ---- end

    def _too_late(self) -> None:
        self._cause = "unheard" if self._life.is_adopted else "timeout"
        self._fire(Event.TIMEOUT, self._words_of_lateness())

    def _words_of_lateness(self) -> str:
        return words_of_lateness(self.spec, self.pid, self._log, self.log_start, self._signs.found)

    def _frozen(self, why: str) -> None:
        self._cause = "frozen"
        append_end(self._log, self._veil.over(why))
        self._fire(Event.FROZEN, why)

    def _terminate(self) -> None:
        self._timers.cancel("deadline")
        self._signs.end()
        if self._life.is_held:
            if self.was_killed:
                self._life.kill()
            else:
                self._life.terminate()
            self._timers.arm("grace", grace_s(self.spec, self._cause), self._kill)
        elif self._life.is_absent:
            self._after_end(Ending(None, "exit", False), self.reason)
        # Else it is not born yet, or what it left is on its way out: both come back.

    def _kill(self) -> None:
        self.was_killed = True
        self._life.kill()

    def ended(self, status: int | None) -> None:
        """The process has ended; what follows waits until nothing of it is left."""
        if not self._life.is_held:
            return  # told twice, by a forker that died over it and by the kernel
        self._signs.hear()  # what it said last was said before it ended
        self._disarm()
        self._life.let_go()
        is_told = self._cause != "exit" or self.state is State.STOPPING
        flaw = "" if is_told else self._signs.flaw
        code, was_ready = process.exit_code(status), self.ready_at is not None
        ending = Ending(code, self._cause, was_ready, is_final=bool(flaw), is_drill=self.is_disrupted)
        lived_s = self._crew.loop.time() - self.started_at
        why = self.reason if is_told else words_of_end(ending, lived_s, self._log, self.log_start)
        why = f"cannot start: {flaw}" if flaw else why
        if self._crew.was_out_of_memory(self):
            why = f"{why}; it had more than its `memory` of {shown_size(self.spec.memory_bytes or 0)}"
        self._life.depart(lambda: self._after_end(ending, why))
        if self._life.is_departing:
            self._fire(Event.UNHEALTHY, f"{why}; something of it still runs")

    def _still_left(self, what: str) -> None:
        self._retell(what)

    def _after_end(self, ending: Ending, why: str) -> None:
        """Let the policy decide what follows."""
        self._life.finish()
        self.waits_for_room = False
        self.health = self.memory = None
        self._timers.cancel("deadline")
        self._crew.has_ended(self)
        if self.wanted and not self._restart_asked and ending.cause != "obstacle":
            self._note_exit(why)
        if self._restart_asked:
            self._restart_asked = False
            self._take_next_spec()
            self._back_off(Event.RETRY, "restarting", 0.0)
            return
        self._ended_badly = ending.code != 0
        verdict = decide_exit(self.spec, ending, self.wanted, self._budget, self._crew.loop.time())
        if verdict.event is Event.RETRY:
            retry = partial(
                self._back_off, verdict.event, why, verdict.delay_s, is_counted=verdict.is_counted
            )
            if ending.may_be_final and not self._is_examined:
                self._examine(why, retry)
            else:
                retry()
            return
        is_limit = ending.cause != "timeout" and not ending.is_final
        if verdict.event is Event.GIVE_UP and is_limit and self._budget.spent:
            why = f"given up after {counted(self._budget.spent, 'restart')}: {why}"
        self._fire(verdict.event, why)

    def _note_exit(self, why: str) -> None:
        """Keep how it ended, for whoever asks when it is ready again."""
        self.last_exit = LastExit(self._veil.over(why)[:_LONGEST_WORDS], time.time())

    def _examine(self, why: str, retry: Callable[[], None]) -> None:
        """Retry, unless the code is known for what ends every start alike; asked once for many starts."""
        self._is_examined = True
        self._fire(Event.RETRY, why)
        said = telling_line(self._log, self.log_start)
        # Whoever starts or stops it meanwhile takes the timer away.
        self._timers.arm("examination", _EXAMINED_WITHIN_S, retry)
        self._crew.find_flaw(self, lambda flaw: self._examined(flaw, said, retry))

    def _examined(self, flaw: Fault | None, said: str, retry: Callable[[], None]) -> None:
        if not self._timers.take("examination"):
            return
        if flaw is not None and is_borne_out(flaw, said):
            self._fire(Event.GIVE_UP, f"cannot start: {words_of_flaw(flaw)}")
        else:
            retry()

    def _back_off(self, event: Event, why: str, delay_s: float, *, is_counted: bool = True) -> None:
        self.restarts += is_counted
        self.last_end = self._veil.over(why)
        self._fire(event, why)
        self._write_will()
        self._timers.arm("backoff", jittered(delay_s), lambda: self._fire(Event.BACKOFF_OVER, why))

    def _take_next_spec(self) -> None:
        if self._next_spec is not None:
            self.spec, self._next_spec = self._next_spec, None
            self._veil = Veil(self.spec.env)
            self._budget = Budget(self.spec.restart_times, self.spec.restart_within_s)

    def _write_will(self) -> None:
        self._crew.wills.write(self.name, will_of(self))

    def _disarm(self) -> None:
        self._timers.clear()
        self._signs.end()
