"""The one context: shared by count, dropped after a fork, patched by other people's tests."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import time
import weakref
from unittest import mock

import pytest
import zmq

from argosy.wire import context
from argosy.wire.lease import shared_context


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_leases_share_one_context() -> None:
    first, second = context(), context()
    with first, second:
        assert first.underlying == second.underlying == shared_context().underlying
        assert not isinstance(first, zmq.Context)


def test_the_end_of_one_lease_closes_only_what_it_opened() -> None:
    mine, other = context(), context()
    own, strange = mine.socket(zmq.PAIR), other.socket(zmq.PAIR)
    mine.term()
    assert (mine.closed, own.closed) == (True, True)
    assert (other.closed, strange.closed) == (False, False)
    with pytest.raises(zmq.ZMQError) as told:
        mine.socket(zmq.PAIR)
    assert told.value.errno == zmq.ENOTSUP
    mine.term()  # as often as one likes
    other.destroy(linger=0)
    assert strange.closed


def test_term_does_not_wait_for_a_message_that_nobody_takes() -> None:
    lease = context()
    push = lease.socket(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{free_port()}")
    push.send(b"to nobody")
    ending = threading.Thread(target=lambda: lease.destroy(0))
    ending.start()
    ending.join(5)
    assert not ending.is_alive()


def test_what_another_thread_uses_is_told_of_the_end_and_closed_by_that_thread() -> None:
    lease, begun = context(), threading.Event()
    ended: list[object] = []

    def serve() -> None:
        with lease.socket(zmq.REP) as rep:
            rep.bind_to_random_port("tcp://127.0.0.1")
            begun.set()
            try:
                while True:
                    rep.poll(1)
            except zmq.ContextTerminated:
                ended.append(rep.closed)

    thread = threading.Thread(target=serve)
    thread.start()
    assert begun.wait(30)
    lease.term()
    thread.join(30)
    assert ended == [False]


def test_what_an_ended_thread_left_open_is_closed() -> None:
    lease = context()
    opened: list[zmq.Socket[bytes]] = []
    thread = threading.Thread(target=lambda: opened.append(lease.socket(zmq.REP)))
    thread.start()
    thread.join(30)
    lease.term()
    assert opened[0].closed


def test_a_port_is_free_again_when_the_release_returns() -> None:
    port = free_port()
    for turn in range(50):
        lease = context()
        rep = lease.socket(zmq.REP)
        rep.bind(f"tcp://127.0.0.1:{port}")
        if turn % 2:
            rep.close()  # closed by hand first, as careful code does
        lease.term()


def test_options_and_attributes_are_the_contexts_own() -> None:
    with context() as lease:
        assert lease.get(zmq.IO_THREADS) == 1
        with lease.socket(zmq.REQ) as req:
            assert req.context is shared_context()


def test_a_patched_context_is_what_the_test_gets() -> None:
    with mock.patch("zmq.Context") as patched:
        made = context()
        made.socket(zmq.REQ)
    assert made is patched.return_value
    patched.return_value.socket.assert_called_once_with(zmq.REQ)


def test_the_first_context_of_a_process_may_be_a_patched_one() -> None:
    code = """
from unittest import mock
import argosy.wire, zmq
for kind in ("zmq.Context", "zmq.Context.socket"):
    with mock.patch(kind) as patched:
        argosy.wire.context().socket(zmq.REQ)
        assert patched.mock_calls
with argosy.wire.context() as lease, lease.socket(zmq.REQ) as req:
    assert type(req) is not mock.MagicMock
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_a_patched_socket_gets_the_arguments_that_were_written() -> None:
    with mock.patch("zmq.Context.socket") as patched:
        made = context(2).socket(zmq.REQ)
        made.bind("tcp://*:1")
    patched.assert_called_once_with(zmq.REQ)
    patched.return_value.bind.assert_called_once_with("tcp://*:1")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_forgotten_socket_closes_when_nobody_holds_it() -> None:
    gc.disable()  # with an own context no collection was needed
    try:
        rep = context().socket(zmq.REP)
        left = weakref.ref(rep)
        del rep
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_port_can_be_bound_again_after_its_socket_was_forgotten() -> None:
    """An own context freed the port when it was collected with its last socket."""
    port = free_port()

    def hold() -> None:
        rep = context().socket(zmq.REP)
        rep.bind(f"tcp://*:{port}")

    for _ in range(50):
        hold()


def test_a_port_that_somebody_holds_is_refused_at_once() -> None:
    port = free_port()
    with context() as lease, lease.socket(zmq.REP) as first, lease.socket(zmq.REP) as second:
        first.bind(f"tcp://127.0.0.1:{port}")
        began_s = time.monotonic()
        with pytest.raises(zmq.ZMQError) as told:
            second.bind(f"tcp://127.0.0.1:{port}")
        assert told.value.errno == zmq.EADDRINUSE
        assert time.monotonic() - began_s < 0.5


def test_another_kind_of_context_is_shared_too() -> None:
    class Green(zmq.Context[zmq.Socket[bytes]]):
        pass

    with mock.patch("zmq.Context", Green):
        first, second = context(), context()
        assert first.underlying == second.underlying
        assert first.underlying != shared_context().underlying


def test_a_child_gets_a_context_that_works() -> None:
    """A socket made from an inherited context would send into nothing, without an error."""
    code = """
import os, zmq
from argosy.wire import context
before = context(); idle = before.socket(zmq.PAIR)
pid = os.fork()
if pid == 0:
    for lease in (context(), before):
        a, b = lease.socket(zmq.PAIR), lease.socket(zmq.PAIR)
        b.rcvtimeo = 5000
        port = a.bind_to_random_port("tcp://127.0.0.1"); b.connect(f"tcp://127.0.0.1:{port}")
        a.send(b"x"); assert b.recv() == b"x"
        a.close(0); b.close(0)
    os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
idle.send  # still there
before.destroy(0)
print("ok")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.stdout == "ok\n", done.stderr


def test_what_was_sent_before_the_end_of_the_lease_arrives() -> None:
    """An own context's `term()` waited for that; programs that send and exit rely on it."""
    code = """
import sys
from argosy.wire import context
import zmq
with context() as lease:
    push = lease.socket(zmq.PUSH)
    push.connect(sys.argv[1])
    push.send(b"sent before anybody listened")
    push.close()
print("ended", flush=True)
"""
    url = f"tcp://127.0.0.1:{free_port()}"
    with subprocess.Popen([sys.executable, "-c", code, url], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ended\n"
        with zmq.Context() as own, own.socket(zmq.PULL) as pull:
            pull.linger = 0
            pull.rcvtimeo = 5000
            pull.bind(url)
            assert pull.recv() == b"sent before anybody listened"


def test_a_program_that_leaves_a_socket_open_ends_at_once() -> None:
    code = """
from argosy.wire import context
import zmq
context().term()
push = context().socket(zmq.PUSH)
push.connect("tcp://127.0.0.1:1")
push.send(b"to nobody")
"""
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", code], timeout=30, check=True)
    assert time.monotonic() - began < 4.0


def test_fifty_old_users_have_one_io_thread() -> None:
    code = """
import zmq
from argosy.wire import context
leases = [context() for _ in range(50)]
pairs = []
for number, lease in enumerate(leases):
    rep, req = lease.socket(zmq.REP), lease.socket(zmq.REQ)
    rep.bind("tcp://127.0.0.1:*")
    req.connect(rep.get(zmq.LAST_ENDPOINT).decode())
    pairs.append((rep, req))
for rep, req in pairs:
    req.send(b"x"); rep.send(rep.recv()); req.recv()
print(len({socket.context.underlying for pair in pairs for socket in pair}))
print(*settled(3))
for lease in leases: lease.term()
print(*settled(3))
"""
    contexts, *threads = _run(code)
    assert contexts == "1"
    assert threads == ["ZMQbg/IO/0 ZMQbg/Reaper program"] * 2


def test_large_buffers_bring_the_collector_of_pyzmq_and_nothing_else() -> None:
    """It has a context of its own, so its threads are told apart: the collector, and two of ZeroMQ."""
    code = """
import threading, zmq
from argosy.wire.lane import Lane
from argosy.wire.lease import shared_context
from zmq.utils.garbage import gc
router = shared_context().socket(zmq.ROUTER)
router.bind("inproc://large")
lane = Lane("inproc://large")
lane.send(b"small", [])
print(*settled(3))
before = set(threading.enumerate())
lane.send(b"body", [b"x" * 1_000_000])
print(*settled(6))
print(*(type(t).__name__ for t in set(threading.enumerate()) - before), gc.thread in threading.enumerate())
lane.close()
router.close(0)
"""
    before, after, collector = _run(code)
    assert before == "ZMQbg/IO/0 ZMQbg/Reaper program"
    assert after == "ZMQbg/IO/0 ZMQbg/IO/0 ZMQbg/Reaper ZMQbg/Reaper program program"
    assert collector == "GarbageCollectorThread True"


THREADS = """
import os
def threads():
    # Threads of Python have the program's name.
    own = open("/proc/self/comm").read()
    names = [open(f"/proc/self/task/{number}/comm").read() for number in os.listdir("/proc/self/task")]
    return sorted("program" if name == own else name.strip() for name in names)
def settled(count):
    # A new thread of ZeroMQ has the program's name until it has given itself its own.
    for _ in range(10_000):
        names = threads()
        if len(names) == count and names.count("program") <= count // 3:
            break
    return names
"""


def _run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", THREADS + code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_many_threads_make_one_context() -> None:
    code = """
import threading
from argosy.wire.lease import shared_context
gate = threading.Barrier(16); made = []
def make():
    gate.wait(); made.append(shared_context().underlying)
threads = [threading.Thread(target=make) for _ in range(16)]
[t.start() for t in threads]; [t.join() for t in threads]
print(len(set(made)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "1\n"
