"""CURVE keys on disk, and connections between two machines with the right, wrong and no keys."""

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


def test_keys_dir_comes_from_environment_variables() -> None:
    assert default_keys_dir("harbour", {"ARGOSY_KEYS": "/k"}) == "/k"
    assert default_keys_dir("harbour", {"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == "/c/argosy/keys/harbour"
    assert default_keys_dir("harbour", {"HOME": "/h"}) == "/h/.config/argosy/keys/harbour"


def test_keys_dir_is_active_only_if_it_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_curve_is_required_for_tcp_beyond_loopback(endpoint: str, keyed: bool) -> None:
    assert is_curve_endpoint(endpoint) is keyed


def test_curve_is_required_for_wildcard_but_not_for_loopback() -> None:
    assert is_curve_required("0.0.0.0")
    assert not is_curve_required("localhost")


def test_make_keys_keeps_existing_keys_and_sets_private_modes(folder: str) -> None:
    before = {path: path.read_bytes() for path in Path(folder).iterdir()}
    assert sorted(path.name for path in before) == [
        m + k for m in MACHINES for k in (PUBLIC_SUFFIX, SECRET_SUFFIX)
    ]
    assert make_keys(folder, (*MACHINES, "pc3")) == ("pc3",)
    assert all(path.read_bytes() == text for path, text in before.items())
    assert os.stat(folder).st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in Path(folder).iterdir()} == {0o600}
    assert check_keys(folder, (*MACHINES, "pc3")) == []


def test_make_keys_restores_public_key_from_secret(folder: str) -> None:
    public = read_key(folder, "pc2", PUBLIC_SUFFIX)
    os.unlink(key_path(folder, "pc2", PUBLIC_SUFFIX))
    assert make_keys(folder, MACHINES) == ("pc2",)
    assert read_key(folder, "pc2", PUBLIC_SUFFIX) == public


def test_make_keys_makes_no_secret_for_existing_public_key(folder: str) -> None:
    os.unlink(key_path(folder, "pc2", SECRET_SUFFIX))
    assert make_keys(folder, MACHINES) == ()
    assert list_keys(folder, MACHINES)["pc2"].has_secret is False


def test_renew_key_replaces_one_pair(folder: str) -> None:
    main, other = (read_key(folder, name, PUBLIC_SUFFIX) for name in MACHINES)
    renew_key(folder, "pc2")
    assert read_key(folder, "mainpc", PUBLIC_SUFFIX) == main
    assert read_key(folder, "pc2", PUBLIC_SUFFIX) != other
    assert check_keys(folder, MACHINES) == []
    with pytest.raises(RefusedError, match="no public key of `pc9`"):
        renew_key(folder, "pc9")


def test_make_keys_keeps_pair_of_faster_concurrent_process(folder: str) -> None:
    os.unlink(key_path(folder, "pc2", PUBLIC_SUFFIX))
    os.unlink(key_path(folder, "pc2", SECRET_SUFFIX))
    fast = make_pair()

    def make_after_concurrent_process() -> KeyPair:
        make_keys(folder, MACHINES, lambda: fast)
        return make_pair()

    make_keys(folder, MACHINES, make_after_concurrent_process)
    assert Keyring(folder, ["pc2"]).own_pair() == fast


def test_keyring_refuses_secret_readable_by_others(folder: str) -> None:
    os.chmod(key_path(folder, "pc2", SECRET_SUFFIX), 0o640)
    with pytest.raises(RefusedError, match=r"mode 0640, expected 0600"):
        Keyring(folder, ["pc2"]).own_pair()
    assert [fault.code for fault in check_keys(folder, MACHINES)] == ["exposed-key"]


def test_check_keys_reports_every_fault(folder: str) -> None:
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


def test_export_has_one_secret_and_all_public_keys(folder: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert export_keys(folder, "pc2", str(out)) == ("mainpc.public", "pc2.public", "pc2.secret")
    assert sorted(path.name for path in out.iterdir()) == ["mainpc.public", "pc2.public", "pc2.secret"]
    assert check_keys(str(out), MACHINES) == []
    with pytest.raises(RefusedError, match="is not empty"):
        export_keys(folder, "pc2", str(out))
    with pytest.raises(RefusedError, match="no secret key of `mainpc`"):
        export_keys(str(out), "mainpc", str(tmp_path / "more"))


def test_list_keys_without_dir_suggests_make_command(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="argosy keys make"):
        list_keys(str(tmp_path / "none"), MACHINES)


def test_keyring_sees_replaced_and_deleted_keys_immediately(folder: str) -> None:
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


def test_key_pair_repr_hides_secret() -> None:
    pair = make_pair()
    assert pair.secret.decode() not in repr(pair)
    assert pair.public.decode() in repr(pair)


def test_fingerprints_are_unique_and_short() -> None:
    one, other = (fingerprint(make_pair().public) for _ in range(2))
    assert one != other
    assert len(one) == 19


@given(
    st.binary(max_size=39)
    | st.binary(min_size=60, max_size=200)
    | st.text("~;`\\", min_size=40).map(str.encode)
)
def test_read_key_refuses_invalid_file(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(key_path(folder, "pc2", PUBLIC_SUFFIX)).write_bytes(content)
        with pytest.raises(RefusedError, match="holds no key"):
            read_key(folder, "pc2", PUBLIC_SUFFIX)


# -- the log -----------------------------------------------------------------------------------


def test_rejection_log_limits_lines_per_address(caplog: pytest.LogCaptureFixture) -> None:
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


def test_rejection_log_bounds_number_of_addresses(caplog: pytest.LogCaptureFixture) -> None:
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


def _foreign_keyring(folder: str) -> Keyring:
    """Return the keys of a machine of another fleet that knows this one's public key."""
    other = f"{folder}-of-another"
    make_keys(other, ["pc9"])
    shutil.copy(key_path(folder, "mainpc", PUBLIC_SUFFIX), other)
    return Keyring(other, ["pc9"])


def test_authenticator_logs_unknown_address_of_peer_that_disconnected(
    folder: str, caplog: pytest.LogCaptureFixture
) -> None:
    reactor = BlockingReactor()
    authenticator = CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), reactor)
    guarded = shared_context().socket(zmq.ROUTER)
    authenticator.protect(guarded)
    port = guarded.bind_to_random_port("tcp://127.0.0.1")
    create_connection(("127.0.0.1", port), 5).close()
    until(lambda: not _has_connections(port))  # and nobody has looked yet
    reactor.call_later(20, lambda: pytest.fail("nobody was refused"))
    reactor.run_until(lambda: authenticator.rejections.count == 1)
    assert "refused a peer at an unknown address (it left at once): it showed no key" in caplog.text
    authenticator.close()
    guarded.close(0)


def _has_connections(port: int) -> bool:
    """Return whether any connection still has this local port of loopback; listening is none."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] != "0A" for row in rows)


def test_authenticator_protects_publications(folder: str) -> None:
    """A second authenticator in the same process has its own keys, and closing it leaves the first open."""
    asyncio.run(asyncio.wait_for(_publish_through_authenticator(folder), 20))


async def _publish_through_authenticator(folder: str) -> None:
    reactor = LoopReactor(asyncio.get_running_loop())
    authenticator, other = (
        CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), reactor) for _ in range(2)
    )
    publisher = shared_context().socket(zmq.XPUB)
    authenticator.protect(publisher)
    publisher.bind("tcp://127.0.0.1:*")
    endpoint = publisher.get(zmq.LAST_ENDPOINT).decode()
    stranger = _subscriber(_foreign_keyring(folder), endpoint)
    while not authenticator.statistics()["refused"]:
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
    authenticator.close()
    for socket in (stranger, friend, publisher):
        socket.close(0)


def test_authenticator_refuses_second_zap_handler_in_process(folder: str) -> None:
    taken = shared_context().socket(zmq.REP)
    taken.bind("inproc://zeromq.zap.01")
    with pytest.raises(RefusedError, match="something else in this process"):
        CurveAuthenticator("Echo", Keyring(folder, ["mainpc"]), BlockingReactor())
    taken.close(0)


# -- two machines ------------------------------------------------------------------------------

CLIENT_SCRIPT = """
import sys
from argosy.wire import connect, WireError
with connect(sys.argv[1], timeout=float(sys.argv[2])) as peer:
    for line in sys.stdin:
        try:
            print("reply", peer.echo(text=line.strip()), flush=True)
        except WireError as error:
            print(type(error).__name__, error, flush=True)
"""


class TwoMachineFleet:
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

    def client(self, machine: str = "pc2", peer: str = "Echo", timeout_s: float = 10) -> EchoClient:
        return EchoClient(self.machines[machine], self.env(machine), peer, timeout_s)


class EchoClient:
    """A program on one machine that asks whenever it is told to."""

    def __init__(self, machine: Machine, env: dict[str, str], peer: str, timeout_s: float) -> None:
        self.process = machine.popen(
            [sys.executable, "-c", CLIENT_SCRIPT, peer, str(timeout_s)],
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
def harbour(lan: Lan) -> Iterator[TwoMachineFleet]:
    root = Path(tempfile.mkdtemp(prefix="argosy-"))
    made = TwoMachineFleet(lan, root)
    yield made
    lan.close()
    print(made.log() if (root / "log").exists() else "")  # shown when the test failed
    shutil.rmtree(root)


def test_machines_with_valid_keys_exchange_requests(harbour: TwoMachineFleet) -> None:
    harbour.start()
    assert harbour.client().ask() == "reply ahoy"
    assert "refused" not in harbour.log()


def test_legacy_agent_requires_key_on_other_machine(harbour: TwoMachineFleet) -> None:
    """Its base used to bind its ports open to all, in a fleet with keys too."""
    harbour.start("agent.legacy.legacy_agents:Plain")
    assert "'text': 'ahoy'" in harbour.client().ask()
    harbour.write_book("pc2", keys="")
    assert harbour.client(timeout_s=0.5).ask().startswith("NotSent")
    until(lambda: "refused a peer at 192.168.100.17" in harbour.log())


def test_client_on_same_machine_needs_no_key_over_ipc(harbour: TwoMachineFleet) -> None:
    harbour.start()
    harbour.write_book("mainpc", keys="")
    assert harbour.client("mainpc").ask() == "reply ahoy"


def test_tcp_on_same_machine_requires_key(harbour: TwoMachineFleet) -> None:
    """Where the path of the ipc socket is too long, say: the port is the same, and so is its lock."""
    harbour.start()
    harbour.write_book("mainpc", runtime=str(harbour.root / "elsewhere"))
    assert harbour.client("mainpc").ask() == "reply ahoy"
    harbour.write_book("mainpc", runtime=str(harbour.root / "elsewhere"), keys="")
    assert harbour.client("mainpc", timeout_s=0.5).ask().startswith("NotSent")


def test_traffic_between_machines_is_encrypted(harbour: TwoMachineFleet, lan: Lan) -> None:
    """The witness hears every frame of the client's cable; first that it can, without keys."""
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
        assert harbour.client().ask("a word to be kept") == "reply a word to be kept"
        captured, _ = witness.communicate(timeout=20)
        assert (b"a word to be kept" in captured) is (machine == "plain")
        echo.send_signal(signal.SIGTERM)
        echo.wait(20)


WITNESS = """
import select, socket, sys
with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as cable:
    cable.bind((sys.argv[1], 3))
    print("ready", flush=True)
    while cable in select.select([cable, sys.stdin], [], [])[0]:  # what was captured before the end too
        sys.stdout.buffer.write(cable.recv(65536))
"""


def _no_keys(harbour: TwoMachineFleet) -> None:
    harbour.write_book("pc2", keys="")


def _stranger(harbour: TwoMachineFleet) -> None:
    renew_key(str(harbour.keys("pc2")), "pc2")


def _wrong_server_key(harbour: TwoMachineFleet) -> None:
    Path(key_path(str(harbour.keys("pc2")), "mainpc", PUBLIC_SUFFIX)).write_bytes(make_pair().public)


@pytest.mark.parametrize(
    ("spoil", "told", "logged"),
    [
        (_no_keys, "one side requires keys|its handshake failed", "it showed no key"),
        (_stranger, "it does not accept this machine's key", "its key is not one of this fleet's"),
        (_wrong_server_key, "its handshake failed", "it expects another key of this machine"),
    ],
)
def test_server_rejects_peer_with_missing_or_wrong_key(
    harbour: TwoMachineFleet, spoil: Any, told: str, logged: str
) -> None:
    harbour.start()
    spoil(harbour)
    answer = harbour.client(timeout_s=1).ask()
    assert answer.startswith("NotSent")
    assert re.search(told, answer)
    until(lambda: logged in harbour.log())
    lines = [line for line in harbour.log().splitlines() if "refused a peer at 192.168.100.17" in line]
    assert len(lines) == 1  # and not one for each time it came


def test_client_names_missing_public_key_and_retries_until_deadline(harbour: TwoMachineFleet) -> None:
    harbour.start()
    public = Path(key_path(str(harbour.keys("pc2")), "mainpc", PUBLIC_SUFFIX))
    kept = public.read_bytes()
    public.unlink()
    answer = harbour.client(timeout_s=0.5).ask()
    assert answer.startswith("NotSent")
    assert "there is no public key of `mainpc`" in answer
    patient = harbour.client()
    patient.send()
    public.write_bytes(kept)
    assert patient.receive() == "reply ahoy"


def test_rejected_client_connects_once_its_key_is_installed(harbour: TwoMachineFleet) -> None:
    harbour.start()
    renew_key(str(harbour.keys("pc2")), "pc2")
    client = harbour.client(timeout_s=15)
    client.send()
    until(lambda: "its key is not one of this fleet's" in harbour.log())
    shutil.copy(key_path(str(harbour.keys("pc2")), "pc2", PUBLIC_SUFFIX), harbour.keys("mainpc"))
    assert client.receive() == "reply ahoy"


def test_agent_without_secret_key_of_its_machine_exits(harbour: TwoMachineFleet) -> None:
    os.unlink(key_path(str(harbour.keys("mainpc")), "mainpc", SECRET_SUFFIX))
    assert harbour.start().wait(20) == 1
    assert "there is no secret key of `mainpc`" in harbour.log()


def test_server_rejects_plain_req_client_of_another_machine(harbour: TwoMachineFleet) -> None:
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


PROBE = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5).close()"


def test_tcp_probe_is_logged_as_rejected_only_from_other_machine(harbour: TwoMachineFleet) -> None:
    harbour.start()

    def is_logged_after_probe(machine: str) -> bool:
        # Whose look is over before the agent sees it is told without an address, so it may take two.
        words = [sys.executable, "-c", PROBE, "192.168.100.16", str(PORT)]
        assert harbour.machines[machine].run(words).returncode == 0
        return f"refused a peer at {harbour.machines[machine].address}: it showed no key" in harbour.log()

    for _ in range(3):
        assert not is_logged_after_probe("mainpc")
    until(lambda: is_logged_after_probe("pc2"))
    assert not is_logged_after_probe("mainpc")


@pytest.mark.parametrize("keyed", [True, False])
def test_partition_ends_requests_with_named_errors(harbour: TwoMachineFleet, keyed: bool) -> None:
    for name in MACHINES if not keyed else ():
        harbour.write_book(name, keys="")
    harbour.start()
    client = harbour.client(timeout_s=2.5)
    assert client.ask() == "reply ahoy"
    harbour.machines["pc2"].cut()
    kind, _, text = client.ask("lost").partition(" ")
    assert kind == "PeerFrozen", text
    assert "no sign of life" in text
    assert client.ask("not on a lane").startswith("NotSent")
    harbour.machines["pc2"].mend()
    until(lambda: client.ask() == "reply ahoy")


def test_slow_lossy_link_loses_no_request(harbour: TwoMachineFleet) -> None:
    harbour.machines["pc2"].slow(delay_s=0.02, loss=0.02)
    harbour.start()
    client = harbour.client(timeout_s=20)
    assert [client.ask(str(n)) for n in range(20)] == [f"reply {n}" for n in range(20)]


# -- what never happens ------------------------------------------------------------------------


def test_sources_do_not_import_unpickling_modules() -> None:
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


def test_sources_never_load_yaml_unsafely() -> None:
    unsafe = ("yaml.load(", "yaml.unsafe_load", "yaml.full_load", "UnsafeLoader", ".recv_pyobj(")
    found = [(str(p), word) for p in SOURCES.rglob("*.py") for word in unsafe if word in p.read_text()]
    assert found == []


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
