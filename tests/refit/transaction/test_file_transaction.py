"""File transactions: applied completely or not at all and undone byte for byte, also after a kill."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from argosy.fault import InputError, RefusedError
from argosy.refit.transaction import atomic_replace
from argosy.refit.transaction import file_transaction as runs
from argosy.refit.transaction.file_transaction import Transaction, list_runs, lock_tree, undo_run
from rig.needs import require

OLD_NS = 1_000_000_007_000_000_000


def make(root: Path, count: int = 3) -> dict[str, tuple[bytes, bytes]]:
    contents = {}
    for number in range(count):
        path = root / f"d{number % 2}" / f"f{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"\xef\xbb\xbfold \r\n" + bytes([48 + number]))
        path.chmod(0o750)
        os.utime(path, ns=(OLD_NS, OLD_NS))
        contents[str(path.relative_to(root))] = (path.read_bytes(), b"new" + bytes([48 + number]))
    return contents


def state(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return content, mode and time of every file but the runs' own."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".argosy" not in path.parts
    }


def apply(root: Path, contents: dict[str, tuple[bytes, bytes]]) -> Transaction:
    with lock_tree(str(root)):
        made = Transaction(str(root))
        assert made.apply(contents) == []
    return made


def test_transaction_writes_files_and_undo_restores_them(tmp_path: Path) -> None:
    contents = make(tmp_path)
    before = state(tmp_path)
    made = apply(tmp_path, contents)
    for path, (_, after) in contents.items():
        assert (tmp_path / path).read_bytes() == after
        assert stat.S_IMODE((tmp_path / path).stat().st_mode) == 0o750
        assert (tmp_path / path).stat().st_mtime_ns > OLD_NS
    assert [(run.run, run.state) for run in list_runs(str(tmp_path))] == [(made.name, "applied")]
    done, kept = undo_run(str(tmp_path), None)
    assert (done.run, kept) == (made.name, [])
    assert state(tmp_path) == before
    with pytest.raises(InputError, match="there is no run to undo"):
        undo_run(str(tmp_path), None)
    with pytest.raises(InputError, match="there is no run"):
        undo_run(str(tmp_path), "other")


def test_undo_picks_newest_applied_run(tmp_path: Path) -> None:
    contents = make(tmp_path, 1)
    ((path, (old, new)),) = contents.items()
    first = apply(tmp_path, contents)
    os.rename(tmp_path / ".argosy/runs" / first.name, tmp_path / ".argosy/runs/20000101-000000-0000")
    manifest = tmp_path / ".argosy/runs/20000101-000000-0000/manifest.json"
    manifest.write_text(manifest.read_text().replace(first.name, "20000101-000000-0000"))
    apply(tmp_path, {path: (new, b"newer")})
    for content in (new, old):
        assert undo_run(str(tmp_path), None)[1] == []
        assert (tmp_path / path).read_bytes() == content


def test_undo_keeps_and_reports_changed_files(tmp_path: Path) -> None:
    contents = make(tmp_path)
    apply(tmp_path, contents)
    mine, gone, other = contents
    (tmp_path / mine).write_bytes(b"my own")
    (tmp_path / gone).unlink()
    _, kept = undo_run(str(tmp_path), None)
    assert [(item.path, item.reason) for item in kept] == [
        (mine, "it has changed since"),
        (gone, "it no longer exists"),
    ]
    assert (tmp_path / mine).read_bytes() == b"my own"
    assert (tmp_path / other).read_bytes() == contents[other][0]
    assert list_runs(str(tmp_path))[0].state == "applied"  # not all of it is undone


def test_transaction_skips_file_changed_since_plan(tmp_path: Path) -> None:
    contents = make(tmp_path)
    mine = next(iter(contents))
    (tmp_path / mine).write_bytes(b"my own")
    kept = Transaction(str(tmp_path)).apply(contents)
    assert [(item.path, item.reason) for item in kept] == [(mine, "it changed while it was being read")]
    assert (tmp_path / mine).read_bytes() == b"my own"


def test_transaction_skips_hard_links_and_symlinks(tmp_path: Path) -> None:
    contents = make(tmp_path)
    hard, soft, plain = contents
    os.link(tmp_path / hard, tmp_path / "second")
    (tmp_path / soft).rename(tmp_path / "aside")
    (tmp_path / soft).symlink_to(tmp_path / "aside")
    kept = Transaction(str(tmp_path)).apply(contents)
    assert [item.path for item in kept] == [hard, soft]
    assert "hard links" in kept[0].reason
    assert (tmp_path / plain).read_bytes() == contents[plain][1]


def test_transaction_without_changes_leaves_no_run(tmp_path: Path) -> None:
    contents = make(tmp_path, 1)
    for path in contents:
        (tmp_path / path).write_bytes(b"my own")
    with lock_tree(str(tmp_path)):
        Transaction(str(tmp_path)).apply(contents)
    assert not (tmp_path / ".argosy").exists()


def test_interrupted_transaction_is_rolled_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = make(tmp_path)
    before = state(tmp_path)
    real, calls = os.replace, []

    def replace(source: str, target: str) -> None:
        calls.append(target)
        if len([path for path in calls if path.endswith(".py")]) == 2:
            calls.append("")
            monkeypatch.setattr(os, "replace", real)
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(KeyboardInterrupt), lock_tree(str(tmp_path)):
        Transaction(str(tmp_path)).apply(contents)
    assert "" in calls
    assert state(tmp_path) == before
    assert not (tmp_path / ".argosy").exists()


def test_tree_lock_refuses_second_refit(tmp_path: Path) -> None:
    with lock_tree(str(tmp_path)), pytest.raises(RefusedError, match="another refit"):
        with lock_tree(str(tmp_path)):
            pass


STEPS = ("replace", "fsync", "unlink", "utime", "open", "makedirs")


def is_killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do `work` in a child that is killed before its system call number `step`; tell whether it was."""
    pid = os.fork()
    if pid == 0:
        left = [step]

        def counted(call: Callable[..., object]) -> Callable[..., object]:
            def counting(*args: object, **named: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **named)

            return counting

        try:
            for name in STEPS:
                setattr(os, name, counted(getattr(os, name)))
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def test_transaction_killed_at_any_step_can_be_undone(tmp_path: Path) -> None:
    contents = make(tmp_path)
    root = str(tmp_path)
    before = state(tmp_path)
    whole = {path: after for path, (_, after) in contents.items()}
    seen: set[int] = set()
    for step in range(1000):
        was_killed = is_killed_at(step, lambda: apply(tmp_path, contents))
        now = {path: (tmp_path / path).read_bytes() for path in contents}
        assert all(content in (contents[path][0], whole[path]) for path, content in now.items())
        seen.add(sum(content == whole[path] for path, content in now.items()))
        if list_runs(root):
            assert undo_run(root, None)[1] == []
        runs._remove_stale_runs(root)
        assert state(tmp_path) == before
        for run in list_runs(root):
            assert run.state == "undone"
        if not was_killed:
            break
    assert seen == {0, 1, 2, 3}


def test_undo_needs_room_for_only_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = make(tmp_path)
    before = state(tmp_path)
    apply(tmp_path, contents)
    real = atomic_replace.write_file

    def write(path: str, content: bytes, mode: int) -> None:
        if path.endswith(".tmp") and list(tmp_path.glob("d*/.*.tmp")):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content, mode)

    monkeypatch.setattr(atomic_replace, "write_file", write)
    assert undo_run(str(tmp_path), None)[1] == []
    assert state(tmp_path) == before


def test_undo_killed_at_any_step_can_be_repeated(tmp_path: Path) -> None:
    contents = make(tmp_path)
    root = str(tmp_path)
    before = state(tmp_path)
    for step in range(1000):
        apply(tmp_path, contents)
        was_killed = is_killed_at(step, lambda: undo_run(root, None))
        if list_runs(root)[-1].state != "undone":
            assert undo_run(root, None)[1] == []
        assert state(tmp_path) == before
        if not was_killed:
            break
    assert step > len(contents) * 3


FULL = """
import sys
from pathlib import Path
from argosy.fault import RefusedError
from argosy.refit.transaction.file_transaction import Transaction, list_runs, lock_tree, undo_run

root, spare = Path(sys.argv[1]), int(sys.argv[2])
pairs = {f"f{n}.py": (b"# old" * 1000, b"# new" * 1000) for n in range(4)}
for path, (before, _) in pairs.items():
    (root / path).write_bytes(before)
(root / "ballast").write_bytes(bytes(128 * 1024 - 32 * 1024 - spare))
told = ""
try:
    with lock_tree(str(root)):
        kept = Transaction(str(root)).apply(pairs)
except RefusedError as error:
    told = str(error.faults[0])
    assert "no space left on device; no file was changed" in told, told
    assert not (root / ".argosy").exists()
    assert not list_runs(str(root))
now = {path: (root / path).read_bytes() for path in pairs}
assert all(now[path] in pair for path, pair in pairs.items()), "a file is neither old nor new"
new = [path for path, content in now.items() if content == pairs[path][1]]
assert len(new) == (0 if told else len(pairs)), "it was applied in part"
(root / "ballast").unlink()
if new:
    assert undo_run(str(root), None)[1] == []
assert all((root / path).read_bytes() == before for path, (before, _) in pairs.items())
print("refused" if told else "applied")
"""


def test_transaction_on_full_disk_changes_all_files_or_none(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=128k none "$1" && exec "$2" -c "$3" "$1" "$4"'

    def run(code: str, spare: int) -> subprocess.CompletedProcess[str]:
        words = ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, code, str(spare)]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)

    require("unshare", "mount")
    if run("pass", 0).returncode:
        pytest.skip("a file system of one's own cannot be mounted here")
    ends = set()
    for spare in range(0, 96 * 1024, 12 * 1024):
        done = run(FULL, spare)
        assert done.returncode == 0, (spare, done.stderr)
        ends.add(done.stdout.strip())
    assert ends == {"refused", "applied"}
