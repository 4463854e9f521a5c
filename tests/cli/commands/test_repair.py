"""`argosy repair`: proposals as patches and JSON, apply and undo, also after a kill or on a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from argosy.cli import main
from rig.needs import require

_BROKEN = "import os\n\nHERE = os.path.abspath(str(1)))\nTHERE = unknown\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "sound.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text(_BROKEN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_repair_shows_patch_and_writes_nothing(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair"]) == 0
    out = capsys.readouterr().out
    assert "broken.py:3:31: an extra closing bracket (unmatched ')')\n" in out
    assert "  line 3: a `)` too many is removed\n" in out
    assert "unresolved, read where nothing binds them: `unknown` (line 4)\n" in out
    assert "-HERE = os.path.abspath(str(1)))\n+HERE = os.path.abspath(str(1))\n" in out
    assert out.endswith(
        "2 files: 1 parse, 1 would with these proposals (1 of them with names for you to decide), "
        "0 without a proposal\n"
    )
    assert (tree / "broken.py").read_text() == _BROKEN


def test_repair_output_applies_as_patch(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "other.py").write_text("def f():\n    start()    end()\n\n\nf()")
    assert main(["repair", "."]) == 0
    patch = capsys.readouterr().out
    subprocess.run(["git", "apply", "-"], input=patch.encode(), cwd=tree, check=True)
    compile((tree / "broken.py").read_text(), "broken.py", "exec")
    assert (tree / "other.py").read_text() == "def f():\n    start()\n    end()\n\n\nf()"


def test_repair_json_follows_contract(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["argosy"] == "repair/1"
    assert told["read"] == 2
    item = told["files"]["broken.py"]
    assert item["parses"] is True
    assert item["damage"] == "extra-bracket"
    assert [step["rule"] for step in item["steps"]] == ["extra-bracket"]
    assert item["gates"] == {"parses": True, "compiles": True, "untouched": True, "names": True}
    assert [name["name"] for name in item["undefined"]] == ["unknown"]
    assert item["patch"].startswith("--- a/broken.py\n+++ b/broken.py\n")


def test_repair_exits_1_for_file_without_proposal(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tree / "broken.py").write_text("def f(:\n    return 1\n")
    assert main(["repair", "--brief"]) == 1
    out = capsys.readouterr().out
    assert "  no proposal: no repair rule applies\n" in out
    assert out.endswith("2 files: 1 parse, 0 would with these proposals, 1 without a proposal\n")


def test_repair_of_missing_path_exits_2(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repair", "nowhere", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["argosy"] == "error/1"
    assert "nowhere" in told["errors"][0]["message"]


def test_repair_apply_writes_proposals_and_undo_restores_them(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "lost.py").write_text("def f(:\n")
    assert main(["repair", "--apply"]) == 1
    assert "1 written as run " in capsys.readouterr().out
    compile((tree / "broken.py").read_text(), "broken.py", "exec")
    assert (tree / "lost.py").read_text() == "def f(:\n"
    assert main(["refit", "--undo"]) == 0
    assert (tree / "broken.py").read_text() == _BROKEN


def test_repair_refuses_tree_with_uncommitted_changes(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    assert main(["repair", "--apply", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["errors"][0]["code"] == "dirty"
    assert (tree / "broken.py").read_text() == _BROKEN
    assert main(["repair", "broken.py", "--apply", "--dirty", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["changed"] == ["broken.py"]
    assert (tree / "broken.py").read_text() != _BROKEN


def test_repair_absent_inserts_placeholders_for_packages(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "broken.py").write_text("import torch\n\n\ndef f():\n    return torch.zeros(1)\n")
    assert main(["repair", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["files"] == {}
    assert main(["repair", "--absent", "peft,torch", "--apply"]) == 0
    assert (
        "  line 1: `torch` may be missing: each use then raises an error that names it\n"
        in capsys.readouterr().out
    )
    assert 'torch = placeholder("torch")\n' in (tree / "broken.py").read_text()
    assert main(["repair", "--absent", "torch.nn", "--json"]) == 2
    assert "`torch.nn` is not a package name" in capsys.readouterr().out


def _killed_at_rename(number: int) -> bool:
    """Run `argosy repair --apply` in a process killed before its rename `number`; tell whether it was."""
    pid = os.fork()
    if pid == 0:
        real, left = os.replace, [number]

        def replace(source: str, target: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            real(source, target)

        os.replace = replace  # type: ignore[assignment]
        try:
            main(["repair", "--apply"])
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_killed_repair_leaves_files_old_or_new_and_can_be_undone(tree: Path) -> None:
    files = [tree / name for name in ("broken.py", "other.py", "third.py")]
    for path in files:
        path.write_text(_BROKEN)
    new = _BROKEN.replace(")))", "))")
    seen = set()
    for number in range(20):
        was_killed = _killed_at_rename(number)
        now = [path.read_text() for path in files]
        assert set(now) <= {_BROKEN, new}
        seen.add(now.count(new))
        assert main(["refit", "--undo"]) in ((0,) if new in now else (0, 2))
        assert [path.read_text() for path in files] == [_BROKEN] * 3
        assert not list(tree.glob(".*.tmp"))
        if not was_killed:
            break
    assert seen == {0, 1, 2, 3}


_FULL = """
import shutil
import sys
from pathlib import Path
from argosy.cli import main

root, old = Path(sys.argv[1]), sys.argv[2]
files = [root / f"f{number}.py" for number in range(4)]
for path in files:
    path.write_text(old + "# filler\\n" * 400)
before = [path.read_text() for path in files]
ends = []
for spare in range(0, 40, 8):
    (root / "ballast").write_bytes(bytes((80 - spare) * 1024))
    code = main(["repair", str(root), "--apply", "--brief"])
    now = [path.read_text() for path in files]
    changed = sum(old != new for old, new in zip(before, now))
    assert (code, changed) in ((0, 4), (1, 0)), (spare, code, changed)
    (root / "ballast").unlink()
    if code:
        assert not (root / ".argosy").exists(), spare
    else:
        assert main(["refit", str(root), "--undo"]) == 0
        assert [path.read_text() for path in files] == before
        shutil.rmtree(root / ".argosy")
    ends.append(code)
assert set(ends) == {0, 1}, ends
"""


def test_repair_on_full_disk_changes_all_files_or_none(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=128k none "$1" && exec "$2" -c "$3" "$1" "$4"'

    def run(code: str) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, code, _BROKEN]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    require("unshare", "mount")
    if run("pass").returncode:
        pytest.skip("a file system of one's own cannot be mounted here")
    done = run(_FULL)
    assert done.returncode == 0, done.stderr
    assert "no space left on device; no file was changed" in done.stderr
