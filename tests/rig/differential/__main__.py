"""Try many programs and print what a lease does otherwise than an own context."""

from __future__ import annotations

import argparse
import time
from collections import Counter, defaultdict

from rig.differential.compare import ALIKE, DOCUMENTED, Runner, Verdict, judge, shrink
from rig.differential.generate import TRANSPORTS, generate
from rig.differential.program import write

BATCH = 300


def main() -> int:
    """Print the account, and the shortest program of each difference; 1 when there is any."""
    parser = argparse.ArgumentParser(prog="python -m rig.differential", description=__doc__)
    parser.add_argument("--programs", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=0, help="the first seed (0); each program has the next")
    parser.add_argument("--forced", action="store_true", help="exchange also what a refit refuses")
    parser.add_argument("--transport", choices=TRANSPORTS, help="only this one")
    parser.add_argument("--shown", type=int, default=1, help="programs shown for each difference (1)")
    args = parser.parse_args()
    transports = (args.transport,) if args.transport else TRANSPORTS
    began = time.monotonic()
    verdicts: list[tuple[int, Verdict]] = []
    with Runner() as runner:
        for first in range(args.seed, args.seed + args.programs, BATCH):
            seeds = range(first, min(first + BATCH, args.seed + args.programs))
            programs = [generate(seed, transports) for seed in seeds]
            verdicts += zip(seeds, judge(runner, programs, is_forced=args.forced), strict=True)
            print_account([verdict for _, verdict in verdicts], time.monotonic() - began)
        print_refusals([verdict for _, verdict in verdicts])
        return print_differences(runner, verdicts, args.shown, is_forced=args.forced)


def print_account(verdicts: list[Verdict], took_s: float) -> None:
    """Print what became of all: the parts add up to the whole."""
    known = (*ALIKE, *DOCUMENTED)
    counts = Counter(each.kind if each.kind in known else "different" for each in verdicts)
    print(f"{len(verdicts)} programs in {took_s:.0f} s: {dict(counts)}", flush=True)


def print_refusals(verdicts: list[Verdict]) -> None:
    """Print why a refit leaves programs as they are."""
    for reason, count in Counter(each.detail for each in verdicts if each.kind == "refused").most_common():
        print(f"  refused {count}: {reason}")


def print_differences(
    runner: Runner, verdicts: list[tuple[int, Verdict]], shown: int, *, is_forced: bool
) -> int:
    """Print each kind of difference with its shortest programs; return 1 when there is any."""
    kinds: dict[str, list[tuple[int, Verdict]]] = defaultdict(list)
    for seed, verdict in verdicts:
        if verdict.kind not in (*ALIKE, *DOCUMENTED):
            kinds[verdict.kind].append((seed, verdict))
    for kind, found in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(found)} times {kind}   (seeds {[seed for seed, _ in found[:8]]})")
        for _, verdict in sorted(found, key=_length)[:shown]:
            small = shrink(runner, verdict, is_forced=is_forced)
            print(f"# {small.detail}\n# own   {small.own}\n# lease {small.lease}")
            print(write(small.program), flush=True)
    return 1 if kinds else 0


def _length(found: tuple[int, Verdict]) -> int:
    return len(write(found[1].program))


raise SystemExit(main())
