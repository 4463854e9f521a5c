"""Start the fleet of a tree from its own code, before and after argosy migrates it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from realfleet import environments
from realfleet.decisions import read_decisions
from realfleet.progress import ScenarioError
from realfleet.rounds import ScenarioRounds
from realfleet.run_folder import run_folder
from realfleet.summary_page import render_page
from realfleet.text_report import render_text


def main() -> int:
    """Run the scenario, print its result, and return the exit code."""
    args = _arguments()
    if args.page:
        sys.stdout.write(render_page(json.loads(args.page.read_text(encoding="utf-8"))))
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    began_s = time.monotonic()
    try:
        with run_folder(keep=args.keep) as room:
            told = _run(args, room)
    except ScenarioError as error:
        _complain(error, args.as_json)
        return 3
    except KeyboardInterrupt:
        return 130
    told["seconds"] = round(time.monotonic() - began_s, 1)
    sys.stdout.write((json.dumps(told) if args.as_json else render_text(told)) + "\n")
    return 0 if told["after"]["ready"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tree", type=Path, metavar="PATH", help="a folder, or a tar archive of one")
    what.add_argument("--page", type=Path, metavar="FILE", help="print the result of a full run as a page")
    parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")
    parser.add_argument("--full", action="store_true", help="also without decisions, and the ablation")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="without the untouched tree and the audit, and settle for 5 s only",
    )
    parser.add_argument(
        "--decisions", type=Path, metavar="FILE", default=environments.HERE / "decisions.yaml"
    )
    parser.add_argument("--base", metavar="VENV", help="take the packages from this environment")
    parser.add_argument("--no-before", action="store_true", help="skip the untouched tree")
    parser.add_argument(
        "--settle", type=float, default=15.0, metavar="S", help="wait this long after the last start"
    )
    parser.add_argument("--keep", action="store_true", help="keep the folder of the run and print its path")
    args = parser.parse_args()
    if args.quick:
        args.no_before, args.settle = True, min(args.settle, 5.0)
    return args


def _run(args: argparse.Namespace, room: Path) -> dict[str, Any]:
    decisions = read_decisions(args.decisions)
    base = environments.cached_base(args.base)
    bin_ = environments.own_environment(base, room / "env")
    rounds = ScenarioRounds(
        args.tree.resolve(), room, bin_, decisions, args.settle, with_audit=not args.quick
    )
    return rounds.all(is_full=args.full, with_before=not args.no_before)


def _complain(error: ScenarioError, as_json: bool) -> None:
    sys.stderr.write(f"error: {error}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
    if as_json:
        fault = {"where": "", "code": "scenario", "message": str(error), "hint": error.hint}
        sys.stdout.write(json.dumps({"argosy": "error/1", "errors": [fault]}) + "\n")


sys.exit(main())
