"""The connections that running agents have to each other now.

Two sockets are the ends of one connection by /proc/net/tcp and tcp6, and for Unix sockets by sock_diag(7),
since /proc/net/unix does not show the peer: one netlink request, answered with each socket's inode, its
peer's inode and its bound name.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

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


_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_AND_DUMP = 0x1 | 0x300
_SHOW_NAME_AND_PEER = 0x1 | 0x4
_ALL_STATES = 0xFFFFFFFF
_NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")
_UNIX_REQUEST = struct.Struct("=BBHIIIII")
_UNIX_MESSAGE = struct.Struct("=BBBxIII")
_ATTRIBUTE = struct.Struct("=HH")
_DONE, _ERROR = 3, 2
_ATTRIBUTE_NAME, _ATTRIBUTE_PEER = 0, 2
_ESTABLISHED, _LISTEN = "01", "0A"

Address = tuple[str, int]


class UnixSocket(NamedTuple):
    """A unix socket. peer: the inode of the other end, 0 without one. name: its path, empty without one."""

    inode: int
    peer: int
    name: str


class TcpSocket(NamedTuple):
    """A TCP socket that listens or is connected."""

    inode: int
    local: Address
    remote: Address
    is_listening: bool


def list_unix_sockets() -> list[UnixSocket]:
    """Return the unix sockets of this network namespace.

    Raises OSError: the kernel does not answer sock_diag.
    """
    body = _UNIX_REQUEST.pack(
        socket.AF_UNIX, 0, 0, _ALL_STATES, 0, _SHOW_NAME_AND_PEER, _NO_COOKIE, _NO_COOKIE
    )
    header = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _REQUEST_AND_DUMP, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.send(header + body)
        return list(_iter_replies(link))


def _iter_replies(link: socket.socket) -> Iterator[UnixSocket]:
    while True:
        data = link.recv(1 << 20)
        at = 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                code = -struct.unpack_from("=i", data, at + _HEADER.size)[0]
                raise OSError(code, "the kernel refuses sock_diag for unix sockets")
            yield _parse_unix_socket(data[at + _HEADER.size : at + length])
            at += _align(length)


def _parse_unix_socket(message: bytes) -> UnixSocket:
    _, _, _, inode, _, _ = _UNIX_MESSAGE.unpack_from(message)
    peer, name = 0, ""
    at = _UNIX_MESSAGE.size
    while at + _ATTRIBUTE.size <= len(message):
        length, kind = _ATTRIBUTE.unpack_from(message, at)
        value = message[at + _ATTRIBUTE.size : at + length]
        if kind == _ATTRIBUTE_PEER:
            peer = struct.unpack("=I", value)[0]
        elif kind == _ATTRIBUTE_NAME:
            name = value.rstrip(b"\0").decode(errors="replace")
        at += max(_align(length), _ATTRIBUTE.size)
    return UnixSocket(inode, peer, name)


def _align(length: int) -> int:
    return (length + 3) & ~3


def iter_tcp_sockets() -> Iterator[TcpSocket]:
    """Yield the TCP sockets of this network namespace that listen or are connected."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            with open(table) as file:
                next(file)
                for line in file:
                    fields = line.split()
                    if fields[3] in (_ESTABLISHED, _LISTEN):
                        local, remote = _parse_address(fields[1]), _parse_address(fields[2])
                        yield TcpSocket(int(fields[9]), local, remote, fields[3] == _LISTEN)
        except FileNotFoundError:
            continue


def _parse_address(text: str) -> Address:
    """Return host and port of proc_net_tcp's hexadecimal; an IPv4-mapped address as IPv4."""
    host, _, port = text.partition(":")
    hex_words = [int(host[at : at + 8], 16) for at in range(0, len(host), 8)]
    packed = struct.pack(f"={len(hex_words)}I", *hex_words)
    if len(packed) == 16 and packed.startswith(b"\0" * 10 + b"\xff\xff"):
        packed = packed[12:]
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return socket.inet_ntop(family, packed), int(port, 16)
