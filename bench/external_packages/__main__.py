"""Refits published packages as they are and compares their own tests before and after.

`python bench/external_packages [--json] [PACKAGE...]`; needs PyPI and minutes, and root for network
namespaces. The method is in bench/README.md. Exit code 1: a test differs in every run, a second refit
changes files, or `--undo` does not restore every byte.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import msgspec
from packages import PACKAGES
from trial import Trial, TrialError, try_package

METHOD = [
    "each package's own tests, test by test, as published and after `argosy refit --apply`",
    "calls: of each rewritten place, in all processes of the tests; with 0 calls the tests prove nothing",
    "a test with another outcome is run alone twice more on both sides: it differs always or at times",
    "again: files that a second refit would change; undone: `--undo` restored every byte",
]


def main() -> int:
    """Try the packages and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="PACKAGE", help="only these")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the working files in this folder")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
    args = parser.parse_args()
    unknown = set(args.names) - {package.name for package in PACKAGES}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(p.name for p in PACKAGES)}")
    trials: list[Trial] = []
    failed: dict[str, str] = {}
    for package in PACKAGES:
        if args.names and package.name not in args.names:
            continue
        sys.stderr.write(f"{package.name} {package.version}\n")
        with ExitStack() as stack:
            if args.keep:
                folder = Path(args.keep, package.name).absolute()
                folder.mkdir(parents=True)
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="unseen-")))
            try:
                trials.append(try_package(package, folder))
            except TrialError as error:
                failed[package.name] = str(error)
    _show(trials, failed, as_json=args.as_json)
    return 1 if failed or not all(map(_is_good, trials)) else 0


def _is_good(trial: Trial) -> bool:
    return trial.undone and not trial.again and not any(each.is_steady for each in trial.differing)


def _show(trials: list[Trial], failed: dict[str, str], *, as_json: bool) -> None:
    if as_json:
        value = {"argosy": "unseen/1", "method": METHOD, "trials": trials, "failed": failed}
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
        return
    for trial in trials:
        sys.stdout.write("\n".join(_lines(trial)) + "\n\n")
    for name, why in failed.items():
        sys.stdout.write(f"{name}: not tried: {why}\n\n")


def _lines(trial: Trial) -> list[str]:
    counts = ", ".join(
        f"{code} {n['migrated']} migrated {n['refused']} refused" for code, n in trial.sites.items()
    )
    lines = [f"{trial.name} {trial.version}: {counts or 'no site'}"]
    lines.append(f"  tests before {trial.before}, after {trial.after}")
    lines += [
        f"  differs {'always' if d.is_steady else 'at times'}: {d.test} {d.before} {d.after}"
        for d in trial.differing
    ]
    lines += [f"  {place}: {count} calls" for place, count in trial.calls.items()]
    lines.append(f"  in {trial.processes} processes; again {trial.again}; undone {trial.undone}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
