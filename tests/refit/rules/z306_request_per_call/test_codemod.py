"""Z306: which request sockets become requests on a pooled connection, and which are refused and why."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
import zmq

from argosy.refit.codemods.file_pipeline import FileOutcome, rewrite_file, select_codemods
from argosy.refit.rewrite.tree_index import TreeIndex

ASK = """\
import json
import zmq

def ask(context, peer):
    socket = context.socket(zmq.REQ)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 5000)
    socket.connect(peer)
    try:
        socket.send_json({"action": "health"})
        return socket.recv_json()
    finally:
        socket.close()
"""


def refit(source: str, codes: str = "Z306", others: dict[str, str] | None = None) -> FileOutcome:
    files = {name: text.encode() for name, text in {"it.py": source, **(others or {})}.items()}
    outcome = rewrite_file("it.py", files["it.py"], TreeIndex(files), select_codemods(codes.split(",")))
    assert [reason for reason in outcome.checks.values() if reason] == []
    return outcome


def test_z306_replaces_only_socket_creation() -> None:
    outcome = refit(ASK)
    assert outcome.refused == ()
    assert [(site.code, site.line) for site in outcome.migrated] == [("Z306", 5)]
    expected = ASK.replace("context.socket(zmq.REQ)", "argosy.api.req_socket(context)")
    assert outcome.after == expected.replace("import zmq\n", "import zmq\nimport argosy.api\n").encode()
    assert refit(outcome.after.decode()) == FileOutcome("it.py", is_relevant=False)


MIGRATED = {
    "by `with`": (
        "import zmq\n\ndef ask(context, peer):\n    with context.socket(zmq.REQ) as socket:\n"
        "        socket.RCVTIMEO = 5\n        socket.connect(peer)\n        socket.send(b'x')\n"
        "        return socket.recv()\n"
    ),
    "options as attributes": ASK.replace("setsockopt(zmq.RCVTIMEO, 5000)", "rcvtimeo = 5000").replace(
        "setsockopt(zmq.LINGER, 0)", "LINGER = 0"
    ),
    "as text": ASK.replace('send_json({"action": "health"})', 'send_string("x")').replace(
        "recv_json", "recv_string"
    ),
    "a linger at the end": ASK.replace("close()", "close(linger=0)"),
    "an own context": ASK.replace("(context, peer)", "(peer)")
    .replace("    socket = context.", "    context = zmq.Context()\n    socket = context.")
    .replace("        socket.close()\n", "        socket.close()\n        context.term()\n"),
    "an import within": ASK.replace("import zmq\n", "", 1).replace(
        "    socket = c", "    import zmq\n    socket = c"
    ),
}


@pytest.mark.parametrize("source", MIGRATED.values(), ids=MIGRATED)
def test_z306_migrates_request_socket(source: str) -> None:
    for codes in ("Z306", "Z301,Z306"):
        outcome = refit(source, codes)
        assert [item for item in outcome.refused if item.code == "Z306"] == []
        assert outcome.after is not None
        assert b"argosy.api.req_socket(context)" in outcome.after
        assert refit(outcome.after.decode(), codes).after is None


REFUSED = {
    "no time-out": (
        ASK.replace("    socket.setsockopt(zmq.RCVTIMEO, 5000)\n", ""),
        "it has no receive timeout, and any deadline would be a new one",
    ),
    "not closed": (
        ASK.replace(
            "    finally:\n        socket.close()\n", "    except ValueError:\n        return None\n"
        ),
        "it is not closed on every path",
    ),
    "asked again": (
        ASK.replace("        return", "        socket.recv_json()\n        return"),
        "it is not created, connected, sent and received on exactly once",
    ),
    "asked again and again": (
        ASK.replace("    socket = c", "    for _ in range(3):\n     socket = c")
        .replace("\n    socket.", "\n     socket.")
        .replace("    try:\n        ", "     try:\n        ")
        .replace("    finally:", "     finally:"),
        "it is created in a loop",
    ),
    "an option more": (
        ASK.replace("    socket.connect", "    socket.setsockopt(zmq.IDENTITY, b'me')\n    socket.connect"),
        "it has options that a pooled connection lacks",
    ),
    "polled": (
        ASK.replace("        return", "        socket.poll(100)\n        return"),
        "it is polled in addition to its timeout",
    ),
    "a flag": (
        ASK.replace("recv_json()", "recv_json(zmq.NOBLOCK)"),
        "`return socket.recv_json(zmq.NOBLOCK)` uses more of it",
    ),
    "an option that is read": (
        ASK.replace("        return", "        print(socket.getsockopt(zmq.FD))\n        return"),
        "`print(socket.getsockopt(zmq.FD))` uses more of it",
    ),
    "parts": (
        ASK.replace("recv_json()", "recv_multipart()"),
        "`return socket.recv_multipart()` uses more of it",
    ),
    "inside the process": (
        ASK.replace("connect(peer)", "connect('inproc:x')"),
        "inproc addresses are private to a context",
    ),
    "a context with options": (
        ASK.replace("(context, peer)", "(peer)").replace(
            "    socket = context.",
            "    context = zmq.Context()\n    context.setsockopt(zmq.IPV6, 1)\n    socket = context.",
        ),
        "its context has options of its own",
    ),
}


@pytest.mark.parametrize(("source", "reason"), REFUSED.values(), ids=REFUSED)
def test_z306_refuses_socket_with_reason(source: str, reason: str) -> None:
    outcome = refit(source)
    assert outcome.after is None
    assert [item.reason for item in outcome.refused] == [reason]


def test_z306_refuses_module_whose_zmq_is_patched() -> None:
    outcome = refit(
        ASK, others={"test_it.py": "from unittest import mock\nwith mock.patch('it.zmq'):\n    pass\n"}
    )
    assert [item.reason for item in outcome.refused] == ["`test_it.py` replaces `zmq` in this module"]


PROGRAM = ASK.replace("def ask", "import sys\n\n\ndef ask") + textwrap.dedent("""
    for _ in range(5):
        print(ask(zmq.Context.instance(), sys.argv[1]))
    try:
        ask(zmq.Context.instance(), sys.argv[2])
    except zmq.Again as error:
        print("again", error)
""")


def test_z306_program_sends_and_receives_same_messages(tmp_path: Path) -> None:
    """A plain REP cannot tell the two apart, but by the number of connections."""
    source = PROGRAM.replace("RCVTIMEO, 5000", "RCVTIMEO, 2000")
    after = refit(source).after
    assert after is not None
    assert b"req_socket" in after
    seen = []
    for text in (source.encode(), after):
        (tmp_path / "it.py").write_bytes(text)
        seen.append(run(tmp_path / "it.py"))
    (output, heard, was), (output_after, requests_after, now) = seen
    assert output == output_after == ["{'n': 1}"] * 5 + ["again Resource temporarily unavailable"]
    assert heard == requests_after
    assert [json.loads(each) for each in heard] == [{"action": "health"}] * 5
    assert (was, now) == (5, 1)


def run(program: Path) -> tuple[list[str], list[bytes], int]:
    """Return what a program prints, what a REP hears from it, and over how many connections."""
    with zmq.Context() as context, context.socket(zmq.REP) as peer, context.socket(zmq.REP) as silent:
        peer.linger = silent.linger = 0
        monitor = peer.get_monitor_socket(zmq.EVENT_ACCEPTED)
        peer.bind("tcp://127.0.0.1:*")
        silent.bind("tcp://127.0.0.1:*")
        heard: list[bytes] = []

        def answer() -> None:
            for _ in range(5):
                heard.append(peer.recv())
                peer.send_json({"n": 1})

        answering = threading.Thread(target=answer)
        answering.start()
        places = [each.get(zmq.LAST_ENDPOINT).decode() for each in (peer, silent)]  # type: ignore[union-attr]
        done = subprocess.run(
            [sys.executable, str(program), *places], capture_output=True, text=True, timeout=60, check=True
        )
        answering.join(10)
        accepted = 0
        while monitor.poll(200):
            monitor.recv_multipart()
            accepted += 1
        monitor.close(0)
        return done.stdout.splitlines(), heard, accepted
