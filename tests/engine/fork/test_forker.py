"""The forker, as a real process: what becomes of an order, and what is told of it."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.engine.fork.forker_client import _BOOTSTRAP_CODE, _SOURCE_DIR
from argosy.engine.process import lease, os_process
from argosy.engine.protocol import fork_protocol
from argosy.engine.protocol.fork_protocol import (
    Exited,
    ForkerEvent,
    Spawned,
    SpawnRequest,
    send_spawn_request,
    unpack_event,
)
from argosy.engine.state.generation import acquire_lock, raise_generation


class Forking:
    """A forker of one's own, and the folder that its orders speak of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lease = folder / "lease"
        self.log = folder / "log"
        self.lock = acquire_lock(folder / "lock", 0.0)
        assert self.lock is not None
        self.generation = raise_generation(self.lock)
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel.settimeout(20)
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BOOTSTRAP_CODE, _SOURCE_DIR, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
            )

    def order(self, *argv: str, incarnation: int = 1, **fields: object) -> None:
        """Order a process."""
        made = SpawnRequest(
            "A",
            incarnation,
            self.generation,
            str(self.lease),
            str(self.folder / "lock"),
            list(argv),
            {"PATH": os.environ["PATH"]},
            "/",
        )
        output = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        send_spawn_request(self.channel, made._replace(**fields), output)
        os.close(output)

    def told(self) -> ForkerEvent:
        """Return the next event; pidfds are closed."""
        data, descriptors, _, _ = socket.recv_fds(self.channel, 4096, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        return unpack_event(data)

    def born(self) -> Spawned:
        """Return the next event, which is a birth."""
        event = self.told()
        assert isinstance(event, Spawned)
        return event

    def exit_code(self) -> int:
        """Return how the next process to end did."""
        event = self.told()
        assert isinstance(event, Exited)
        return os.waitstatus_to_exitcode(event.status)

    def close(self) -> None:
        """End the forker."""
        self.channel.close()
        self.process.wait(20)
        assert self.lock is not None
        os.close(self.lock)


@pytest.fixture
def forking(tmp_path: Path) -> Iterator[Forking]:
    made = Forking(tmp_path)
    yield made
    made.close()


def test_a_birth_is_told_before_an_exit_and_both_are_exact(forking: Forking) -> None:
    forking.order("sh", "-c", "exit 7", incarnation=99)
    birth = forking.born()
    assert birth.incarnation == 99
    event = forking.told()
    assert event == Exited(birth.pid, 7 << 8)


def test_the_agent_leads_a_session_and_holds_and_records_its_lease(forking: Forking) -> None:
    forking.order("sh", "-c", "echo here; exec sleep 1000", incarnation=5)
    birth = forking.born()
    poll_file(forking.log, b"here\n")
    found = os_process.read_stat(birth.pid)
    assert found is not None
    assert found.session == birth.pid
    assert not lease.is_lease_free(forking.lease)
    record = lease.read_record(forking.lease)
    assert record is not None
    assert (record.incarnation, record.identity) == (
        5,
        os_process.ProcessIdentity(birth.pid, found.start_ticks),
    )
    os.kill(birth.pid, signal.SIGKILL)
    assert forking.exit_code() == -signal.SIGKILL
    assert lease.is_lease_free(forking.lease)


def test_the_group_dies_with_its_leader(forking: Forking) -> None:
    forking.order("sh", "-c", "sleep 1000 & echo $!; exit 3")
    forking.born()
    assert forking.exit_code() == 3
    child = int(forking.log.read_text())
    stat = os_process.read_stat(child)
    if stat is not None and stat.state != "Z":
        pidfd = os.pidfd_open(child)
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)


def test_an_environment_larger_than_a_message(forking: Forking) -> None:
    forking.order("sh", "-c", "echo ${#BIG}", env={"PATH": os.environ["PATH"], "BIG": "x" * 100_000})
    forking.born()
    assert forking.exit_code() == 0
    assert forking.log.read_text() == "100000\n"


def test_bytes_of_the_environment_that_are_no_text_arrive(forking: Forking) -> None:
    forking.order("sh", "-c", "printf %s $ODD", env={"PATH": os.environ["PATH"], "ODD": "a\udcffb"})
    forking.born()
    assert forking.exit_code() == 0
    assert forking.log.read_bytes() == b"a\xffb"


@pytest.mark.parametrize(
    ("argv", "fields", "code", "words"),
    [
        (["no-such-program"], {}, fork_protocol.NOT_FOUND, "was not found"),
        (["/etc/passwd"], {}, fork_protocol.NOT_EXECUTABLE, "cannot be run"),
        (["true"], {"cwd": "/nowhere"}, fork_protocol.NOT_EXECUTABLE, "/nowhere"),
        (["true"], {"env": {"A": "\0"}}, fork_protocol.NOT_EXECUTABLE, "cannot be passed to it"),
        (["true"], {"lease": "/nowhere/lease"}, fork_protocol.LEASE_UNUSABLE, "cannot be used"),
    ],
)
def test_what_cannot_be_run_says_why_and_the_forker_goes_on(
    forking: Forking, argv: list[str], fields: dict[str, object], code: int, words: str
) -> None:
    forking.order(*argv, **fields)
    forking.born()
    assert forking.exit_code() == code
    assert words in forking.log.read_text()
    forking.order("true")
    forking.born()
    assert forking.exit_code() == 0


def test_a_busy_lease_is_waited_for_and_then_refused(forking: Forking) -> None:
    descriptor = lease.open_lease(forking.lease)
    assert lease.try_lock(descriptor)
    forking.order("true")
    forking.born()
    assert forking.exit_code() == fork_protocol.LEASE_BUSY
    os.close(descriptor)


def test_a_living_process_of_the_record_is_never_joined_by_a_second(forking: Forking) -> None:
    me = os_process.read_stat(os.getpid())
    assert me is not None
    descriptor = lease.open_lease(forking.lease)
    identity = os_process.ProcessIdentity(os.getpid(), me.start_ticks)
    lease.write_record(descriptor, lease.LeaseRecord(os_process.boot_id(), 1, identity, 1))
    os.close(descriptor)  # the lock is free, as of an agent that closed every descriptor
    forking.order("true")
    forking.born()
    assert forking.exit_code() == fork_protocol.PROCESS_ALREADY_RUNNING


def test_a_child_that_meets_a_newer_generation_runs_no_user_code(forking: Forking) -> None:
    descriptor = lease.open_lease(forking.lease)
    assert lease.try_lock(descriptor)
    forking.order("sh", "-c", "echo user code")
    forking.born()  # it waits for the lease now
    assert forking.lock is not None
    raise_generation(forking.lock)
    os.close(descriptor)
    assert forking.exit_code() == fork_protocol.STALE_GENERATION
    assert forking.log.read_text() == ""
    record = lease.read_record(forking.lease)
    assert record is not None, "it records itself before it looks: the next supervisor's scan sees it"


def test_the_limit_of_open_files(forking: Forking) -> None:
    forking.order("sh", "-c", "ulimit -Sn", open_files=123)
    forking.born()
    assert forking.exit_code() == 0
    assert forking.log.read_text() == "123\n"


def test_it_ends_with_its_supervisor_and_leaves_its_children_alone(forking: Forking) -> None:
    forking.order("sh", "-c", "echo here; exec sleep 1000")
    birth = forking.born()
    poll_file(forking.log, b"here\n")
    pidfd = os.pidfd_open(birth.pid)
    forking.channel.close()
    assert forking.process.wait(20) == 0
    assert not os_process.is_dead(pidfd)
    os_process.kill_group(pidfd)
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)


def test_an_order_whose_supervisor_has_died_starts_nothing(forking: Forking) -> None:
    forking.process.send_signal(signal.SIGSTOP)
    forking.order("sh", "-c", "echo user code")
    forking.channel.close()
    forking.process.send_signal(signal.SIGCONT)
    forking.process.wait(20)
    # Its child has the log as output until it ends, so an exclusive lease is not enough to ask for.
    assert forking.log.read_text() == ""
    assert lease.read_record(forking.lease) is None


def poll_file(path: Path, wanted: bytes) -> None:
    """Wait until a file holds what another process writes."""
    with open(path, "rb") as file:
        select.select([], [], [], 0)
        for _ in range(2000):
            file.seek(0)
            if file.read() == wanted:
                return
            select.select([], [], [], 0.01)
    raise AssertionError(f"{path} never held {wanted!r}")
