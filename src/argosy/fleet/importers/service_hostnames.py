"""Tells where a Compose file counts on its network: services that reach one another by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from argosy.fleet.importers.import_model import ImportDecision, ImportedAgent
from argosy.fleet.importers.input_file import InputFile


def hostname_decisions(input_file: InputFile, agents: Sequence[ImportedAgent]) -> Iterator[ImportDecision]:
    """Yield what becomes of host names: once for the file, and once for each agent that uses one."""
    yield ImportDecision(
        input_file.location_of(("services",)),
        "in `container` too, an agent is found at its machine's address",
        "in Compose each service has a host name of its own; `<AGENT>_HOST` says another one for an agent",
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
                f"arguments or variables of `{agent.name}` name the host {peers}",
                "only a container network knows a service by its name: write an address that holds here",
                agent.name,
            )
