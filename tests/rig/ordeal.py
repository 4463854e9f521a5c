"""A fleet under random faults, checked against a model of what has to run.

After each event what runs is what the model says, each agent has lived as often as it was to be started and
once at a time, and what argosy says agrees with the processes that exist.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import Final

from argosy.engine.control.control_client import SupervisorLostError
from argosy.engine.inventory.leftover_processes import agents_by_lease
from rig.steps import POINTS
from rig.trial import Trial, end

NAMES: Final = ("A", "B", "C", "D")
# Those that a supervisor or a forker may come to while agents start, end, are stopped or adopted.
AMBUSHES: Final = tuple(
    name for name, point in POINTS.items() if "client" not in point.kinds and point.do != "pause"
)
_HEAD = """\
fleet: toy
defaults:
  ready: {probe: notify}
  restart_limit: {times: 1000, within: 60s}
  backoff: {first: 0.02s, most: 0.1s}
agents:
"""
_LINES = {
    "A": "  A: {run: witness.py, args: [v%d], start: spawn}\n",
    "B": "  B: {run: witness.py, args: [v%d], needs: [A]}\n",
    "C": "  C: {run: witness.py, args: [v%d], needs: [A]}\n",
    "D": "  D: {run: witness.py, args: [v%d], start: spawn}\n",
}


class OrdealError(AssertionError):
    """The fleet is not as it has to be."""


class Ordeal:
    """The fleet of `trial`, and the model.

    file: agents of the fleet file, with the version of their arguments. runs: those that have to run
    now, with the version that they were started with. has_supervisor: one has to be there.
    events: how often what has happened. steps: those at which somebody was killed.
    """

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.file = {"A": 1, "B": 1, "C": 1}
        self.runs: dict[str, int] = {}
        self.has_supervisor = False
        self.events: Counter[str] = Counter()
        self.steps: set[str] = set()
        self._versions = 1
        self._lived: Counter[str] = Counter()
        self._ambush: str | None = None

    # ---- what happens

    def change(self, agent: str) -> None:
        """Give an agent of the file other arguments, or add it."""
        self._versions += 1
        self.file[agent] = self._versions
        self.events["changes"] += 1

    def remove(self, agent: str) -> None:
        """Take an agent out of the file that nobody needs."""
        assert agent != "A", "others need it"
        self.file.pop(agent, None)
        self.events["changes"] += 1

    def ambush(self, step: str) -> None:
        """Have whoever of the engine comes to this step first killed there."""
        self.trial.disarm()
        if self._is_ambushed():
            self.check()
        self.note_ambush()
        self.trial.arm(step)
        self._ambush = step

    def up(self) -> None:
        """Apply the file: exactly what is missing or changed is started."""
        self.trial.path.write_text(
            _HEAD + "".join(_LINES[name] % self.file[name] for name in sorted(self.file))
        )
        for name, version in self.file.items():
            self._lived[name] += self.runs.get(name) != version
        self.trial.up()
        self.runs = dict(self.file)
        self.has_supervisor = True
        self.events["ups"] += 1
        self.check()

    def crash(self, agent: str) -> None:
        """Kill an agent: it is started again by a supervisor, if there is one, and by the next `up`."""
        if agent not in self.runs:
            return
        end(self.trial.living(agent)[-1])
        self.events["agents killed"] += 1
        if not self.has_supervisor:
            del self.runs[agent]
            return
        self._lived[agent] += 1
        self.check()

    def kill_supervisor(self) -> None:
        """Kill it; the fleet runs on."""
        if self.has_supervisor and not self._is_ambushed():
            with contextlib.suppress(SupervisorLostError):  # the ambush was faster
                self.trial.kill_supervisor()
            self.has_supervisor = False
            self.events["supervisors killed between two events"] += 1
            self.check()

    def kill_forkers(self) -> None:
        """Kill the forker and the zygotes."""
        for pid in self.trial.forkers():
            end(pid)
            self.events["forkers killed between two events"] += 1
        self.check()

    def stop(self, agent: str) -> None:
        """Stop one."""
        if agent not in self.runs:
            return
        self._run("down", "--only", agent)
        del self.runs[agent]
        self.has_supervisor = bool(self.runs)
        self.events["stops"] += 1
        self.check()

    def down(self) -> None:
        """Stop all."""
        self._run("down")
        self.runs = {}
        self.has_supervisor = False
        self.events["downs"] += 1
        self.check()

    def _run(self, *words: str) -> None:
        code, told = self.trial.run(*words)
        if code != 0:
            raise OrdealError(f"argosy {' '.join(words)} ended with {code}: {told}")

    # ---- what has to be so

    def check(self) -> None:
        """Wait until it is as it has to be; after an ambush of the supervisor by the next `up`.

        Raises OrdealError: it is not.
        """
        faults: list[str] = []

        def is_well() -> bool:
            faults[:] = self._faults()
            return not faults or self._is_ambushed()

        try:
            self.trial.rig.until(is_well, 15)
        except AssertionError:
            raise OrdealError("; ".join(faults)) from None
        if faults:
            self.note_ambush()
            self.up()

    def _is_ambushed(self) -> bool:
        """Return whether the ambush has ended the supervisor, which nobody was told."""
        has_sprung = self._ambush is not None and self.trial.triggered(self._ambush) is not None
        return self.has_supervisor and has_sprung and not self.trial.is_up()

    def note_ambush(self) -> None:
        """Count the last ambush if somebody has come to it, and expect nobody there any more."""
        if self._ambush is not None and self.trial.triggered(self._ambush) is not None:
            point = POINTS[self._ambush]
            is_supervisor = point.do == "orphan" or "supervisor" in point.kinds
            self.events[f"{'supervisors' if is_supervisor else 'forkers and agents'} killed at a step"] += 1
            self.steps.add(self._ambush)
        self._ambush = None

    def _faults(self) -> list[str]:
        trial = self.trial
        if self.has_supervisor:
            try:
                found = trial.faults(self.runs)
            except SupervisorLostError as lost:
                found = [str(lost)]
        else:
            by_lease = {name: one.pid for name, one in agents_by_lease(trial.folder).items()}
            found = [] if sorted(by_lease) == sorted(self.runs) else [f"by the leases {by_lease} live"]
        for name in NAMES:
            living, lived = trial.living(name), len(trial.lives(name))
            if len(living) != (name in self.runs):
                found.append(f"{name}: {living} live")
            if lived != self._lived[name]:
                found.append(f"{name} has lived {lived} times, not {self._lived[name]}")
        return found + [f"{mark.stem} ran twice at once" for mark in trial.rig.folder.glob("*.twice")]
