"""The connections that running agents have to each other now."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from argosy.engine.explain.socket_pairs import (
    Address,
    TcpSocket,
    UnixSocket,
    iter_tcp_sockets,
    list_unix_sockets,
)
from argosy.engine.process.os_process import all_pids, read_stat
from argosy.engine.process.tcp_ports import iter_open_sockets

AgentEdge = tuple[str, str]
# The agents of one process: one, or all of a cell.
ProcessAgents = tuple[str, ...]

# How a subscription is described: a subscriber connects to every publisher.
SUBSCRIPTION = "subscription"
_TOPIC_SUFFIX = ".t"
_UNIX_SUFFIX = ".u"


class LiveEdges(msgspec.Struct, frozen=True):
    """Connections between agents. edges: (client, server) to descriptions, such as `tcp port 5595`.

    shared: the same for clients in a cell, since it is unknown which of its agents has connected.
    is_complete: unix sockets could be paired too.
    """

    edges: dict[AgentEdge, tuple[str, ...]]
    shared: dict[tuple[ProcessAgents, str], tuple[str, ...]]
    is_complete: bool

    def has_edge(self, edge: AgentEdge) -> bool:
        """Return whether the agent, or its cell, is connected to the other."""
        agent, other = edge
        return edge in self.edges or any(agent in clients and other == to for clients, to in self.shared)


def find_live_edges(
    leaders: Mapping[str, int], declared_ports: Mapping[int, str], remote_addresses: Mapping[Address, str]
) -> LiveEdges:
    """Return the connections that the agents have now.

    leaders: agent to its process, which leads a session; its children count as the agent. declared_ports:
    port to its agent, to distinguish agents that share a process.
    remote_addresses: (host, port) to the agent there, for those on other machines.
    """
    owners = _agents_by_inode(leaders)
    found = list(_tcp_edges(list(iter_tcp_sockets()), owners, declared_ports, remote_addresses))
    try:
        found += _unix_edges(list_unix_sockets(), owners)
        is_complete = True
    except OSError:
        is_complete = False  # reported by the caller
    descriptions_by_edge: dict[tuple[ProcessAgents, str], list[str]] = {}
    for clients, other, description in found:
        descriptions_by_edge.setdefault((clients, other), []).append(description)
    unique = {key: tuple(dict.fromkeys(each)) for key, each in sorted(descriptions_by_edge.items())}
    edges = {(clients[0], other): each for (clients, other), each in unique.items() if len(clients) == 1}
    shared = {(clients, other): each for (clients, other), each in unique.items() if len(clients) > 1}
    return LiveEdges(edges, shared, is_complete)


def _agents_by_inode(leaders: Mapping[str, int]) -> dict[int, ProcessAgents]:
    """Return the agents of each socket inode."""
    names: dict[int, list[str]] = {}
    for name, pid in leaders.items():
        names.setdefault(pid, []).append(name)
    owners: dict[int, ProcessAgents] = {}
    for pid in all_pids():
        stat = read_stat(pid)
        if stat is not None and stat.session in names:
            agents = tuple(names[stat.session])
            owners.update((inode, agents) for _, inode in iter_open_sockets(pid))
    return owners


def _tcp_edges(
    sockets: Iterable[TcpSocket],
    owners: Mapping[int, ProcessAgents],
    declared_ports: Mapping[int, str],
    remote_addresses: Mapping[Address, str],
) -> Iterator[tuple[ProcessAgents, str, str]]:
    sockets = list(sockets)
    listeners = [each for each in sockets if each.is_listening and each.inode in owners]
    listening = {(owners[each.inode], each.local[1]) for each in listeners}
    by_port = {each.local[1]: owners[each.inode] for each in listeners}
    ends = {(each.local, each.remote): each for each in sockets if not each.is_listening}
    for each in ends.values():
        client = owners.get(each.inode)
        if client is None or (client, each.local[1]) in listening:
            continue  # not an agent's, or the server's end
        port = each.remote[1]
        other = ends.get((each.remote, each.local))
        if other is None:
            server = remote_addresses.get(each.remote)
        else:  # a connection that is not accepted yet has inode 0: it belongs to the listener
            servers = owners.get(other.inode) if other.inode else by_port.get(port)
            server = _select_agent(servers, declared_ports.get(port, ""))
        if server is not None and client != (server,):
            yield client, server, f"tcp port {port}"


def _unix_edges(
    sockets: Iterable[UnixSocket], owners: Mapping[int, ProcessAgents]
) -> Iterator[tuple[ProcessAgents, str, str]]:
    for each in sockets:
        # An accepted socket has the name of its listener; the client's end has none.
        name = os.path.basename(each.name)
        server = _select_agent(
            owners.get(each.inode), name.removesuffix(_TOPIC_SUFFIX).removesuffix(_UNIX_SUFFIX)
        )
        client = owners.get(each.peer)
        if name and server is not None and client is not None and client != (server,):
            yield client, server, SUBSCRIPTION if name.endswith(_TOPIC_SUFFIX) else f"unix {name}"


def _select_agent(agents: ProcessAgents | None, name: str) -> str | None:
    """Return the agent that was connected to: the only one of its process, or the one with this name."""
    if agents is None or len(agents) == 1:
        return agents[0] if agents else None
    return name if name in agents else None
