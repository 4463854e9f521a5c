"""Staging: full disks, killed processes and concurrent builds leave no partial files; all of them real."""

from __future__ import annotations

import errno
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.cli import main
from argosy.fault import RefusedError
from argosy.image.build.build_pipeline import disk_errors_as_faults, disk_fault
from argosy.image.build.image_builder import write_layout
from argosy.image.content.debian import compile_tree
from argosy.image.content.external_program import run_program
from argosy.image.content.staging import remove_stale, staged_folder, temporary_folder, write_atomic
from argosy.image.registry.push import read_layout_images
from rig.layout import build_image_fleet
from rig.needs import require

PATIENCE_S = 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    require("mount", "umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_write_on_full_disk_keeps_old_file_and_reports_disk(disk: Path) -> None:
    write_atomic(disk / "one", b"old")
    with pytest.raises(RefusedError) as caught, disk_errors_as_faults(disk, disk / "not" / "there"):
        write_atomic(disk / "one", bytes(5 * 2**20))
    (fault,) = caught.value.faults
    assert (fault.code, list(disk.iterdir())) == ("disk-full", [disk / "one"])
    assert fault.message.startswith("No space left on device; incomplete files were removed, and now ")
    assert f"`{disk}` has 4.2 MB free, `{disk}/not/there` has 4.2 MB free" in fault.message
    assert (disk / "one").read_bytes() == b"old"
    with pytest.raises(OSError, match="No space left"), staged_folder(disk / "two") as folder:
        (folder / "part").write_bytes(bytes(5 * 2**20))
    with pytest.raises(OSError, match="`dd if=/dev/zero`: No space left"):
        run_program(["dd", "if=/dev/zero", f"of={disk}/two", "bs=1M", "count=5"])
    (disk / "two").unlink()
    assert list(disk.iterdir()) == [disk / "one"]


def test_layout_stays_valid_when_disk_is_full(disk: Path, tmp_path: Path) -> None:
    store, (light, heavy, _) = build_image_fleet(tmp_path / "store")
    layout = disk / "images"
    write_layout(layout, store, [light], ["light"], "v1")
    before = sorted(path.name for path in layout.rglob("*"))
    with pytest.raises(OSError, match="No space left"):
        write_layout(layout, store, [light, heavy], ["light", "heavy"], "v2")  # 6 MiB more
    assert sorted(path.name for path in layout.rglob("*")) == before
    assert [(image.image, image.tag) for image in read_layout_images(layout, ())] == [("light", "v1")]


def test_compile_tree_fails_on_full_disk_but_not_on_syntax_error(disk: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "usr").symlink_to(sys.base_prefix)
    folder = disk / "site"
    folder.mkdir()
    (folder / "faulty.py").write_text("def (\n")
    compile_tree([sys.executable], str(tree), folder)
    (folder / "large.py").write_text(
        "words = {" + "".join(f"'word{n}': {n}, " for n in range(20_000)) + "}\n"
    )
    with pytest.raises(OSError, match="No space left"):
        (disk / "ballast").write_bytes(bytes(5 * 2**20))
    with pytest.raises(OSError, match="No space left") as caught:
        compile_tree([sys.executable], str(tree), folder)
    assert caught.value.errno == errno.ENOSPC


def test_disk_fault_reports_first_error_of_copied_tree(tmp_path: Path) -> None:
    error = shutil.Error([("a", str(tmp_path / "b"), f"[Errno {errno.ENOSPC}] No space left on device: 'b'")])
    fault = disk_fault(error, (tmp_path,))
    assert (fault.where, fault.code) == (str(tmp_path / "b"), "disk-full")
    assert disk_fault(PermissionError(errno.EACCES, "Permission denied", "c"), ()).where == "c"


def test_staged_folder_keeps_first_result_of_concurrent_writers(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "tree") as first:
        (first / "file").write_text("first")
        with staged_folder(tmp_path / "tree") as second:
            (second / "file").write_text("second")
    assert (tmp_path / "tree" / "file").read_text() == "second"
    assert list(tmp_path.iterdir()) == [tmp_path / "tree"]


def python(code: str, *words: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code, *words], stdin=pipe, stdout=pipe, text=True)


MAKER = """
import sys
from pathlib import Path
from argosy.image.content.staging import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "part").write_text("half")
    print(folder, flush=True)
    sys.stdin.read()
"""


def test_remove_stale_deletes_dirs_of_dead_processes_only(tmp_path: Path) -> None:
    with temporary_folder(tmp_path) as mine, python(MAKER, str(tmp_path)) as maker:
        try:
            assert maker.stdout is not None
            theirs = Path(maker.stdout.readline().strip())
            for folder in (mine, theirs):
                os.utime(folder, (1, 1))  # not just made
            remove_stale(tmp_path)
            assert mine.is_dir()
            assert theirs.is_dir()
        finally:
            maker.kill()
        maker.wait(PATIENCE_S)
        remove_stale(tmp_path)
        assert list(tmp_path.iterdir()) == [mine]


HOLDER = """
import sys
from pathlib import Path
from argosy.image.content.staging import lock_folder
with lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_lock_folder_serializes_two_builds(tmp_path: Path) -> None:
    with python(HOLDER, str(tmp_path)) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with python(HOLDER, str(tmp_path)) as second:
            assert second.stdout is not None
            _await_waiting(second.pid)
            assert select.select([second.stdout], [], [], 0) == ([], [], [])
            first.communicate(timeout=PATIENCE_S)
            assert second.stdout.readline() == "held\n"
            second.communicate(timeout=PATIENCE_S)


def _await_waiting(pid: int) -> None:
    """Wait until a process waits for a lock that somebody else has."""
    deadline = time.monotonic() + PATIENCE_S
    while not any(
        "->" in line and f" {pid} " in line for line in Path("/proc/locks").read_text().splitlines()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_build_reports_unwritable_layout_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "fleet.yaml").write_text("fleet: yard\nagents:\n  A: {run: a.py}\n")
    (tmp_path / "a.py").write_text("")
    words = ["image", "build", "--fleet", str(tmp_path), "-o", str(tmp_path / "a.py" / "below")]
    assert main(words) == 2
    assert f"cannot be a folder: `{tmp_path}/a.py` is not a folder" in capsys.readouterr().err
    assert not (tmp_path / "cache").exists()
