"""Finds service names of a Compose file that are used as host names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent
from argosy.fleet.importers.input_file import InputFile


def hostname_decisions(input_file: InputFile, agents: Sequence[ImportedAgent]) -> Iterator[ImportDecision]:
    """Yield one decision about host names for the file, and one for each agent that uses some."""
    yield ImportDecision(
        input_file.location_of(("services",)),
        "in `container` too, the address of an agent is that of its machine",
        "in Compose each service has its own host name; `<AGENT>_HOST` overrides the host of an agent",
    )
    services = input_file.top_mapping().get("services")
    names = "|".join(re.escape(name) for name in services) if isinstance(services, dict) else ""
    # `redis:6379` and `redis://redis/0`, but not `--name redis` or `my-redis:1`.
    host = re.compile(rf"(?<![\w.-])({names}):\d|//(?:[^@/\s]*@)?({names})(?![\w.-])")
    for agent in agents:
        texts = [*agent.args, *agent.env.values(), *(agent.run if isinstance(agent.run, tuple) else ())]
        found = {match[1] or match[2]: None for word in texts for match in host.finditer(word)}
        if found:
            peers = ", ".join(f"`{name}`" for name in found)
            yield ImportDecision(
                agent.where,
                f"arguments or variables of `{agent.name}` contain the host {peers}",
                "service names resolve only in a container network: write an address that is valid here",
                agent.name,
            )
