"""Warns of declared limits that are not enforced, or not for the whole agent, before a start.

`memory` and `cpus` limit an agent as a whole if it has a control group (see `cgroup`). Otherwise limits are
those of setrlimit(2), which apply to each process separately.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

from argosy.engine.process.cgroup import CPU, MEMORY
from argosy.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from argosy.fleet.fleet_spec import AgentSpec, Fleet


_DELEGATION_HINT = (
    "a delegated control group enforces it: `systemd-run --user --scope -p Delegate=yes argosy up -d`"
)


def hard_open_files_limit() -> int | None:
    """Return the maximum of descriptors that an agent can get, None when there is no limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def unenforced_limits(
    fleet: Fleet, max_open_files: int | None, enforced_limits: Collection[str]
) -> list[Fault]:
    """Return a warning for each limit that is not enforced as declared, with the agents that declare it.

    enforced_limits: those that control groups enforce.
    """
    too_many = f"the hard limit here is {max_open_files}"

    def wants_too_many(agent: AgentSpec) -> bool:
        return max_open_files is not None and (agent.open_files or 0) > max_open_files

    found = [
        _warning(
            fleet,
            lambda agent: agent.memory_bytes is not None and MEMORY not in enforced_limits,
            "memory-per-process",
            "`memory` limits what each process of {} reserves (RLIMIT_DATA), not their sum",
            _DELEGATION_HINT,
        ),
        _warning(
            fleet,
            lambda agent: agent.cpus is not None and CPU not in enforced_limits,
            "cpus-not-held",
            "`cpus` of {} is not enforced",
            _DELEGATION_HINT,
        ),
        _warning(
            fleet,
            wants_too_many,
            "open-files-not-held",
            "`open_files` of {} exceeds the available descriptors, " + too_many,
            "raise it with `ulimit -Hn`, or in limits.conf(5)",
        ),
    ]
    return [fault for fault in found if fault is not None]


def _warning(
    fleet: Fleet, applies_to: Callable[[AgentSpec], bool], code: str, message: str, hint: str
) -> Fault | None:
    agents = [agent for agent in fleet.agents.values() if applies_to(agent)]
    if not agents:
        return None
    return Fault(agents[0].where, code, message.format(_format_names([agent.name for agent in agents])), hint)


def _format_names(names: Sequence[str]) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:3])
    return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
