"""Processes of the system: identity, death, exit status and groups, on real ones."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from argosy.engine.process import os_process
from argosy.engine.process.os_process import ProcessIdentity


@pytest.fixture
def sleeper() -> subprocess.Popen[bytes]:
    """A process that leads a session of its own and ends when the test does."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, start_new_session=True) as made:
        yield made
        assert made.stdin
        made.stdin.close()


def test_open_process_accepts_only_matching_identity(sleeper: subprocess.Popen[bytes]) -> None:
    found = os_process.read_stat(sleeper.pid)
    assert found is not None
    assert (found.parent_pid, found.session) == (os.getpid(), sleeper.pid)
    pidfd = os_process.open_process(ProcessIdentity(sleeper.pid, found.start_ticks))
    assert pidfd is not None
    assert not os_process.is_dead(pidfd)
    os.close(pidfd)
    assert os_process.open_process(ProcessIdentity(sleeper.pid, found.start_ticks + 1)) is None


def test_thread_id_is_not_taken_for_process() -> None:
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        number = thread.native_id
        assert number is not None
        shown = os_process.read_stat(number)
        assert shown is not None, "/proc answers for a thread too"
        assert os_process.open_pid(number) is None
        assert os_process.open_process(ProcessIdentity(number, shown.start_ticks)) is None
        assert os_process.find_process(number) is None
        assert not os_process.is_alive(number)
        assert not os_process.kill_if(number, lambda _: True)
    finally:
        over.set()
        thread.join()


def test_zombie_is_dead_and_has_exit_status(sleeper: subprocess.Popen[bytes]) -> None:
    found = os_process.read_stat(sleeper.pid)
    assert found is not None
    pidfd = os.pidfd_open(sleeper.pid)
    assert os_process.kill_group(pidfd)
    assert select.select([pidfd], [], [], 20)[0]
    assert os_process.is_dead(pidfd)
    assert os_process.open_process(ProcessIdentity(sleeper.pid, found.start_ticks)) is None
    assert os_process.zombie_status(sleeper.pid) == signal.SIGKILL
    os.close(pidfd)


@pytest.mark.parametrize(
    ("code", "expected"),
    [("raise SystemExit(7)", 7), ("import os; os.kill(os.getpid(), 15)", -15), ("", 0)],
)
def test_next_zombie_does_not_reap_child(code: str, expected: int) -> None:
    child = os.posix_spawn(sys.executable, [sys.executable, "-ISc", code], {})
    pidfd = os.pidfd_open(child)
    assert select.select([pidfd], [], [], 20)[0]
    os.close(pidfd)
    found = os_process.next_zombie()
    assert found is not None
    assert found == os_process.next_zombie(), "it is not reaped by being looked at"
    assert found[0] == child
    assert os_process.exit_code(found[1]) == expected
    assert os.waitpid(child, 0) == found


def test_next_zombie_is_none_without_children() -> None:
    code = "from argosy.engine.process.os_process import next_zombie; assert next_zombie() is None"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_kill_group_kills_process_that_leads_no_group() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:  # in the group of this test
        pidfd = os.pidfd_open(child.pid)
        assert os_process.kill_group(pidfd)
        assert child.wait(20) == -signal.SIGKILL
        assert not os_process.kill_group(pidfd)
        os.close(pidfd)


def test_processes_with_open_file_are_found_and_killed(tmp_path: Path) -> None:
    path = tmp_path / "held"
    with open(path, "wb") as file, subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file) as child:
        assert os_process.pids_with_open_file(str(path)) == [child.pid]
        assert os_process.kill_pids_with_open_file(str(path)) == [child.pid]
        assert child.wait(20) == -signal.SIGKILL
        assert os_process.kill_pids_with_open_file(str(path)) == []
    assert os_process.kill_pids_with_open_file(str(tmp_path / "none")) == []


def test_child_pids_and_environ_are_read() -> None:
    env = {"PATH": os.environ["PATH"], "NOTIFY_SOCKET": "/run/ü"}
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as child:
        assert child.stdin
        assert child.stdout
        child.stdin.write(b"here\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"here\n", "its program runs: before that it has no environment"
        assert child.pid in os_process.child_pids()
        assert os_process.read_environ(child.pid)["NOTIFY_SOCKET"] == "/run/ü"
        child.stdin.close()
    assert child.pid not in os_process.child_pids()
    assert os_process.read_environ(child.pid) == {}


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "ended, status unknown (adopted)"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-77, "was killed by signal 77"),
    ],
)
def test_exit_is_described_by_code_or_signal(code: int | None, words: str) -> None:
    assert os_process.describe_exit(code) == words


OWN_GROUP = """
import os, sys, time
from argosy.engine.process.os_process import reap_own_group
os.setpgid(0, 0)
own = os.fork()
if own == 0:
    time.sleep(0.3)
    os._exit(0)
reading, writing = os.pipe()
other = os.fork()
if other == 0:
    os.setsid()
    os.write(writing, b"x")
    time.sleep(60)
    os._exit(0)
os.read(reading, 1)
assert reap_own_group(0.01) is False
assert reap_own_group(30) is True
assert not os.path.exists(f"/proc/{own}")
assert os.waitpid(other, os.WNOHANG) == (0, 0)
os.kill(other, 9)
os.waitpid(other, 0)
"""


def test_reap_own_group_waits_only_for_own_group() -> None:
    done = subprocess.run([sys.executable, "-c", OWN_GROUP], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
