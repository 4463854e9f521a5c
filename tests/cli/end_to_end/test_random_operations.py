"""Random operations: after starts, exits, stops, file changes and kills the right agents run."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rig.fleet import Rig
from rig.ordeal import AMBUSHES, NAMES, Ordeal
from rig.steps import POINTS
from rig.trial import Trial

agents = st.sampled_from(NAMES)


class RandomOperations(RuleBasedStateMachine):
    """The rules are the events of the ordeal; each checks what has to be so after it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
        (self.folder / "r").mkdir(mode=0o700)
        self.trial = Trial(Rig(self.folder, self.folder / "r"), POINTS)
        self.ordeal = Ordeal(self.trial)

    @initialize()
    def begin(self) -> None:
        self.ordeal.up()

    @rule()
    def up(self) -> None:
        self.ordeal.up()

    @rule(agent=agents)
    def change(self, agent: str) -> None:
        self.ordeal.change(agent)
        self.ordeal.up()

    @rule(agent=agents.filter(lambda agent: agent != "A"))
    def remove(self, agent: str) -> None:
        self.ordeal.remove(agent)
        self.ordeal.up()

    @rule(agent=agents)
    def crash(self, agent: str) -> None:
        self.ordeal.crash(agent)

    @rule(step=st.sampled_from(AMBUSHES))
    def ambush(self, step: str) -> None:
        self.ordeal.ambush(step)

    @precondition(lambda self: self.ordeal.has_supervisor)
    @rule()
    def kill_supervisor(self) -> None:
        self.ordeal.kill_supervisor()

    @precondition(lambda self: self.ordeal.has_supervisor)
    @rule()
    def kill_forkers(self) -> None:
        self.ordeal.kill_forkers()

    @rule(agent=agents)
    def stop(self, agent: str) -> None:
        self.ordeal.stop(agent)

    @rule()
    def down(self) -> None:
        self.ordeal.down()

    def teardown(self) -> None:
        self.trial.close()
        shutil.rmtree(self.folder)


RandomOperations.TestCase.settings = settings(
    max_examples=2,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
TestRandomOperations = pytest.mark.timeout(120)(RandomOperations.TestCase)
