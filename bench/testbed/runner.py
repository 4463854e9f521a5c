"""Runs a bench as a program: options, interleaved rounds, errors and cleanup."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

import msgspec

from argosy.engine.process.prctl import adopt_orphans
from argosy.fault import ArgosyError
from testbed.process_usage import kill_all
from testbed.result import Result
from testbed.result_table import render

T = TypeVar("T")

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/mainpc-pc2/fleet.yaml"
INTERRUPTED = 130
QUICK_ROUNDS = 2
FULL_ROUNDS = 5
QUICK_S = 48.0


class Options(msgspec.Struct, frozen=True):
    """The options of a run. quick: end within 50 s. rounds: how often each side is measured. fleet: its file.

    deadline_s: the time.monotonic() by which the bench must end.
    seconds: how long a timed bench runs; None for its default and for other benches.
    tree: the folder or archive of sources to measure with; None for the bench's own.
    """

    quick: bool
    rounds: int
    as_json: bool
    fleet: Path
    deadline_s: float
    seconds: float | None = None
    tree: Path | None = None


def run_bench(
    name: str,
    about: str,
    measure: Callable[[Options], Result],
    *,
    is_timed: bool = False,
    has_tree: bool = False,
) -> int:
    """Run a bench as a program and return its exit code; its processes are always ended.

    is_timed: it takes `--seconds`. has_tree: it takes `--tree`.
    """
    options = _parse(name, about, is_timed, has_tree)
    adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        _print_result(measure(options), options)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except ArgosyError as error:
        _print_errors(error, options)
        return error.exit_code
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        kill_all()


def interleave(
    rounds: int, items: Sequence[T], deadline_s: float = math.inf, clock: Callable[[], float] = time.monotonic
) -> Iterator[tuple[int, T]]:
    """Yield (round, item): each item once per round, every second round backwards, so that drift cancels out.

    deadline_s: the time of `clock` by which all rounds must end. A round does not begin if the longest round
    so far would not fit; the first round always begins.
    """
    longest_s = 0.0
    for number in range(rounds):
        began_s = clock()
        if number and began_s + longest_s > deadline_s:
            return
        for item in items if number % 2 == 0 else reversed(items):
            yield number, item
        longest_s = max(longest_s, clock() - began_s)


def log_progress(text: str) -> None:
    """Print a line of progress on stderr, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _parse(name: str, about: str, is_timed: bool, has_tree: bool) -> Options:
    parser = argparse.ArgumentParser(prog=f"bench/{name}.py", description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object (bench/1)")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds, within 50 s")
    parser.add_argument(
        "--rounds", type=int, help=f"number of rounds (default {FULL_ROUNDS}, with --quick {QUICK_ROUNDS})"
    )
    parser.add_argument(
        "--fleet", type=Path, default=EXAMPLE, help="fleet file (default: the example of 84 agents)"
    )
    if is_timed:
        parser.add_argument("--seconds", type=float, help="how long to run")
    if has_tree:
        parser.add_argument("--tree", type=Path, help="folder or archive of sources to measure with")
    args = parser.parse_args()
    if args.rounds is not None and args.rounds < 1:
        parser.error(f"argument --rounds: {args.rounds} is not a number of rounds, expected 1 or more")
    rounds = args.rounds or (QUICK_ROUNDS if args.quick else FULL_ROUNDS)
    deadline_s = time.monotonic() + QUICK_S if args.quick else math.inf
    seconds = args.seconds if is_timed else None
    tree = args.tree.resolve() if has_tree and args.tree is not None else None
    return Options(args.quick, rounds, args.json, args.fleet.resolve(), deadline_s, seconds, tree)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _print_result(result: Result, options: Options) -> None:
    print(msgspec.json.encode(result).decode() if options.as_json else render(result))


def _print_errors(error: ArgosyError, options: Options) -> None:
    if options.as_json:
        print(msgspec.json.encode({"argosy": "error/1", "errors": list(error.faults)}).decode())
    for fault in error.faults:
        print(f"error: {fault}", file=sys.stderr)
