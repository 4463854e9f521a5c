"""Events between machines: restarts, partitions, missing ports and missing keys."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from argosy.wire import connect
from argosy.wire.address_book import AddressBook, AddressResolver, AgentAddress, write_address_book
from argosy.wire.pubsub import remote_subscription
from argosy.wire.pubsub.remote_subscription import RemoteSubscription
from argosy.wire.pubsub.topic import Subscriber, decode_event
from argosy.wire.security.key_management import export_keys, make_keys
from argosy.wire.transport.reactor import Callback, LoopReactor, Timer
from launch import HERE, LittleFleet, until
from rig.lan import Lan

# -- one machine that takes itself for two -----------------------------------------------------


class TimerCountingReactor(LoopReactor):
    """A loop that keeps account of its timers."""

    def __init__(self) -> None:
        super().__init__(asyncio.get_running_loop())
        self.delays_s: list[float] = []

    def call_later(self, delay_s: float, act: Callback) -> Timer:
        self.delays_s.append(delay_s)
        return super().call_later(delay_s, act)


def resolver_of_other_machine(fleet: LittleFleet) -> AddressResolver:
    """Return the fleet as another machine sees it."""
    path = fleet.folder / "elsewhere.json"
    write_address_book(path, msgspec.structs.replace(fleet.book, machines=("there",), runtime="/nowhere"))
    return AddressResolver(path)


async def when(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.002)


def test_remote_subscription_follows_restarted_publisher(fleet: LittleFleet) -> None:
    fleet.add("Ear", machine="there")
    back = fleet.start("Back")

    async def main() -> None:
        got: list[tuple[int, object]] = []
        reactor = TimerCountingReactor()
        subscriber = Subscriber(reactor, lambda event: got.append((event.sequence, decode_event(event))))
        feed = RemoteSubscription(
            "Back", resolver_of_other_machine(fleet), reactor, ["shouted"], subscriber.on_message, "Ear"
        )
        try:
            await asyncio.to_thread(shout, fleet, "a", "b")
            await when(lambda: (2, "b") in got)
            await asyncio.to_thread(back.end, signal.SIGKILL)
            await asyncio.to_thread(fleet.start, "Back")
            await asyncio.to_thread(shout, fleet, "c", "d")
            await when(lambda: (2, "d") in got[1:])
            missed = subscriber.statistics()["missed"]
            assert len([number for number, _ in got]) + missed in (3, 4)  # `a` may have been before us
            assert feed.lookup_count <= 12
        finally:
            feed.close()
            subscriber.close()

    asyncio.run(main())


def shout(fleet: LittleFleet, *texts: str) -> None:
    with connect("Back", book=fleet.path) as back:
        for text in texts:
            back.shout(text=text)


def test_remote_subscription_asks_local_only_publisher_once(fleet: LittleFleet) -> None:
    fleet.start("Back")  # its book has no other machine

    async def main() -> None:
        reactor = TimerCountingReactor()
        feed = RemoteSubscription(
            "Back", resolver_of_other_machine(fleet), reactor, ["shouted"], lambda _: None
        )
        try:
            await when(lambda: feed._timer)
            assert feed.lookup_count == 1
            assert feed._channel is None
            assert feed._socket is None
            assert max(reactor.delays_s) >= 0.75 * remote_subscription.NO_PORT_RETRY_S
        finally:
            feed.close()

    asyncio.run(main())


def test_remote_subscription_backs_off_while_publisher_is_down(
    fleet: LittleFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.add("Back")
    monkeypatch.setattr(remote_subscription, "LOOKUP_TIMEOUT_S", 0.01)
    monkeypatch.setattr(remote_subscription, "MAX_RETRY_S", 0.5)

    async def main() -> None:
        feed = RemoteSubscription(
            "Back", resolver_of_other_machine(fleet), TimerCountingReactor(), ["shouted"], lambda _: None
        )
        pauses = {feed._retry_s}
        try:
            while feed.lookup_count < 5:
                pauses.add(feed._retry_s)
                await asyncio.sleep(0.002)
        finally:
            feed.close()
        assert sorted(pauses) == [0.1, 0.2, 0.4, 0.5]

    asyncio.run(main())


# -- two machines ------------------------------------------------------------------------------

MACHINES = ("mainpc", "pc2")

DRIVER = """
import json, sys
from argosy.wire import connect, WireError
for line in sys.stdin:
    name, method, arguments = json.loads(line)
    with connect(name) as peer:
        try:
            print(json.dumps(peer.call(method, **arguments)), flush=True)
        except WireError as error:
            print(json.dumps(str(error)), flush=True)
"""


class TwoMachineFleet:
    """Back on the first machine publishes, Front on the second hears; a driver on each asks them."""

    def __init__(self, lan: Lan, root: Path, keyed: bool) -> None:
        self.root = root
        self.machines = {name: lan.machine(name, f"192.168.100.{16 + n}") for n, name in enumerate(MACHINES)}
        if keyed:
            make_keys(str(root / "keys"), MACHINES)
        for name in MACHINES:
            (root / name).mkdir()
            if keyed:
                export_keys(str(root / "keys"), name, str(self._keys(name)))
            agents = {"Back": self._entry("mainpc", 5595), "Front": self._entry("pc2", 5605)}
            keys = str(self._keys(name)) if keyed else ""
            write_address_book(
                root / f"{name}.json",
                AddressBook("harbour", "development", (name,), str(root / name), agents, keys),
            )
        self.drivers = {name: self._driver(name) for name in MACHINES}

    def _keys(self, machine: str) -> Path:
        return self.root / f"keys-{machine}"

    def _entry(self, machine: str, port: int) -> AgentAddress:
        address = self.machines[machine].address
        return AgentAddress(machine, host=address, bind=address, port=port, health_port=port + 1)

    def _env(self, machine: str) -> dict[str, str]:
        return {**os.environ, "ARGOSY_BOOK": str(self.root / f"{machine}.json")}

    def _driver(self, machine: str) -> subprocess.Popen[str]:
        return self.machines[machine].popen(
            [sys.executable, "-c", DRIVER],
            env=self._env(machine),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def start(self, agent: str, machine: str) -> subprocess.Popen[str]:
        with open(self.root / f"{agent}.log", "a") as log:
            return self.machines[machine].popen(
                [sys.executable, "-m", "argosy.agent", f"sample_agents:{agent}"],
                cwd=HERE,
                env={**self._env(machine), "ARGOSY_AGENT": agent},
                stdout=log,
                stderr=log,
                text=True,
            )

    def log(self, agent: str) -> str:
        return (self.root / f"{agent}.log").read_text()

    def ask(self, machine: str, agent: str, method: str, **arguments: Any) -> Any:
        driver = self.drivers[machine]
        assert driver.stdin
        assert driver.stdout
        driver.stdin.write(json.dumps([agent, method, arguments]) + "\n")
        driver.stdin.flush()
        return json.loads(driver.stdout.readline())

    def heard(self) -> set[str]:
        return {text for text, _ in self.ask("pc2", "Front", "everything")}


@pytest.fixture(params=[False, True], ids=["plain", "keyed"])
def two(lan: Lan, request: pytest.FixtureRequest) -> Iterator[TwoMachineFleet]:
    root = Path(tempfile.mkdtemp(prefix="argosy-"))
    made = TwoMachineFleet(lan, root, request.param)
    yield made
    lan.close()
    for log in root.glob("*.log"):
        print(log.name, log.read_text())  # shown when the test failed
    shutil.rmtree(root)


def test_remote_subscriber_counts_events_missed_across_publisher_restart(two: TwoMachineFleet) -> None:
    back = two.start("Back", "mainpc")
    front = two.start("Front", "pc2")
    assert two.ask("mainpc", "Back", "shout", text="before") == 1
    until(lambda: two.heard() == {"before"})
    front.send_signal(signal.SIGSTOP)
    back.kill()
    back.wait(20)
    two.start("Back", "mainpc")
    assert [two.ask("mainpc", "Back", "shout", text=text) for text in "abc"] == [1, 2, 3]
    front.send_signal(signal.SIGCONT)
    until(lambda: two.heard() == {"before", "c"})
    assert two.ask("pc2", "Front", "health")["missed_events"] == 2
    two.ask("mainpc", "Back", "shout", text="after")
    until(lambda: two.heard() == {"before", "c", "after"})
    assert two.ask("pc2", "Front", "health")["missed_events"] == 2


# Without a key each handshake fails, and the next is tried; who of the two ends it first is chance.
PLAIN = """
import sys, zmq
with zmq.Context() as context, context.socket(zmq.SUB) as sub:
    sub.linger = 0
    sub.subscribe(b"shouted\\0")
    sub.connect(sys.argv[1])
    print("heard" if sub.poll(30000) else "nothing", flush=True)
"""


def test_subscriber_without_key_receives_no_events(two: TwoMachineFleet) -> None:
    two.start("Back", "mainpc")
    two.ask("mainpc", "Back", "shout", text="a word to be kept")
    port = two.ask("mainpc", "Back", "argosy.topics")
    words = [sys.executable, "-c", PLAIN, f"tcp://192.168.100.16:{port}"]
    if not (two.root / "keys").exists():
        assert two.machines["pc2"].run(words).stdout == "heard\n"
        assert "it showed no key" not in two.log("Back")
        return
    stranger = two.machines["pc2"].popen(words, stdout=subprocess.PIPE, text=True)
    try:
        until(lambda: "it showed no key" in two.log("Back"))
    finally:
        stranger.kill()
        told, _ = stranger.communicate()
    assert told == ""


def test_remote_subscription_resumes_after_partition(two: TwoMachineFleet) -> None:
    two.start("Back", "mainpc")
    two.start("Front", "pc2")
    two.ask("mainpc", "Back", "shout", text="before")
    until(lambda: two.heard() == {"before"})
    two.machines["pc2"].cut()
    two.ask("mainpc", "Back", "shout", text="meanwhile")
    two.machines["pc2"].mend()
    until(lambda: two.heard() == {"before", "meanwhile"})  # TCP repeats what a short cut has lost
    assert two.ask("pc2", "Front", "health")["missed_events"] == 0


def test_publisher_of_single_machine_fleet_binds_no_tcp_port(fleet: LittleFleet) -> None:
    """With no other machine in the book nothing is bound for one."""
    fleet.start("Back")
    with connect("Back") as back:
        assert back.call("argosy.topics") == 0
