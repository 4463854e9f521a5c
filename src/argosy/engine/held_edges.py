"""The edges that the running agents hold: their connections to each other, at this moment."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from argosy.engine.ports import socket_inodes
from argosy.engine.process import all_pids, read_stat
from argosy.engine.socketpairs import Address, Tcp, Unix, tcp_sockets, unix_sockets

Edge = tuple[str, str]

# How a subscription is told: it connects to every publisher, whom nobody has named.
TOPICS = "topics"
_TOPIC_SUFFIX = ".t"


class Held(msgspec.Struct, frozen=True):
    """Connections between agents. edges: (who connected, to whom) to how, such as `tcp port 5595`.

    is_whole: unix sockets could be paired too.
    """

    edges: dict[Edge, tuple[str, ...]]
    is_whole: bool


def held_edges(leaders: Mapping[str, int], elsewhere: Mapping[Address, str]) -> Held:
    """Return the connections that the agents hold now.

    leaders: agent to its process, which leads a session; its children count as the agent. Agents that
    share a process are left out, since nothing tells which of them connected.
    elsewhere: (host, port) to the agent that is there, for those that run on other machines.
    """
    owners = _owners(leaders)
    found = list(_tcp_edges(list(tcp_sockets()), owners, elsewhere))
    try:
        found += _unix_edges(unix_sockets(), owners)
        is_whole = True
    except OSError:
        is_whole = False  # told by the caller
    edges: dict[Edge, list[str]] = {}
    for edge, how in found:
        edges.setdefault(edge, []).append(how)
    return Held({edge: tuple(dict.fromkeys(hows)) for edge, hows in sorted(edges.items())}, is_whole)


def _owners(leaders: Mapping[str, int]) -> dict[int, str]:
    """Return the agent of each socket inode."""
    names: dict[int, list[str]] = {}
    for name, pid in leaders.items():
        names.setdefault(pid, []).append(name)
    alone = {pid: found[0] for pid, found in names.items() if len(found) == 1}
    owners: dict[int, str] = {}
    for pid in all_pids():
        stat = read_stat(pid)
        if stat is not None and stat.session in alone:
            owners.update(dict.fromkeys(socket_inodes(pid), alone[stat.session]))
    return owners


def _tcp_edges(
    sockets: Iterable[Tcp], owners: Mapping[int, str], elsewhere: Mapping[Address, str]
) -> Iterator[tuple[Edge, str]]:
    sockets = list(sockets)
    listeners = [each for each in sockets if each.is_listening and each.inode in owners]
    listening = {(owners[each.inode], each.local[1]) for each in listeners}
    by_port = {each.local[1]: owners[each.inode] for each in listeners}
    ends = {(each.local, each.remote): each for each in sockets if not each.is_listening}
    for each in ends.values():
        client = owners.get(each.inode)
        if client is None or (client, each.local[1]) in listening:
            continue  # not of an agent, or the end that was connected to
        other = ends.get((each.remote, each.local))
        if other is None:
            server = elsewhere.get(each.remote)
        else:  # what nobody has accepted yet belongs to who listens
            server = owners.get(other.inode) if other.inode else by_port.get(each.remote[1])
        if server is not None and server != client:
            yield (client, server), f"tcp port {each.remote[1]}"


def _unix_edges(sockets: Iterable[Unix], owners: Mapping[int, str]) -> Iterator[tuple[Edge, str]]:
    for each in sockets:
        # What was accepted has the name of who listens; who connected has none.
        server, client = owners.get(each.inode), owners.get(each.peer)
        if each.name and server is not None and client is not None and server != client:
            name = os.path.basename(each.name)
            yield (client, server), TOPICS if name.endswith(_TOPIC_SUFFIX) else f"unix {name}"
