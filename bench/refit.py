"""Measures audits and refits of a whole tree: their time, their results, and other tools on the same files.

`python bench/refit.py [--json] [--quick] [--tree PATH]`; needs `argosy[bench]`. The method is in
bench/README.md.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from refit_cases.sample_trees import unpack_tree
from refit_cases.timed_commands import argosy, parsed_json, run
from refit_cases.tree_effects import compiles, digests, new_undefined, undefined_names
from testbed.bytecode_warmup import compile_packages
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench

PACKAGES = ("argosy", "msgspec", "yaml", "pyflakes", "libcst")
HERE = Path(__file__).resolve().parent
STARTUP = "config/startup_config.yaml"
SAMPLE, QUICK_SAMPLE = 24, 8
# One tick of the file system's clock, by which a changed file is recognized.
SETTLE_S = 0.1
# Time reserved for applying and undoing, and for repairing.
LAST_S = 18.0
# With --quick, repairing may end this much later than the rest: it reads files that no other step reads.
REPAIR_S = 50.0

METHOD = [
    "each command is a process of its own, as a user runs it; seconds from its start to its end",
    "audit.cold: all rules, empty cache; warm: nothing changed; one_file: a line was appended to one file",
    "audit.moved: a line was inserted after the first line of one file, which moves all that follows",
    "audit.rss: the largest resident size of any process of a cold audit",
    "refit.plan: every rewrite and every gate, nothing written; the fleet file is the tree's, or imported",
    "refit.apply: the same, written as a run; once",
    "…/pyflakes: the goals in seconds over 2.0 s, pyflakes' time on the machine where they were set",
    "pyflakes: one process over the tree; ruff: `--select F821,F822,F823,E9 --no-cache` over the tree",
    "refit.contexts/libcst: Z301 over the same files in a folder of their own, process starts included",
    "contexts.migrated: of all sites of Z301 in files that parse",
    "fallbacks.migrated: of those sites of A402 that name a machine; of_all: loopback included",
    "health.migrated: of the pure responders among the sites of H201 (conditions 1 and 2)",
    "newly_broken: by compile(); new_undefined: by pyflakes, in files that were changed",
    "second_run: files that a second `refit --apply` changes; undo: files that differ after `--undo`",
    "repaired: files for which `argosy repair` has a proposal that parses, of those that do not parse",
]


class RefitResults(msgspec.Struct, frozen=True):
    """The results by label: seconds and bytes, one per round; shares; counts; skipped rows."""

    series: dict[str, list[float]]
    shares: dict[str, tuple[int, int]]
    counts: dict[str, int]
    skipped: dict[str, str]


class RefitBench(msgspec.Struct, frozen=True):
    """The folders of one run. tree: the original; work: a copy; sample: copies of some of `owners`.

    owners: the files with contexts of their own, relative to the tree.
    """

    tree: Path
    work: Path
    sample: Path
    owners: list[Path]


def measure(options: Options) -> Result:
    """Run the rounds, then apply and undo one refit, and return the results."""
    machine = this_machine()
    compile_packages(PACKAGES)
    findings = RefitResults(defaultdict(list), {}, {}, {})
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as folder:
        bench, what = prepare(Path(folder), options)
        log_progress(f"tree: {what}")
        steps = [audit_round, plan_round, pyflakes_round, ruff_round, contexts_round]
        for number, step in interleave(options.rounds, steps, options.deadline_s - LAST_S):
            if options.quick and number and step in ONCE:
                continue
            step(bench, number, findings)
            log_progress(f"round {number + 1} of {options.rounds}, {step.__name__}")
        apply_once(bench, findings)
        log_progress("applied and undone")
        if time.monotonic() + LAST_S < options.deadline_s + REPAIR_S:
            repair_once(bench, findings)
        else:
            findings.skipped["repair.parses"] = "--quick: no time was left"
    return Result(
        name="refit",
        machine=machine,
        ratios=ratios(findings),
        values=values(findings),
        skipped=findings.skipped,
        method=[f"tree: {what}", *METHOD],
    )


def prepare(folder: Path, options: Options) -> tuple[RefitBench, str]:
    """Unpack the tree twice, with a fleet file, and copy the sample."""
    tree, work, sample = folder / "tree", folder / "work", folder / "sample"
    what = unpack_tree(options.tree, tree)
    add_fleet(tree, folder / "cache")
    shutil.copytree(tree, work, symlinks=True)
    size = QUICK_SAMPLE if options.quick else SAMPLE
    owners = [path for path in sorted(tree.rglob("*.py")) if _owns_context(path)]
    for number, path in enumerate(owners[:: max(len(owners) // size, 1)][:size]):
        sample.mkdir(exist_ok=True)
        shutil.copy(path, sample / f"m{number:02}_{path.name}")
    return RefitBench(tree, work, sample, [path.relative_to(tree) for path in owners]), what


def _owns_context(path: Path) -> bool:
    return not path.is_symlink() and b"zmq.Context()" in path.read_bytes() and compiles(path)


def add_fleet(tree: Path, cache: Path) -> None:
    """Import a fleet file from a tree's startup configs if it has none; rules and rewrites need one.

    Such configs do not say which machine has which address. A person would add that; here every address that
    is the fallback of a variable becomes a service of its own.
    """
    configs = sorted(map(str, tree.glob(f"*/{STARTUP}")))
    fleet = tree / "fleet.yaml"
    if not configs or fleet.exists():
        return
    words = ["import", *configs, "-o", str(fleet), "--json"]
    argosy(*words, cache=cache)
    found = parsed_json(argosy("audit", str(tree), "--select", "A402", "--json", cache=cache))["findings"]
    hosts = sorted({item["message"].split("`")[1] for item in found if item["action"] == "auto"})
    addresses = [f"--address=host{number}={host}" for number, host in enumerate(hosts)]
    argosy(*words, "--force", *addresses, cache=cache)


def audit_round(bench: RefitBench, number: int, findings: RefitResults) -> None:
    """Audit with an empty cache, again, and after an edit."""
    cache = bench.work.parent / f"cache-{number}"
    cold = argosy("audit", str(bench.work), "--json", cache=cache)
    time.sleep(SETTLE_S)
    argosy("audit", str(bench.work), "--json", cache=cache)  # files written in the same tick are read again
    warm = argosy("audit", str(bench.work), "--json", cache=cache)
    edited = bench.work / bench.owners[number]
    edited.write_bytes(edited.read_bytes() + b"# an edit\n")
    time.sleep(SETTLE_S)
    one = argosy("audit", str(bench.work), "--json", cache=cache)
    first, _, rest = edited.read_bytes().partition(b"\n")
    edited.write_bytes(b"%s\n# an edit\n%s" % (first, rest))
    time.sleep(SETTLE_S)
    moved = argosy("audit", str(bench.work), "--json", cache=cache)
    for label, done in (("cold", cold), ("warm", warm), ("one_file", one), ("moved", moved)):
        findings.series[f"audit.{label}_s"].append(done.seconds)
    findings.series["audit.rss_mib"].append(cold.rss_bytes / 2**20)
    findings.counts["audit.findings"] = len(parsed_json(cold)["findings"])
    findings.counts["audit.failures"] = len(parsed_json(cold)["failures"])


def plan_round(bench: RefitBench, number: int, findings: RefitResults) -> None:
    """Plan every rewrite of the tree."""
    done = argosy("refit", str(bench.work), "--json", cache=bench.work.parent / "cache")
    findings.series["refit.plan_s"].append(done.seconds)


def pyflakes_round(bench: RefitBench, number: int, findings: RefitResults) -> None:
    """Run pyflakes over the tree."""
    done = run([sys.executable, "-m", "pyflakes", str(bench.work)])
    findings.series["pyflakes_s"].append(done.seconds)


def ruff_round(bench: RefitBench, number: int, findings: RefitResults) -> None:
    """Let ruff parse the tree and check for undefined names."""
    words = [sys.executable, "-m", "ruff", "check", "--isolated", "--no-cache", "--quiet"]
    done = run([*words, "--select", "F821,F822,F823,E9", "--output-format", "json", str(bench.work)])
    findings.series["ruff_s"].append(done.seconds)


def contexts_round(bench: RefitBench, number: int, findings: RefitResults) -> None:
    """Rewrite the contexts of the sample, by argosy and by LibCST."""
    if importlib.util.find_spec("libcst") is None:
        findings.skipped["refit.contexts/libcst"] = "libcst is not installed"
        return
    if not bench.sample.is_dir():
        findings.skipped["refit.contexts/libcst"] = "the tree has no context of its own"
        return
    own = argosy("refit", str(bench.sample), "--select", "Z301", "--json", cache=bench.work.parent / "cache")
    peer = run([sys.executable, str(HERE / "refit_cases/by_libcst.py"), str(bench.sample)])
    findings.series["contexts.argosy_s"].append(own.seconds)
    findings.series["contexts.libcst_s"].append(peer.seconds)
    findings.counts["contexts.sites_of_libcst"] = int(peer.stdout)


def apply_once(bench: RefitBench, findings: RefitResults) -> None:
    """Apply a refit to the original tree, check it, run it again, and undo it."""
    tree, cache = bench.tree, bench.work.parent / "cache"
    before = digests(tree)
    parses = {path for path in before if path.endswith(".py") and compiles(tree / path)}
    names = {path: undefined_names(tree / path) for path in parses}
    words = [str(tree), "--json"]
    audited = parsed_json(argosy("audit", *words, "--select", "A402", cache=cache))
    applied = argosy("refit", *words, "--apply", cache=cache)
    findings.series["refit.apply_s"].append(applied.seconds)
    done = parsed_json(applied)
    changed = done["changed"]
    findings.counts["refit.changed_files"] = len(changed)
    findings.counts["refit.newly_broken"] = sum(
        path not in parses or not compiles(tree / path) for path in changed
    )
    findings.counts["refit.new_undefined"] = new_undefined(names, tree, [p for p in changed if p in parses])
    findings.counts["refit.changed_behind_its_back"] = len(
        {path for path, digest in digests(tree).items() if before.get(path) != digest} ^ set(changed)
    )
    shares(findings, done, audited)
    again = parsed_json(argosy("refit", *words, "--apply", cache=cache))
    findings.counts["refit.second_run_changes"] = len(again["changed"])
    if again["run"]:
        argosy("refit", str(tree), "--undo", "--json", cache=cache)
    argosy("refit", str(tree), "--undo", "--json", cache=cache)
    after = digests(tree)
    findings.counts["refit.undo_differs"] = len(
        {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}
    )


def shares(findings: RefitResults, done: dict[str, Any], audited: dict[str, Any]) -> None:
    """Add the shares of migrated sites, from the result of a refit."""
    machines = sum(item["code"] == "A402" and item["action"] == "auto" for item in audited["findings"])
    for label, code, total in (
        ("contexts.migrated", "Z301", 0),
        ("fallbacks.migrated", "A402", machines),
        ("fallbacks.migrated_of_all", "A402", 0),
    ):
        sites = done["sites"].get(code, {"migrated": 0, "refused": 0})
        if total := total or sites["migrated"] + sites["refused"]:
            findings.shares[label] = (min(sites["migrated"], total), total)
        else:
            findings.skipped[label] = f"the tree has no site of {code}"
    migrated = done["sites"].get("H201", {}).get("migrated", 0)
    stay = [item["reason"] for item in done["refused"] if item["code"] == "H201"]
    if pure := migrated + sum(not reason.startswith(NO_RESPONDER) for reason in stay):
        findings.shares["health.migrated"] = (migrated, pure)


def repair_once(bench: RefitBench, findings: RefitResults) -> None:
    """Ask for proposals for every file that does not parse."""
    done = argosy("repair", str(bench.tree), "--json", cache=bench.work.parent / "cache")
    files = parsed_json(done)["files"]
    broken = {path: item for path, item in files.items() if not compiles(bench.tree / path)}
    findings.series["repair.plan_s"].append(done.seconds)
    if broken:
        findings.shares["repair.parses"] = (sum(item["parses"] for item in broken.values()), len(broken))


# The reasons by which a refit refuses a health loop that does more than answer.
NO_RESPONDER = ("condition 1:", "condition 2:")
# With --quick these run in the first round only.
ONCE = (plan_round, ruff_round, contexts_round)


def ratios(findings: RefitResults) -> dict[str, Ratio]:
    """Return argosy's seconds over those of the other tools, per round."""
    series = findings.series
    found: dict[str, Ratio] = {}
    for label in TIMED:
        own = series[f"{label}_s"]
        peer = series["pyflakes_s"][: len(own)]
        found[f"{label}/pyflakes"] = ratio_of(own, peer, goal=GOALS[f"{label}_s"] / PYFLAKES_S, unit="s")
    if series.get("contexts.libcst_s"):
        found["refit.contexts/libcst"] = ratio_of(
            series["contexts.argosy_s"], series["contexts.libcst_s"], goal=0.1, unit="s"
        )
    return found


GOALS = {
    "audit.cold_s": 3.0,
    "audit.warm_s": 0.3,
    "audit.one_file_s": 0.15,
    "audit.moved_s": 0.15,
    "refit.plan_s": 5.0,
    "refit.apply_s": 5.0,
    "audit.rss_mib": 100.0,
    "audit.failures": 0,
    "refit.newly_broken": 0,
    "refit.new_undefined": 0,
    "refit.changed_behind_its_back": 0,
    "refit.second_run_changes": 0,
    "refit.undo_differs": 0,
}
TIMED = ("audit.cold", "audit.warm", "audit.one_file", "audit.moved", "refit.plan", "refit.apply")
# Pyflakes' seconds for the reference tree on the machine where the goals were set; others may be slower.
PYFLAKES_S = 2.0
# Of the reference tree: 250 of 278 contexts, nine of ten fallbacks, 150 of 194 broken files.
SHARES = {"contexts.migrated": 0.8993, "fallbacks.migrated": 0.9, "repair.parses": 0.7732}


def values(findings: RefitResults) -> dict[str, Value]:
    """Return seconds and sizes as medians, the counts, and the shares."""
    found: dict[str, Value] = {}
    for label, series in findings.series.items():
        unit = "MiB" if label.endswith("_mib") else "s"
        found[label] = value_of(series, unit, goal=GOALS.get(label))
    for label, count in findings.counts.items():
        found[label] = Value(count, GOALS.get(label), "lower", "", count, count, 1, of="count")
    for label, (done, total) in findings.shares.items():
        share = round(done / total, 4)
        goal = SHARES.get(label)
        found[label] = Value(share, goal, "higher", f"of {total}", share, share, total, of="count")
    return found


if __name__ == "__main__":
    sys.exit(run_bench("refit", (__doc__ or "").partition("\n")[0], measure, has_tree=True))
