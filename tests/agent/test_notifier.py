"""Notifier: the sd_notify datagrams of an agent."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.agent.notifier import Notifier


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "n"))
        made.settimeout(5)
        yield made


def test_heartbeat_is_one_datagram_with_all_fields(receiver: socket.socket) -> None:
    notifier = Notifier(receiver.getsockname(), watchdog_s=1.0)
    notifier.send_heartbeat(ready=True, health="degraded", text="two\nlines")
    assert receiver.recv(4096) == b"READY=1\nX_ARGOSY_HEALTH=degraded\nSTATUS=two lines\nWATCHDOG=1"
    assert notifier.heartbeat_s == 0.5
    notifier.close()


def test_heartbeat_of_starting_agent_has_no_ready_field(receiver: socket.socket) -> None:
    notifier = Notifier(receiver.getsockname())
    notifier.send_heartbeat(ready=False, health="starting")
    assert receiver.recv(4096) == b"X_ARGOSY_HEALTH=starting"
    assert notifier.heartbeat_s == 2.0
    notifier.close()


def test_notifier_sends_to_abstract_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind("")  # the kernel chooses an abstract name
        made.settimeout(5)
        notifier = Notifier("@" + made.getsockname()[1:].decode())
        notifier.send_stopping("bye")
        assert made.recv(4096) == b"STOPPING=1\nX_ARGOSY_HEALTH=stopping\nSTATUS=bye"
        notifier.close()


def test_notifier_reaches_socket_that_was_bound_again(tmp_path: Path) -> None:
    """A connected sender would be lost for ever when a supervisor is replaced."""
    path = tmp_path / "n"
    notifier = Notifier(str(path))
    for _ in range(2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
            made.bind(str(path))
            made.settimeout(5)
            notifier.send_heartbeat(ready=True, health="ok")
            assert made.recv(4096).startswith(b"READY=1")
        path.unlink()
    notifier.close()


def test_notifier_never_blocks_on_full_or_missing_socket(receiver: socket.socket, tmp_path: Path) -> None:
    full, missing, none = Notifier(receiver.getsockname()), Notifier(str(tmp_path / "no")), Notifier("")
    for _ in range(1000):
        full.send_heartbeat(ready=True, health="ok")
    missing.send_heartbeat(ready=True, health="ok")
    none.send_heartbeat(ready=True, health="ok")
    assert full.unsent > 0
    assert missing.unsent == 1
    for each in (full, missing, none):
        each.close()
