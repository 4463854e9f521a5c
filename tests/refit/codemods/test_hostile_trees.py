"""Codemods on trees of odd files: rewrite, second run and undo, also while files change."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.codemods import file_pipeline, tree_pipeline
from argosy.refit.codemods.tree_pipeline import RefitReport, apply_codemods, plan_codemods
from argosy.refit.core.worker_pool import can_fork
from argosy.refit.transaction.file_transaction import list_runs, undo_run
from refit.transaction.source_writer import WORDS, marked_programs, written

OLD_NS = 1_000_000_007_000_000_000
CONTEXTS = file_pipeline.select_codemods(("Z301",))
BOTH = file_pipeline.select_codemods(("Z301", "Z306"))
OWN = b"import zmq\n\n\ndef ask():\n    own = zmq.Context()\n    own.socket(zmq.REQ)\n    own.term()\n"

# What a tree of strangers holds beside programs, and Python does not run: it stays, and stops no other file.
ODD = st.sampled_from(
    [
        b"",
        b"\xef\xbb\xbf",
        b"\x00",
        b"import zmq\nzmq.Context(\n",
        b"import zmq\n\0zmq.Context()\n",
        b"# -*- coding: nonsense -*-\nimport zmq\nzmq.Context()\n",
        b"# -*- coding: ascii -*-\nimport zmq\nzmq.Context()  # \xff\n",
        b"\xff\xfei\x00m\x00p\x00o\x00r\x00t\x00 \x00z\x00m\x00q\x00",
        b"import zmq\nif 1:\n\tx = 1\n        y = zmq.Context()\n",
        b"import zmq\nreturn zmq.Context()\n",
    ]
)


def state(root: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return content, mode and time of every file but the runs' own."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns)
        for path in sorted(root.rglob("*"))
        if path.is_file() and ".argosy" not in path.parts
    }


def planned(root: Path) -> RefitReport:
    return plan_codemods(str(root), CONTEXTS, processes=1)


def sites(report: RefitReport) -> int:
    return len(report.migrated) + len(report.refused)


def write_files(root: Path, contents: dict[str, bytes], modes: list[int]) -> None:
    for number, (path, data) in enumerate(contents.items()):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
        (root / path).chmod(modes[number % len(modes)])
        os.utime(root / path, ns=(OLD_NS + number, OLD_NS + number))


@settings(max_examples=40)
@given(
    st.lists(marked_programs(), min_size=1, max_size=3),
    st.lists(ODD, max_size=3),
    st.lists(st.sampled_from([0o644, 0o600, 0o755, 0o444]), min_size=1, max_size=3),
)
def test_codemods_rewrite_tree_once_and_undo_restores_it(
    programs: list[tuple[str, str, str, bool]], odd: list[bytes], modes: list[int]
) -> None:
    contents = {
        f"p/q{number}.py": written(text.replace("@", "zmq.Context()"), encoding, newline, is_ended)
        for number, (text, encoding, newline, is_ended) in enumerate(programs)
    }
    contents |= {f"odd{number}.py": data for number, data in enumerate(odd)}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, contents, modes)
        before = state(root)
        report = planned(root)
        done = apply_codemods(report)
        assert (sites(done), set(done.after)) == (sites(report), set(report.after))
        assert not [path for path in done.after if path.startswith("odd")]
        now = state(root)
        for path, data in contents.items():
            assert now[path][0] == done.after.get(path, data)
            assert now[path][1] == before[path][1]
            assert path in done.after or now[path] == before[path]
        again = planned(root)
        assert not again.after
        # What a second look finds is what the first one refused.
        assert len(again.refused) == len(done.refused)
        if done.run is not None:
            assert undo_run(str(root), None)[1] == []
        assert state(root) == before


ASK = """\
def ask(port, what='{w}'):  # {w}
{i}context = zmq.Context()
{i}socket = context.socket(zmq.REQ)
{i}socket.setsockopt(zmq.RCVTIMEO, 500)
{i}socket.setsockopt(zmq.LINGER, 0)
{i}try:
{i}{i}socket.connect(f"tcp://127.0.0.1:{port}"); socket.send_string(what)
{i}{i}return socket.recv_string()  # '{w}'
{i}finally:
{i}{i}socket.close()
{i}{i}context.term()
"""


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(WORDS)),
    st.sampled_from(["    ", "\t", "  "]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
)
def test_overlapping_codemods_converge_and_undo_restores_file(
    encoding: str, indent: str, newline: str, is_ended: bool, has_page: bool
) -> None:
    body = ASK.replace("{i}", indent).replace("{w}", WORDS[encoding])
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    page = "\f" if has_page else ""
    text = f"# -*- coding: {declared} -*-\nimport zmq\n{page}\n{body}".removesuffix("\n")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_files(root, {"ask.py": written(text, encoding, newline, is_ended)}, [0o640])
        before = state(root)
        report = plan_codemods(str(root), BOTH, processes=1)
        assert sorted(site.code for site in report.migrated) == ["Z301", "Z306"], report.refused
        done = apply_codemods(report)
        now = (root / "ask.py").read_bytes()
        # Line for line: what is not named by a rewrite is as it was.
        kept = [line for line in before["ask.py"][0].split(newline.encode()) if b"zmq." not in line]
        assert [line for line in now.split(newline.encode()) if line in kept] == kept
        assert not plan_codemods(str(root), BOTH, processes=1).after
        assert done.run is not None
        assert undo_run(str(root), None)[1] == []
        assert state(root) == before


def change(path: Path) -> None:
    path.write_bytes(OWN + b"# mine\n")


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x = 1\n")


def remove(path: Path) -> None:
    path.unlink()


def replace_by_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_bytes(b"mine")


def link(path: Path) -> None:
    path.rename(path.with_suffix(".aside"))
    path.symlink_to(path.with_suffix(".aside"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def remove_parent(path: Path) -> None:
    shutil.rmtree(path.parent)


CONCURRENT_CHANGES = [change, grow, remove, replace_by_directory, link, pipe, remove_parent]


@pytest.mark.parametrize("do", CONCURRENT_CHANGES)
def test_apply_refuses_file_changed_since_plan(tmp_path: Path, do: Callable[[Path], None]) -> None:
    write_files(tmp_path, {"a/one.py": OWN, "b/two.py": OWN, "c/three.py": OWN}, [0o644])
    report = planned(tmp_path)
    assert len(report.after) == 3
    do(tmp_path / "b" / "two.py")
    mine = state(tmp_path)
    done = apply_codemods(report)
    assert set(done.after) == {"a/one.py", "c/three.py"}
    assert sites(done) == sites(report)
    assert [item.path for item in done.refused] == ["b/two.py"]
    assert done.refused[0].reason
    now = state(tmp_path)
    assert {path: held for path, held in now.items() if path[0] == "b"} == {
        path: held for path, held in mine.items() if path[0] == "b"
    }
    assert now["a/one.py"][0] == report.after["a/one.py"]
    assert undo_run(str(tmp_path), None)[1] == []
    assert state(tmp_path) == mine


@pytest.mark.parametrize("do", CONCURRENT_CHANGES)
def test_undo_keeps_and_reports_file_changed_since_apply(tmp_path: Path, do: Callable[[Path], None]) -> None:
    write_files(tmp_path, {"a/one.py": OWN, "b/two.py": OWN, "c/three.py": OWN}, [0o644])
    before = state(tmp_path)
    apply_codemods(planned(tmp_path))
    do(tmp_path / "b" / "two.py")
    mine = state(tmp_path)
    _, kept = undo_run(str(tmp_path), None)
    assert [item.path for item in kept] == ["b/two.py"]
    now = state(tmp_path)
    for path, held in now.items():
        assert held == (before[path] if path[0] != "b" else mine[path])
    assert list_runs(str(tmp_path))[0].state == "applied"


def test_apply_reports_unwritable_directory(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    write_files(tmp_path, {"a/one.py": OWN, "b/two.py": OWN}, [0o644])
    (tmp_path / "b").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        done = apply_codemods(planned(tmp_path))
        assert set(done.after) == {"a/one.py"}
        assert [item.path for item in done.refused] == ["b/two.py"]
    finally:
        (tmp_path / "b").chmod(0o755)


def inject_fault(monkeypatch: pytest.MonkeyPatch, what: Callable[[], object]) -> None:
    """Make the planning of `m17.py` do something else; processes are forked from this one, and have it."""

    def plan_or_fault(path: str, *rest: object) -> object:
        return what() if path == "m17.py" else file_pipeline.rewrite_file(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(tree_pipeline, "rewrite_file", plan_or_fault)


@pytest.mark.skipif(not can_fork(), reason="the other process has to have the fault that is made here")
def test_killed_planning_worker_costs_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, {f"m{number}.py": OWN for number in range(60)}, [0o644])
    inject_fault(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
    report = plan_codemods(str(tmp_path), CONTEXTS, processes=2)
    assert report.parse_errors == {"m17.py": "the process that planned it ended (exit code -9)"}
    assert sorted(report.after) == sorted(f"m{number}.py" for number in range(60) if number != 17)


@pytest.mark.parametrize("processes", [1, 2])
def test_failing_codemod_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    write_files(tmp_path, {f"m{number}.py": OWN for number in range(60)}, [0o644])
    inject_fault(monkeypatch, lambda: 1 / 0)
    report = plan_codemods(str(tmp_path), CONTEXTS, processes=processes)
    assert "ZeroDivisionError: division by zero (test_hostile_trees.py:" in report.parse_errors["m17.py"]
    assert report.checks["tree"] == (59, 1)
    assert len(report.after) == 59
