"""The edges that the running agents hold: their connections to each other, at this moment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from argosy.engine.ports import open_sockets
from argosy.engine.process import all_pids, read_stat
from argosy.engine.socketpairs import Address, Tcp, Unix, tcp_sockets, unix_sockets

Edge = tuple[str, str]
# The agents of one process: one, or all of a cell.
Crowd = tuple[str, ...]

# How a subscription is told: it connects to every publisher, whom nobody has named.
TOPICS = "topics"
_TOPIC_SUFFIX = ".t"
_LINK_SUFFIX = ".u"


class Held(msgspec.Struct, frozen=True):
    """Connections between agents. edges: (who connected, to whom) to how, such as `tcp port 5595`.

    shared: the same, where a cell connected: nothing outside of it tells which of its agents did.
    is_whole: unix sockets could be paired too.
    """

    edges: dict[Edge, tuple[str, ...]]
    shared: dict[tuple[Crowd, str], tuple[str, ...]]
    is_whole: bool

    def has_trace_of(self, edge: Edge) -> bool:
        """Return whether the agent, or its cell, is connected to the other."""
        agent, other = edge
        return edge in self.edges or any(agent in crowd and other == to for crowd, to in self.shared)


def held_edges(
    leaders: Mapping[str, int], doors: Mapping[int, str], elsewhere: Mapping[Address, str]
) -> Held:
    """Return the connections that the agents hold now.

    leaders: agent to its process, which leads a session; its children count as the agent. doors: declared
    port to the agent whose it is, which tells apart those that share a process.
    elsewhere: (host, port) to the agent that is there, for those that run on other machines.
    """
    owners = _owners(leaders)
    found = list(_tcp_edges(list(tcp_sockets()), owners, doors, elsewhere))
    try:
        found += _unix_edges(unix_sockets(), owners)
        is_whole = True
    except OSError:
        is_whole = False  # told by the caller
    hows: dict[tuple[Crowd, str], list[str]] = {}
    for crowd, other, how in found:
        hows.setdefault((crowd, other), []).append(how)
    ways = {key: tuple(dict.fromkeys(each)) for key, each in sorted(hows.items())}
    edges = {(crowd[0], other): how for (crowd, other), how in ways.items() if len(crowd) == 1}
    shared = {(crowd, other): how for (crowd, other), how in ways.items() if len(crowd) > 1}
    return Held(edges, shared, is_whole)


def _owners(leaders: Mapping[str, int]) -> dict[int, Crowd]:
    """Return the agents of each socket inode."""
    names: dict[int, list[str]] = {}
    for name, pid in leaders.items():
        names.setdefault(pid, []).append(name)
    owners: dict[int, Crowd] = {}
    for pid in all_pids():
        stat = read_stat(pid)
        if stat is not None and stat.session in names:
            crowd = tuple(names[stat.session])
            owners.update((inode, crowd) for _, inode in open_sockets(pid))
    return owners


def _tcp_edges(
    sockets: Iterable[Tcp],
    owners: Mapping[int, Crowd],
    doors: Mapping[int, str],
    elsewhere: Mapping[Address, str],
) -> Iterator[tuple[Crowd, str, str]]:
    sockets = list(sockets)
    listeners = [each for each in sockets if each.is_listening and each.inode in owners]
    listening = {(owners[each.inode], each.local[1]) for each in listeners}
    by_port = {each.local[1]: owners[each.inode] for each in listeners}
    ends = {(each.local, each.remote): each for each in sockets if not each.is_listening}
    for each in ends.values():
        client = owners.get(each.inode)
        if client is None or (client, each.local[1]) in listening:
            continue  # not of an agent, or the end that was connected to
        port = each.remote[1]
        other = ends.get((each.remote, each.local))
        if other is None:
            server = elsewhere.get(each.remote)
        else:  # what nobody has accepted yet belongs to who listens
            crowd = owners.get(other.inode) if other.inode else by_port.get(port)
            server = _one_of(crowd, doors.get(port, ""))
        if server is not None and client != (server,):
            yield client, server, f"tcp port {port}"


def _unix_edges(sockets: Iterable[Unix], owners: Mapping[int, Crowd]) -> Iterator[tuple[Crowd, str, str]]:
    for each in sockets:
        # What was accepted has the name of who listens; who connected has none.
        name = os.path.basename(each.name)
        server = _one_of(owners.get(each.inode), name.removesuffix(_TOPIC_SUFFIX).removesuffix(_LINK_SUFFIX))
        client = owners.get(each.peer)
        if name and server is not None and client is not None and client != (server,):
            yield client, server, TOPICS if name.endswith(_TOPIC_SUFFIX) else f"unix {name}"


def _one_of(crowd: Crowd | None, name: str) -> str | None:
    """Return the agent that was connected to: the only one of its process, else the one of that name."""
    if crowd is None or len(crowd) == 1:
        return crowd[0] if crowd else None
    return name if name in crowd else None
