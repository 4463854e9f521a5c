"""Control groups, version 2 (cgroups(7)): one group per agent, in a delegated subtree.

Only a delegated group is used: one that systemd marks so (Delegate=yes), one owned by the user who runs
argosy, or the one that ARGOSY_CGROUP names. A group that limits its children must hold no process itself,
so the processes in it, the supervisor among them, move to a child group `supervisor`. An agent enters its
group before its program starts; its child processes start there.

Controllers of a version 1 hierarchy, and those that were not delegated, are unavailable; limits are then
those of setrlimit(2), or none (see `resource_limits`).
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY: Final = "memory"
CPU: Final = "cpu"
_SUPERVISOR_GROUP: Final = "supervisor"
_PERIOD_US: Final = 100_000
_DELEGATION_XATTRS: Final = ("user.delegate", "trusted.delegate")


class ControlGroups:
    """The agents' groups below `root`.

    prefix: distinguishes the groups of one fleet from another's. enforced_limits: the controllers that are
    enabled there.
    """

    def __init__(self, root: Path, prefix: str) -> None:
        self._root = root
        self._prefix = prefix
        self._oom_kills_before: dict[str, int] = {}
        self.enforced_limits = _enable_controllers(root)

    def create(self, agent: str, memory_bytes: int | None, cpus: float | None) -> Path:
        """Create the group of an agent, with those of the limits that can be enforced; return it.

        Raises OSError: it cannot be created, or not be limited so.
        """
        limits = {}
        if memory_bytes is not None and MEMORY in self.enforced_limits:
            limits["memory.max"] = str(memory_bytes)
            limits["memory.oom.group"] = "1"  # kill all of an agent, not a part
        if cpus is not None and CPU in self.enforced_limits:
            limits["cpu.max"] = f"{max(1000, round(cpus * _PERIOD_US))} {_PERIOD_US}"
        group = self._group(agent)
        self.remove(agent)
        group.mkdir(exist_ok=True)  # it remains where leftovers of the last process run
        for file, value in limits.items():
            (group / file).write_text(value)
        self._oom_kills_before[agent] = _oom_kill_count(group)
        return group

    def was_oom_killed(self, agent: str) -> bool:
        """Return whether the kernel killed it since its start because it exceeded its memory."""
        return _oom_kill_count(self._group(agent)) > self._oom_kills_before.get(agent, 0)

    def remove(self, agent: str) -> None:
        """Remove an agent's group; one that still has a process stays."""
        with contextlib.suppress(OSError):
            self._group(agent).rmdir()

    def _group(self, agent: str) -> Path:
        return self._root / f"{self._prefix}.{agent}"


def find_delegated(variables: Mapping[str, str] = os.environ, proc: Path = Path("/proc/self")) -> Path | None:
    """Return the group delegated to the process of this /proc directory, None when none is.

    variables: its environment; ARGOSY_CGROUP names a group regardless of marks and owner.
    """
    named = variables.get("ARGOSY_CGROUP")
    if named:
        return Path(named) if _is_usable(Path(named)) else None
    own = _own_group(proc)
    # The group of an earlier supervisor is owned by the user as well; the delegated one is its parent.
    for group in (own.parent, own) if own is not None and own.name == _SUPERVISOR_GROUP else (own,):
        if group is not None and _is_usable(group) and _is_delegated(group):
            return group
    return None


def available_controllers(root: Path | None) -> frozenset[str]:
    """Return the controllers that can limit below a group; none without a group."""
    if root is None:
        return frozenset()
    return frozenset((root / "cgroup.controllers").read_text().split()) & {MEMORY, CPU}


def _own_group(proc: Path) -> Path | None:
    """Return the directory of a process's group of version 2, where it is mounted."""
    lines = (proc / "cgroup").read_text().splitlines()
    path = next((line[3:] for line in lines if line.startswith("0::")), None)
    if path is None:
        return None
    for line in (proc / "mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        if rest.split()[:1] == ["cgroup2"]:
            top, point = fields.split()[3:5]
            if os.path.commonpath([top, path]) == top:
                return Path(point, os.path.relpath(path, top))
    return None


def _is_usable(group: Path) -> bool:
    files = ("cgroup.procs", "cgroup.subtree_control", "cgroup.controllers")
    return all(os.access(group / file, os.R_OK | os.W_OK) for file in files[:2]) and os.access(group, os.W_OK)


def _is_delegated(group: Path) -> bool:
    for mark in _DELEGATION_XATTRS:
        with contextlib.suppress(OSError):
            if os.getxattr(group, mark) == b"1":
                return True
    return os.geteuid() != 0 and group.stat().st_uid == os.geteuid()


def _enable_controllers(root: Path) -> frozenset[str]:
    """Move all processes out of `root`, and enable its controllers for the groups below."""
    own = root / _SUPERVISOR_GROUP
    own.mkdir(exist_ok=True)
    for pid in (root / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):  # it has just exited, or is a kernel thread
            (own / "cgroup.procs").write_text(pid)
    control = root / "cgroup.subtree_control"
    if missing := available_controllers(root) - set(control.read_text().split()):
        with contextlib.suppress(OSError):  # EBUSY: a process entered meanwhile; the limit is not enforced
            control.write_text(" ".join(f"+{each}" for each in sorted(missing)))
    return available_controllers(root) & {word.lstrip("+") for word in control.read_text().split()}


def _oom_kill_count(group: Path) -> int:
    try:
        lines = (group / "memory.events").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
