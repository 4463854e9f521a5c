"""`argosy refit`: diff, apply, undo and verification by the project's own command, on real files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from rig.needs import needs

ARGOSY = str(Path(sys.executable).with_name("argosy"))
OWN = "import zmq\n\n\ndef make():\n    context = zmq.Context()\n    return context.socket(zmq.REQ)\n"
LEASED = OWN.replace("zmq.Context", "argosy.wire.context").replace(
    "import zmq\n", "import zmq\nimport argosy.wire\n"
)


def argosy(*words: object, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ARGOSY, *map(str, words)], capture_output=True, text=True, timeout=120, check=False, **more
    )


def as_json(*words: object, code: int = 0) -> dict[str, Any]:
    done = argosy("refit", *words, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".argosy", ".git"} & set(path.parts)
    }


def test_refit_shows_diff_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    (tmp_path / "requirements.txt").write_text("numpy\npyzmq==27.0\n")
    before = tree(tmp_path)
    done = argosy("refit", tmp_path)
    assert done.returncode == 0
    assert "+    context = argosy.wire.context()" in done.stdout.splitlines()
    assert "Z301: 1 site, 1 migrated, 0 refused" in done.stderr
    assert "requirements.txt:2" in done.stderr
    assert tree(tmp_path) == before
    assert not (tmp_path / ".argosy").exists()


def test_refit_applies_once_and_undo_restores_files(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    (tmp_path / "b.py").write_text("import zmq\nprint(zmq.Context())\n")
    (tmp_path / "broken.py").write_text("import zmq\nzmq.Context(\n")
    (tmp_path / "other.py").write_text("x = 1\n")
    before = tree(tmp_path)
    told = as_json(tmp_path, "--apply")
    assert next(iter(told.items())) == ("argosy", "refit/1")
    assert told["changed"] == ["a.py"]
    assert told["sites"] == {"Z301": {"migrated": 1, "refused": 1}}
    assert [(item["path"], item["line"], item["code"]) for item in told["refused"]] == [("b.py", 2, "Z301")]
    assert told["gates"]["input"] == {"passed": 2, "failed": 1}
    assert told["gates"]["names"] == {"passed": 1, "failed": 0}
    assert list(told["unparseable"]) == ["broken.py"]
    assert (tmp_path / "a.py").read_text() == LEASED
    again = as_json(tmp_path, "--apply")
    assert (again["run"], again["changed"]) == (None, [])
    back = as_json(tmp_path, "--undo")
    assert (back["run"], back["restored"], back["kept"]) == (told["run"], ["a.py"], [])
    assert tree(tmp_path) == before
    nothing = argosy("refit", tmp_path, "--undo")
    assert (nothing.returncode, nothing.stdout) == (2, "")
    assert "there is no run to undo" in nothing.stderr


def test_refit_without_changes_creates_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import zmq\nprint(zmq.Context())\n")
    assert as_json(tmp_path, "--apply")["run"] is None
    assert not (tmp_path / ".argosy").exists()


def git(folder: Path, *words: str) -> None:
    named = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run(["git", "-C", str(folder), *named, *words], check=True, capture_output=True)


@needs("git")
def test_refit_refuses_files_without_copy_in_git(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    git(tmp_path, "init", "-q")
    refused = argosy("refit", tmp_path, "--apply")
    assert refused.returncode == 1
    assert "git has no copy of `a.py`" in refused.stderr
    assert (tmp_path / "a.py").read_text() == OWN
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "first")
    assert as_json(tmp_path, "--apply")["changed"] == ["a.py"]
    assert argosy("refit", tmp_path, "--apply").returncode == 0  # dirty, and nothing to change
    assert as_json(tmp_path, "--undo")["restored"] == ["a.py"]
    done = subprocess.run(
        ["git", "-C", str(tmp_path), "status", "--porcelain"], capture_output=True, check=True
    )
    assert done.stdout == b""
    (tmp_path / "a.py").write_text(OWN + "# mine\n")
    assert argosy("refit", tmp_path, "--apply").returncode == 1
    assert as_json(tmp_path, "--apply", "--dirty")["changed"] == ["a.py"]


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_refit_ignores_uncommitted_files_it_does_not_change(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "a.py")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "x.egg-info").mkdir()
    (tmp_path / "x.egg-info" / "PKG-INFO").write_text("")
    (tmp_path / "b.py").write_text("x = 1\n")
    assert as_json(tmp_path, "--apply")["changed"] == ["a.py"]


CHECK = "import pathlib, sys\n"
CHECK += "sys.exit('argosy' in pathlib.Path('f3.py').read_text() + pathlib.Path('f5.py').read_text())\n"


def test_refit_verify_excludes_files_that_fail_project_command(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"f{number}.py").write_text(OWN)
    (tmp_path / "check.py").write_text(CHECK)
    told = as_json(tmp_path, "--apply", "--verify", f"{sys.executable} check.py", code=1)
    assert told["changed"] == ["f0.py", "f1.py", "f2.py", "f4.py", "f6.py"]
    assert told["gates"]["verify"] == {"passed": 5, "failed": 2}
    assert {item["path"] for item in told["refused"]} == {"f3.py", "f5.py"}
    assert all("gate `verify`" in item["reason"] for item in told["refused"])
    for number in range(7):
        is_leased = (tmp_path / f"f{number}.py").read_text() == LEASED
        assert is_leased == (number not in (3, 5))
    assert as_json(tmp_path, "--undo")["restored"] == told["changed"]
    assert all((tmp_path / f"f{number}.py").read_text() == OWN for number in range(7))


def test_refit_keeps_file_edited_during_verification_in_run(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(OWN)
    command = 'if grep -q argosy b.py && ! grep -q mine b.py; then echo "# mine" >> b.py; exit 1; fi'
    told = as_json(tmp_path, "--apply", "--verify", command)
    assert told["changed"] == ["a.py", "b.py"]
    assert list(told["edited"]) == ["b.py"]
    assert (tmp_path / "b.py").read_text().startswith(LEASED)
    undone = as_json(tmp_path, "--undo", code=1)
    assert (undone["restored"], [item["path"] for item in undone["kept"]]) == (["a.py"], ["b.py"])
    original = next((tmp_path / ".argosy" / "runs").glob("*/originals/00001"))
    assert original.read_text() == OWN


# Counts its calls; at one of them it kills the refit that runs it. f1 and f4 are to blame.
KILLER = """
import os, pathlib, signal, sys
count = pathlib.Path("count")
calls = len(count.read_text()) + 1 if count.exists() else 1
count.write_text("x" * calls)
if calls == int(sys.argv[1]):
    pid = os.getppid()
    while "refit" not in (words := pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\\0")):
        pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(pid, signal.SIGKILL)
sys.exit("argosy" in pathlib.Path("f1.py").read_text() + pathlib.Path("f4.py").read_text())
"""


@pytest.mark.parametrize("call", [2, 3, 4, 6])
def test_refit_killed_during_verification_can_be_undone(tmp_path: Path, call: int) -> None:
    names = [f"f{number}.py" for number in range(6)]
    for name in names:
        (tmp_path / name).write_text(OWN)
    (tmp_path / "check.py").write_text(KILLER)
    killed = argosy("refit", tmp_path, "--apply", "--verify", f"{sys.executable} check.py {call}")
    assert killed.returncode == -signal.SIGKILL
    assert {(tmp_path / name).read_text() for name in names} <= {OWN, LEASED}
    told = as_json(tmp_path, "--undo")
    assert told["kept"] == []
    assert [(tmp_path / name).read_text() for name in names] == [OWN] * 6
    again = as_json(tmp_path, "--apply", "--verify", f"{sys.executable} check.py 0", code=1)
    assert again["changed"] == ["f0.py", "f2.py", "f3.py", "f5.py"]
    assert as_json(tmp_path, "--undo")["restored"] == again["changed"]


def test_refit_exits_2_if_verify_command_fails_before_changes(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    done = argosy("refit", tmp_path, "--apply", "--verify", "echo no luck; false")
    assert done.returncode == 2
    assert "no luck" in done.stderr
    assert (tmp_path / "a.py").read_text() == OWN


def test_refit_interrupted_during_verification_leaves_tree_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text(OWN)
    before = tree(tmp_path)
    # The command succeeds on the old tree, and hangs on the new one until it is interrupted.
    command = "grep -q argosy a.py || exit 0; touch ../hangs; sleep 60"
    work = tmp_path.with_name(f"{tmp_path.name}-work")
    shutil.copytree(tmp_path, work)
    process = subprocess.Popen(
        [ARGOSY, "refit", str(work), "--apply", "--verify", command],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        until_s = time.monotonic() + 30
        while not (work.parent / "hangs").exists() and time.monotonic() < until_s:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
        (work.parent / "hangs").unlink(missing_ok=True)
    assert process.returncode == 130
    assert told == b"interrupted\n"
    assert tree(work) == before
    assert not (work / ".argosy").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--select", "Q9"], "no rewrite has the code `Q9`"),
        (["--verify", "true"], "needs `--apply`"),
        (["--undo", "never"], "there is no run `never`"),
    ],
)
def test_refit_exits_2_for_invalid_options(tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "a.py").write_text(OWN)
    done = argosy("refit", tmp_path, *words)
    assert done.returncode == 2
    assert told in done.stderr


PATCHED = """
import unittest
from unittest import mock
import client


class Tests(unittest.TestCase):
    @mock.patch("zmq.Context")
    def test_all(self, patched):
        socket = patched.return_value.socket.return_value
        socket.recv_string.return_value = "pong"
        self.assertEqual(client.ask("tcp://x:1"), "pong")
        patched.assert_called_once_with()
        socket.connect.assert_called_once_with("tcp://x:1")
        patched.return_value.term.assert_called_once_with()

    @mock.patch("client.zmq.Context")
    def test_by_module(self, patched):
        client.ask("tcp://x:1")
        patched.return_value.socket.assert_called_once_with(client.zmq.REQ)

    @mock.patch("zmq.Context.socket")
    def test_socket(self, patched):
        client.ask("tcp://x:1")
        patched.assert_called_once_with(client.zmq.REQ)
        patched.return_value.send_string.assert_called_once_with("ping")


if __name__ == "__main__":
    unittest.main()
"""
CLIENT = """
import zmq


def ask(endpoint):
    context = zmq.Context()
    socket = context.socket(zmq.REQ)
    socket.connect(endpoint)
    socket.send_string("ping")
    answer = socket.recv_string()
    socket.close()
    context.term()
    return answer
"""


def test_refit_keeps_mock_patches_of_tests_working(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "test_client.py").write_text(PATCHED)
    told = as_json(tmp_path, "--apply", "--verify", f"{sys.executable} test_client.py")
    assert told["changed"] == ["client.py"]
    assert told["gates"]["verify"] == {"passed": 1, "failed": 0}


@pytest.mark.corpus
def test_refit_of_corpus_passes_gates_and_undo_restores_it(corpus: Path, tmp_path: Path) -> None:
    """Nothing breaks, nothing is left for a second run, and the undo is byte for byte."""
    work = tmp_path / "work"
    shutil.copytree(corpus, work)
    before = tree(work)
    told = as_json(work, "--select", "Z301", "--apply")
    assert told["sites"]["Z301"]["migrated"] >= 250
    assert len(told["refused"]) == told["sites"]["Z301"]["refused"]
    assert {
        name: counts["failed"] for name, counts in told["gates"].items() if name != "input"
    } == dict.fromkeys(
        ["output", "tree", "tokens", "names", "imports", "members", "contexts", "idempotent"], 0
    )
    now = tree(work)
    assert [path for path in now if now[path] != before[path]] == told["changed"]
    for path in told["changed"]:
        compile(now[path], path, "exec")
    assert as_json(work, "--select", "Z301", "--apply")["changed"] == []
    assert as_json(work, "--undo")["kept"] == []
    assert tree(work) == before
