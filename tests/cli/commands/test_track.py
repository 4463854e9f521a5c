"""`argosy track`: measurements, detected regressions, refuted claims, and interrupted runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from argosy.cli import main
from track.conftest import Tree

pytest_plugins = ["track.conftest"]

AGENT = """\
from argosy.agent import Agent, run


class Speaker(Agent):
    pass


if __name__ == "__main__":
    run(Speaker)
"""
FLEET = (
    "fleet: toy\nagents: {A: {run: 'speaker:Speaker', port: 7401}, B: {run: 'speaker:Speaker', port: 7402}}\n"
)
TRACK = """\
track: toy
objectives:
  code:
    title: The code is well
    claimed:
      - {text: nothing is broken, source: the tracker}
      - {text: 40 contexts are gone, source: the tracker, metric: contexts, value: -40}
    metrics:
      broken: {measure: audit.unparseable.count, target: 0}
      contexts: {measure: audit.Z301.count, target: 2}
      words:
        run: [cat, words.txt]
        read: {lines: true}
        inputs: [words.txt]
        better: higher
        target: 3
        portable: true
  fleet:
    title: The fleet is up
    metrics:
      ready: {measure: fleet.ready, better: higher, target: 2}
      declared: {measure: fleet.declared, better: higher}
      contexts: {measure: fleet.contexts, target: 2}
"""
OWN = "import zmq\n\n\ndef one():\n    return zmq.Context()\n"


def track_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    code = main(["track", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def toy(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.delenv("ENV_TYPE", raising=False)
    tree.write("speaker.py", AGENT)
    tree.write("own.py", OWN)
    tree.write("words.txt", "a\nb\nc\n")
    tree.write("fleet.yaml", FLEET)
    tree.write("track.yaml", TRACK)
    tree.commit()
    return tree


def worse(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str]:
    code, found = track_json(capsys, "check", *words)
    names = {one["metric"]: one["because"] for one in found["worse"]}
    assert code == bool(names or found["faults"])
    return names


def test_track_check_detects_regression_in_each_metric(toy: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = track_json(capsys, "run")
    assert (code, next(iter(found)), found["argosy"]) == (0, "argosy", "track/1")
    values = {metric["name"]: (metric["current"], metric["status"]) for metric in found["metrics"]}
    assert values == {
        "code.broken": (0.0, "achieved"),
        "code.contexts": (1.0, "achieved"),
        "code.words": (3.0, "achieved"),
        "fleet.ready": (2.0, "achieved"),
        "fleet.declared": (2.0, "measured"),
        "fleet.contexts": (2.0, "achieved"),
    }
    assert [claim["verdict"] for claim in found["objectives"][0]["claims"]] == ["confirmed", "refuted"]
    toy.commit()
    assert worse(capsys) == {}

    plants = {
        "code.broken": ("broken.py", "def (\n"),
        "code.contexts": ("own.py", OWN + OWN.replace("one", "two")),
        "code.words": ("words.txt", "a\nb\n"),
        "fleet.ready": (
            "speaker.py",
            AGENT.replace("    pass", "    def start(self):\n        raise OSError('no')"),
        ),
        "fleet.declared": (
            "fleet.yaml",
            FLEET.replace(", B:", ", C:").replace("C: {run: 'speaker:Speaker', port: 7402}", ""),
        ),
        "fleet.contexts": (
            "speaker.py",
            AGENT.replace("pass", "import zmq\n    ctx = zmq.Context()\n    ctx.socket(zmq.PUB)"),
        ),
    }
    for metric, (path, text) in plants.items():
        toy.write(path, text)
        assert metric in worse(capsys), metric
        toy.git("checkout", "-q", ".")
        toy.git("clean", "-qfd", "--", ".")
    assert worse(capsys) == {}


def test_track_check_reports_new_finding_despite_fixed_one(
    toy: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert track_json(capsys, "run", "--only", "code.*")[0] == 0
    toy.write("own.py", "x = 1\n")
    toy.write("other.py", OWN)
    code, found = track_json(capsys, "check", "--only", "code.*")
    (one,) = found["worse"]
    assert (code, one["metric"], one["because"]) == (1, "code.contexts", "1 finding is new")
    assert [finding["path"] for finding in one["findings"]] == ["other.py"]
    assert found["mended"] == 1
    (toy.root / "other.py").unlink()
    assert track_json(capsys, "run", "--only", "code.*")[0] == 0
    toy.write("own.py", OWN)
    assert "code.contexts" in worse(capsys, "--only", "code.*"), "what was mended stays mended"
    assert main(["track", "run", "--only", "code.*"]) == 0
    assert main(["track", "accept", "code.contexts", "--why", "it is needed"]) == 0
    assert worse(capsys, "--only", "code.*") == {}
    assert "accepted as it was" in (toy.root / "TRACK.md").read_text()


def test_track_check_skips_all_metrics_of_slow_measure_within_limit(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.write("words.txt", "a\n")
    tree.write(
        "slow.py", "import sys, time\ntime.sleep(0.3)\nopen(sys.argv[1], 'a').write('x')\nprint(1, 2)\n"
    )
    asked = tree.root.parent / "asked"
    tree.write(
        "track.yaml",
        f"""\
track: toy
measures:
  slow: {{run: [{sys.executable}, slow.py, {asked}], inputs: [words.txt]}}
objectives:
  both:
    title: Two of one
    metrics:
      first: {{uses: slow, read: {{match: '(\\d) '}}}}
      second: {{uses: slow, read: {{match: ' (\\d)'}}}}
""",
    )
    tree.commit()
    assert track_json(capsys, "run")[0] == 0
    assert asked.read_text() == "x", "one source is asked once"
    tree.write("words.txt", "b\n")
    code, found = track_json(capsys, "check", "--within", "0.25")
    assert (code, found["not_measured"]) == (0, ["both.first", "both.second"])
    assert asked.read_text() == "x"
    assert track_json(capsys, "check")[1]["not_measured"] == []
    assert asked.read_text() == "xx"


def test_track_run_skips_fresh_metrics_and_report_is_stable(
    toy: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", "run", "--only", "code.*"]) == 0
    first = (toy.root / "TRACK.md").read_text()
    capsys.readouterr()
    assert main(["track", "report"]) == 0
    assert capsys.readouterr().out == first
    assert main(["track", "run", "--only", "code.*"]) == 0
    out = capsys.readouterr()
    assert "nothing was stale" in out.out
    assert (toy.root / "TRACK.md").read_text() == first
    assert len(list((toy.root / "track" / "records").iterdir())) == 1
    (toy.root / "TRACK.md").write_text(first.replace("achieved", "ACHIEVED"))
    code, found = track_json(capsys, "check", "--only", "code.*")
    assert (code, [fault["code"] for fault in found["faults"]]) == (1, ["edited-report"])


def test_track_check_fails_for_broken_measure_without_old_value(
    toy: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["track", "run", "--only", "code.words"]) == 0
    (toy.root / "words.txt").unlink()
    toy.write(
        "track.yaml",
        TRACK.replace("[cat, words.txt]", "[cat, words.txt, gone.txt]").replace("[cat", "[sh, -c, 'exit 9'"),
    )
    code, found = track_json(capsys, "run", "--only", "code.words")
    words = next(metric for metric in found["metrics"] if metric["name"] == "code.words")
    assert (code, words["current"], words["status"]) == (1, None, "unknown")
    assert "code.words" in worse(capsys, "--only", "code.words")


def test_track_run_at_commit_measures_past_commit(toy: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    toy.write("words.txt", "a\n")
    toy.commit()
    assert main(["track", "run", "--at", "HEAD~1", "--only", "code.words"]) == 0
    assert "code.words (past, " in capsys.readouterr().out
    code, found = track_json(capsys, "run", "--at", "no-such-commit")
    assert (code, found["errors"][0]["code"]) == (2, "no-commit")


def test_track_init_and_import_write_track_files(tree: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["track", "init"]) == 0
    assert main(["track", "init"]) == 2
    assert main(["track", "run"]) == 0
    tree.write("OLD.md", "# Old\n- Contexts: 113 -> 113 ✅ done\n")
    code, found = track_json(capsys, "import", "OLD.md")
    assert (code, found["argosy"], len(found["figures"])) == (0, "track-import/1", 1)
    assert found["contradictions"][0]["lines"] == [2]
    assert main(["track", "import", "OLD.md", "-o", "old.yaml"]) == 0
    assert main(["track", "import", "OLD.md", "-o", "old.yaml"]) == 2
    code, found = track_json(capsys, "report", "--file", "old.yaml")
    assert [metric["status"] for metric in found["metrics"]] == ["unproven"]
    assert main(["track", "import", "gone.md"]) == 2
    assert main(["track", "import"]) == 2


CUT = (
    "track: t\nobjectives: {o: {title: t, metrics: {a: {run: [echo, x], read: {lines: true}}, "
    "b: {run: [python, wait.py], read: {exit: true}}}}}\n"
)
WAIT = "import os, signal\nos.kill(os.getppid(), signal.SIGINT)\nsignal.sigtimedwait([], 50)\n"


def run_apart(tree: Tree, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "argosy", "track", "run", *words],
        cwd=tree.root,
        capture_output=True,
        text=True,
        timeout=50,
    )


def test_interrupted_track_run_keeps_finished_measurements(toy: Tree) -> None:
    toy.write("track.yaml", CUT)
    toy.write("wait.py", WAIT)
    done = run_apart(toy)
    assert done.returncode == 130, done.stderr
    assert "finished measurements are kept" in done.stderr
    (path,) = Path(toy.root, "track", "records").iterdir()
    assert [json.loads(line)["metric"] for line in path.read_text().splitlines()] == ["o.a"]


def test_interrupted_track_run_prints_only_its_own_measurements(toy: Tree) -> None:
    toy.write("track.yaml", CUT)
    toy.write("wait.py", WAIT)
    assert run_apart(toy, "--only", "o.a").returncode == 0
    done = run_apart(toy, "--all")
    assert done.returncode == 130, done.stderr
    assert done.stdout.splitlines()[:2] == ["o.a: 1", ""]
