"""Each program run with its own contexts and as a refit writes it, and what comes out different."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from argosy.refit.codemods.file_pipeline import rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex
from rig.differential.program import Program, shorter, write

_PATH: Final = "program.py"
_TESTS: Final = Path(__file__).resolve().parents[2]
_OWN, _LEASE = "zmq.Context()", "argosy.wire.context()"
_REWRITES: Final = select_codemods(["Z301"])


ALIKE: Final = ("same", "varies", "refused")
HELD: Final = "a lease closes at `term` what its own context waits for, for ever"
IN_USE: Final = "a lease waits for an endpoint that a closed socket still holds"
DOCUMENTED: Final = (HELD, IN_USE)  # in docs/explanation/wire.md


class Run(msgspec.Struct, frozen=True):
    """What became of a program: how it ended, and what its steps told, by thread.

    is_held: at its end a `term` of pyzmq's waited for sockets that were open.
    """

    end: Any
    notes: dict[str, list[Any]]
    is_held: bool = False


class Rewritten(NamedTuple):
    """A program in Python, as a refit writes it, and why that leaves it as it is."""

    own: str
    lease: str
    refused: str


class Verdict(msgspec.Struct):
    """What is known of one program: kind is one of `ALIKE` or `DOCUMENTED`, or what is different."""

    program: Program
    kind: str
    detail: str = ""
    own: Run | None = None
    lease: Run | None = None


def rewrite(program: Program, *, is_forced: bool = False) -> Rewritten:
    """Return both forms of a program. is_forced: exchange also what a refit refuses."""
    own = write(program)
    data = own.encode()
    outcome = rewrite_file(_PATH, data, TreeIndex({_PATH: data}), _REWRITES)
    refused = outcome.refused[0].reason if outcome.refused else ""
    if refused and is_forced:
        return Rewritten(own, "import argosy.wire\n" + own.replace(_OWN, _LEASE), "")
    return Rewritten(own, (outcome.after or data).decode(), refused)


class Runner:
    """A server of processes in which programs run; to be used in a `with`."""

    def __enter__(self) -> Runner:
        self._server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "rig.differential.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{os.environ.get('PYTHONPATH', '')}:{_TESTS}"},
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin
        self._server.stdin.close()
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        assert self._server.stdout
        self._server.stdout.close()

    def run(self, jobs: Sequence[tuple[str, Program]]) -> list[Run]:
        """Run each source once, many at a time, and return what became of them in their order."""
        assert self._server.stdin
        assert self._server.stdout
        for number, (source, program) in enumerate(jobs):
            is_own = "argosy" not in source
            job = {"id": number, "source": source, "late": program.late, "is_own": is_own}
            self._server.stdin.write(json.dumps(job) + "\n")
        self._server.stdin.flush()
        found: dict[int, Run] = {}
        while len(found) < len(jobs):
            done = json.loads(self._server.stdout.readline())
            found[done["id"]] = Run(done["end"], done["notes"], done["is_held"])
        return [found[number] for number in range(len(jobs))]


def judge(
    runner: Runner, programs: Iterable[Program], *, is_forced: bool = False, again: int = 6
) -> list[Verdict]:
    """Return what is different in each program.

    Its own contexts are asked twice, and where a lease does otherwise both are run `again` times more:
    a program whose own outcomes vary says nothing.
    """
    verdicts: list[Verdict] = []
    tried: list[tuple[Verdict, Rewritten]] = []
    for program in programs:
        both = rewrite(program, is_forced=is_forced)
        verdict = Verdict(program, "refused" if both.refused else "", both.refused)
        verdicts.append(verdict)
        if not both.refused:
            tried.append((verdict, both))
    runs = runner.run([(s, v.program) for v, both in tried for s in (both.own, both.own, both.lease)])
    for (verdict, both), at in zip(tried, range(0, len(runs), 3), strict=True):
        first, second, lease = runs[at : at + 3]
        if first != second:
            verdict.kind = "varies"
        elif first == lease:
            verdict.kind = "same"
        else:
            _look_again(runner, verdict, both, first, again)
    return verdicts


def _look_again(runner: Runner, verdict: Verdict, both: Rewritten, first: Run, again: int) -> None:
    runs = runner.run([(source, verdict.program) for _ in range(again) for source in (both.own, both.lease)])
    own, lease = runs[::2], runs[1::2]
    different = [run for run in lease if run != first]
    if any(run != first for run in own):
        verdict.kind = "varies"
    elif not different:
        verdict.kind = "same"  # once, and not again
    elif why := _documented(verdict.program, first, different[0]):
        verdict.kind = why
    elif any(run != first for run in runner.run([(both.own, verdict.program)] * (8 * again))):
        verdict.kind = "varies"  # seldom
    else:
        verdict.own, verdict.lease = first, different[0]
        verdict.kind = describe(verdict.program, first, different[0])
        verdict.detail = f"{len(different)} of {again}"


def _documented(program: Program, own: Run, lease: Run) -> str:
    if own.end == "did not end" and own.is_held:
        is_begun = all(lease.notes.get(name, [])[: len(notes)] == notes for name, notes in own.notes.items())
        return HELD if is_begun or "late" in own.notes else ""
    is_bind = describe(program, own, lease) == "bind: own ['ZMQError', 98], lease None"
    return IN_USE if is_bind else ""


def describe(program: Program, own: Run, lease: Run) -> str:
    """Return in what a lease did otherwise: the first step of it, and what both told."""
    words = _words(program.steps)
    for thread, notes in own.notes.items():
        others = lease.notes.get(thread, [])
        for at, note in enumerate(notes):
            if at >= len(others):
                return f"{words[_following(notes, others)]}: own {note[1]}, lease never came there"
            if note != others[at]:
                word = words[note[0]]
                return f"{word}: own {note[1]}, lease {others[at][1]}"
        if len(others) > len(notes):
            return f"{words[others[len(notes)][0]]}: own never came there, lease {others[len(notes)][1]}"
    if lease.notes.keys() - own.notes.keys():
        return "a thread: own never came there"
    return f"the end: own {own.end}, lease {lease.end}"


def _following(notes: list[Any], others: list[Any]) -> int:
    number: int = notes[len(others)][0]
    return number


def _words(steps: list[Any]) -> list[str]:
    found: list[str] = []
    for step in steps:
        found.append(step[0])
        if isinstance(step[-1], list) and step[-1] and isinstance(step[-1][0], list):
            found += _words(step[-1])
    return found


def shrink(runner: Runner, verdict: Verdict, *, is_forced: bool = False, tries: int = 60) -> Verdict:
    """Return the shortest program found that is different in the same way."""
    best = verdict
    while tries > 0:
        candidates = list(shorter(best.program))[:tries]
        tries -= len(candidates)
        found = judge(runner, candidates, is_forced=is_forced, again=3)
        smaller = [each for each in found if each.kind == best.kind]
        if not smaller:
            break
        best = smaller[0]
    return best
