"""TCP ports: free or held, and by which process; concurrent lookups share one scan."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from argosy.engine.inventory import port_owners as module
from argosy.engine.inventory.port_owners import PortOwners
from argosy.engine.process.tcp_ports import PortOwner, has_no_listener, is_port_free, iter_open_sockets


def find(port: int, session: int) -> tuple[PortOwner | None, bool]:
    """Ask once, of somebody who has looked at nothing yet."""
    return asyncio.run(PortOwners().find_listener(port, session))


@pytest.fixture
def listening() -> Iterator[list[int]]:
    """Ports that this process listens on, as many as a cell of agents has."""
    made = [socket.create_server(("127.0.0.1", 0)) for _ in range(40)]
    yield [each.getsockname()[1] for each in made]
    for each in made:
        each.close()


def test_port_owner_is_found_and_free_port_is_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_port_free("127.0.0.1", port)
        assert not is_port_free("0.0.0.0", port)
        holder = PortOwners().owner_of_port(port)
        assert holder.pid == os.getpid()
        assert str(holder).startswith(f"port {port} held by pid {os.getpid()} (")
        assert PortOwners().port_conflict([("127.0.0.1", port)]) == str(holder)
        assert PortOwners().port_conflict([], port) == str(holder)
        assert not has_no_listener(port)
        assert find(port, os.getpid()) == (PortOwner(port, os.getpid(), ""), True)
    assert is_port_free("127.0.0.1", port)
    assert PortOwners().port_conflict([("127.0.0.1", port)], port) == ""
    assert find(port, os.getpid()) == (None, False)
    assert has_no_listener(port)


def test_concurrent_port_lookups_share_one_socket_list_and_process_scan(
    listening: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    lists: list[int] = []
    searched: list[int] = []

    def counted_list() -> list[tuple[int, int]]:
        found = listening_sockets()
        lists.append(len(found))
        return found

    def counted_search(pid: int) -> Iterator[tuple[str, int]]:
        searched.append(pid)
        return iter_open_sockets(pid)

    listening_sockets = module.list_listening_sockets
    monkeypatch.setattr(module, "list_listening_sockets", counted_list)
    monkeypatch.setattr(module, "iter_open_sockets", counted_search)
    monkeypatch.setattr(module, "_MIN_REUSE_S", 1000.0)

    async def ask_all() -> list[tuple[PortOwner | None, bool]]:
        asked = PortOwners()
        first = await asyncio.gather(*(asked.find_listener(port, os.getpid()) for port in listening))
        asked._listing_valid_until = 0.0  # a second later: whose they are is still known
        return [
            *first,
            *await asyncio.gather(*(asked.find_listener(port, os.getpid()) for port in listening)),
        ]

    found = asyncio.run(ask_all())
    assert found == 2 * [(PortOwner(port, os.getpid(), ""), True) for port in listening]
    assert (len(lists), searched) == (2, [os.getpid()])


def test_concurrent_port_lookups_yield_to_event_loop(listening: list[int]) -> None:
    async def turns_meanwhile() -> int:
        asked = PortOwners()
        asking = asyncio.gather(*(asked.find_listener(port, os.getpid()) for port in listening))
        turns = 0
        while not asking.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(turns_meanwhile()) >= len(listening)


def test_port_lookup_does_not_use_stale_owner_after_close(listening: list[int]) -> None:
    async def ask_before_and_after(stays: socket.socket) -> list[tuple[PortOwner | None, bool]]:
        port = stays.getsockname()[1]
        asked = PortOwners()
        before = await asked.find_listener(port, os.getpid())
        with subprocess.Popen(
            ["cat"], pass_fds=[stays.fileno()], stdin=subprocess.PIPE, start_new_session=True
        ) as child:
            stays.close()
            after = await asked.find_listener(port, os.getpid())
            childs = await asked.find_listener(port, child.pid)
            assert child.stdin
            child.stdin.close()
        return [before, after, childs, (PortOwner(port, child.pid, ""), True)]

    stays = socket.create_server(("127.0.0.1", 0))
    before, after, childs, expected = asyncio.run(ask_before_and_after(stays))
    assert (before[1], childs) == (True, expected)
    assert (after[1], after[0] and after[0].pid) == (False, expected[0] and expected[0].pid)


def test_port_of_child_belongs_only_to_session_of_its_leader() -> None:
    code = (
        "import os, socket, subprocess, sys\n"
        "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "child = subprocess.Popen(['cat'], pass_fds=[s.fileno()])\n"
        "port = s.getsockname()[1]; s.close(); print(port, flush=True); child.wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as leader:
        assert leader.stdout
        assert leader.stdin
        port = int(leader.stdout.readline())
        own, is_own = find(port, leader.pid)
        assert (is_own, own is not None and own.title) == (True, "cat")
        foreign, is_own = find(port, os.getsid(0))
        assert (is_own, foreign) == (False, own)
        leader.stdin.close()


def test_port_conflict_describes_missing_interface() -> None:
    words = PortOwners().port_conflict([("192.0.2.1", 7000)])
    assert words.startswith("port 7000 cannot be bound on 192.0.2.1: ")


def test_port_owner_is_described() -> None:
    assert str(PortOwner(80, 0, "")) == "port 80 held by a process of another user"
    assert str(PortOwner(80, 7, "")) == "port 80 held by pid 7"
