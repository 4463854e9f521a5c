"""Unit set on a real forker, in this process: cases that no command shows and no end-to-end test can time."""

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

Test = Callable[["UnitSetHarness"], Coroutine[None, None, None]]


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


class UnitSetHarness:
    """A unit_set in a folder of its own."""

    def __init__(self, folder: StateDir) -> None:
        self.folder = folder
        lock = acquire_lock(folder.supervisor_lock, 0.0)
        assert lock is not None
        self.lock = lock
        self._woken = asyncio.Event()
        self._stop: OrderedStop | None = None
        loop = asyncio.get_running_loop()
        self.unit_set = UnitSet(folder, raise_generation(lock), loop, on_unit_change=self._changed)

    def _changed(self, unit: Unit) -> None:
        self._woken.set()
        if self._stop is not None:
            self.unit_set.loop.call_soon(self._stop.on_transition, unit)

    def start(self, made: ProcessPlan) -> None:
        """Want all of a plan up."""
        self.unit_set.set_plan(made)
        for name in made.declared:
            self.unit_set.units[name].start()

    async def until(self, *names: str, state: State) -> None:
        """Wait until these are in a state."""
        async with asyncio.timeout(20):
            while not all(self.unit_set.units[name].state is state for name in names):
                self._woken.clear()
                await self._woken.wait()

    async def born(self, name: str) -> None:
        """Wait until this has a process."""
        async with asyncio.timeout(20):
            while self.unit_set.units[name].pid is None:
                self._woken.clear()
                await self._woken.wait()

    async def stop(self) -> None:
        """Stop all."""
        self._stop = OrderedStop(self.unit_set.units.values(), self.unit_set.dependents)
        async with asyncio.timeout(20):
            await self._stop.run()

    def forker(self) -> int:
        """Return the pid of the forker."""
        assert self.unit_set.launcher.forker_pid is not None
        return self.unit_set.launcher.forker_pid


@pytest.fixture
def run_with_harness(tmp_path: Path) -> Iterator[Callable[[Test], None]]:
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    folder = StateDir(tmp_path / "state", runtime / "r")
    folder.create()

    async def run_test(test: Test) -> None:
        harness = UnitSetHarness(folder)
        harness.unit_set.launcher.ensure_forker()
        try:
            await test(harness)
            await harness.stop()
        finally:
            harness.unit_set.close()
            os.close(harness.lock)

    yield lambda test: asyncio.run(run_test(test))
    shutil.rmtree(runtime)


HarnessRunner = Callable[[Test], None]


def kinds(folder: StateDir) -> list[str]:
    return [
        entry.kind
        for entry in read_event_log(folder.event_log)
        if entry.kind not in ("state", "spawn-requested", "started-by-exec")
    ]


def test_long_chain_of_needs_is_blocked_without_recursion_error(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        chain = [spec(f"N{at}", needs=(f"N{at - 1}",) if at else (), start_error="no") for at in range(400)]
        harness.start(plan(*chain))
        await harness.until("N399", state=State.BLOCKED)
        assert harness.unit_set.units["N0"].state is State.GIVEN_UP

    run_with_harness(test)


def test_unit_set_stops_units_waiting_for_admission(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        silent = Probe(probe="notify")
        harness.start(plan(spec("A", probe=silent), spec("B", probe=silent), spec("C"), max_starting=1))
        await harness.until("A", "B", "C", state=State.STARTING)
        await harness.born("A")
        assert [unit.awaits_admission for unit in harness.unit_set.units.values()] == [False, True, True]
        await harness.stop()
        assert {unit.state for unit in harness.unit_set.units.values()} == {State.EXITED}

    run_with_harness(test)


def test_freed_start_slot_is_given_to_next_unit(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        names = [f"N{at}" for at in range(6)]
        harness.start(plan(*map(spec, names), max_starting=2))
        await harness.until(*names, state=State.READY)

    run_with_harness(test)


GIB = 1 << 30


def test_start_waits_for_memory_with_reason_while_smaller_agent_starts(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = [AvailableMemory(10 * GIB, 2 * GIB)]
    monkeypatch.setattr("argosy.engine.admission.queue.read_available_memory", lambda: there[0])

    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("Large", memory_bytes=4 * GIB), spec("Small", memory_bytes=GIB)))
        await harness.until("Small", state=State.READY)
        large = harness.unit_set.units["Large"]
        assert (large.state, large.pid) == (State.STARTING, None)
        assert large.reason.startswith("waits for memory: needs 4 GiB, ")
        there[0] = AvailableMemory(10 * GIB, 5 * GIB)
        await harness.until("Large", state=State.READY)
        assert large.reason == ""

    run_with_harness(test)


def test_admission_counts_declared_memory_of_starting_agents(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "argosy.engine.admission.queue.read_available_memory", lambda: AvailableMemory(10 * GIB, 3 * GIB)
    )

    async def test(harness: UnitSetHarness) -> None:
        silent = Probe(probe="notify")
        harness.start(plan(spec("A", probe=silent, memory_bytes=2 * GIB), spec("B", memory_bytes=2 * GIB)))
        await harness.born("A")
        async with asyncio.timeout(20):
            while not harness.unit_set.units["B"].reason:
                await asyncio.sleep(0)
        assert harness.unit_set.units["B"].reason.startswith("waits for memory: needs 2 GiB, ")
        harness.unit_set.units["A"].stop()
        await harness.until("B", state=State.READY)

    run_with_harness(test)


def test_admission_uses_memory_history_of_agent(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "argosy.engine.admission.queue.read_available_memory", lambda: AvailableMemory(10 * GIB, 1 * GIB)
    )

    async def test(harness: UnitSetHarness) -> None:
        harness.unit_set._admission._memory_history.record_sample("A", 1, 2 * GIB)
        harness.start(plan(spec("A"), spec("B")))
        await harness.until("B", state=State.READY)
        assert harness.unit_set.units["A"].reason.startswith("waits for memory: needs 2 GiB, ")
        assert MemoryHistory(harness.folder.memory_history).peak_bytes("A") == 2 * GIB, (
            "the next supervisor knows it too"
        )

    run_with_harness(test)


def test_admission_keeps_gpu_memory_budget_of_machine(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        keys = {"machine": "here", "gpu_memory_bytes": 5 * GIB}
        harness.start(plan(spec("A", **keys), spec("B", **keys), spec("C"), gpu_bytes=8 * GIB))
        await harness.until("A", "C", state=State.READY)
        b = harness.unit_set.units["B"]
        async with asyncio.timeout(20):
            while not b.reason:
                await asyncio.sleep(0)
        assert b.reason == "waits for GPU memory: needs 5 GiB, 5 GiB of the machine's 8 GiB are held"
        harness.unit_set.units["A"].stop()
        await harness.until("B", state=State.READY)

    run_with_harness(test)


def test_admission_uses_free_memory_reported_by_gpu(
    run_with_harness: HarnessRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    smi = tmp_path / "nvidia-smi"
    smi.write_text('#!/bin/sh\ncase "$1" in --query-gpu=memory.free) cat free;; *) exit 6;; esac\n')
    smi.write_text(smi.read_text().replace("cat free", f"cat {tmp_path}/free"))
    smi.chmod(0o755)
    (tmp_path / "free").write_text("1024\n2048\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("argosy.engine.admission.gpu_memory._MAX_AGE_S", 0.02)

    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("A", machine="here", gpu_memory_bytes=4 * GIB)))
        unit = harness.unit_set.units["A"]
        async with asyncio.timeout(20):
            while not unit.reason:
                await asyncio.sleep(0)
        assert unit.reason == "waits for GPU memory: needs 4 GiB, 3 GiB are free"
        (tmp_path / "free").write_text("4096\n2048\n")
        await harness.until("A", state=State.READY)

    run_with_harness(test)


def test_spawns_lost_with_forker_are_requested_again_at_once(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        forker = harness.forker()
        os.kill(forker, signal.SIGSTOP)
        harness.start(plan(spec("A"), spec("B")))
        os.kill(forker, signal.SIGKILL)
        await harness.until("A", "B", state=State.READY)
        assert harness.forker() != forker
        assert kinds(harness.folder) == ["forker-lost"], "and not after 5 s without a birth"

    run_with_harness(test)


def test_stop_completes_while_forker_is_dead(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        os.kill(harness.forker(), signal.SIGSTOP)
        harness.start(plan(spec("A")))
        os.kill(harness.forker(), signal.SIGKILL)
        await harness.stop()
        assert harness.unit_set.units["A"].state is State.EXITED

    run_with_harness(test)


def test_spawn_timeout_repeats_request_and_kills_late_duplicate(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.fork.launcher._SPAWN_TIMEOUT_S", 0.05)

    async def test(harness: UnitSetHarness) -> None:
        os.kill(harness.forker(), signal.SIGSTOP)
        harness.start(plan(spec("A")))
        async with asyncio.timeout(20):
            while "spawn-timeout" not in kinds(harness.folder):
                await asyncio.sleep(0.01)
        monkeypatch.setattr("argosy.engine.fork.launcher._SPAWN_TIMEOUT_S", 20.0)
        os.kill(harness.forker(), signal.SIGCONT)
        await harness.until("A", state=State.READY)

        def is_held_by_the_known_one() -> bool:
            record = lease.read_record(harness.folder.lease_file("A"))
            (process,) = harness.unit_set.processes()
            return record is not None and record.identity == process.identity

        async with asyncio.timeout(20):
            # The twin may have been first at the lease; it is killed over it.
            while not is_held_by_the_known_one():
                await asyncio.sleep(0.01)
        assert harness.unit_set.units["A"].state is State.READY

    run_with_harness(test)


def test_exit_reported_twice_counts_one_restart(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("A", restart="always", backoff_first_s=0.0)))
        await harness.until("A", state=State.READY)
        unit = harness.unit_set.units["A"]
        pid = unit.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(20):
            while unit.pid == pid:
                await asyncio.sleep(0)
        unit.process.on_exit(9)
        await harness.until("A", state=State.READY)
        assert unit.restarts == 1

    run_with_harness(test)


@pytest.mark.parametrize("on_death", ["restart", "stop", "degrade"])
def test_requested_restart_applies_on_death_to_dependents(
    run_with_harness: HarnessRunner, on_death: str
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        need = (Need(agent="A", on_death=on_death),)
        harness.start(plan(spec("A"), msgspec.structs.replace(spec("B"), needs=need)))
        await harness.until("A", "B", state=State.READY)
        first = harness.unit_set.units["B"].pid
        harness.unit_set.units["A"].restart()
        if on_death == "degrade":
            assert harness.unit_set.units["B"].state is State.DEGRADED
        await harness.until("A", "B", state=State.READY)
        if on_death == "restart":
            async with asyncio.timeout(20):
                while harness.unit_set.units["B"].pid in (first, None):
                    await asyncio.sleep(0)
        assert (harness.unit_set.units["B"].pid != first) == (on_death != "degrade")
        await harness.until("A", "B", state=State.READY)

    run_with_harness(test)


@pytest.mark.parametrize(
    ("on_death", "state"),
    [
        ("wait", State.READY),
        ("restart", State.DEGRADED),
        ("degrade", State.DEGRADED),
        ("stop", State.BLOCKED),
    ],
)
def test_given_up_need_applies_on_death_to_dependents(
    run_with_harness: HarnessRunner, on_death: str, state: State
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        need = (Need(agent="A", on_death=on_death),)
        mortal = spec("A", restart="always", restart_times=0)
        harness.start(plan(mortal, msgspec.structs.replace(spec("B"), needs=need)))
        await harness.until("A", "B", state=State.READY)
        a, b = harness.unit_set.units["A"], harness.unit_set.units["B"]
        before = b.pid
        assert a.pid is not None
        os.kill(a.pid, signal.SIGKILL)
        await harness.until("A", state=State.GIVEN_UP)
        await harness.until("B", state=state)
        assert b.pid == (None if on_death == "stop" else before)
        a.start()
        await harness.until("A", state=State.READY)
        if on_death in ("restart", "stop"):
            async with asyncio.timeout(20):
                while b.pid in (before, None):
                    await asyncio.sleep(0)
        await harness.until("B", state=State.READY)
        assert (b.pid == before) is (on_death in ("wait", "degrade"))

    run_with_harness(test)


def test_restart_of_need_keeps_dependent_starting(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        need = (Need(agent="A", on_death="degrade"),)
        late = msgspec.structs.replace(spec("B", probe=Probe(probe="notify")), needs=need)
        harness.start(plan(spec("A"), late))
        await harness.until("B", state=State.STARTING)
        harness.unit_set.units["A"].restart()
        assert harness.unit_set.units["B"].state is State.STARTING

    run_with_harness(test)


def test_killing_all_units_does_not_restart_stopped_dependents(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        need = (Need(agent="A", on_death="stop"),)
        harness.start(plan(spec("A"), msgspec.structs.replace(spec("B"), needs=need)))
        await harness.until("A", "B", state=State.READY)
        for unit in harness.unit_set.units.values():
            unit.kill()
        await harness.stop()
        assert {unit.state for unit in harness.unit_set.units.values()} == {State.EXITED}

    run_with_harness(test)


def test_start_kills_leftover_process_that_holds_lease(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.inventory.process_cleanup._GRACE_S", 0.05)

    async def test(harness: UnitSetHarness) -> None:
        descriptor = lease.open_lease(harness.folder.lease_file("A"))
        assert lease.try_lock(descriptor)
        os.set_inheritable(descriptor, True)
        holder = os.posix_spawnp("sleep", ["sleep", "1000"], os.environ)
        os.close(descriptor)
        pidfd = os.pidfd_open(holder)
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.READY)
        assert os_process.is_dead(pidfd)
        os.close(pidfd)

    run_with_harness(test)


def test_start_fails_with_reason_if_log_cannot_be_opened(
    run_with_harness: HarnessRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("argosy.engine.unit.process_backend.open_log", full)

    async def test(harness: UnitSetHarness) -> None:
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.EXITED)
        assert "A.log: No space left on device" in harness.unit_set.units["A"].reason

    run_with_harness(test)


def orphan(folder: StateDir, name: str, *, wanted: bool | None, was_ready: bool = True) -> int:
    """Leave a process behind as a supervisor would that was killed; return its pid.

    wanted: None for one without a unit state.
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
    unit_state = PersistedUnitState(
        desired_up=wanted, digest="d", incarnation=77, restarts=3, ready_s=ready_s
    )
    store = UnitStateStore(folder)
    store.write(name, unit_state)
    store.close()
    return pid


def test_ready_process_is_adopted_as_ready_and_its_exit_is_reported(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        pid = orphan(harness.folder, "A", wanted=True)
        harness.unit_set.set_plan(plan(spec("A", probe=Probe(probe="notify"))))
        assert await harness.unit_set.adopt_running() == ["A"]
        unit = harness.unit_set.units["A"]
        assert (unit.state, unit.pid, unit.restarts, unit.running_digest) == (State.READY, pid, 3, "d")
        os.kill(pid, signal.SIGKILL)
        await harness.until("A", state=State.EXITED)
        assert unit.reason == "was killed by SIGKILL"

    run_with_harness(test)


def test_supervisor_stops_adopted_agent_that_was_to_stop(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        orphan(harness.folder, "A", wanted=False)
        harness.unit_set.set_plan(plan(spec("A")))
        assert await harness.unit_set.adopt_running() == ["A"]
        await harness.until("A", state=State.EXITED)

    run_with_harness(test)


def test_adopted_agent_without_unit_state_is_ready_after_start_timeout(
    run_with_harness: HarnessRunner,
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        started = {name: orphan(harness.folder, name, wanted=None) for name in ("Old", "New")}
        before_s = time.time() - 601
        os.utime(harness.folder.lease_file("Old"), (before_s, before_s))
        late = {"probe": Probe(probe="notify"), "start_timeout_s": 600.0}
        harness.unit_set.set_plan(plan(spec("Old", **late), spec("New", **late)))
        assert sorted(await harness.unit_set.adopt_running()) == ["New", "Old"]
        found = {name: (unit.state, unit.desired_up) for name, unit in harness.unit_set.units.items()}
        assert found == {"Old": (State.READY, True), "New": (State.STARTING, True)}
        for pid in started.values():
            os.kill(pid, signal.SIGKILL)
        await harness.until("New", state=State.EXITED)

    run_with_harness(test)


def test_adopted_script_without_readiness_is_restarted_not_given_up(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        pid = orphan(harness.folder, "A", wanted=True, was_ready=False)
        silent = spec("A", probe=Probe(probe="notify"), restart="on-failure", start_timeout_s=0.05)
        harness.unit_set.set_plan(plan(silent))
        assert await harness.unit_set.adopt_running() == ["A"]
        await harness.until("A", state=State.STOPPING)
        await harness.until("A", state=State.STARTING)
        assert harness.unit_set.units["A"].pid != pid

    run_with_harness(test)


def test_start_adopts_live_process_of_lease_even_if_it_was_to_stop(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        harness.unit_set.set_plan(plan(spec("A")))
        pid = orphan(harness.folder, "A", wanted=False, was_ready=False)
        harness.unit_set.units["A"].start()
        await harness.until("A", state=State.READY)
        assert harness.unit_set.units["A"].pid == pid

    run_with_harness(test)


def test_unit_becomes_ready_before_forker_event_is_read(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        loop = asyncio.get_running_loop()
        speak = (
            "import os, socket; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
            "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']); print(flush=True); input()"
        )
        argv = ("sh", "-c", f'sleep 1000 | exec python3 -Sc "{speak}"')
        made = spec("A", *argv, probe=Probe(probe="notify", notify="all"))
        made = msgspec.structs.replace(made, env={"NOTIFY_SOCKET": str(harness.folder.notify_socket("A"))})
        link = harness.unit_set.launcher._forker
        assert link is not None
        loop.remove_reader(link._channel)  # its word waits, as it may when both come in one turn
        harness.start(plan(made))
        await harness.until("A", state=State.READY)
        loop.add_reader(link._channel, link.drain)

    run_with_harness(test)


def test_start_rebinds_stale_notify_socket(run_with_harness: HarnessRunner) -> None:
    async def test(harness: UnitSetHarness) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stale:
            stale.bind(str(harness.folder.notify_socket("A")))
        harness.start(plan(spec("A")))
        await harness.until("A", state=State.READY)

    run_with_harness(test)


def test_stop_during_apply_planning_cancels_apply_before_any_start(
    run_with_harness: HarnessRunner, tmp_path: Path
) -> None:
    async def test(harness: UnitSetHarness) -> None:
        unit_set, nothing = harness.unit_set, lambda *_: None
        links = PeerSet(unit_set.loop, dict, str, unexpected, nothing, nothing)
        rollout = Rollout(unit_set, links)
        fleet = load_fleet(tmp_path / "fleet.yaml", "fleet: toy\nagents:\n  A: {run: [sleep, '1000']}\n")
        planning = asyncio.create_task(
            rollout.prepare(Apply(fleet=fleet, environment="testing", machine=None, environ={}), 1)
        )
        await asyncio.sleep(0)
        await rollout.stop(None, force=False)
        with pytest.raises(RefusedError, match="came before anything was started"):
            await planning
        assert not harness.folder.applied_plan.exists()
        links.close(0)

    run_with_harness(test)


async def unexpected(*_: object) -> None:
    """Answer a request that nobody makes."""
    raise AssertionError


def test_cooperative_yield_yields_to_loop_only_when_due(monkeypatch: pytest.MonkeyPatch) -> None:
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
