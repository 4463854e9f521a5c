"""`zmq.Context.instance()` backed by the shared context of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any
from unittest import mock

import pytest
import zmq
import zmq.asyncio

from argosy.wire.zmq_context import zmq_instance
from argosy.wire.zmq_context.context_handle import shared_context


@pytest.fixture(autouse=True)
def _share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Share the instance for one test, as of a process in which nobody has taken it."""
    monkeypatch.setattr(zmq_instance, "_original_instance", [])
    monkeypatch.setattr(zmq_instance, "_instances", [])
    monkeypatch.setattr(zmq.Context, "_instance", None)
    monkeypatch.setattr(zmq.Context, "instance", zmq.Context.__dict__["instance"])
    zmq_instance.install_shared_instance()


def test_instance_is_one_pyzmq_context_on_shared_context() -> None:
    one: Any = zmq.Context.instance()
    assert zmq.Context.instance() is one
    assert isinstance(one, zmq.Context)
    assert one.underlying == shared_context().underlying


def test_term_of_instance_keeps_other_sockets_open() -> None:
    one: Any = zmq.Context.instance()
    with shared_context().socket(zmq.REP) as others, one.socket(zmq.REQ) as own:
        port = others.bind_to_random_port("tcp://127.0.0.1")
        one.term()  # pyzmq's own would wait here for `own`, for ever
        assert one.closed
        own.connect(f"tcp://127.0.0.1:{port}")
        own.send(b"still")
        assert others.poll(30_000)
        assert others.recv() == b"still"
        with pytest.raises(zmq.ZMQError):
            one.socket(zmq.REQ)
    after: Any = zmq.Context.instance()
    assert after is not one
    assert not after.closed


def test_port_can_be_bound_again_after_term_of_instance() -> None:
    for _ in range(5):
        one: Any = zmq.Context.instance()
        first = one.socket(zmq.REP)
        port = first.bind_to_random_port("tcp://127.0.0.1")
        first.close()
        one.term()
        with zmq.Context.instance() as next_one, next_one.socket(zmq.REP) as second:
            second.bind(f"tcp://127.0.0.1:{port}")


def test_exit_of_instance_closes_only_its_sockets() -> None:
    with shared_context().socket(zmq.REQ) as others:
        with zmq.Context.instance() as one:
            own = one.socket(zmq.REQ)
        assert own.closed
        assert not others.closed


def test_concurrent_threads_get_same_instance() -> None:
    barrier, found = threading.Barrier(8), set[int]()

    def ask() -> None:
        barrier.wait(30)
        found.add(id(zmq.Context.instance()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(found) == 1


def test_asyncio_and_patched_contexts_keep_their_instance() -> None:
    asynchronous: Any = zmq.asyncio.Context.instance()
    try:
        assert asynchronous.underlying != shared_context().underlying
    finally:
        asynchronous.term()
    with mock.patch("zmq.Context") as patched:
        assert zmq.Context.instance() is patched.instance.return_value


def test_install_keeps_existing_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_instance, "_original_instance", [])
    monkeypatch.setattr(zmq.Context, "instance", classmethod(lambda kind: "pyzmq's own"))
    monkeypatch.setattr(zmq.Context, "_instance", object())
    zmq_instance.install_shared_instance()
    assert zmq.Context.instance() == "pyzmq's own"  # type: ignore[comparison-overlap]


FORKED = """
import os, zmq
from argosy.wire.zmq_context.zmq_instance import install_shared_instance
install_shared_instance()
one = zmq.Context.instance()
if not (child := os.fork()):
    other = zmq.Context.instance()
    with other.socket(zmq.REP) as a, other.socket(zmq.REQ) as b:
        b.connect(f"tcp://127.0.0.1:{a.bind_to_random_port('tcp://127.0.0.1')}")
        b.send(b"x")
        os._exit(0 if other is not one and a.poll(30_000) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_forked_child_gets_its_own_instance() -> None:
    assert _output_of(FORKED) == ("0\n", "")


FORGETS = """
import zmq
from argosy.wire import context
from argosy.wire.zmq_context.zmq_instance import install_shared_instance
install_shared_instance()
left = zmq.Context.instance().socket(zmq.PUB)
with context() as ended:
    ended.socket(zmq.REQ).close()
print("done")
"""


def test_open_socket_of_instance_does_not_delay_exit() -> None:
    assert _output_of(FORGETS) == ("done\n", "")


def _output_of(program: str) -> tuple[str, str]:
    """Return what a program in a process of its own has printed, and said of errors."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout, done.stderr
