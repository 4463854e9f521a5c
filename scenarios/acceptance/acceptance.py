"""Counts the findings of a tree before and after argosy's verbs migrate it. Nothing of the tree is run.

`import`, `repair --apply` and `refit --apply` run on a copy; `audit` counts before, in between, and after.
Files that do not parse hide findings, so `after` is to be compared with `readable`, the counts after the
repair. Breakage is counted too: files that no longer parse, names that are no longer defined, files that a
second refit would change, and files that differ after the undo.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

# Each program prints its memory and threads: 50 users in one process, with one context each or a shared one.
_OLD = """
import os, zmq
{make}
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[1])
print(pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/task")))
"""
_NONE = "kept = []"
_OWN = """
kept = [zmq.Context() for _ in range(50)]
kept += [context.socket(zmq.REQ) for context in kept]
"""
_SHARED = """
from argosy.wire import context
kept = [context() for _ in range(50)]
kept += [one.socket(zmq.REQ) for one in kept]
"""
_FAMILIES = {
    "health_loops": ("H201",),
    "health_servers": ("H202",),
    "contexts": ("Z301",),
    "contexts_ended": ("Z302",),
    "addresses": ("A401", "A402"),
    "addresses_elsewhere": ("A403",),
    "undefined": ("S102", "S104"),
    "imports_missing": ("S103",),
    "container_files": ("I603",),
    "copies": ("C701",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tree", required=True, type=Path, help="a folder, or a tar archive of one; it is not changed"
    )
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="file that `import` reads, relative to the tree (default: the whole tree); repeatable",
    )
    parser.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="MACHINE=HOST",
        help="address of a machine in development, if no file has it; repeatable",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    if not options.tree.exists():
        parser.error(f"there is no tree `{options.tree}`")
    began = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="argosy-promises-"))
    try:
        result = {"argosy": "promises/1", **_refit_tree(options, place), "memory": _memory()}
    finally:
        shutil.rmtree(place, ignore_errors=True)
    result["seconds"] = round(time.monotonic() - began, 1)
    if options.json:
        print(json.dumps(result, indent=2))
        return 0
    for name in result["before"]:
        print(
            f"{name:<22}" + "".join(f"{result[when][name]:>10}" for when in ("before", "readable", "after"))
        )
    for part in ("refit", "memory"):
        print(f"{part}: " + ", ".join(f"{name} {value}" for name, value in result[part].items()))
    return 0


def _refit_tree(options: argparse.Namespace, place: Path) -> dict[str, Any]:
    tree = place / "tree"
    _copy_tree(options.tree, tree)
    before = _audit(tree)
    _argosy("import", *(str(tree / each) for each in options.config or ["."]), "-o", str(tree / "fleet.yaml"))
    _write_addresses(tree / "fleet.yaml", dict(each.split("=", 1) for each in options.address))
    _argosy("repair", str(tree), "--apply")
    repaired = _digests(tree)
    readable = _audit(tree)
    refit = _argosy("refit", str(tree), "--apply", "--dirty")
    changed = _digests(tree)
    after = _audit(tree)
    again = _argosy("refit", str(tree), "--dirty")
    if refit["run"]:
        _argosy("refit", str(tree), "--undo", refit["run"])
    undone = _digests(tree)
    parsed_then = set(before["sizes"]) - set(before["broken"])
    return {
        "before": before["counts"],
        "readable": readable["counts"],
        "after": after["counts"],
        "refit": {
            "changed": len([path for path in changed if changed[path] != repaired.get(path)]),
            "migrated": sum(each["migrated"] for each in refit["sites"].values()),
            "refused": sum(each["refused"] for each in refit["sites"].values()),
            "newly_broken": len(parsed_then & set(after["broken"])),
            "newly_undefined": _more(before["undefined"], after["undefined"], parsed_then),
            "second_run": len(again["changed"]),
            "left_by_undo": sum(undone.get(path) != digest for path, digest in repaired.items()),
        },
    }


def _write_addresses(fleet: Path, addresses: dict[str, str]) -> None:
    """Write the addresses of `--address` into the fleet file."""
    if addresses:
        document = yaml.safe_load(fleet.read_text())
        document["environments"]["development"] |= addresses
        fleet.write_text(yaml.safe_dump(document, sort_keys=False))


def _more(before: Counter[tuple[str, str]], after: Counter[tuple[str, str]], paths: set[str]) -> int:
    """Return the number of new findings in files that parsed before."""
    return sum(count for (path, _), count in (after - before).items() if path in paths)


def _copy_tree(source: Path, tree: Path) -> None:
    if source.is_dir():
        shutil.copytree(
            source, tree, symlinks=True, ignore=shutil.ignore_patterns(".git", ".argosy", "__pycache__")
        )
        return
    tree.mkdir()
    with tarfile.open(source) as archive:  # `tar` would need `xz`
        archive.extraction_filter = lambda member, _: member
        archive.extractall(tree)


def _audit(tree: Path) -> dict[str, Any]:
    audit = _argosy("audit", str(tree))
    counts = {name: sum(audit["counts"].get(code, 0) for code in codes) for name, codes in _FAMILIES.items()}
    undefined = Counter(
        (each["path"], f"{each['code']} {each['message']}")
        for each in audit["findings"]
        if each["code"] in _FAMILIES["undefined"]
    )
    sizes = [str(path.relative_to(tree)) for path in tree.rglob("*.py")]
    return {
        "counts": {"files": audit["files"], "unparseable": len(audit["unparseable"]), **counts},
        "broken": audit["unparseable"],
        "undefined": undefined,
        "sizes": sizes,
    }


def _digests(tree: Path) -> dict[str, str]:
    return {
        str(path.relative_to(tree)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in tree.rglob("*")
        if path.is_file() and not path.is_symlink() and ".argosy" not in path.relative_to(tree).parts
    }


def _memory() -> dict[str, float]:
    """Return the memory and threads of 50 users with a context each and with a shared one."""
    (base, threads), (own, own_threads), (shared, shared_threads) = (
        _measure_program(_OLD.format(make=make)) for make in (_NONE, _OWN, _SHARED)
    )
    return {
        "own_kib_each": round((own - base) / 1024 / 50, 1),
        "shared_kib_each": round((shared - base) / 1024 / 50, 1),
        "saved_kib_each": round((own - shared) / 1024 / 50, 1),
        "own_threads": own_threads - threads,
        "shared_threads": shared_threads - threads,
    }


def _measure_program(program: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    weight, threads = done.stdout.split()
    return int(weight), int(threads)


def _argosy(*words: str) -> dict[str, Any]:
    """Run a verb with `--json` and return its JSON; exit code 1 is accepted."""
    began = time.monotonic()
    command: Sequence[str] = [sys.executable, "-m", "argosy", *words, "--json"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=os.environ)
    sys.stderr.write(f"argosy {words[0]}: {time.monotonic() - began:.1f} s\n")
    if done.returncode not in (0, 1):
        sys.exit(
            f"argosy {' '.join(words)} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    sys.exit(main())
