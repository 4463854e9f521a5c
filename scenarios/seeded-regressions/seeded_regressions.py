"""Seeds a regression for each metric of track.yaml; `argosy track check` must catch it.

The checkout is copied with its ledger, which is not changed: regressions are code, in the copy or in a copy
of the tree that ARGOSY_CORPUS names. It is an error if an edit does not apply, or if a metric has no
regression. Finally a false claim is added to the copy's track.yaml and must be refuted. Exit code 1: a
regression was missed.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PROMISES = "scenarios/acceptance/acceptance.py"
MEASURED = "    changed = _digests(tree)\n"
FUTURE = "from __future__ import annotations\n"
ROOT = Path(__file__).resolve().parents[2]
# A refit refuses these contexts, because their users are unknown.
_OWN = """

def make_{n}():
    return zmq.Context().socket(zmq.REQ).connect("tcp://10.77.77.{n}:9999")
"""
_CONTEXTS = "import zmq\n\n\nclass Mine(zmq.Context):\n    pass\n" + "".join(
    _OWN.format(n=n) for n in range(9)
)
# For running agents: under a name that no refit finds, with sockets, since a context without has no threads.
_THREE = """
import zmq as planted_zmq
planted = [getattr(planted_zmq, "Con" + "text")() for _ in range(3)]
planted += [each.socket(planted_zmq.PUB) for each in planted]
"""
_MAIN = "\nif __name__ == "
_SLOW = "import time\n\ntime.sleep(3)\n"
_HEAVY = "import http.server\nimport sqlite3\nimport unittest.mock\nimport xml.dom.minidom\n"


class Group(NamedTuple):
    """Regressions that one check must catch. caught: globs of the metrics that must be reported as worse."""

    name: str
    caught: tuple[str, ...]
    plant: Callable[[Path, Path], None]


class Edit(NamedTuple):
    """Replaces `old` by `new` in a file of the checkout."""

    path: str
    old: str
    new: str

    def is_applicable(self, checkout: Path) -> bool:
        """Return whether the file contains `old`."""
        return self.old in (checkout / self.path).read_text()

    def __call__(self, checkout: Path, tree: Path) -> None:
        file = checkout / self.path
        text = file.read_text()
        if self.old not in text:
            raise SystemExit(f"the edit of {self.path} does not apply: it has no {self.old!r}")
        file.write_text(text.replace(self.old, self.new, 1))


def damage_tree(checkout: Path, tree: Path) -> None:
    """Damage the tree: scripts that exit at once, files that cannot be repaired, contexts and loops."""
    scripts = _scripts(tree)
    for script in scripts[:12]:
        script.write_text("raise SystemExit('planted')\n")
    scripts[12].write_text("def (((:\n")
    for script in scripts[13:]:
        text = script.read_text()
        script.write_text(text.replace(_MAIN, _THREE + _MAIN, 1))
    (tree / "planted_contexts.py").write_text(_CONTEXTS)
    for number in range(3):
        (tree / f"planted_{number}.py").write_text("def (((:\n")
    audit = _argosy(["audit", str(tree), "--select", "H201", "--json"], {})
    paths = sorted({each["path"] for each in audit["findings"]})
    for number, path in enumerate(paths):
        shutil.copy(tree / path, (tree / path).with_name(f"planted_loop_{number}.py"))


def _scripts(tree: Path) -> list[Path]:
    """Return the scripts that the fleet of the tree starts, if they parse and no decision names them."""
    names: list[str] = []
    for config in sorted(tree.glob("*/config/startup_config.yaml")):
        names += re.findall(r"script_path:\s*(\S+\.py)", config.read_text())
    decided = (ROOT / "scenarios/real-fleet/decisions.yaml").read_text()
    found = []
    for name in dict.fromkeys(names):
        path = tree / name
        if name in decided:
            continue
        try:
            compile(path.read_bytes(), name, "exec")
        except (SyntaxError, ValueError, OSError):
            continue
        found.append(path)
    if len(found) < 14:
        raise SystemExit(f"the tree has {len(found)} scripts to damage, 14 are needed")
    return found


GROUPS = (
    Group(
        "the tree",
        (
            "parses.scripts",
            "parses.files",
            "comes-up.*",
            "health.loops",
            "contexts.sites",
            "contexts.most-in-a-process",
            "addresses.literal",
        ),
        damage_tree,
    ),
    Group(
        "a refit that breaks what it touches",
        ("parses.newly-broken", "parses.second-run", "parses.left-by-undo"),
        Edit(
            "scenarios/acceptance/acceptance.py",
            "    changed = _digests(tree)\n",
            "    _hurt(tree, repaired)\n    changed = _digests(tree)\n",
        ),
    ),
    Group(
        "names that are no longer defined",
        ("parses.newly-undefined",),
        Edit(
            "scenarios/acceptance/acceptance.py",
            "    changed = _digests(tree)\n",
            "    _forget(tree)\n    changed = _digests(tree)\n",
        ),
    ),
    Group(
        "a shared context that is not shared",
        ("contexts.saved",),
        Edit(
            "scenarios/acceptance/acceptance.py",
            "kept = [context() for _ in range(50)]",
            "import zmq\nkept = [zmq.Context() for _ in range(50)]",
        ),
    ),
    Group(
        "agents that are slow to load",
        ("start.seconds",),
        Edit(
            "examples/mainpc-pc2/agents/base_agent.py",
            "from __future__ import annotations\n",
            "from __future__ import annotations\n\n" + _SLOW,
        ),
    ),
    Group(
        "an agent that does not start",
        ("start.ready",),
        Edit(
            "examples/mainpc-pc2/agents/language.py",
            "from __future__ import annotations\n",
            "from __future__ import annotations\n\nraise OSError('planted')\n",
        ),
    ),
    Group(
        "a supervisor that sleeps",
        ("start.against-levels",),
        Edit("src/argosy/engine/supervisor/entrypoint.py", "import asyncio\n", _SLOW + "import asyncio\n"),
    ),
    Group(
        "a hub that acknowledges before it writes",
        ("hub.lost",),
        Edit("tests/hub/trial.py", "if {broken}:", "if True:"),
    ),
    Group(
        "a source that submits everything twice",
        ("hub.twice",),
        Edit(
            "tests/hub/trial.py",
            'source="writer", events=events, sequence=number)\n',
            'source="writer", events=events, sequence=number)\n'
            '        until_acknowledged("submit_events", source="again", events=events, sequence=number)\n',
        ),
    ),
    Group(
        "a call that waits",
        ("messages.*",),
        Edit(
            "src/argosy/wire/client/sync_peer.py",
            "        slot = _ReplySlot()\n",
            "        __import__('time').sleep(0.0005)\n        slot = _ReplySlot()\n",
        ),
    ),
    Group(
        "an image with an unneeded package",
        ("images.light", "images.light-against-naive"),
        Edit(
            "examples/mainpc-pc2/agents/core.py",
            "import msgspec\n",
            "import msgspec\nimport numpy\n",
        ),
    ),
    Group(
        "an import that is missing in an image",
        ("images.failing-imports",),
        Edit(
            "examples/mainpc-pc2/agents/core.py",
            "import msgspec\n",
            "import msgspec\n\n__import__('nowhere')\n",
        ),
    ),
    Group(
        "code that no test runs",
        ("covered.*",),
        Edit(
            "src/argosy/fleet/fleet_discovery.py",
            FUTURE,
            FUTURE + "\nif __name__ == 'nowhere':\n" + "    print(1)\n" * 400,
        ),
    ),
    Group(
        "a heavy import",
        ("light.*",),
        Edit("src/argosy/agent/__init__.py", "import importlib\n", "import importlib\n" + _HEAVY),
    ),
)
# Two defects that a refit could have; its gates prevent both.
_HELPERS = """

def _hurt(tree: Path, repaired: dict[str, str]) -> None:
    for path in sorted(repaired):
        if path.endswith("__init__.py"):
            (tree / path).write_text("import zmq\\ncontext = zmq.Context()\\ndef (((:\\n")
    own = ["import zmq", "", "", "def ask():", "    context = zmq.Context()"]
    own += ["    return context.socket(zmq.PUB)", ""]
    (tree / "written_by_nobody.py").write_text("\\n".join(own))


def _forget(tree: Path) -> None:
    for path in sorted(tree.rglob("*.py"))[:200]:
        text = path.read_text(errors="replace")
        path.write_text(text.replace("import os\\n", "", 1))


def _more("""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", metavar="GLOB", default="*", help="only regressions of these metrics")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    began = time.monotonic()
    known = {row["name"] for row in _report(ROOT) if row["status"] != "unproven"}
    covered = {
        name for name in known for group in GROUPS for glob in group.caught if fnmatch.fnmatch(name, glob)
    }
    inapplicable = [
        group.name
        for group in GROUPS
        if isinstance(group.plant, Edit) and not group.plant.is_applicable(ROOT)
    ]
    if inapplicable:
        raise SystemExit(f"the code has changed, these edits do not apply: {', '.join(inapplicable)}")
    rows: list[dict[str, Any]] = [
        {"plant": "none", "metric": name, "caught": False} for name in sorted(known - covered)
    ]
    for group in GROUPS:
        if any(fnmatch.fnmatch(name, options.only) for name in known if _is_of(name, group)):
            rows += _run_group(group, known)
    refuted = _false_claim()
    missed = [row for row in rows if not row["caught"]]
    result = {
        "argosy": "planted/1",
        "plants": rows,
        "false_claim": refuted,
        "seconds": round(time.monotonic() - began, 1),
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for row in rows:
            print(f"{'caught' if row['caught'] else 'MISSED'}  {row['metric']:<28} {row['plant']}")
        print(f"a false claim: {refuted}")
    return 1 if missed or refuted != "refuted" else 0


def _is_of(name: str, group: Group) -> bool:
    return any(fnmatch.fnmatch(name, glob) for glob in group.caught)


def _run_group(group: Group, known: set[str]) -> list[dict[str, Any]]:
    """Apply a group, check, and return for each of its metrics whether it was reported as worse."""
    place = Path(tempfile.mkdtemp(prefix="argosy-planted-"))
    try:
        checkout = _copy(place)
        tree = place / "tree"
        if group.plant is damage_tree:
            _copy_tree(Path(os.environ["ARGOSY_CORPUS"]), tree)
        else:
            Edit(PROMISES, "\n\ndef _more(", _HELPERS)(checkout, tree)
        group.plant(checkout, tree)
        wanted = sorted(name for name in known if _is_of(name, group))
        env = {"ARGOSY_CORPUS": str(tree)} if tree.exists() else {}
        sys.stderr.write(f"seeded: {group.name}; {', '.join(wanted)}\n")
        words = [word for name in wanted for word in ("--only", name)]
        check = _argosy(["track", "check", *words, "--json"], {**env, **_code(checkout)}, checkout)
        worse = {each["metric"]: each["because"] for each in check["worse"]}
        for name in wanted:
            sys.stderr.write(f"  {'caught' if name in worse else 'MISSED'}: {name}: {worse.get(name, '')}\n")
        return [
            {"plant": group.name, "metric": name, "caught": name in worse, "because": worse.get(name, "")}
            for name in wanted
        ]
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _false_claim() -> str:
    """Add a false claim to a copy and return its verdict."""
    place = Path(tempfile.mkdtemp(prefix="argosy-planted-"))
    try:
        checkout = _copy(place)
        claim = "    claimed:\n      - {text: planted, source: planted, metric: modules, value: 0}\n"
        Edit("track.yaml", "    title: Light to import\n", "    title: Light to import\n" + claim)(
            checkout, place
        )
        report = _argosy(["track", "report", "--json"], _code(checkout), checkout)
        return next(
            str(each["verdict"])
            for one in report["objectives"]
            for each in one["claims"]
            if each["text"] == "planted"
        )
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copy(place: Path) -> Path:
    """Return a copy of the checkout, without ignored files, with the same ledger and environment."""
    checkout = place / "argosy"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_file():
            shutil.copy2(ROOT / name, target)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    return checkout


def _code(checkout: Path) -> dict[str, str]:
    return {"PYTHONPATH": str(checkout / "src")}


def _copy_tree(source: Path, tree: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, tree, symlinks=True)
        return
    tree.mkdir()
    with tarfile.open(source) as archive:  # `tar` would need `xz`
        archive.extraction_filter = lambda member, _: member
        archive.extractall(tree)


def _report(root: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _argosy(["track", "report", "--json"], {}, root)["metrics"]
    return rows


def _argosy(words: Sequence[str], env: dict[str, str], cwd: Path = ROOT) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "argosy", *words],
        cwd=cwd,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    if answer["argosy"] == "error/1":
        raise SystemExit(f"argosy {' '.join(words)}: {answer['errors']}")
    return answer


if __name__ == "__main__":
    os.environ.setdefault("ARGOSY_CORPUS", str(ROOT.parent / "shared" / "corpus" / "monorepo-before.tar.xz"))
    sys.exit(main())
