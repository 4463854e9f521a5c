"""Mutation tests: change one expression of a part, and see whether the tests of the part notice.

`script/mutate [AREA ...]` draws a random sample of the mutants that cosmic-ray finds in an area, applies
one after the other to a clone of the committed tree, and runs the tests of the area until the first
failure: those that mirror the changed module first. A mutant that no test notices has survived. It runs in
an environment of its own (requirements/mutate.txt), not in pytest.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.commands import execute, init
from cosmic_ray.config import ConfigDict
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkItem

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 600.0


class Area(NamedTuple):
    """modules: files and folders under src/argosy. tests: folders of tests, the likeliest to notice first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]


AREAS = {
    "wire": Area(
        ("wire",),
        (
            "tests/wire/protocol",
            "tests/wire/server",
            "tests/wire/pubsub",
            "tests/wire/zmq_context",
            "tests/wire",
            "tests/agent",
        ),
    ),
    "engine": Area(
        (
            "engine/state",
            "engine/unit/restart_policy.py",
            "engine/unit/dependency_state.py",
            "engine/protocol/state_machine.py",
        ),
        ("tests/engine/state", "tests/engine/unit", "tests/engine/protocol", "tests/engine/supervisor"),
    ),
    "refit": Area(
        ("refit/transaction",),
        ("tests/refit/transaction", "tests/refit/codemods", "tests/refit/repair"),
    ),
    "hub": Area(("hub/store",), ("tests/hub/store", "tests/hub")),
}

# One mutant for each thing that can be wrong at a place: a boundary, a negation, a constant, a branch. Left
# out are `X | Y` (here nearly always a type) and the other eleven operators for the same `+`.
OPERATORS = {
    "core/AddNot", "core/NumberReplacer", "core/ZeroIterationForLoop", "core/ExceptionReplacer",
    "core/ReplaceAndWithOr", "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse", "core/ReplaceFalseWithTrue",
    "core/ReplaceBreakWithContinue", "core/ReplaceContinueWithBreak", "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceComparisonOperator_Eq_NotEq", "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceComparisonOperator_Lt_LtE", "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Gt_GtE", "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Is_IsNot", "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceBinaryOperator_Add_Sub", "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div", "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Mul", "core/ReplaceBinaryOperator_Mod_Mul",
}  # fmt: skip


def _clone(folder: Path) -> Path:
    """Return a clone of the committed tree with an environment of its own."""
    clone = folder / "argosy"
    if not clone.exists():
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    subprocess.run([str(clone / "script/setup"), "dev"], check=True)
    return clone


def run_tests(clone: Path, area: Area) -> int:
    """Run the tests of an area in a clone until the first failure; return pytest's exit code.

    First come the test file and the folder that mirror a changed module: most mutants end there.
    """
    diff = ["git", "-C", str(clone), "diff", "--name-only", "HEAD", "--", "src/argosy"]
    changed = subprocess.run(diff, check=True, capture_output=True, text=True).stdout.split()
    nearest: list[Path] = []
    for path in (Path(each).relative_to("src/argosy") for each in changed):
        folder = Path("tests") / path.parent
        nearest += [folder / f"test_{path.stem}.py", folder]
    tests = [str(clone / each) for each in (*nearest, *area.tests) if (clone / each).exists()]
    pytest = [str(clone / ".venv/bin/pytest"), "-x", "-q", "-p", "no:cacheprovider", f"--rootdir={clone}"]
    return subprocess.run([*pytest, *dict.fromkeys(tests)], check=False, stdout=sys.stderr).returncode


def _config(clone: Path, name: str) -> ConfigDict:
    area = AREAS[name]
    return ConfigDict(
        {
            "module-path": [str(clone / "src/argosy" / each) for each in area.modules],
            "timeout": TIMEOUT_S,
            "excluded-modules": [],
            "test-command": f"{sys.executable} {__file__} --tests-of {name} --folder {clone.parent}",
            "distributor": {"name": "local"},
        }
    )


def _sample(db: WorkDB, modules: list[Path], config: ConfigDict, size: int, seed: int) -> None:
    """Fill a new session with `size` mutants drawn at random."""
    init(modules, db, config.operators_config)
    found = sorted(
        (item for item in db.work_items if {each.operator_name for each in item.mutations} <= OPERATORS),
        key=lambda item: [
            (str(m.module_path), m.start_pos, m.operator_name, m.occurrence) for m in item.mutations
        ],
    )
    chosen = random.Random(seed).sample(found, min(size, len(found)))
    db.clear()
    db.add_work_items(chosen)


def _survivor(clone: Path, item: WorkItem, diff: str) -> dict[str, object]:
    change = item.mutations[0]
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    place = f"{Path(change.module_path).relative_to(clone)}:{change.start_pos[0]}"
    return {"place": place, "operator": change.operator_name.removeprefix("core/"), "diff": lines}


def measure(clone: Path, name: str, session: Path, size: int, seed: int) -> dict[str, object]:
    """Run the mutants of one area that have no result yet, and return its account."""
    config = _config(clone, name)
    paths = [clone / "src/argosy" / each for each in AREAS[name].modules]
    modules = [found for path in paths for found in ([path] if path.is_file() else path.rglob("*.py"))]
    with use_db(session) as db:
        if not db.num_work_items:
            if run_tests(clone, AREAS[name]):
                raise SystemExit(f"error: the tests of {name} fail without a mutant")
            _sample(db, modules, config, size, seed)
        execute(db, config)
        done = list(db.completed_work_items)
    outcomes = Counter(result.test_outcome.value for _, result in done)
    judged = outcomes["killed"] + outcomes["survived"]
    return {
        "mutants": len(done),
        **outcomes,
        "score": round(outcomes["killed"] / judged, 3) if judged else None,
        "survivors": [
            _survivor(clone, item, result.diff or "")
            for item, result in done
            if result.test_outcome is TestOutcome.SURVIVED
        ],
    }


def main() -> int:
    """Measure the areas named on the command line, all by default; print the account as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"one of: {', '.join(AREAS)} (default: all)")
    parser.add_argument("--sample", type=int, default=100, help="mutants of an area (default: 100)")
    parser.add_argument("--seed", type=int, default=1, help="random seed of the sample (default: 1)")
    parser.add_argument("--folder", type=Path, help="keep the clone and the sessions here, and continue them")
    parser.add_argument("--tests-of", choices=AREAS, help=argparse.SUPPRESS)  # as the judge of one mutant
    options = parser.parse_args()
    if options.tests_of:
        return run_tests(options.folder / "argosy", AREAS[options.tests_of])
    if unknown := set(options.areas) - set(AREAS):
        parser.error(f"no such area: {', '.join(sorted(unknown))}; there are {', '.join(AREAS)}")
    folder = options.folder or Path(tempfile.mkdtemp(prefix="argosy-mutation-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        clone = _clone(folder)
        commit = subprocess.run(
            ["git", "-C", str(clone), "rev-parse", "--short", "HEAD"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        account: dict[str, object] = {
            "argosy": "mutation/1",
            "commit": commit,
            "date": datetime.date.today().isoformat(),
            "sample": options.sample,
            "seed": options.seed,
            "areas": {},
        }
        for name in options.areas or AREAS:
            print(f"mutating {name}", file=sys.stderr)
            session = folder / f"{name}.sqlite"
            account["areas"][name] = measure(clone, name, session, options.sample, options.seed)  # type: ignore[index]
        print(json.dumps(account, indent=1))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
