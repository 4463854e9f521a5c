"""Context handles behave like private contexts: random small programs, run with both and compared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.differential.compare import ALIKE, DOCUMENTED, Runner, Verdict, judge, rewrite
from rig.differential.generate import generate
from rig.differential.program import Program, Step, write


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    """The server of the processes that the programs run in."""
    with Runner() as made:
        yield made


def different(verdicts: list[Verdict]) -> list[str]:
    known = (*ALIKE, *DOCUMENTED)
    return [f"{each.kind}\n{write(each.program)}" for each in verdicts if each.kind not in known]


def test_random_programs_behave_the_same_with_context_handle(runner: Runner) -> None:
    verdicts = judge(runner, [generate(seed) for seed in range(90)])
    assert different(verdicts) == []
    assert sum(each.kind == "same" for each in verdicts) > 45


SENT: list[Step] = [
    ["context", "c0"],
    ["socket", "s0", "c0", "PUSH"],
    ["connect", "s0", "tcp:", 7],
    ["send", "s0", "PUSH", "m1"],
]


def test_comparison_records_wait_for_late_receiver(runner: Runner) -> None:
    """Else the comparison could not tell a lease that gives up."""
    delivered = Program([*SENT, ["close", "s0"], ["term", "c0"]], [["tcp:", 7, 0.5]])
    given_up = Program([*SENT, ["close_with", "s0", 0], ["term", "c0"]], [["tcp:", 7, 0.5]])
    runs = runner.run(
        [(source, program) for program in (delivered, given_up) for source in rewrite(program)[:2]]
    )
    for run in runs[:2]:
        assert (run.notes["late"], run.notes["MainThread"][-1]) == ([[0, ["m1"]]], [5, [True]])
    for run in runs[2:]:
        assert (run.notes["late"], run.notes["MainThread"][-1]) == ([[0, []]], [5, [False]])


def test_comparison_reports_difference_for_forced_inproc_rewrite(runner: Runner) -> None:
    """Names of inproc are one context's own."""
    steps: list[Step] = []
    for number in ("0", "1"):
        steps += [["context", f"c{number}"], ["socket", f"s{number}", f"c{number}", "PULL"]]
        steps += [["bind", f"s{number}", "inproc:", 0]]
    program = Program(steps)
    assert judge(runner, [program])[0].kind == "refused"
    assert judge(runner, [program], is_forced=True)[0].kind == "bind: own None, lease ['ZMQError', 98]"
