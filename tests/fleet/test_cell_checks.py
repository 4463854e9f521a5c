"""Cell checks: which agents may share a process; each fault has its place."""

from __future__ import annotations

import pytest

from argosy.fault import Fault, InputError
from argosy.fleet.loader import load_fleet


def faults(agents: str) -> list[Fault]:
    text = "fleet: f\nagents:\n" + "".join(f"  {line}\n" for line in agents.splitlines())
    with pytest.raises(InputError) as caught:
        load_fleet("fleet.yaml", text)
    return list(caught.value.faults)


@pytest.mark.parametrize(
    ("key", "mine", "theirs"),
    [
        ("python", "python3.11", "python3.12"),
        ("cwd", "a", "b"),
        ("env_file", "a", "b"),
        ("memory", "1GiB", "2GiB"),
        ("cpus", "1", "2"),
        ("open_files", "100", "200"),
        ("restart", "never", "always"),
        ("restart_limit", "{times: 3}", "{times: 4}"),
        ("restart_limit", "{within: 3s}", "{within: 4s}"),
        ("backoff", "{first: 1s}", "{first: 2s}"),
        ("start", "auto", "spawn"),
    ],
)
def test_cell_members_must_agree_on_process_settings(key: str, mine: str, theirs: str) -> None:
    (fault,) = faults(
        f"A: {{run: 'm:A', cell: c, {key}: {mine}}}\nB: {{run: 'm:B', cell: c, {key}: {theirs}}}"
    )
    assert f"`B` shares cell `c` with `A`, but its `{key}`" in fault.message
    assert fault.where.startswith("fleet.yaml:4:")


def test_cell_env_fault_names_variables_but_not_values() -> None:
    (fault,) = faults(
        "A: {run: 'm:A', cell: c, env: {K: secret, L: x}}\nB: {run: 'm:B', cell: c, env: {K: other, L: x}}"
    )
    assert "its `env` differs in `K`" in fault.message
    assert "secret" not in fault.message
    assert "other" not in fault.message


def test_cell_rejects_scripts_and_commands() -> None:
    (fault,) = faults("A: {run: agents/voice.py, cell: c}")
    assert "is in cell `c`, but its `run` is a script" in fault.message
    assert "`run: agents.voice:A`" in fault.hint
    assert "command" in faults("A: {run: [sleep, 1], cell: c}")[0].message


def test_cell_rejects_whole_process_probe() -> None:
    (fault,) = faults("A: {run: 'm:A', cell: c, ready: {probe: alive}}")
    assert "the probe `alive` checks a whole process" in fault.message


NEEDS = """\
A1: {{run: 'm:A', cell: a}}
B1: {{run: 'm:B', cell: b, needs: [{{agent: A1, on_death: {one}}}]}}
A2: {{run: 'm:A', cell: a, needs: [{{agent: B1, on_death: {two}}}]}}
"""


def test_two_cells_may_need_agents_of_each_other() -> None:
    text = "fleet: f\nagents:\n" + "".join(
        f"  {line}\n" for line in NEEDS.format(one="restart", two="wait").splitlines()
    )
    assert len(load_fleet("fleet.yaml", text).agents) == 3


@pytest.mark.parametrize("two", ["restart", "stop"])
def test_cells_that_restart_each_other_endlessly_are_a_fault(two: str) -> None:
    (fault,) = faults(NEEDS.format(one="restart", two=two))
    assert "cell `a` and cell `b` would restart each other endlessly" in fault.message
    assert "on_death: wait" in fault.hint
