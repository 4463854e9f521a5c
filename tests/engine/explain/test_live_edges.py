"""Live edges: both ends of real connections are paired, and addresses of /proc/net/tcp are parsed."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from argosy.engine.explain.live_edges import (
    SUBSCRIPTION,
    _parse_address,
    find_live_edges,
    iter_tcp_sockets,
    list_unix_sockets,
)

# Connects to whatever its arguments name, says so, and waits for its end.
CLIENT_CODE = """
import socket, sys
kept = []
for word in sys.argv[1:]:
    if word.isdigit():
        kept.append(socket.create_connection(("127.0.0.1", int(word))))
    else:
        kept.append(socket.socket(socket.AF_UNIX)); kept[-1].connect(word)
print("connected", flush=True)
sys.stdin.read()
"""


def inode(end: socket.socket) -> int:
    return os.fstat(end.fileno()).st_ino


def test_unix_socket_ends_are_paired() -> None:
    with tempfile.TemporaryDirectory(prefix="argosy-") as folder:
        path = f"{folder}/s"
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
            listener.bind(path)
            listener.listen()
            client.connect(path)
            with listener.accept()[0] as accepted:
                found = {each.inode: each for each in list_unix_sockets()}
                assert found[inode(accepted)].peer == inode(client)
                assert found[inode(client)].peer == inode(accepted)
                assert found[inode(accepted)].name == found[inode(listener)].name == path
                assert found[inode(client)].name == ""
                assert found[inode(listener)].peer == 0


def test_tcp_socket_ends_are_paired() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as client, listener.accept()[0] as accepted:
            found = {each.inode: each for each in iter_tcp_sockets()}
            assert found[inode(listener)].is_listening
            ours, theirs = found[inode(client)], found[inode(accepted)]
            assert (ours.local, ours.remote) == (theirs.remote, theirs.local)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0100007F:1C20", ("127.0.0.1", 7200)),
        ("0000000000000000FFFF00000100007F:1C20", ("127.0.0.1", 7200)),
        ("00000000000000000000000001000000:0050", ("::1", 80)),
        ("00000000:0000", ("0.0.0.0", 0)),
    ],
)
def test_proc_net_tcp_addresses_are_parsed(text: str, address: tuple[str, int]) -> None:
    assert _parse_address(text) == address


def test_live_edges_point_from_client_to_server() -> None:
    with tempfile.TemporaryDirectory(prefix="argosy-") as folder, socket.socket(socket.AF_UNIX) as asked:
        asked.bind(f"{folder}/Me.u")
        asked.listen()
        with socket.socket(socket.AF_UNIX) as topics, socket.create_server(("127.0.0.1", 0)) as port:
            topics.bind(f"{folder}/Me.t")
            topics.listen()
            number = port.getsockname()[1]
            words = [str(number), f"{folder}/Me.u", f"{folder}/Me.t"]
            process = subprocess.Popen(
                [sys.executable, "-c", CLIENT_CODE, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stdout is not None
            assert process.stdout.readline() == b"connected\n"
            ends = [each.accept()[0] for each in (asked, topics, port)]
            me = {"Me": os.getsid(0)}
            held = find_live_edges({**me, "Caller": process.pid}, {}, {})
            assert held.is_complete
            assert set(held.edges[("Caller", "Me")]) == {f"tcp port {number}", "unix Me.u", SUBSCRIPTION}
            assert ("Me", "Caller") not in held.edges
            assert held.has_edge(("Caller", "Me"))
            cells = find_live_edges(
                {**me, "Mate": os.getsid(0), "Caller": process.pid, "Twin": process.pid}, {number: "Mate"}, {}
            )
            assert cells.edges == {}, "nobody can tell which of the two it was"
            callers = ("Caller", "Twin")
            assert set(cells.shared[callers, "Me"]) == {"unix Me.u", SUBSCRIPTION}
            assert cells.shared[callers, "Mate"] == (f"tcp port {number}",), "by its declared port"
            assert cells.has_edge(("Twin", "Me"))
            assert not cells.has_edge(("Mate", "Twin"))
            for end in ends:
                end.close()
            process.communicate()


def test_live_edges_ignore_remote_address_with_both_ends_local() -> None:
    with socket.create_server(("127.0.0.1", 0)) as port, socket.create_connection(port.getsockname()):
        held = find_live_edges({"Me": os.getsid(0)}, {}, {port.getsockname(): "Afar"})
        assert ("Me", "Afar") not in held.edges, "both ends are here"


def test_live_edges_are_empty_without_agents(tmp_path: Path) -> None:
    assert find_live_edges({}, {}, {}).edges == {}
