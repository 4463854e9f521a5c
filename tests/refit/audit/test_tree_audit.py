"""Tree audit: hostile files, changing trees, the cache, and parallel workers."""

from __future__ import annotations

import ast
import fnmatch
import os
import signal
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from argosy.refit.audit import analysis_run
from argosy.refit.audit.tree_audit import AuditReport, audit
from argosy.refit.core.discovery import FilePatterns
from argosy.refit.core.rule import Rule
from argosy.refit.core.rule_manifest import RuleManifest

UNDEFINED = "def f():\n    return missing\n"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    root.mkdir()
    return root


def places(report: AuditReport) -> list[tuple[str, str, int]]:
    return [(item.code, item.path, item.line) for item in report.findings]


def set_back_mtimes(root: Path) -> None:
    """Set the times of all files back, so that the clock's tick keeps nothing unsettled."""
    for path in root.rglob("*.py"):
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns - 10**9))


DEEP = {
    "brackets": "x = " + "(" * 5000 + ")" * 5000,
    "minus": "x = " + "-" * 100_000 + "1",
    "attributes": "x = a" + ".b" * 50_000,
    "calls": "x = a" + "()" * 20_000,
    "terms": "x = " + "+".join(["1"] * 50_000),
    "alternatives": "if a: pass\n" + "".join(f"elif a == {number}: pass\n" for number in range(20_000)),
    "lambdas": "x = " + "lambda: " * 3000 + "1",
    "blocks": "".join(" " * depth + "if a:\n" for depth in range(150)) + " " * 150 + "pass",
}
ODD = {
    "empty": b"",
    "one-line-of-5-MB": b"x = '" + b"a" * 5_000_000 + b"'\n",
    "5-MB-of-code": b"def f(a):\n    return a\n" * 2000 + b"# filling\n" * 495_000,
    "nothing-but-null": b"\0" * 100_000,
    "random": bytes(number * 7919 % 256 for number in range(100_000)),
    "utf-16": "x = 1\n".encode("utf-16"),
    "mark": b"\xef\xbb\xbfx = 1\n",
    "mark-and-other-cookie": b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
    "old-mac": b"x = 1\ry = 2\r",
    "form-feed": b"\x0cx = 1\n\x0c\n",
    "no-codec": b"# coding: no-such\nx = 1\n",
    "codec-of-no-text": b"# coding: zlib\nx = 1\n",
    "rot13": b"# coding: rot13\nk = 1\n",
    "utf-7": b"# coding: utf-7\nk = +AGE-\n",
    "shift-jis": "# coding: shift_jis\nk = '日本'\n".encode("shift_jis"),
    "undeclared-latin-1": "k = 'é'\n".encode("latin-1"),
    "surrogates": b"k = '\\ud800'\n",
    "tabs-and-blanks": b"if a:\n\tx = 1\n        y = 2\n",
}


@pytest.mark.parametrize("name", DEEP)
def test_audit_reports_deep_nesting_and_continues(name: str, tree: Path) -> None:
    (tree / "deep.py").write_text(DEEP[name] + "\n")
    (tree / "other.py").write_text(UNDEFINED)
    report = audit(tree, processes=1)
    assert not report.result.failures
    assert [(code, path) for code, path, _ in places(report)] == [("S101", "deep.py"), ("S104", "other.py")]


@pytest.mark.parametrize("terms", [100, 900, 1500])
def test_audit_accepts_long_sum(terms: int, tree: Path) -> None:
    (tree / "sum.py").write_text("a = 1\nx = " + "+".join(["a"] * terms) + "\n")
    assert places(audit(tree, processes=1)) == []


@pytest.mark.parametrize("name", ODD)
def test_audit_agrees_with_python_on_odd_files(name: str, tree: Path) -> None:
    (tree / "odd.py").write_bytes(ODD[name])
    report = audit(tree, processes=1)
    assert not report.result.failures
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(ODD[name], "odd.py", "exec", dont_inherit=True)
            is_sound = True
        except (SyntaxError, ValueError, LookupError):
            is_sound = False
    assert ("odd.py" in report.result.unparsed) is not is_sound
    assert [code for code, _, _ in places(report) if code == "S101"] == ([] if is_sound else ["S101"])


def test_audit_skips_links_pipes_and_hidden_directories(tree: Path) -> None:
    (tree / "a.py").write_text("x = 1\n")
    (tree / "loop").symlink_to(tree)
    (tree / "self.py").symlink_to("self.py")
    (tree / "again.py").symlink_to("a.py")
    (tree / "folder.py").mkdir()
    os.mkfifo(tree / "pipe.py")
    for name in (".git", ".argosy"):
        (tree / name).mkdir()
        (tree / name / "hidden.py").write_text("def f(:\n")
    report = audit(tree)
    assert list(report.sizes) == ["a.py"]
    assert report.result.file_count == 1


def test_audit_reports_file_name_that_is_not_utf8(tree: Path) -> None:
    with open(os.fsencode(tree) + b"/\xff.py", "wb") as file:
        file.write(b"x = 1\n")
    report = audit(tree)
    assert (report.result.file_count, list(report.unreadable.values())) == (0, ["the name is not UTF-8"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_audit_reports_unreadable_files_and_directories(tree: Path) -> None:
    (tree / "shut.py").write_text("x = 1\n")
    (tree / "shut.py").chmod(0)
    (tree / "closed").mkdir(mode=0)
    try:
        report = audit(tree, processes=1)
    finally:
        (tree / "closed").chmod(0o700)
    assert places(report) == [("S101", "shut.py", 1)]
    assert list(report.unreadable) == ["closed"]


def test_audit_survives_files_changed_and_removed_meanwhile(tree: Path) -> None:
    for number in range(300):
        (tree / f"m{number}.py").write_text(f"x = {number}\n")
    is_over = threading.Event()

    def disturb() -> None:
        for number in range(300):
            if is_over.is_set():
                return
            path = tree / f"m{number}.py"
            path.write_text("def f(:\n" if number % 2 else "y = 1\n" * number)
            if number % 3 == 0:
                path.unlink()

    other = threading.Thread(target=disturb)
    other.start()
    try:
        report = audit(tree, processes=2)
    finally:
        is_over.set()
        other.join()
    assert not report.result.failures
    assert report.result.file_count == len(report.sizes)


def test_killed_audit_worker_costs_one_file(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(60):
        (tree / f"m{number:02}.py").write_text(UNDEFINED)
    from argosy.refit.core.file_analyzer import FileAnalyzer  # noqa: PLC0415

    # Those that are shown to a program are read in one go.
    for name in ("a", "b", "c"):
        (tree / f"{name}.Dockerfile").write_text("FROM python\nCMD\n")
    read = FileAnalyzer.analyze_batch

    def deadly(self: FileAnalyzer, jobs: Sequence[tuple[str, bytes]]) -> object:
        if {"m17.py", "b.Dockerfile"} & dict(jobs).keys():
            os.kill(os.getpid(), signal.SIGKILL)
        return read(self, jobs)

    # Readers are forked from this process, and so have the deadly method; this process reads nothing itself.
    monkeypatch.setattr(FileAnalyzer, "analyze_batch", deadly)
    report = audit(tree, processes=2)
    assert [(path, line) for code, path, line in places(report) if code == "S101"] == [("m17.py", 1)]
    assert "exit code -9" in report.result.unparsed["m17.py"].message
    assert len([code for code, _, _ in places(report) if code == "S104"]) == 59
    assert [path for code, path, _ in places(report) if code == "I603"] == ["a.Dockerfile", "c.Dockerfile"]


def test_audit_reports_failing_rule_and_runs_other_rules(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "a.py").write_text(UNDEFINED + "print(late)\nlate = 1\n")
    from argosy.refit.rules import s104_undefined_name as module  # noqa: PLC0415

    monkeypatch.setattr(module, "suggest_import", lambda *_: 1 / 0)
    report = audit(tree, processes=1)
    assert [item.code for item in report.result.failures] == ["S104"]
    assert "ZeroDivisionError" in report.result.failures[0].message
    assert places(report) == [("S102", "a.py", 3)]


def test_audit_cache_analyzes_only_changed_files(tree: Path, cache: Path) -> None:
    for number in range(20):
        (tree / f"m{number}.py").write_text(UNDEFINED)
    set_back_mtimes(tree)
    first = audit(tree, cache_dir=cache)
    assert first.files_analyzed == 20
    again = audit(tree, cache_dir=cache)
    assert (again.files_analyzed, again.result) == (0, first.result)

    (tree / "m3.py").write_text("x = 1\n")
    (tree / "m4.py").unlink()
    (tree / "new.py").write_text(UNDEFINED)
    changed = audit(tree, cache_dir=cache)
    assert changed.files_analyzed == 2
    assert changed.result == audit(tree).result


EDITS: tuple[tuple[str, str], ...] = (
    ("user.py", "from near import it\nprint(it, missing)\n"),
    ("user.py", "from near import it\nprint(it)  # argosy: ignore\nimport zmq\nzmq.Context()\n"),
    ("user.py", "from near import other\nimport zmq\nzmq.Context()  # argosy: ignore[Z301]\n"),
    ("user.py", ""),
    ("near.py", "other = 1\n"),
    ("near.py", "def f(:\n"),
    ("near.py", "return 1\n"),
    ("near.py", "it = 1\nclass A:\n    def run(self):\n        return self.lost\n"),
    ("more/near.py", "it = other = 2\n"),
    ("more/near.py", ""),
    ("requirements.txt", "numpy\npyzmq\n"),
    ("requirements.txt", ""),
    ("Dockerfile", "FROM python\nCOPY gone.py .\n"),
    ("gone.py", "x = 1\n"),
    ("gone.py", ""),
)


@given(st.lists(st.sampled_from(EDITS), min_size=2, max_size=8))
@settings(max_examples=12, deadline=None)
def test_cached_audit_equals_uncached_audit_after_any_edits(edits: list[tuple[str, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tree, cache = Path(folder, "tree"), Path(folder, "cache")
        for name, text in (*EDITS[:1], *EDITS[7:8], *edits):
            path = tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if text or not path.exists():
                path.write_text(text)
            else:
                path.unlink()
            assert audit(tree, cache_dir=cache, processes=1).result == audit(tree, processes=1).result


def test_audit_cache_keeps_touched_file(tree: Path, cache: Path) -> None:
    (tree / "a.py").write_text(UNDEFINED)
    set_back_mtimes(tree)
    audit(tree, cache_dir=cache)
    os.utime(tree / "a.py")
    assert audit(tree, cache_dir=cache).files_analyzed == 0


def test_audit_cache_notices_change_within_clock_tick(tree: Path, cache: Path) -> None:
    path = tree / "a.py"
    path.write_text("def f():\n    return missing\n")
    audit(tree, cache_dir=cache)
    before = path.stat()
    path.write_text("def f():\n    return f + 0 + 1\n"[:27] + "\n")
    os.truncate(path, before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert audit(tree, cache_dir=cache).result == audit(tree).result


def test_audit_cache_rechecks_importers_of_changed_file(tree: Path, cache: Path) -> None:
    (tree / "user.py").write_text("from near import it\n")
    (tree / "near.py").write_text("it = 1\n")
    set_back_mtimes(tree)
    assert places(audit(tree, cache_dir=cache)) == []
    (tree / "near.py").write_text("other = 1\n")
    assert places(audit(tree, cache_dir=cache)) == [("S103", "user.py", 1)]
    (tree / "near.py").write_text("def f(:\n")
    assert [item[:2] for item in places(audit(tree, cache_dir=cache))] == [
        ("S101", "near.py"),
        ("S103", "user.py"),
    ]
    (tree / "near.py").unlink()
    assert places(audit(tree, cache_dir=cache)) == []
    (tree / "near.py").write_text("it = 1\n")
    assert places(audit(tree, cache_dir=cache)) == []


@pytest.mark.parametrize("name", ["audit-result", "fact-store", "facts-*", "cross-file-*"])
def test_audit_ignores_corrupt_cache(tree: Path, cache: Path, name: str) -> None:
    (tree / "a.py").write_text(UNDEFINED)
    (tree / "b.py").write_text(UNDEFINED)
    set_back_mtimes(tree)
    verdict = audit(tree, cache_dir=cache).result
    (kept,) = cache.glob(f"*/{name}")
    kept.write_bytes(kept.read_bytes()[:-9])
    (tree / "b.py").write_text("\n" + UNDEFINED)
    assert places(audit(tree, cache_dir=cache)) == [("S104", "a.py", 2), ("S104", "b.py", 3)]
    (tree / "b.py").write_text(UNDEFINED)
    assert audit(tree, cache_dir=cache).result == verdict


def test_audit_works_with_unwritable_cache(tree: Path, tmp_path: Path) -> None:
    (tree / "a.py").write_text(UNDEFINED)
    (tmp_path / "file").write_text("")
    assert places(audit(tree, cache_dir=tmp_path / "file" / "cache")) == [("S104", "a.py", 2)]


def test_audit_result_is_same_with_two_processes(tree: Path) -> None:
    for number in range(80):
        (tree / f"m{number}.py").write_text(UNDEFINED.replace("missing", f"missing_{number}"))
    assert audit(tree, processes=2).result == audit(tree, processes=1).result


@pytest.mark.parametrize("kills", [False, True])
def test_cross_file_rules_give_same_result_in_two_processes(
    kills: bool, tree: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "near.py").write_text("it = 1\n")
    (tree / "requirements.txt").write_text("flask\n")
    for number in range(4):
        (tree / f"m{number}.py").write_text(f"import lost{number}\nfrom near import it, gone\n{UNDEFINED}")
    set_back_mtimes(tree)
    expected = audit(tree, processes=1).result
    assert {item.code for item in expected.findings} >= {"I601", "I602", "S103", "S104"}
    monkeypatch.setattr(analysis_run, "_MIN_PARALLEL_FILES", 1)
    if kills:
        ours, load = os.getpid(), RuleManifest.load

        def load_or_die(manifest: RuleManifest) -> Rule:
            if manifest.code == "I601" and os.getpid() != ours:
                os.kill(os.getpid(), signal.SIGKILL)
            return load(manifest)

        monkeypatch.setattr(RuleManifest, "load", load_or_die)
    assert audit(tree, cache_dir=cache, processes=2).result == expected
    (tree / "m1.py").write_text(f"# moved\n{(tree / 'm1.py').read_text()}")
    assert audit(tree, cache_dir=cache, processes=2).result == audit(tree, processes=1).result


def test_audit_imports_and_runs_nothing_of_tree(tree: Path) -> None:
    (tree / "harm.py").write_text(f"open({str(tree / 'ran')!r}, 'w')\n")
    (tree / "sitecustomize.py").write_text(f"open({str(tree / 'ran')!r}, 'w')\n")
    before = set(sys.modules)
    audit(tree, processes=1)
    assert not (tree / "ran").exists()
    assert not {"harm", "sitecustomize"} & (set(sys.modules) - before)


def test_audit_progress_counts_every_file(tree: Path) -> None:
    for number in range(30):
        (tree / f"m{number}.py").write_text("x = 1\n")
    told: list[tuple[int, int]] = []
    audit(tree, processes=2, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 30) for number in range(1, 31)]


@pytest.mark.corpus
def test_audit_reads_whole_real_code_base(corpus: Path, cache: Path) -> None:
    report = audit(corpus, cache_dir=cache)
    assert not report.result.failures
    broken: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in corpus.rglob("*.py"):
            try:
                ast.parse(path.read_bytes())
            except (SyntaxError, ValueError):
                broken.add(path.relative_to(corpus).as_posix())
    unparsed = {path for path, fault in report.result.unparsed.items() if fault.stage != "compile"}
    assert (report.result.file_count, len(broken)) == (989, 194)
    assert unparsed == broken
    told = [item.path for item in report.findings if item.code == "S101"]
    assert sorted(told) == sorted(report.result.unparsed)
    assert audit(corpus, cache_dir=cache).files_analyzed == 0


@given(st.text("ab/.*", max_size=7), st.text("ab/.*?[]", max_size=5))
def test_file_patterns_agree_with_fnmatch(path: str, item: str) -> None:
    name = path.rpartition("/")[2]
    if "/" in item:
        expected = fnmatch.fnmatchcase(f"/{path}", f"*/{item}")
    else:
        expected = fnmatch.fnmatchcase(name, item)
    assert FilePatterns([item]).is_match(path, name) == expected


def test_audit_accepts_integer_beyond_64_bits(tree: Path) -> None:
    (tree / "fleet.yaml").write_text("fleet: f\nagents:\n  A: {run: a.py, port: 5501}\n")
    (tree / "a.py").write_text(f"LARGE = {2**80}\nSMALL = 5501\n")
    report = audit(tree, fleet=tree / "fleet.yaml")
    assert report.result.failures == ()
    assert not report.result.unparsed


def test_code_fragment_facts_do_not_depend_on_hash_seed(tree: Path) -> None:
    body = "".join(f"    if word in {{'{n}', 'a', 'b', 'c', 'd', 'e'}}:\n        go({n})\n" for n in range(8))
    (tree / "a.py").write_text(f"def f(word):\n{body}")
    look = (
        "import sys\n"
        "from argosy.refit.analysis.facts.code_fragments import CODE_FRAGMENTS\n"
        "from argosy.refit.core.file_analyzer import FileAnalyzer\n"
        "result = FileAnalyzer(sys.argv[1], (), [CODE_FRAGMENTS]).analyze('a.py')\n"
        "print(result.facts[CODE_FRAGMENTS.name].hex())"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", look, str(tree)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1] != b""
