"""Units on a real forker, in this process: what no command shows and no end-to-end test can time."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import msgspec
import pytest

from argosy.engine.admission.available_memory import AvailableMemory
from argosy.engine.admission.memory_sampler import MemoryHistory
from argosy.engine.peering.peer_set import PeerSet
from argosy.engine.plan.process_plan import ProcessPlan, ProcessSpec
from argosy.engine.process import lease, os_process
from argosy.engine.process.cooperative_yield import CooperativeYield
from argosy.engine.protocol.messages import Apply
from argosy.engine.protocol.state_machine import State
from argosy.engine.state.event_log import read_event_log
from argosy.engine.state.generation import acquire_lock, raise_generation
from argosy.engine.state.state_dir import StateDir
from argosy.engine.state.unit_state_store import PersistedUnitState, UnitStateStore
from argosy.engine.supervisor.rollout import Rollout
from argosy.engine.supervisor.rollout_steps import OrderedStop
from argosy.engine.supervisor.unit_set import UnitSet
from argosy.engine.unit.unit import Unit
from argosy.fault import RefusedError
from argosy.fleet.fleet_spec import Need, Probe
from argosy.fleet.loader import load_fleet

from ..unit.test_restart_policy import SPEC

Test = Callable[["Sea"], Coroutine[None, None, None]]


def spec(name: str, *argv: str, needs: tuple[str, ...] = (), **fields: object) -> ProcessSpec:
    """Return the spec of an agent that is ready as soon as it is born, and does not restart."""
    made = msgspec.structs.replace(
        SPEC,
        name=name,
        argv=argv or ("sleep", "1000"),
        probe=Probe(probe="alive", seconds=0.0),
        needs=tuple(Need(agent=need) for need in needs),
        restart="never",
        start_timeout_s=20.0,
    )
    return msgspec.structs.replace(made, **fields)


def plan(*specs: ProcessSpec, max_starting: int | None = None, gpu_bytes: int | None = None) -> ProcessPlan:
    names = tuple(each.name for each in specs)
    processes = {each.name: each for each in specs}
    return ProcessPlan(
        fleet="f",
        path="/f",
        environment="testing",
        declared=names,
        processes=processes,
        left_out={},
        max_starting=max_starting,
        gpu_memory_bytes={} if gpu_bytes is None else {"here": gpu_bytes},
    )


class Sea:
    """A crew in a folder of its own."""

    def __init__(self, folder: StateDir) -> None:
        self.folder = folder
        lock = acquire_lock(folder.supervisor_lock, 0.0)
        assert lock is not None
        self.lock = lock
        self._woken = asyncio.Event()
        self._stop: OrderedStop | None = None
        loop = asyncio.get_running_loop()
        self.crew = UnitSet(folder, raise_generation(lock), loop, on_unit_change=self._changed)

    def _changed(self, unit: Unit) -> None:
        self._woken.set()
        if self._stop is not None:
            self.crew.loop.call_soon(self._stop.on_transition, unit)

    def start(self, made: ProcessPlan) -> None:
        """Want all of a plan up."""
        self.crew.set_plan(made)
        for name in made.declared:
            self.crew.units[name].start()

    async def until(self, *names: str, state: State) -> None:
        """Wait until these are in a state."""
        async with asyncio.timeout(20):
            while not all(self.crew.units[name].state is state for name in names):
                self._woken.clear()
                await self._woken.wait()

    async def born(self, name: str) -> None:
        """Wait until this has a process."""
        async with asyncio.timeout(20):
            while self.crew.units[name].pid is None:
                self._woken.clear()
                await self._woken.wait()

    async def stop(self) -> None:
        """Stop all."""
        self._stop = OrderedStop(self.crew.units.values(), self.crew.dependents)
        async with asyncio.timeout(20):
            await self._stop.run()

    def forker(self) -> int:
        """Return the pid of the forker."""
        assert self.crew.launcher.forker_pid is not None
        return self.crew.launcher.forker_pid


@pytest.fixture
def sail(tmp_path: Path) -> Iterator[Callable[[Test], None]]:
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    folder = StateDir(tmp_path / "state", runtime / "r")
    folder.create()

    async def voyage(test: Test) -> None:
        sea = Sea(folder)
        sea.crew.launcher.ensure_forker()
        try:
            await test(sea)
            await sea.stop()
        finally:
            sea.crew.close()
            os.close(sea.lock)

    yield lambda test: asyncio.run(voyage(test))
    shutil.rmtree(runtime)


Sail = Callable[[Test], None]


def kinds(folder: StateDir) -> list[str]:
    return [
        entry.kind
        for entry in read_event_log(folder.event_log)
        if entry.kind not in ("state", "spawn-requested", "started-by-exec")
    ]


def test_a_chain_of_hundreds_is_blocked_without_end_of_stack(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        chain = [spec(f"N{at}", needs=(f"N{at - 1}",) if at else (), start_error="no") for at in range(400)]
        sea.start(plan(*chain))
        await sea.until("N399", state=State.BLOCKED)
        assert sea.crew.units["N0"].state is State.GIVEN_UP

    sail(test)


def test_a_stop_of_what_waits_for_room_ends(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        silent = Probe(probe="notify")
        sea.start(plan(spec("A", probe=silent), spec("B", probe=silent), spec("C"), max_starting=1))
        await sea.until("A", "B", "C", state=State.STARTING)
        await sea.born("A")
        assert [unit.awaits_admission for unit in sea.crew.units.values()] == [False, True, True]
        await sea.stop()
        assert {unit.state for unit in sea.crew.units.values()} == {State.EXITED}

    sail(test)


def test_room_that_becomes_free_is_given_on(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        names = [f"N{at}" for at in range(6)]
        sea.start(plan(*map(spec, names), max_starting=2))
        await sea.until(*names, state=State.READY)

    sail(test)


GIB = 1 << 30


def test_a_start_waits_for_memory_and_says_so_and_smaller_ones_pass(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [AvailableMemory(10 * GIB, 2 * GIB)]
    monkeypatch.setattr("argosy.engine.admission.queue.read_available_memory", lambda: there[0])

    async def test(sea: Sea) -> None:
        sea.start(plan(spec("Large", memory_bytes=4 * GIB), spec("Small", memory_bytes=GIB)))
        await sea.until("Small", state=State.READY)
        large = sea.crew.units["Large"]
        assert (large.state, large.pid) == (State.STARTING, None)
        assert large.reason.startswith("waits for memory: needs 4 GiB, ")
        there[0] = AvailableMemory(10 * GIB, 5 * GIB)
        await sea.until("Large", state=State.READY)
        assert large.reason == ""

    sail(test)


def test_what_starts_counts_with_what_it_has_not_taken_yet(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "argosy.engine.admission.queue.read_available_memory", lambda: AvailableMemory(10 * GIB, 3 * GIB)
    )

    async def test(sea: Sea) -> None:
        silent = Probe(probe="notify")
        sea.start(plan(spec("A", probe=silent, memory_bytes=2 * GIB), spec("B", memory_bytes=2 * GIB)))
        await sea.born("A")
        async with asyncio.timeout(20):
            while not sea.crew.units["B"].reason:
                await asyncio.sleep(0)
        assert sea.crew.units["B"].reason.startswith("waits for memory: needs 2 GiB, ")
        sea.crew.units["A"].stop()
        await sea.until("B", state=State.READY)

    sail(test)


def test_an_agent_is_let_in_by_what_it_needed_last_time(sail: Sail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "argosy.engine.admission.queue.read_available_memory", lambda: AvailableMemory(10 * GIB, 1 * GIB)
    )

    async def test(sea: Sea) -> None:
        sea.crew._admission._memory_history.record_sample("A", 1, 2 * GIB)
        sea.start(plan(spec("A"), spec("B")))
        await sea.until("B", state=State.READY)
        assert sea.crew.units["A"].reason.startswith("waits for memory: needs 2 GiB, ")
        assert MemoryHistory(sea.folder.memory_history).peak_bytes("A") == 2 * GIB, (
            "the next supervisor knows it too"
        )

    sail(test)


def test_the_gpu_budget_of_a_machine_holds_while_agents_run(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        keys = {"machine": "here", "gpu_memory_bytes": 5 * GIB}
        sea.start(plan(spec("A", **keys), spec("B", **keys), spec("C"), gpu_bytes=8 * GIB))
        await sea.until("A", "C", state=State.READY)
        b = sea.crew.units["B"]
        async with asyncio.timeout(20):
            while not b.reason:
                await asyncio.sleep(0)
        assert b.reason == "waits for GPU memory: needs 5 GiB, 5 GiB of the machine's 8 GiB are held"
        sea.crew.units["A"].stop()
        await sea.until("B", state=State.READY)

    sail(test)


def test_what_the_gpu_tells_counts_too(sail: Sail, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\ncase "$1" in --query-gpu=memory.free) cat free;; *) exit 6;; esac\n')
    smi.write_text(smi.read_text().replace("cat free", f"cat {tmp_path}/free"))
    smi.chmod(0o755)
    (tmp_path / "free").write_text("1024\n2048\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("argosy.engine.admission.gpu_memory._MAX_AGE_S", 0.02)

    async def test(sea: Sea) -> None:
        sea.start(plan(spec("A", machine="here", gpu_memory_bytes=4 * GIB)))
        unit = sea.crew.units["A"]
        async with asyncio.timeout(20):
            while not unit.reason:
                await asyncio.sleep(0)
        assert unit.reason == "waits for GPU memory: needs 4 GiB, 3 GiB are free"
        (tmp_path / "free").write_text("4096\n2048\n")
        await sea.until("A", state=State.READY)

    sail(test)


def test_starts_that_a_dying_forker_took_with_it_are_ordered_again_at_once(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        forker = sea.forker()
        os.kill(forker, signal.SIGSTOP)
        sea.start(plan(spec("A"), spec("B")))
        os.kill(forker, signal.SIGKILL)
        await sea.until("A", "B", state=State.READY)
        assert sea.forker() != forker
        assert kinds(sea.folder) == ["forker-lost"], "and not after 5 s without a birth"

    sail(test)


def test_a_stop_while_the_forker_is_dead_ends(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        os.kill(sea.forker(), signal.SIGSTOP)
        sea.start(plan(spec("A")))
        os.kill(sea.forker(), signal.SIGKILL)
        await sea.stop()
        assert sea.crew.units["A"].state is State.EXITED

    sail(test)


def test_an_order_that_brings_no_birth_is_given_again_and_a_late_twin_is_killed(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.fork.launcher._SPAWN_TIMEOUT_S", 0.05)

    async def test(sea: Sea) -> None:
        os.kill(sea.forker(), signal.SIGSTOP)
        sea.start(plan(spec("A")))
        async with asyncio.timeout(20):
            while "spawn-timeout" not in kinds(sea.folder):
                await asyncio.sleep(0.01)
        monkeypatch.setattr("argosy.engine.fork.launcher._SPAWN_TIMEOUT_S", 20.0)
        os.kill(sea.forker(), signal.SIGCONT)
        await sea.until("A", state=State.READY)

        def is_held_by_the_known_one() -> bool:
            record = lease.read_record(sea.folder.lease_file("A"))
            (process,) = sea.crew.processes()
            return record is not None and record.identity == process.identity

        async with asyncio.timeout(20):
            # The twin may have been first at the lease; it is killed over it.
            while not is_held_by_the_known_one():
                await asyncio.sleep(0.01)
        assert sea.crew.units["A"].state is State.READY

    sail(test)


def test_an_exit_that_is_told_twice_counts_once(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        sea.start(plan(spec("A", restart="always", backoff_first_s=0.0)))
        await sea.until("A", state=State.READY)
        unit = sea.crew.units["A"]
        pid = unit.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while unit.pid == pid:
                await asyncio.sleep(0)
        unit.process.on_exit(9)
        await sea.until("A", state=State.READY)
        assert unit.restarts == 1

    sail(test)


@pytest.mark.parametrize("on_death", ["restart", "stop", "degrade"])
def test_a_restart_that_was_asked_for_reaches_dependents_too(sail: Sail, on_death: str) -> None:
    async def test(sea: Sea) -> None:
        need = (Need(agent="A", on_death=on_death),)
        sea.start(plan(spec("A"), msgspec.structs.replace(spec("B"), needs=need)))
        await sea.until("A", "B", state=State.READY)
        first = sea.crew.units["B"].pid
        sea.crew.units["A"].restart()
        if on_death == "degrade":
            assert sea.crew.units["B"].state is State.DEGRADED
        await sea.until("A", "B", state=State.READY)
        if on_death == "restart":
            async with asyncio.timeout(20):
                while sea.crew.units["B"].pid in (first, None):
                    await asyncio.sleep(0)
        assert (sea.crew.units["B"].pid != first) == (on_death != "degrade")
        await sea.until("A", "B", state=State.READY)

    sail(test)


@pytest.mark.parametrize(
    ("on_death", "state"),
    [
        ("wait", State.READY),
        ("restart", State.DEGRADED),
        ("degrade", State.DEGRADED),
        ("stop", State.BLOCKED),
    ],
)
def test_a_need_that_is_given_up_for_good(sail: Sail, on_death: str, state: State) -> None:
    async def test(sea: Sea) -> None:
        need = (Need(agent="A", on_death=on_death),)
        mortal = spec("A", restart="always", restart_times=0)
        sea.start(plan(mortal, msgspec.structs.replace(spec("B"), needs=need)))
        await sea.until("A", "B", state=State.READY)
        a, b = sea.crew.units["A"], sea.crew.units["B"]
        before = b.pid
        assert a.pid is not None
        os.kill(a.pid, signal.SIGKILL)
        await sea.until("A", state=State.GIVEN_UP)
        await sea.until("B", state=state)
        assert b.pid == (None if on_death == "stop" else before)
        a.start()
        await sea.until("A", state=State.READY)
        if on_death in ("restart", "stop"):
            async with asyncio.timeout(20):
                while b.pid in (before, None):
                    await asyncio.sleep(0)
        await sea.until("B", state=State.READY)
        assert (b.pid == before) is (on_death in ("wait", "degrade"))

    sail(test)


def test_a_need_that_dies_does_not_make_ready_what_is_still_starting(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        need = (Need(agent="A", on_death="degrade"),)
        late = msgspec.structs.replace(spec("B", probe=Probe(probe="notify")), needs=need)
        sea.start(plan(spec("A"), late))
        await sea.until("B", state=State.STARTING)
        sea.crew.units["A"].restart()
        assert sea.crew.units["B"].state is State.STARTING

    sail(test)


def test_killing_all_does_not_wake_what_stops_with_its_need(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        need = (Need(agent="A", on_death="stop"),)
        sea.start(plan(spec("A"), msgspec.structs.replace(spec("B"), needs=need)))
        await sea.until("A", "B", state=State.READY)
        for unit in sea.crew.units.values():
            unit.kill()
        await sea.stop()
        assert {unit.state for unit in sea.crew.units.values()} == {State.EXITED}

    sail(test)


def test_a_lease_that_a_descendant_of_a_dead_process_holds_is_cleared_before_a_start(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.inventory.process_cleanup._GRACE_S", 0.05)

    async def test(sea: Sea) -> None:
        descriptor = lease.open_lease(sea.folder.lease_file("A"))
        assert lease.try_lock(descriptor)
        os.set_inheritable(descriptor, True)
        holder = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)
        os.close(descriptor)
        pidfd = os.pidfd_open(holder)
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.READY)
        assert os_process.is_dead(pidfd)
        os.close(pidfd)

    sail(test)


def test_a_full_disk_at_the_log_is_a_failed_start_in_words(
    sail: Sail, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("argosy.engine.unit.process_backend.open_log", full)

    async def test(sea: Sea) -> None:
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.EXITED)
        assert "A.log: No space left on device" in sea.crew.units["A"].reason

    sail(test)


def orphan(folder: StateDir, name: str, *, wanted: bool | None, was_ready: bool = True) -> int:
    """Leave a process behind as a supervisor would that was killed; return its pid.

    wanted: None for one without a will.
    """
    pid = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ, setsid=True)
    stat = os_process.read_stat(pid)
    assert stat is not None
    descriptor = lease.open_lease(folder.lease_file(name))
    record = lease.LeaseRecord(os_process.boot_id(), 77, os_process.ProcessIdentity(pid, stat.start_ticks), 1)
    lease.write_record(descriptor, record)
    os.close(descriptor)
    if wanted is None:
        return pid
    ready_s = 1.0 if was_ready else None
    will = PersistedUnitState(desired_up=wanted, digest="d", incarnation=77, restarts=3, ready_s=ready_s)
    wills = UnitStateStore(folder)
    wills.write(name, will)
    wills.close()
    return pid


def test_what_was_ready_is_adopted_as_it_is_and_its_end_is_seen(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        pid = orphan(sea.folder, "A", wanted=True)
        sea.crew.set_plan(plan(spec("A", probe=Probe(probe="notify"))))
        assert await sea.crew.adopt_running() == ["A"]
        unit = sea.crew.units["A"]
        assert (unit.state, unit.pid, unit.restarts, unit.running_digest) == (State.READY, pid, 3, "d")
        os.kill(pid, signal.SIGKILL)
        await sea.until("A", state=State.EXITED)
        assert unit.reason == "was killed by SIGKILL"

    sail(test)


def test_what_was_to_stop_when_its_supervisor_died_is_stopped_by_the_next(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        orphan(sea.folder, "A", wanted=False)
        sea.crew.set_plan(plan(spec("A")))
        assert await sea.crew.adopt_running() == ["A"]
        await sea.until("A", state=State.EXITED)

    sail(test)


def test_one_whose_will_is_lost_was_ready_if_it_is_older_than_its_start_may_take(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        started = {name: orphan(sea.folder, name, wanted=None) for name in ("Old", "New")}
        before_s = time.time() - 601
        os.utime(sea.folder.lease_file("Old"), (before_s, before_s))
        late = {"probe": Probe(probe="notify"), "start_timeout_s": 600.0}
        sea.crew.set_plan(plan(spec("Old", **late), spec("New", **late)))
        assert sorted(await sea.crew.adopt_running()) == ["New", "Old"]
        found = {name: (unit.state, unit.desired_up) for name, unit in sea.crew.units.items()}
        assert found == {"Old": (State.READY, True), "New": (State.STARTING, True)}
        for pid in started.values():
            os.kill(pid, signal.SIGKILL)
        await sea.until("New", state=State.EXITED)

    sail(test)


def test_a_script_that_may_have_said_ready_to_nobody_is_started_again_and_not_given_up(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        pid = orphan(sea.folder, "A", wanted=True, was_ready=False)
        silent = spec("A", probe=Probe(probe="notify"), restart="on-failure", start_timeout_s=0.05)
        sea.crew.set_plan(plan(silent))
        assert await sea.crew.adopt_running() == ["A"]
        await sea.until("A", state=State.STOPPING)
        await sea.until("A", state=State.STARTING)
        assert sea.crew.units["A"].pid != pid

    sail(test)


def test_a_living_process_of_the_record_is_adopted_by_a_start_also_when_it_was_to_stop(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        sea.crew.set_plan(plan(spec("A")))
        pid = orphan(sea.folder, "A", wanted=False, was_ready=False)
        sea.crew.units["A"].start()
        await sea.until("A", state=State.READY)
        assert sea.crew.units["A"].pid == pid

    sail(test)


def test_ready_reaches_a_unit_whose_birth_waits_in_the_forkers_socket(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        loop = asyncio.get_running_loop()
        speak = (
            "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
            "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); print(flush=True); input()"
        )
        argv = ("sh", "-c", f'sleep 1000 | exec python3 -Sc "{speak}"')
        made = spec("A", *argv, probe=Probe(probe="notify", notify="all"))
        made = msgspec.structs.replace(made, env={"NOTIFY_SOCKET": str(sea.folder.notify_socket("A"))})
        link = sea.crew.launcher._forker
        assert link is not None
        loop.remove_reader(link._channel)  # its word waits, as it may when both come in one turn
        sea.start(plan(made))
        await sea.until("A", state=State.READY)
        loop.add_reader(link._channel, link.drain)

    sail(test)


def test_a_socket_is_bound_anew_over_one_that_was_left(sail: Sail) -> None:
    async def test(sea: Sea) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
            stale.bind(str(sea.folder.notify_socket("A")))
        sea.start(plan(spec("A")))
        await sea.until("A", state=State.READY)

    sail(test)


def test_a_stop_that_comes_while_a_start_is_planned_ends_it_before_anything_is_started(
    sail: Sail, tmp_path: Path
) -> None:
    async def test(sea: Sea) -> None:
        crew, nothing = sea.crew, lambda *_: None
        links = PeerSet(crew.loop, dict, str, unexpected, nothing, nothing)
        rollout = Rollout(crew, links)
        fleet = load_fleet(tmp_path / "fleet.yaml", "fleet: toy\nagents:\n  A: {run: [sleep, '1000']}\n")
        planning = asyncio.create_task(
            rollout.prepare(Apply(fleet=fleet, environment="testing", machine=None, environ={}), 1)
        )
        await asyncio.sleep(0)
        await rollout.stop(None, force=False)
        with pytest.raises(RefusedError, match="came before anything was started"):
            await planning
        assert not sea.folder.applied_plan.exists()
        links.close(0)

    sail(test)


async def unexpected(*_: object) -> None:
    """Answer a request that nobody makes."""
    raise AssertionError


def test_long_work_lets_the_loop_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = 0

    async def test() -> None:
        nonlocal turns

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        turning, pace = asyncio.create_task(turn()), CooperativeYield()
        for _ in range(5):
            await pace.yield_if_due()
        assert turns == 0, "it was short"
        monkeypatch.setattr("argosy.engine.process.cooperative_yield._MAX_HOLD_S", 0.0)
        for _ in range(5):
            await pace.yield_if_due()
        assert turns >= 4
        turning.cancel()

    monkeypatch.setattr("argosy.engine.process.cooperative_yield._MAX_HOLD_S", 3600.0)
    asyncio.run(test())
