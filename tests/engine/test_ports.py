"""Ports: free or held, and by whom."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from argosy.engine.ports import Holder, find_listener, holder_of, is_free, obstacle


def test_a_listener_is_named_and_a_free_port_is_free() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        assert not is_free("0.0.0.0", port)
        holder = holder_of(port)
        assert holder.pid == os.getpid()
        assert str(holder).startswith(f"port {port} held by pid {os.getpid()} (")
        assert obstacle([("127.0.0.1", port)]) == str(holder)
        assert obstacle([], port) == str(holder)
        assert find_listener(port, os.getpid()) == (Holder(port, os.getpid(), ""), True)
    assert is_free("127.0.0.1", port)
    assert obstacle([("127.0.0.1", port)], port) == ""
    assert find_listener(port, os.getpid()) == (None, False)


def test_a_child_of_the_session_holds_it_for_its_leader_and_for_no_other() -> None:
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
        own, is_own = find_listener(port, leader.pid)
        assert (is_own, own is not None and own.title) == (True, "cat")
        foreign, is_own = find_listener(port, os.getsid(0))
        assert (is_own, foreign) == (False, own)
        leader.stdin.close()


def test_an_interface_that_is_not_here_is_an_obstacle_in_words() -> None:
    words = obstacle([("192.0.2.1", 7000)])
    assert words.startswith("port 7000 cannot be bound on 192.0.2.1: ")


def test_words_of_a_holder() -> None:
    assert str(Holder(80, 0, "")) == "port 80 held by a process of another user"
    assert str(Holder(80, 7, "")) == "port 80 held by pid 7"
