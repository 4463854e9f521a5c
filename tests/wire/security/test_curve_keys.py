"""Keys on disk, and connections between two machines with the right, wrong and no keys."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from socket import create_connection
from typing import Any

import msgspec
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from argosy.fault import RefusedError
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book
from argosy.wire.security.curve_keys import (
    PUBLIC_SUFFIX,
    SECRET_SUFFIX,
    KeyPair,
    Keyring,
    active_keys_dir,
    default_keys_dir,
    is_curve_endpoint,
    is_curve_required,
    key_path,
    read_key,
)
from argosy.wire.security.key_management import (
    check_keys,
    export_keys,
    fingerprint,
    list_keys,
    make_keys,
    make_pair,
    renew_key,
)
from argosy.wire.security.zap import LOG_INTERVAL_S, CurveAuthenticator, RejectionLog
from argosy.wire.transport.reactor import BlockingReactor, LoopReactor
from argosy.wire.zmq_context.context_handle import shared_context
from launch import HERE, until
from rig.lan import Lan, Machine

SOURCES = Path(__file__).resolve().parents[3] / "src" / "argosy"
MACHINES = ("mainpc", "pc2")
PORT = 5595


# -- the folder --------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> str:
    made = str(tmp_path / "keys")
    make_keys(made, MACHINES)
    return made


def test_where_keys_are() -> None:
    assert default_keys_dir("harbour", {"ARGOSY_KEYS": "/k"}) == "/k"
    assert default_keys_dir("harbour", {"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == "/c/argosy/keys/harbour"
    assert default_keys_dir("harbour", {"HOME": "/h"}) == "/h/.config/argosy/keys/harbour"


def test_a_folder_is_in_use_when_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert active_keys_dir("harbour", {"ARGOSY_KEYS": "keys"}) == ""
    (tmp_path / "keys").mkdir()
    assert active_keys_dir("harbour", {"ARGOSY_KEYS": "keys"}) == str(tmp_path / "keys")


@pytest.mark.parametrize(
    ("endpoint", "keyed"),
    [
        ("tcp://192.168.100.16:5595", True),
        ("tcp://0.0.0.0:5595", True),
        ("tcp://*:5595", True),
        ("tcp://[fe80::1]:5595", True),
        ("tcp://127.0.0.1:5595", False),
        ("tcp://127.9.9.9:5595", False),
        ("tcp://[::1]:5595", False),
        ("ipc:///run/z/Echo", False),
    ],
)
def test_tcp_beyond_loopback_is_keyed(endpoint: str, keyed: bool) -> None:
    assert is_curve_endpoint(endpoint) is keyed


def test_a_wildcard_is_keyed_and_loopback_is_not() -> None:
    assert is_curve_required("0.0.0.0")
    assert not is_curve_required("localhost")


def test_keys_are_made_once_and_for_their_owner_alone(folder: str) -> None:
    before = {path: path.read_bytes() for path in Path(folder).iterdir()}
    assert sorted(path.name for path in before) == [
        m + k for m in MACHINES for k in (PUBLIC_SUFFIX, SECRET_SUFFIX)
    ]
    assert make_keys(folder, (*MACHINES, "pc3")) == ("pc3",)
    assert all(path.read_bytes() == text for path, text in before.items())
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(folder).iterdir()} == {0o600}
    assert check_keys(folder, (*MACHINES, "pc3")) == []


def test_a_lost_public_key_is_made_again_from_its_secret(folder: str) -> None:
    public = read_key(folder, "pc2", PUBLIC_SUFFIX)
    os.unlink(key_path(folder, "pc2", PUBLIC_SUFFIX))
    assert make_keys(folder, MACHINES) == ("pc2",)
    assert read_key(folder, "pc2", PUBLIC_SUFFIX) == public


def test_a_secret_that_is_elsewhere_is_not_made(folder: str) -> None:
    os.unlink(key_path(folder, "pc2", SECRET_SUFFIX))
    assert make_keys(folder, MACHINES) == ()
    assert list_keys(folder, MACHINES)["pc2"].has_secret is False


def test_renew_replaces_one_pair(folder: str) -> None:
    main, other = (read_key(folder, name, PUBLIC_SUFFIX) for name in MACHINES)
    renew_key(folder, "pc2")
    assert read_key(folder, "mainpc", PUBLIC_SUFFIX) == main
    assert read_key(folder, "pc2", PUBLIC_SUFFIX) != other
    assert check_keys(folder, MACHINES) == []
    with pytest.raises(RefusedError, match="no public key of `pc9`"):
        renew_key(folder, "pc9")


def test_another_maker_that_was_faster_wins(folder: str) -> None:
    os.unlink(key_path(folder, "pc2", PUBLIC_SUFFIX))
    os.unlink(key_path(folder, "pc2", SECRET_SUFFIX))
    fast = make_pair()

    def while_another_makes_it() -> KeyPair:
        make_keys(folder, MACHINES, lambda: fast)
        return make_pair()

    make_keys(folder, MACHINES, while_another_makes_it)
    assert Keyring(folder, ["pc2"]).own_pair() == fast


def test_a_secret_that_others_can_read_is_not_used(folder: str) -> None:
    os.chmod(key_path(folder, "pc2", SECRET_SUFFIX), 0o640)
    with pytest.raises(RefusedError, match=r"mode 0640, expected 0600"):
        Keyring(folder, ["pc2"]).own_pair()
    assert [fault.code for fault in check_keys(folder, MACHINES)] == ["exposed-key"]


def test_every_fault_is_told(folder: str) -> None:
    os.chmod(folder, 0o750)
    os.chmod(key_path(folder, "mainpc", PUBLIC_SUFFIX), 0o666)
    make_keys(folder, ["laptop"])
    Path(key_path(folder, "pc2", PUBLIC_SUFFIX)).write_bytes(read_key(folder, "laptop", PUBLIC_SUFFIX))
    Path(key_path(folder, "laptop", SECRET_SUFFIX)).write_text("short\n")
    told = {(os.path.basename(f.where), f.code) for f in check_keys(folder, (*MACHINES, "pc3", "laptop"))}
    assert told == {
        ("keys", "exposed-key"),
        ("mainpc.public", "exposed-key"),
        ("pc2.public", "key-mismatch"),
        ("pc3.public", "no-key"),
        ("laptop.secret", "bad-key"),
    }
    assert [f.code for f in check_keys(folder, (*MACHINES,)) if "laptop" in f.where] == ["unknown-machine"]


def test_a_layout_has_one_secret_and_all_publics(folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_keys(folder, "pc2", str(out)) == ("mainpc.public", "pc2.public", "pc2.secret")
    assert sorted(path.name for path in out.iterdir()) == ["mainpc.public", "pc2.public", "pc2.secret"]
    assert check_keys(str(out), MACHINES) == []
    with pytest.raises(RefusedError, match="is not empty"):
        export_keys(folder, "pc2", str(out))
    with pytest.raises(RefusedError, match="no secret key of `mainpc`"):
        export_keys(str(out), "mainpc", str(tmp_path / "more"))


def test_no_folder_has_a_hint(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="argosy keys make"):
        list_keys(str(tmp_path / "none"), MACHINES)


def test_a_key_taken_away_or_replaced_counts_at_once(folder: str) -> None:
    ring = Keyring(folder, ["mainpc"])
    public = read_key(folder, "pc2", PUBLIC_SUFFIX)
    assert ring.machine_of_key(public) == "pc2"
    path = Path(key_path(folder, "pc2", PUBLIC_SUFFIX))
    path.write_bytes(make_pair().public)  # in place, as scp does: the folder's time does not change
    assert ring.machine_of_key(public) is None
    path.write_bytes(b"nonsense")
    assert ring.machine_of_key(b"nonsense") is None
    shutil.rmtree(folder)
    assert ring.machine_of_key(public) is None


def test_a_pair_does_not_print_its_secret() -> None:
    pair = make_pair()
    assert pair.secret.decode() not in repr(pair)
    assert pair.public.decode() in repr(pair)


def test_fingerprints_differ_and_can_be_read_aloud() -> None:
    one, other = (fingerprint(make_pair().public) for _ in range(2))
    assert one != other
    assert len(one) == 19


@given(
    st.binary(max_size=39)
    | st.binary(min_size=60, max_size=200)
    | st.text("~;`\\", min_size=40).map(str.encode)
)
def test_what_is_no_key_is_refused_by_name(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(key_path(folder, "pc2", PUBLIC_SUFFIX)).write_bytes(content)
        with pytest.raises(RefusedError, match="holds no key"):
            read_key(folder, "pc2", PUBLIC_SUFFIX)


# -- the log -----------------------------------------------------------------------------------


def test_refusals_are_logged_at_a_rate(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    refusals = RejectionLog("Echo", lambda: now[0])
    for _ in range(5):
        refusals.record("10.0.0.9", "it has no key")
    refusals.record("10.0.0.8", "it has no key")
    now[0] = LOG_INTERVAL_S
    refusals.record("10.0.0.9", "it has no key")
    assert [record.getMessage() for record in caplog.records] == [
        "`Echo` refused a peer at 10.0.0.9: it has no key",
        "`Echo` refused a peer at 10.0.0.8: it has no key",
        "`Echo` refused a peer at 10.0.0.9: it has no key (4 more times since the last line)",
    ]
    assert refusals.count == 7


def test_a_flood_of_addresses_does_not_grow(caplog: pytest.LogCaptureFixture) -> None:
    refusals = RejectionLog("Echo", lambda: 0.0)
    for number in range(2000):
        refusals.record(str(number), "it has no key")
    assert len(refusals._last_logged) <= 256


# -- one process -------------------------------------------------------------------------------


def _subscriber(ring: Keyring, endpoint: str) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = shared_context().socket(zmq.SUB)
    socket.linger = 0
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    ring.apply(socket, "mainpc")
    socket.connect(endpoint)
    return socket


def _strange_ring(folder: str) -> Keyring:
    """Return the keys of a machine of another fleet that knows this one's public key."""
    other = f"{folder}-of-another"
    make_keys(other, ["pc9"])
    shutil.copy(key_path(folder, "mainpc", PUBLIC_SUFFIX), other)
    return Keyring(other, ["pc9"])


def test_who_left_before_it_was_seen_is_told_without_its_address(
    folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    reactor = BlockingReactor()
    door = CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), reactor)
    guarded = shared_context().socket(zmq.ROUTER)
    door.protect(guarded)
    port = guarded.bind_to_random_port("tcp://127.0.0.1")
    create_connection(("127.0.0.1", port), 5).close()
    until(lambda: not _has_connections(port))  # and nobody has looked yet
    reactor.call_later(20, lambda: pytest.fail("nobody was refused"))
    reactor.run_until(lambda: door.rejections.count == 1)
    assert "refused a peer at an unknown address (it left at once): it showed no key" in caplog.text
    door.close()
    guarded.close(0)


def _has_connections(port: int) -> bool:
    """Return whether any connection still has this local port of loopback; listening is none."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] != "0A" for row in rows)


def test_publications_are_guarded_by_the_same_door(folder: str) -> None:
    """A second door in the same process has its own keys, and closing it leaves the first open."""
    asyncio.run(asyncio.wait_for(_publish_through_a_door(folder), 20))


async def _publish_through_a_door(folder: str) -> None:
    reactor = LoopReactor(asyncio.get_running_loop())
    door, other = (CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), reactor) for _ in range(2))
    publisher = shared_context().socket(zmq.XPUB)
    door.protect(publisher)
    publisher.bind("tcp://127.0.0.1:*")
    endpoint = publisher.get(zmq.LAST_ENDPOINT).decode()
    stranger = _subscriber(_strange_ring(folder), endpoint)
    while not door.statistics()["refused"]:
        await asyncio.sleep(0.005)
    other.close()
    friend = _subscriber(Keyring(folder, ["pc2"]), endpoint)
    while not publisher.poll(0):
        await asyncio.sleep(0.005)
    assert publisher.recv() == b"\1"
    publisher.send(b"said")
    assert friend.poll(5000)
    assert friend.recv() == b"said"
    assert not stranger.poll(0)
    door.close()
    for socket in (stranger, friend, publisher):
        socket.close(0)


def test_who_answers_zap_already_is_an_error_with_a_hint(folder: str) -> None:
    taken = shared_context().socket(zmq.REP)
    taken.bind("inproc://zeromq.zap.01")
    with pytest.raises(RefusedError, match="something else in this process"):
        CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), BlockingReactor())
    taken.close(0)


# -- two machines ------------------------------------------------------------------------------

CALLER = """
import sys
from argosy.wire import connect, WireError
with connect(sys.argv[1], timeout=float(sys.argv[2])) as peer:
    for line in sys.stdin:
        try:
            print("reply", peer.echo(text=line.strip()), flush=True)
        except WireError as error:
            print(type(error).__name__, error, flush=True)
"""


class Harbour:
    """Two machines with a book and keys each; an Echo runs on the first and is called from the second."""

    def __init__(self, lan: Lan, root: Path) -> None:
        self.root = root
        self.lan = lan
        self.machines = {
            "mainpc": lan.machine("mainpc", "192.168.100.16"),
            "pc2": lan.machine("pc2", "192.168.100.17"),
        }
        make_keys(str(root / "keys"), MACHINES)
        for name in MACHINES:
            export_keys(str(root / "keys"), name, str(self.keys(name)))
            self.write_book(name)

    def keys(self, machine: str) -> Path:
        """Return the folder of the keys that a machine has."""
        return self.root / f"keys-{machine}"

    def write_book(self, machine: str, **fields: Any) -> None:
        """Write what the agents of one machine are told."""
        (self.root / machine).mkdir(exist_ok=True)
        address = self.machines["mainpc"].address
        echo = AgentAddress("mainpc", host=address, bind=address, port=PORT, health_port=PORT + 1)
        book = AddressBook("harbour", "development", (machine,), str(self.root / machine), {"Echo": echo})
        keyed = msgspec.structs.replace(book, keys=str(self.keys(machine)))
        write_address_book(self.root / f"{machine}.json", msgspec.structs.replace(keyed, **fields))

    def env(self, machine: str) -> dict[str, str]:
        return {**os.environ, "ARGOSY_BOOK": str(self.root / f"{machine}.json")}

    def start(self, target: str = "sample_agents:Echo") -> subprocess.Popen[str]:
        """Start the Echo, as a class of any kind, and wait until it listens; its log is `log()`."""
        log = open(self.root / "log", "w")  # noqa: SIM115 - the process's for as long as it lives
        with log:
            process = self.machines["mainpc"].popen(
                [sys.executable, "-m", "argosy.agent", target],
                cwd=HERE,
                env={**self.env("mainpc"), "ARGOSY_AGENT": "Echo"},
                stdout=log,
                stderr=log,
                text=True,
            )
        last = self.root / "mainpc" / "z" / "Echo.t"  # of what it binds
        until(lambda: last.exists() or process.poll() is not None)
        return process

    def log(self) -> str:
        return (self.root / "log").read_text()

    def caller(self, machine: str = "pc2", peer: str = "Echo", timeout_s: float = 10) -> Caller:
        return Caller(self.machines[machine], self.env(machine), peer, timeout_s)


class Caller:
    """A program on one machine that asks whenever it is told to."""

    def __init__(self, machine: Machine, env: dict[str, str], peer: str, timeout_s: float) -> None:
        self.process = machine.popen(
            [sys.executable, "-c", CALLER, peer, str(timeout_s)],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, text: str = "ahoy") -> str:
        """Return the reply, or the error with its text."""
        self.send(text)
        return self.receive()

    def send(self, text: str = "ahoy") -> None:
        assert self.process.stdin
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def receive(self) -> str:
        assert self.process.stdout
        return str(self.process.stdout.readline()).strip()


@pytest.fixture
def harbour(lan: Lan) -> Iterator[Harbour]:
    root = Path(tempfile.mkdtemp(prefix="argosy-"))
    made = Harbour(lan, root)
    yield made
    lan.close()
    print(made.log() if (root / "log").exists() else "")  # shown when the test failed
    shutil.rmtree(root)


def test_machines_with_their_keys_talk(harbour: Harbour) -> None:
    harbour.start()
    assert harbour.caller().ask() == "reply ahoy"
    assert "refused" not in harbour.log()


def test_an_old_agent_has_the_same_door(harbour: Harbour) -> None:
    """Its base used to bind its ports open to all, in a fleet with keys too."""
    harbour.start("agent.legacy.legacy_agents:Plain")
    assert "'text': 'ahoy'" in harbour.caller().ask()
    harbour.write_book("pc2", keys="")
    assert harbour.caller(timeout_s=0.5).ask().startswith("NotSent")
    until(lambda: "refused a peer at 192.168.100.17" in harbour.log())


def test_on_its_own_machine_an_agent_needs_no_key(harbour: Harbour) -> None:
    harbour.start()
    harbour.write_book("mainpc", keys="")
    assert harbour.caller("mainpc").ask() == "reply ahoy"


def test_on_its_own_machine_tcp_is_keyed_too(harbour: Harbour) -> None:
    """Where the path of the ipc socket is too long, say: the port is the same, and so is its lock."""
    harbour.start()
    harbour.write_book("mainpc", runtime=str(harbour.root / "elsewhere"))
    assert harbour.caller("mainpc").ask() == "reply ahoy"
    harbour.write_book("mainpc", runtime=str(harbour.root / "elsewhere"), keys="")
    assert harbour.caller("mainpc", timeout_s=0.5).ask().startswith("NotSent")


def test_what_passes_between_machines_is_not_readable(harbour: Harbour, lan: Lan) -> None:
    """The witness hears every frame of the caller's cable; first that it can, without keys."""
    for machine, keyed in (("plain", ""), ("keyed", None)):
        if keyed == "":
            for name in MACHINES:
                harbour.write_book(name, keys="")
        else:
            for name in MACHINES:
                harbour.write_book(name)
        echo = harbour.start()
        witness = lan.popen(
            [sys.executable, "-c", WITNESS, "port1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert witness.stdout
        assert witness.stdout.readline() == b"ready\n"
        assert harbour.caller().ask("a word to be kept") == "reply a word to be kept"
        heard, _ = witness.communicate(timeout=20)
        assert (b"a word to be kept" in heard) is (machine == "plain")
        echo.send_signal(signal.SIGTERM)
        echo.wait(20)


WITNESS = """
import select, socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as cable:
    cable.bind((sys.argv[1], 3))
    print("ready", flush=True)
    while cable in select.select([cable, sys.stdin], [], [])[0]:  # what was heard before the end too
        sys.stdout.buffer.write(cable.recv(65536))
"""


def _no_keys(harbour: Harbour) -> None:
    harbour.write_book("pc2", keys="")


def _stranger(harbour: Harbour) -> None:
    renew_key(str(harbour.keys("pc2")), "pc2")


def _wrong_server_key(harbour: Harbour) -> None:
    Path(key_path(str(harbour.keys("pc2")), "mainpc", PUBLIC_SUFFIX)).write_bytes(make_pair().public)


@pytest.mark.parametrize(
    ("spoil", "told", "logged"),
    [
        (_no_keys, "one side requires keys|its handshake failed", "it showed no key"),
        (_stranger, "it does not accept this machine's key", "its key is not one of this fleet's"),
        (_wrong_server_key, "its handshake failed", "it expects another key of this machine"),
    ],
)
def test_who_has_not_the_right_keys_gets_no_entry(
    harbour: Harbour, spoil: Any, told: str, logged: str
) -> None:
    harbour.start()
    spoil(harbour)
    answer = harbour.caller(timeout_s=1).ask()
    assert answer.startswith("NotSent")
    assert re.search(told, answer)
    until(lambda: logged in harbour.log())
    lines = [line for line in harbour.log().splitlines() if "refused a peer at 192.168.100.17" in line]
    assert len(lines) == 1  # and not one for each time it came


def test_a_key_that_is_not_here_is_named_and_may_come_in_time(harbour: Harbour) -> None:
    harbour.start()
    public = Path(key_path(str(harbour.keys("pc2")), "mainpc", PUBLIC_SUFFIX))
    kept = public.read_bytes()
    public.unlink()
    answer = harbour.caller(timeout_s=0.5).ask()
    assert answer.startswith("NotSent")
    assert "there is no public key of `mainpc`" in answer
    patient = harbour.caller()
    patient.send()
    public.write_bytes(kept)
    assert patient.receive() == "reply ahoy"


def test_a_stranger_is_let_in_once_its_key_is_there(harbour: Harbour) -> None:
    harbour.start()
    renew_key(str(harbour.keys("pc2")), "pc2")
    caller = harbour.caller(timeout_s=15)
    caller.send()
    until(lambda: "its key is not one of this fleet's" in harbour.log())
    shutil.copy(key_path(str(harbour.keys("pc2")), "pc2", PUBLIC_SUFFIX), harbour.keys("mainpc"))
    assert caller.receive() == "reply ahoy"


def test_an_agent_without_the_secret_of_its_machine_does_not_start(harbour: Harbour) -> None:
    os.unlink(key_path(str(harbour.keys("mainpc")), "mainpc", SECRET_SUFFIX))
    assert harbour.start().wait(20) == 1
    assert "there is no secret key of `mainpc`" in harbour.log()


def test_an_old_speaker_of_another_machine_is_refused(harbour: Harbour) -> None:
    harbour.start()
    ask = (
        "import sys, zmq\n"
        "with zmq.Context() as context, context.socket(zmq.REQ) as req:\n"
        "    req.linger = 0\n"
        "    req.rcvtimeo = 500\n"
        "    req.connect(sys.argv[1])\n"
        "    req.send_json({'action': 'health'})\n"
        "    print(req.recv_json()['name'])\n"
    )
    endpoints = (f"tcp://192.168.100.16:{PORT + 1}", f"ipc://{harbour.root}/mainpc/z/Echo")
    across = harbour.machines["pc2"].run([sys.executable, "-c", ask, endpoints[0]])
    assert "zmq.error.Again" in across.stderr
    until(lambda: "it showed no key" in harbour.log())
    assert harbour.machines["mainpc"].run([sys.executable, "-c", ask, endpoints[1]]).stdout == "Echo\n"


KNOCK = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()"


def test_a_probe_of_the_own_machine_is_nobody_refused_and_one_from_elsewhere_is(harbour: Harbour) -> None:
    harbour.start()

    def is_told_of(machine: str) -> bool:
        # Whose look is over before the agent sees it is told without an address, so it may take two.
        words = [sys.executable, "-c", KNOCK, "192.168.100.16", str(PORT)]
        assert harbour.machines[machine].run(words).returncode == 0
        return f"refused a peer at {harbour.machines[machine].address}: it showed no key" in harbour.log()

    for _ in range(3):
        assert not is_told_of("mainpc")
    until(lambda: is_told_of("pc2"))
    assert not is_told_of("mainpc")


@pytest.mark.parametrize("keyed", [True, False])
def test_requests_that_a_partition_cuts_end_by_name(harbour: Harbour, keyed: bool) -> None:
    for name in MACHINES if not keyed else ():
        harbour.write_book(name, keys="")
    harbour.start()
    caller = harbour.caller(timeout_s=2.5)
    assert caller.ask() == "reply ahoy"
    harbour.machines["pc2"].cut()
    kind, _, text = caller.ask("lost").partition(" ")
    assert kind == "PeerFrozen", text
    assert "no sign of life" in text
    assert caller.ask("not on a lane").startswith("NotSent")
    harbour.machines["pc2"].mend()
    until(lambda: caller.ask() == "reply ahoy")


def test_a_slow_cable_with_loss_loses_no_request(harbour: Harbour) -> None:
    harbour.machines["pc2"].slow(delay_s=0.02, loss=0.02)
    harbour.start()
    caller = harbour.caller(timeout_s=20)
    assert [caller.ask(str(n)) for n in range(20)] == [f"reply {n}" for n in range(20)]


# -- what never happens ------------------------------------------------------------------------


def test_nothing_is_ever_unpickled() -> None:
    """No module of argosy imports what turns bytes into objects or code of the sender's choice.

    But where a process and its own forks speak over descriptors that no other process has.
    """
    loaders = {"pickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle", "joblib"}
    found = [
        (path.relative_to(SOURCES).as_posix(), name)
        for path in SOURCES.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imported(node)
        if name.partition(".")[0] in loaders
    ]
    assert sorted(found) == [
        ("engine/protocol/fork_protocol.py", "marshal"),
        ("refit/repair/parallel_map.py", "pickle"),
    ]


def test_yaml_is_never_loaded_with_constructors() -> None:
    unsafe = ("yaml.load(", "yaml.unsafe_load", "yaml.full_load", "UnsafeLoader", ".recv_pyobj(")
    found = [(str(p), word) for p in SOURCES.rglob("*.py") for word in unsafe if word in p.read_text()]
    assert found == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
