"""Worker processes of audit and refit end with their parent, also when it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ARGOSY = str(Path(sys.executable).with_name("argosy"))
FUNCTION = (
    "def f{0}(port):\n    s = zmq.Context().socket(zmq.REQ)\n    s.connect(f'tcp://1.2.3.4:{{port}}')\n\n"
)
FILES, FUNCTIONS = 60, 150  # several seconds of work
PATIENCE_S = 30.0
needs_proc = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="asks /proc for processes")


@pytest.fixture(name="tree", scope="module")
def _tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    text = "import zmq\n\n" + "".join(FUNCTION.format(number) for number in range(FUNCTIONS))
    for number in range(FILES):
        (folder / f"m{number}.py").write_text(text)
    return folder


@contextlib.contextmanager
def working(*words: str) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """Start a command, and wait until processes work for it."""
    process = subprocess.Popen([ARGOSY, *words, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    workers: list[int] = []
    try:
        for _ in until():
            assert process.poll() is None, "it was done before anybody could end it"
            workers = children(process.pid)
            if len(workers) >= 2:
                break
        yield process, workers
    finally:
        for pid in [process.pid, *filter(is_running, workers)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


def until() -> Iterator[None]:
    """Yield again and again, and fail after a while."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        yield
        time.sleep(0.01)
    pytest.fail(f"waited {PATIENCE_S:.0f} s in vain")


def children(pid: int) -> list[int]:
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def wait_gone(pids: list[int]) -> None:
    for _ in until():
        if not any(map(is_running, pids)):
            return


COMMANDS = pytest.mark.parametrize("words", [["audit", "--no-cache"], ["refit"]], ids=["audit", "refit"])


@needs_proc
@COMMANDS
def test_workers_exit_after_their_command_is_killed(tree: Path, words: list[str]) -> None:
    with working(*words, str(tree)) as (process, workers):
        process.kill()
        wait_gone(workers)


@needs_proc
@COMMANDS
def test_ctrl_c_ends_command_and_workers(tree: Path, words: list[str]) -> None:
    with working(*words, str(tree)) as (process, workers):
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=PATIENCE_S)
        assert (process.returncode, out, err) == (130, b"", b"interrupted\n")
        assert not any(map(is_running, workers))
