"""What of the declared limits is not held, or not for the whole agent: said before a start, never silently.

`memory` and `cpus` bind an agent as a whole where it has a control group (see `cgroup`). Elsewhere limits
are those of setrlimit(2), which a process has for itself and each child for itself again.
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
    "in a control group of its own it is: `systemd-run --user --scope -p Delegate=yes argosy up -d`"
)


def hard_open_files_limit() -> int | None:
    """Return the most descriptors that an agent can be given, None when there is no such limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def unenforced_limits(
    fleet: Fleet, max_open_files: int | None, enforced_limits: Collection[str]
) -> list[Fault]:
    """Return a warning for each limit that is not held as it is declared, with the agents that declare it.

    held: what control groups hold.
    """
    too_many = f"of which the hard limit here is {max_open_files}"

    def wants_too_many(agent: AgentSpec) -> bool:
        return max_open_files is not None and (agent.open_files or 0) > max_open_files

    found = [
        _warning(
            fleet,
            lambda agent: agent.memory_bytes is not None and MEMORY not in enforced_limits,
            "memory-per-process",
            "`memory` bounds what each process of {} reserves (RLIMIT_DATA), not their sum",
            _DELEGATION_HINT,
        ),
        _warning(
            fleet,
            lambda agent: agent.cpus is not None and CPU not in enforced_limits,
            "cpus-not-held",
            "`cpus` of {} is not held",
            _DELEGATION_HINT,
        ),
        _warning(
            fleet,
            wants_too_many,
            "open-files-not-held",
            "`open_files` of {} asks for more descriptors than can be given, " + too_many,
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
