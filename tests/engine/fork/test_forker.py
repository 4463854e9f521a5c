"""Forker as a real process: what it does on a spawn request, and which events it reports."""

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


class ForkerProcess:
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

    def request_spawn(self, *argv: str, incarnation: int = 1, **fields: object) -> None:
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

    def next_event(self) -> ForkerEvent:
        """Return the next event; pidfds are closed."""
        data, descriptors, _, _ = socket.recv_fds(self.channel, 4096, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        return unpack_event(data)

    def next_spawned(self) -> Spawned:
        """Return the next event, which is a birth."""
        event = self.next_event()
        assert isinstance(event, Spawned)
        return event

    def exit_code(self) -> int:
        """Return how the next process to end did."""
        event = self.next_event()
        assert isinstance(event, Exited)
        return os.waitstatus_to_exitcode(event.status)

    def close(self) -> None:
        """End the forker."""
        self.channel.close()
        self.process.wait(20)
        assert self.lock is not None
        os.close(self.lock)


@pytest.fixture
def forker(tmp_path: Path) -> Iterator[ForkerProcess]:
    made = ForkerProcess(tmp_path)
    yield made
    made.close()


def test_forker_reports_spawn_before_exit(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "exit 7", incarnation=99)
    birth = forker.next_spawned()
    assert birth.incarnation == 99
    event = forker.next_event()
    assert event == Exited(birth.pid, 7 << 8)


def test_spawned_agent_leads_session_and_holds_recorded_lease(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "echo here; exec sleep 1000", incarnation=5)
    birth = forker.next_spawned()
    poll_file(forker.log, b"here\n")
    found = os_process.read_stat(birth.pid)
    assert found is not None
    assert found.session == birth.pid
    assert not lease.is_lease_free(forker.lease)
    record = lease.read_record(forker.lease)
    assert record is not None
    assert (record.incarnation, record.identity) == (
        5,
        os_process.ProcessIdentity(birth.pid, found.start_ticks),
    )
    os.kill(birth.pid, signal.SIGKILL)
    assert forker.exit_code() == -signal.SIGKILL
    assert lease.is_lease_free(forker.lease)


def test_process_group_is_killed_with_its_leader(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "sleep 1000 & echo $!; exit 3")
    forker.next_spawned()
    assert forker.exit_code() == 3
    child = int(forker.log.read_text())
    stat = os_process.read_stat(child)
    if stat is not None and stat.state != "Z":
        pidfd = os.pidfd_open(child)
        assert select.select([pidfd], [], [], 20)[0]
        os.close(pidfd)


def test_forker_passes_environment_larger_than_one_message(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "echo ${#BIG}", env={"PATH": os.environ["PATH"], "BIG": "x" * 100_000})
    forker.next_spawned()
    assert forker.exit_code() == 0
    assert forker.log.read_text() == "100000\n"


def test_forker_passes_non_utf8_environment_bytes(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "printf %s $ODD", env={"PATH": os.environ["PATH"], "ODD": "a\udcffb"})
    forker.next_spawned()
    assert forker.exit_code() == 0
    assert forker.log.read_bytes() == b"a\xffb"


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
def test_forker_logs_reason_of_failed_exec_and_serves_next_request(
    forker: ForkerProcess, argv: list[str], fields: dict[str, object], code: int, words: str
) -> None:
    forker.request_spawn(*argv, **fields)
    forker.next_spawned()
    assert forker.exit_code() == code
    assert words in forker.log.read_text()
    forker.request_spawn("true")
    forker.next_spawned()
    assert forker.exit_code() == 0


def test_spawn_fails_when_lease_stays_locked(forker: ForkerProcess) -> None:
    descriptor = lease.open_lease(forker.lease)
    assert lease.try_lock(descriptor)
    forker.request_spawn("true")
    forker.next_spawned()
    assert forker.exit_code() == fork_protocol.LEASE_BUSY
    os.close(descriptor)


def test_spawn_fails_while_process_of_lease_record_lives(forker: ForkerProcess) -> None:
    me = os_process.read_stat(os.getpid())
    assert me is not None
    descriptor = lease.open_lease(forker.lease)
    identity = os_process.ProcessIdentity(os.getpid(), me.start_ticks)
    lease.write_record(descriptor, lease.LeaseRecord(os_process.boot_id(), 1, identity, 1))
    os.close(descriptor)  # the lock is free, as of an agent that closed every descriptor
    forker.request_spawn("true")
    forker.next_spawned()
    assert forker.exit_code() == fork_protocol.PROCESS_ALREADY_RUNNING


def test_child_with_stale_generation_runs_no_user_code(forker: ForkerProcess) -> None:
    descriptor = lease.open_lease(forker.lease)
    assert lease.try_lock(descriptor)
    forker.request_spawn("sh", "-c", "echo user code")
    forker.next_spawned()  # it waits for the lease now
    assert forker.lock is not None
    raise_generation(forker.lock)
    os.close(descriptor)
    assert forker.exit_code() == fork_protocol.STALE_GENERATION
    assert forker.log.read_text() == ""
    record = lease.read_record(forker.lease)
    assert record is not None, "it records itself before it looks: the next supervisor's scan sees it"


def test_forker_sets_open_files_limit(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "ulimit -Sn", open_files=123)
    forker.next_spawned()
    assert forker.exit_code() == 0
    assert forker.log.read_text() == "123\n"


def test_forker_exits_with_its_supervisor_and_keeps_children(forker: ForkerProcess) -> None:
    forker.request_spawn("sh", "-c", "echo here; exec sleep 1000")
    birth = forker.next_spawned()
    poll_file(forker.log, b"here\n")
    pidfd = os.pidfd_open(birth.pid)
    forker.channel.close()
    assert forker.process.wait(20) == 0
    assert not os_process.is_dead(pidfd)
    os_process.kill_group(pidfd)
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)


def test_forker_ignores_request_of_dead_supervisor(forker: ForkerProcess) -> None:
    forker.process.send_signal(signal.SIGSTOP)
    forker.request_spawn("sh", "-c", "echo user code")
    forker.channel.close()
    forker.process.send_signal(signal.SIGCONT)
    forker.process.wait(20)
    # Its child has the log as output until it ends, so an exclusive lease is not enough to ask for.
    assert forker.log.read_text() == ""
    assert lease.read_record(forker.lease) is None


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
