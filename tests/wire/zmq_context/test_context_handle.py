"""Shared ZeroMQ context: handles, closing of sockets, delivery at the end, forks, and patched contexts."""

from __future__ import annotations

import gc
import os
import select
import socket
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import zmq

from argosy.wire import context
from argosy.wire.zmq_context import closing_sockets
from argosy.wire.zmq_context.closing_sockets import is_held_by_closing, wait_until
from argosy.wire.zmq_context.context_handle import shared_context


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_context_handles_share_one_zmq_context() -> None:
    first, second = context(), context()
    with first, second:
        assert first.underlying == second.underlying == shared_context().underlying
        assert not isinstance(first, zmq.Context)


def test_term_closes_only_sockets_of_its_handle() -> None:
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


WAITERS = """
import sys, threading, zmq, zmq.sugar.context, zmq.sugar.socket
from argosy.wire import context
inside = threading.Semaphore(0)
make = {"own": zmq.Context, "handle": context}[sys.argv[1]]

def timed(socket, milliseconds):
    socket.rcvtimeo = milliseconds
    return socket
def polled(socket, *timeout):
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLIN)
    while True:
        poller.poll(*timeout)
def receive(socket):
    while True:
        try: socket.recv()
        except zmq.Again: continue
ways = {
    "recv": lambda handle, socket: receive(socket),
    "recv with a time-out": lambda handle, socket: receive(timed(socket, 50)),
    "recv without waiting": lambda handle, socket: receive(timed(socket, 0)),
    "recv_multipart": lambda handle, socket: socket.recv_multipart(),
    "recv_json": lambda handle, socket: socket.recv_json(),
    "poll": lambda handle, socket: socket.poll(),
    "poller": lambda handle, socket: polled(socket),
    "poller with a time-out": lambda handle, socket: polled(socket, 50),
}
def work(handle, way, told):
    socket = handle.socket(zmq.PULL)
    socket.bind("tcp://127.0.0.1:*")
    inside.release()
    try:
        ways[way](handle, socket)
    except Exception as error:
        told.append((type(error).__name__, socket.closed))
    finally:
        socket.close(0)
def send(handle, told):
    with handle.socket(zmq.PUSH) as socket:  # that nobody takes from
        inside.release()
        try:
            socket.send(b"")
        except Exception as error:
            told.append((type(error).__name__, socket.closed))
for way in [*ways, "send"]:
    handle, told = make(), []
    job = (send, (handle, told)) if way == "send" else (work, (handle, way, told))
    threads = [threading.Thread(target=job[0], args=job[1]) for _ in range(3)]
    for thread in threads: thread.start()
    for _ in threads: inside.acquire()
    handle.term()
    for thread in threads: thread.join()
    print(way, told)
"""


def test_term_wakes_blocked_threads_like_private_context() -> None:
    """They close their sockets themselves: closed under a thread that waits on it, it aborts the process."""
    told = [
        subprocess.run([sys.executable, "-c", WAITERS, kind], capture_output=True, text=True, timeout=60)
        for kind in ("own", "handle")
    ]
    assert [done.returncode for done in told] == [0, 0], told[1].stderr
    own, handle = (done.stdout for done in told)
    assert own.count("('ContextTerminated', False)") == 27, own
    assert handle == own


@pytest.mark.parametrize("how", ["term", "destroy"])
def test_signal_handler_ends_handle_while_its_thread_receives(how: str) -> None:
    code = f"""
import os, signal, threading, zmq
from argosy.wire import context
handle = context()
socket = handle.socket(zmq.PULL)
port = socket.bind_to_random_port("tcp://127.0.0.1")
signal.signal(signal.SIGUSR1, lambda *_: handle.{how}())
threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
try:
    socket.recv()
except zmq.ContextTerminated:
    print("told", socket.closed)
context().socket(zmq.PULL).bind(f"tcp://127.0.0.1:{{port}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("told True\n", 0), done.stderr


def test_close_during_recv_lets_receiving_thread_close_socket() -> None:
    """With pyzmq that may abort the process."""
    code = """
import threading, zmq
from argosy.wire import context
def work():
    try:
        while True:
            try: socket.recv()
            except zmq.Again: continue
    except zmq.ZMQError:
        print("heard", flush=True)
for milliseconds in (-1, 50):
    handle = context()
    socket = handle.socket(zmq.REP)
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    socket.rcvtimeo = milliseconds
    thread = threading.Thread(target=work)
    thread.start()
    while not socket._argosy_usage.depth: pass
    socket.close()
    if milliseconds > 0: handle.socket(zmq.REP).bind(f"tcp://127.0.0.1:{port}")
    handle.term()
    thread.join()
    print(socket.closed)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.stdout.split() == ["heard", "True"] * 2, done.stderr


def test_term_closes_socket_that_live_thread_leaves_open() -> None:
    handle, is_opened, may_go = context(), threading.Event(), threading.Event()
    opened: list[zmq.Socket[bytes]] = []

    def own() -> None:
        opened.append(handle.socket(zmq.PULL))
        is_opened.set()
        assert may_go.wait(30)

    thread = threading.Thread(target=own)
    thread.start()
    assert is_opened.wait(30)
    handle.term()
    assert opened[0].closed
    with pytest.raises(zmq.ContextTerminated):
        opened[0].recv()
    may_go.set()
    thread.join(30)


def test_socket_receives_and_times_out_like_pyzmq() -> None:
    with context() as handle, handle.socket(zmq.PAIR) as left, handle.socket(zmq.PAIR) as right:
        right.connect(f"tcp://127.0.0.1:{left.bind_to_random_port('tcp://127.0.0.1')}")
        left.rcvtimeo = 30_000
        right.send_multipart([b"one", b"two"])
        assert left.recv_multipart() == [b"one", b"two"]
        right.send(b"x" * 100_000, copy=False)
        assert left.recv(copy=False).bytes == b"x" * 100_000
        buffer = bytearray(5)
        right.send_string("hello")
        assert (left.recv_into(buffer), bytes(buffer)) == (5, b"hello")
        left.rcvtimeo = 20
        began_s = time.monotonic()
        with pytest.raises(zmq.Again):
            left.recv()
        assert time.monotonic() - began_s >= 0.02
        with pytest.raises(zmq.Again):
            left.recv(zmq.DONTWAIT)
        poller = zmq.Poller()
        poller.register(left, zmq.POLLIN)
        poller.register(right, zmq.POLLOUT)
        assert poller.poll(30_000) == [(right, zmq.POLLOUT)]


def test_destroy_without_linger_drops_undeliverable_message() -> None:
    handle = context()
    push = handle.socket(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{free_port()}")
    push.send(b"to nobody")
    ending = threading.Thread(target=lambda: handle.destroy(0))
    ending.start()
    ending.join(5)
    assert not ending.is_alive()


def test_term_raises_context_terminated_in_polling_thread() -> None:
    handle, begun = context(), threading.Event()
    ended: list[object] = []

    def serve() -> None:
        with handle.socket(zmq.REP) as rep:
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
    handle.term()
    thread.join(30)
    assert ended == [False]


def test_term_closes_socket_of_ended_thread() -> None:
    handle = context()
    opened: list[zmq.Socket[bytes]] = []
    thread = threading.Thread(target=lambda: opened.append(handle.socket(zmq.REP)))
    thread.start()
    thread.join(30)
    handle.term()
    assert opened[0].closed


def test_port_is_free_when_term_returns() -> None:
    port = free_port()
    for turn in range(50):
        handle = context()
        rep = handle.socket(zmq.REP)
        rep.bind(f"tcp://127.0.0.1:{port}")
        assert rep.getsockopt_string(zmq.LAST_ENDPOINT) == f"tcp://127.0.0.1:{port}"
        if turn % 2:
            rep.close()  # closed by hand first, as careful code does
        handle.term()


def test_handle_exposes_options_and_attributes_of_context() -> None:
    with context() as handle:
        assert handle.get(zmq.IO_THREADS) == 1
        with handle.socket(zmq.REQ) as req:
            assert req.context is shared_context()


def test_context_returns_patched_zmq_context() -> None:
    with mock.patch("zmq.Context") as patched:
        made = context()
        made.socket(zmq.REQ)
    assert made is patched.return_value
    patched.return_value.socket.assert_called_once_with(zmq.REQ)


def test_context_works_after_first_context_was_patched() -> None:
    code = """
from unittest import mock
import argosy.wire, zmq
for kind in ("zmq.Context", "zmq.Context.socket"):
    with mock.patch(kind) as patched:
        argosy.wire.context().socket(zmq.REQ)
        assert patched.mock_calls
with argosy.wire.context() as handle, handle.socket(zmq.REQ) as req:
    assert type(req) is not mock.MagicMock
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def test_patched_socket_method_gets_original_arguments() -> None:
    with mock.patch("zmq.Context.socket") as patched:
        made = context(2).socket(zmq.REQ)
        made.bind("tcp://*:1")
    patched.assert_called_once_with(zmq.REQ)
    patched.return_value.bind.assert_called_once_with("tcp://*:1")


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_unreferenced_socket_is_freed_without_garbage_collection() -> None:
    gc.disable()  # with an own context no collection was needed
    try:
        rep = context().socket(zmq.REP)
        left = weakref.ref(rep)
        del rep
        assert left() is None
    finally:
        gc.enable()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_port_can_be_bound_again_after_socket_is_garbage_collected() -> None:
    """An own context freed the port when it was collected with its last socket."""
    port = free_port()

    def hold() -> str:
        rep = context().socket(zmq.REP)
        rep.bind(f"tcp://*:{port}")
        return rep.getsockopt_string(zmq.LAST_ENDPOINT)

    for _ in range(50):
        assert hold() == f"tcp://0.0.0.0:{port}"


def test_bind_raises_eaddrinuse_without_delay() -> None:
    port = free_port()
    with context() as handle, handle.socket(zmq.REP) as first, handle.socket(zmq.REP) as second:
        first.bind(f"tcp://127.0.0.1:{port}")
        began_s = time.monotonic()
        with pytest.raises(zmq.ZMQError) as told:
            second.bind(f"tcp://127.0.0.1:{port}")
        assert told.value.errno == zmq.EADDRINUSE
        assert time.monotonic() - began_s < 0.5


def test_handles_share_context_of_replaced_context_class() -> None:
    class Green(zmq.Context[zmq.Socket[bytes]]):
        pass

    with mock.patch("zmq.Context", Green):
        first, second = context(), context()
        assert first.underlying == second.underlying
        assert first.underlying != shared_context().underlying


def test_context_works_in_forked_child() -> None:
    """A socket made from an inherited context would send into nothing, without an error."""
    code = """
import os, zmq
from argosy.wire import context
before = context(); idle = before.socket(zmq.PAIR)
pid = os.fork()
if pid == 0:
    for handle in (context(), before):
        a, b = handle.socket(zmq.PAIR), handle.socket(zmq.PAIR)
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


SENDERS = """
import sys, threading, zmq
from argosy.wire import context
make = {"own": zmq.Context, "handle": context}[sys.argv[1]]
url, way = sys.argv[2:]

def send(handle):
    push = handle.socket(zmq.PUSH)
    push.connect(url)
    push.send(b"sent before anybody listened")
    return push
def term():
    handle = make()
    send(handle).close()
    handle.term()
def destroy():
    handle = make()
    send(handle)
    handle.destroy()
def destroy_with_a_linger():
    handle = make()
    send(handle)
    handle.destroy(60_000)
def block():
    with make() as handle:
        send(handle)
def scope():
    send(make()).close()
def raised():
    handle = make()
    push = send(handle)
    raise LookupError
def collected():
    handle = make()
    kept = [send(handle)]
    kept.append(kept)
    kept[0].close()
def thread():
    each = threading.Thread(target=scope)
    each.start()
    each.join()
try:
    globals()[way]()
except LookupError:
    pass
import gc
gc.collect()
print("ended", flush=True)
"""
WAYS = ["term", "destroy", "destroy_with_a_linger", "block", "scope", "raised", "collected", "thread"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["own", "handle"])
def test_end_of_handle_waits_until_messages_are_delivered(kind: str, way: str) -> None:
    """Programs take that as the sign that their last message has left."""
    url = f"tcp://127.0.0.1:{free_port()}"
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SENDERS, kind, url, way], stdout=subprocess.PIPE, text=True
    )
    with child, zmq.Context() as own, own.socket(zmq.PULL) as pull:
        assert child.stdout is not None
        has_ended = bool(select.select([child.stdout], [], [], 0.5)[0])
        pull.rcvtimeo = 30_000
        pull.bind(url)
        try:
            assert pull.recv() == b"sent before anybody listened"
            assert child.stdout.readline() == "ended\n"
            assert not has_ended
        finally:
            child.kill()


@pytest.mark.parametrize("kind", ["own", "handle"])
def test_handled_signal_ends_term_with_undelivered_message(kind: str) -> None:
    """Else a program that is asked to stop while it waits could only be killed."""
    code = """
import os, signal, sys, threading, zmq
from argosy.wire import context
heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append("heard"))
handle = {"own": zmq.Context, "handle": context}[sys.argv[1]]()
push = handle.socket(zmq.PUSH)
push.connect("tcp://127.0.0.1:1")
push.send(b"to nobody")
push.close()
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start()
handle.term()
print(heard, handle.closed)
"""
    done = subprocess.run([sys.executable, "-c", code, kind], capture_output=True, text=True, timeout=30)
    assert done.stdout == "['heard'] True\n", done.stderr


def test_interrupted_term_does_not_block_closing_of_other_sockets() -> None:
    """What listens for the end of a socket must outlast it, or libzmq closes nothing more."""
    code = """
import os, signal, threading, zmq
from argosy.wire import context
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job starts with it ignored
handle = context()
push = handle.socket(zmq.PUSH)
push.linger = 500
push.connect("tcp://127.0.0.1:1")
push.send(b"to nobody")
push.close()
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    handle.term()
except KeyboardInterrupt:
    print("interrupted")
del handle, push
threading.Event().wait(0.7)  # until the linger is over
for _ in range(20):
    with context() as other:
        other.socket(zmq.PULL).bind("ipc://@argosy-interrupted")
print("bound")
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "interrupted\nbound\n", done.stderr


@pytest.mark.parametrize("kind", ["own", "handle"])
def test_recv_after_destroy_raises_enotsock(kind: str) -> None:
    handle: Any = zmq.Context() if kind == "own" else context()
    pull = handle.socket(zmq.PULL)
    handle.destroy()
    with pytest.raises(zmq.ZMQError) as told:
        pull.recv()
    assert told.value.errno == zmq.ENOTSOCK


@pytest.mark.parametrize("kind", ["own", "handle"])
def test_poller_with_closed_socket_still_reports_other_sockets(kind: str) -> None:
    make: Any = zmq.Context if kind == "own" else context
    ended, lives = make(), make()
    closed = ended.socket(zmq.PULL)
    with lives, lives.socket(zmq.PULL) as pull, lives.socket(zmq.PUSH) as push:
        push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
        poller = zmq.Poller()
        poller.register(closed, zmq.POLLOUT)
        poller.register(pull, zmq.POLLIN)
        ended.destroy()
        push.send(b"x")
        assert pull.poll(30_000)
        assert (pull, zmq.POLLIN) in poller.poll(30_000)


def endpoints() -> list[str]:
    return [
        f"tcp://127.0.0.1:{free_port()}",
        f"tcp://*:{free_port()}",
        f"ipc://@argosy-{os.getpid()}",
        "ipc://{folder}/socket",
        "inproc://argosy-again",
    ]


@pytest.mark.parametrize("endpoint", endpoints(), ids=["tcp", "wildcard", "abstract", "path", "inproc"])
@pytest.mark.parametrize("way", ["term", "destroy", "block", "scope", "close"])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_endpoint_can_be_bound_and_connected_again(endpoint: str, way: str, tmp_path: Path) -> None:
    endpoint = endpoint.format(folder=tmp_path)

    def exchange() -> None:
        handle = context()
        pull, push = handle.socket(zmq.PULL), handle.socket(zmq.PUSH)
        pull.rcvtimeo = 10_000
        pull.bind(endpoint)
        push.connect(endpoint.replace("*", "127.0.0.1"))
        push.send(b"x")
        assert pull.recv() == b"x"
        if way == "block":
            with handle:
                return
        if way == "close":
            pull.close()
            kept.append(handle)
        elif way != "scope":
            pull.close()
            push.close()
            getattr(handle, way)()

    kept: list[Any] = []
    for _ in range(20):
        exchange()


def test_bind_succeeds_when_closing_socket_frees_endpoint_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bind failed with EADDRINUSE although nothing held the endpoint when that was checked."""
    destroyed: list[str] = []

    def check_late(endpoint: str) -> bool:
        assert wait_until(lambda: not is_held_by_closing(endpoint), 30)
        destroyed.append(endpoint)
        return False

    monkeypatch.setattr("argosy.wire.zmq_context.context_handle.is_endpoint_closing", check_late)
    with context() as handle:
        while not destroyed:
            endpoint = f"tcp://127.0.0.1:{free_port()}"
            first = handle.socket(zmq.PULL)
            first.bind(endpoint)
            first.close()
            with handle.socket(zmq.PULL) as second:
                second.bind(endpoint)


def test_closing_sockets_are_not_tracked_after_destruction() -> None:
    with context() as handle:
        for _ in range(50):
            with handle.socket(zmq.PULL) as pull:
                pull.bind("tcp://127.0.0.1:*")
        assert wait_until(lambda: not is_held_by_closing("tcp://127.0.0.1:0") and _open_departures() < 3, 30)


def _open_departures() -> int:
    return sum(not each.is_destroyed for each in closing_sockets._closing)


def test_process_with_open_socket_exits_without_delay() -> None:
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


def test_fifty_handles_use_one_io_thread() -> None:
    code = """
import zmq
from argosy.wire import context
all_handles = [context() for _ in range(50)]
pairs = []
for number, handle in enumerate(all_handles):
    rep, req = handle.socket(zmq.REP), handle.socket(zmq.REQ)
    rep.bind("tcp://127.0.0.1:*")
    req.connect(rep.get(zmq.LAST_ENDPOINT).decode())
    pairs.append((rep, req))
for rep, req in pairs:
    req.send(b"x"); rep.send(rep.recv()); req.recv()
print(len({socket.context.underlying for pair in pairs for socket in pair}))
print(*settled(3))
for handle in all_handles: handle.term()
print(*settled(3))
"""
    contexts, *threads = _run(code)
    assert contexts == "1"
    assert threads == ["ZMQbg/IO/0 ZMQbg/Reaper program"] * 2


def test_zero_copy_send_starts_only_pyzmq_garbage_collector() -> None:
    """It has a context of its own, so its threads are told apart: the collector, and two of ZeroMQ."""
    code = """
import threading, zmq
from argosy.wire.transport.zmq_connection import ZmqConnection
from argosy.wire.zmq_context.context_handle import shared_context
from zmq.utils.garbage import gc
router = shared_context().socket(zmq.ROUTER)
router.bind("inproc://large")
lane = ZmqConnection("inproc://large")
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


def test_concurrent_threads_create_one_context() -> None:
    code = """
import threading
from argosy.wire.zmq_context.context_handle import shared_context
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


def test_patched_socket_bind_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    with context() as handle:
        first, second = handle.socket(zmq.REP), handle.socket(zmq.REP)
        first.bind("tcp://127.0.0.1:*")  # the class of its sockets is there from now on
        asked: list[str] = []
        real = zmq.Socket.bind

        def bind(self: zmq.Socket[Any], address: str) -> Any:
            asked.append(address)
            return real(self, address)

        monkeypatch.setattr(zmq.Socket, "bind", bind)
        second.bind("tcp://127.0.0.1:*")
        assert asked == ["tcp://127.0.0.1:*"]
