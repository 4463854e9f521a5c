"""The network rig: machines that communicate, a link that is cut or slow, and nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launch import until
from rig.lan import Lan, Machine, NoLanError

# Answers each line with the same line, one connection after the other.
ECHO = """
import socket, sys
with socket.create_server((sys.argv[1], 7000)) as server:
    print("listening", flush=True)
    while True:
        connection, _ = server.accept()
        with connection, connection.makefile("rwb", buffering=0) as lines:
            for line in lines:
                lines.write(line)
"""

ASK = """
import socket, sys, time
began = time.monotonic()
with socket.create_connection((sys.argv[1], 7000), timeout=float(sys.argv[2])) as connection:
    connection.sendall(b"ahoy\\n")
    connection.shutdown(socket.SHUT_WR)
    answer = connection.makefile("rb").read()
print(answer.decode().strip(), time.monotonic() - began)
"""


@pytest.fixture(params=[False, True], ids=["as oneself", "as a plain user"])
def lan(request: pytest.FixtureRequest) -> Iterator[Lan]:
    try:
        made = Lan(as_user=request.param)
    except NoLanError as reason:
        pytest.skip(str(reason))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def pair(lan: Lan) -> tuple[Machine, Machine]:
    """Two machines; the first answers."""
    one, other = lan.machine("mainpc", "192.168.100.16"), lan.machine("pc2", "192.168.100.17")
    server = one.popen([sys.executable, "-c", ECHO, one.address], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline() == "listening\n"
    return one, other


def ask(of: Machine, machine: Machine, timeout_s: float = 10) -> tuple[str, float]:
    """Return the answer that `machine` gets from `of`, and how long it took in seconds."""
    words = [sys.executable, "-c", ASK, of.address, str(timeout_s)]
    done = machine.run(words, timeout_s=timeout_s + 10)
    assert done.returncode == 0, done.stderr
    answer, seconds = done.stdout.split()
    return answer, float(seconds)


def reaches(of: Machine, machine: Machine) -> bool:
    """Tell whether there is an answer; where a search for an address just failed, the first ask fails too."""
    return machine.run([sys.executable, "-c", ASK, of.address, "15"]).returncode == 0


def test_machines_connect_over_tcp(pair: tuple[Machine, Machine]) -> None:
    assert ask(*pair)[0] == "ahoy"


def test_each_machine_has_its_own_loopback(pair: tuple[Machine, Machine]) -> None:
    done = pair[1].run([sys.executable, "-c", ASK, "127.0.0.1", "5"])
    assert "ConnectionRefusedError" in done.stderr


def test_cut_link_times_out_until_mended(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.cut()
    done = other.run([sys.executable, "-c", ASK, one.address, "0.3"])
    assert "TimeoutError" in done.stderr or "No route to host" in done.stderr
    one.mend()
    until(lambda: reaches(one, other))


def test_slow_link_delays_both_directions(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    other.slow(delay_s=0.05)
    answer, seconds = ask(one, other)
    assert answer == "ahoy"
    assert seconds >= 0.2  # two round trips: to connect, and for the answer
    other.cut()
    assert other.run([sys.executable, "-c", ASK, one.address, "0.3"]).returncode == 1
    other.quicken()
    until(lambda: reaches(one, other))


def test_link_with_full_loss_is_cut(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    other.slow(loss=1.0)
    assert other.run([sys.executable, "-c", ASK, one.address, "0.3"]).returncode == 1
    other.slow(loss=0.05)
    until(lambda: reaches(one, other))  # TCP repeats what is lost


def test_machine_run_passes_environment_and_directory(lan: Lan, tmp_path: Path) -> None:
    one = lan.machine("mainpc", "192.168.100.16")
    words = [sys.executable, "-c", "import os; print(os.environ['WORD'], os.getcwd())"]
    done = one.run(words, env={**os.environ, "WORD": "ahoy"}, cwd=tmp_path)
    assert done.stdout == f"ahoy {tmp_path}\n"


def test_lan_close_leaves_no_process_or_namespace(lan: Lan) -> None:
    before = _namespaces_and_interfaces()
    one = lan.machine("mainpc", "192.168.100.16")
    one.slow(delay_s=0.01)
    one.popen(["sh", "-c", "setsid sleep 300 & exec sleep 300"])  # one of them leaves its parent
    until(lambda: len(one.pids()) == 2)
    pids = one.pids()
    lan.close()
    assert not [pid for pid in pids if _lives(pid)]
    assert _namespaces_and_interfaces() == before


def test_killed_test_run_leaves_no_process() -> None:
    maker = (
        "import sys, signal; sys.path.insert(0, sys.argv[1])\n"
        "from rig.lan import Lan\n"
        "lan = Lan(); one = lan.machine('mainpc', '192.168.100.16')\n"
        "pid = one.popen(['sleep', '300']).pid\n"
        "while pid not in one.pids(): pass\n"
        "print(lan.holder.pid, pid, flush=True)\n"
        "signal.pause()\n"
    )
    here = Path(__file__).resolve().parents[1]
    run = subprocess.Popen(
        [sys.executable, "-c", maker, str(here)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    pids = run.stdout.readline().split()
    run.kill()
    _, complaint = run.communicate()
    if "NoLanError" in complaint:
        pytest.skip(complaint.splitlines()[-1].removeprefix("rig.lan.NoLanError: "))
    assert len(pids) == 2
    until(lambda: not any(_lives(pid) for pid in pids))


def _lives(pid: int | str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _namespaces_and_interfaces() -> tuple[str, str]:
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    interfaces = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True).stdout
    return namespaces, interfaces
