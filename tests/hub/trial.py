"""Hubs on machines that are cut off and killed at random, and a checker that counts what became of each
record.

`python tests/hub/trial.py --seeds 10 --seconds 60` is the long form; `--broken` tries a hub that acknowledges
before it has written, which the checker has to find out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))


from argosy.hub.store.store_reader import StoreReader  # noqa: E402
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book  # noqa: E402
from rig.lan import Lan, Machine  # noqa: E402

PORT = 9471
SETTLE_S = 30.0

CLOCK = """
import sys, time
real_time = time.time
def jumping_time(path=sys.argv.pop()):
    with open(path) as file:
        return real_time() + float(file.read() or 0)
time.time = jumping_time
"""

HUB = (
    CLOCK
    + """
from argosy.agent import run
from argosy.hub.hub_agent import HubAgent
if {broken}:
    import asyncio
    from argosy.hub.store.store_writer import StoreWriter
    honest = StoreWriter.append
    waiting = set()
    async def hasty(self, *what):
        task = asyncio.ensure_future(honest(self, *what))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    StoreWriter.append = hasty
run(HubAgent)
"""
)

WRITER = (
    CLOCK
    + """
from array import array
import msgspec
from argosy.hub.store.records import MetricSample
from argosy.wire import WireError, connect
name, path = sys.argv[1:]
peer = connect(name, timeout=2.0)

def until_acknowledged(method, **what):
    while True:
        try:
            return peer.call(method, incarnation="one", **what)
        except WireError:
            time.sleep(0.02)

number = 0
with open(path, "a", buffering=1) as acknowledged:
    while True:
        number += 20
        now = int(time.time() * 1000)
        events = [
            {"time_ms": now, "kind": "said", "subject": name, "body": {"number": each}}
            for each in range(number - 19, number + 1)
        ]
        until_acknowledged("submit_events", source="writer", events=events, sequence=number)
        pair = [array("d", [each]).tobytes() for each in (number - 1, number)]
        samples = msgspec.msgpack.encode([MetricSample(name, ("count",), now, each) for each in pair])
        until_acknowledged("submit_samples", agent=name, samples=samples, sequence=number // 10)
        acknowledged.write(f"{number}\\n")
"""
)
FAULTS = ("lost", "duplicates", "out_of_order", "different", "holes")


class Trial:
    """Some machines with a hub and a writer each."""

    def __init__(self, lan: Lan, count: int, *, broken: bool = False) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="argosy-hubs-"))
        self.names = [f"m{number}" for number in range(count)]
        self.machines: dict[str, Machine] = {
            name: lan.machine(name, f"192.168.100.{16 + number}") for number, name in enumerate(self.names)
        }
        self._program = HUB.replace("{broken}", str(broken))
        hubs = {
            name: AgentAddress(name, host=machine.address, bind=machine.address, port=PORT)
            for name, machine in self.machines.items()
        }
        for name in self.names:
            (self.root / name).mkdir()
            self.set_clock(name, 0.0)
            book = AddressBook("trial", "development", (name,), str(self.root / name), {}, hubs=hubs)
            write_address_book(self.root / f"{name}.json", book)
        self.hubs = {name: self.start_hub(name) for name in self.names}
        self.writers = [self._start_writer(name) for name in self.names]
        self.kills = self.cuts = self.jumps = 0

    def _env(self, name: str, agent: str) -> dict[str, str]:
        book = str(self.root / f"{name}.json")
        return {**os.environ, "ARGOSY_BOOK": book, "ARGOSY_AGENT": agent}

    def store(self, name: str) -> Path:
        return self.root / name / "hub.db"

    def clock(self, name: str) -> Path:
        return self.root / f"{name}.clock"

    def set_clock(self, name: str, ahead_s: float) -> None:
        """Make a machine's clock jump; its hub and its writer look at it through this file."""
        new = self.clock(name).with_suffix(".new")
        new.write_text(str(ahead_s))
        new.replace(self.clock(name))

    def blind_s(self) -> float:
        """Cut the first machine off; return how long the others took to say, on their disks, that they are
        blind.
        """
        first, *others = self.names
        until = time.monotonic() + SETTLE_S
        while any(self._visibility_events(name, first) != ["hub-reachable"] for name in others):
            if time.monotonic() > until:
                raise TimeoutError(f"`{first}` is not seen by all")
            time.sleep(0.05)
        self.machines[first].cut()
        began = time.monotonic()
        while any(
            self._visibility_events(name, first) != ["hub-reachable", "hub-unreachable"] for name in others
        ):
            if time.monotonic() - began > SETTLE_S:
                raise TimeoutError(f"`{first}` is cut off, and not all say so")
            time.sleep(0.02)
        took_s = time.monotonic() - began
        self.machines[first].mend()
        return took_s

    def _visibility_events(self, name: str, other: str) -> list[str]:
        """Return what a machine's own hub has told of seeing another, oldest first."""
        try:
            reading = StoreReader(self.store(name))
        except sqlite3.OperationalError:
            return []
        try:
            happened = reading.events(limit=10**9)
        except sqlite3.OperationalError:
            return []
        finally:
            reading.close()
        return [
            each.event.kind
            for each in sorted(happened, key=lambda each: each.number)
            if each.origin.machine == name
            and each.event.body.get("machine") == other
            and each.event.kind in ("hub-unreachable", "hub-reachable")
        ]

    def start_hub(self, name: str) -> subprocess.Popen[Any]:
        words = [
            "--store",
            str(self.store(name)),
            "--book",
            str(self.root / f"{name}.json"),
            "--flush",
            "0.1",
            str(self.clock(name)),
        ]
        with open(self.root / f"{name}.log", "a") as log:
            return self.machines[name].popen(
                [sys.executable, "-c", self._program, *words],
                env=self._env(name, f"hub@{name}"),
                stdout=log,
                stderr=log,
            )

    def _start_writer(self, name: str) -> subprocess.Popen[Any]:
        with open(self.root / f"{name}.log", "a") as log:
            return self.machines[name].popen(
                [
                    sys.executable,
                    "-c",
                    WRITER,
                    f"hub@{name}",
                    str(self.root / f"{name}.acknowledged"),
                    str(self.clock(name)),
                ],
                env=self._env(name, f"writer-{name}"),
                stdout=log,
                stderr=log,
            )

    def acknowledged(self, name: str) -> int:
        path = self.root / f"{name}.acknowledged"
        lines = path.read_text().splitlines() if path.exists() else []
        return int(lines[-1]) if lines else 0

    def wait_for_writers(self) -> None:
        """Return when each writer has had an acknowledgement; until then a kill would prove nothing."""
        until = time.monotonic() + SETTLE_S
        while not all(map(self.acknowledged, self.names)):
            if time.monotonic() > until:
                raise TimeoutError("not every writer has had an acknowledgement")
            time.sleep(0.02)

    def trouble(self, seed: int, seconds: float) -> None:
        """Cut, mend, kill and start again at random, until the time is over and all is mended."""
        chance = random.Random(seed)
        cut: set[str] = set()
        dead: dict[str, float] = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.2, 1.5))
            for name, until in list(dead.items()):
                if time.monotonic() >= until:
                    del dead[name]
                    self.hubs[name] = self.start_hub(name)
            name, what = chance.choice(self.names), chance.random()
            if what < 0.35 and name not in dead:
                self.hubs[name].send_signal(signal.SIGKILL)
                self.hubs[name].wait(10)
                dead[name] = time.monotonic() + chance.uniform(0.1, 2.0)
                self.kills += 1
            elif what < 0.5:
                self.set_clock(name, chance.uniform(-3600, 3600))
                self.jumps += 1
            elif what < 0.85:
                (self.machines[name].mend if name in cut else self.machines[name].cut)()
                cut.symmetric_difference_update([name])
                self.cuts += name in cut
        for name in cut:
            self.machines[name].mend()
        for name in dead:
            self.hubs[name] = self.start_hub(name)

    def settle(self) -> float:
        """Stop the writers; return how long the hubs took to have the same, or raise TimeoutError."""
        for writer in self.writers:
            writer.kill()
            writer.wait(10)
        began = time.monotonic()
        while True:
            known = [self._known(name) for name in self.names]
            if known[0] is not None and all(each == known[0] for each in known):
                return time.monotonic() - began
            if time.monotonic() - began > SETTLE_S:
                raise TimeoutError(f"the hubs do not agree: {known}")
            time.sleep(0.05)

    def _known(self, name: str) -> list[Any] | None:
        """Return how far each origin is known there; None while a hub that was killed early has no store.

        A life that was killed before it wrote anything is known to its own machine only.
        """
        try:
            reading = StoreReader(self.store(name))
        except sqlite3.OperationalError:
            return None
        try:
            return sorted(
                (at.origin.machine, at.origin.epoch, at)
                for at in reading.positions()
                if at.last_event or at.last_row
            )
        except sqlite3.OperationalError:
            return None
        finally:
            reading.close()

    def account(self) -> dict[str, int]:
        """Return what became of the records: acknowledged, lost, duplicates, out_of_order, different."""
        found = {"acknowledged": sum(map(self.acknowledged, self.names))}
        faults: Counter[str] = Counter(dict.fromkeys(FAULTS, 0))
        reference: dict[tuple[str, int], Any] = {}
        for name in self.names:
            reading = StoreReader(self.store(name))
            happened = reading.events(limit=10**9)
            for other in self.names:
                values = list(reading.series(f"hub@{other}", "count", 0, 1 << 60)[1])
                last = self.acknowledged(other)
                wanted = {float(each - back) for each in range(20, last + 1, 20) for back in (0, 1)}
                faults["lost"] += len(wanted.difference(values))
                faults["duplicates"] += len(values) - len(set(values))
            reading.close()
            said = Counter(
                (h.event.subject, h.event.body["number"]) for h in happened if h.event.kind == "said"
            )
            faults["duplicates"] += sum(count - 1 for count in said.values())
            for other in self.names:
                wanted = ((f"hub@{other}", number) for number in range(1, self.acknowledged(other) + 1))
                faults["lost"] += sum(key not in said for key in wanted)
            by_epoch: dict[str, dict[int, Any]] = {}
            for each in happened:
                by_epoch.setdefault(each.origin.epoch, {})[each.number] = each.event
                key = (each.origin.epoch, each.number)
                faults["different"] += reference.setdefault(key, each.event) != each.event
            for events in by_epoch.values():
                faults["holes"] += sorted(events) != list(range(1, len(events) + 1))
                numbers = [events[n].body["number"] for n in sorted(events) if events[n].kind == "said"]
                faults["out_of_order"] += sum(a >= b for a, b in itertools.pairwise(numbers))
        return {**found, **faults}

    def close(self) -> None:
        for process in (*self.hubs.values(), *self.writers):
            process.kill()
            process.wait(10)
        shutil.rmtree(self.root)


def run(
    seed: int, seconds: float, count: int = 3, *, broken: bool = False, blind: bool = False
) -> dict[str, Any]:
    """Run one trial on a network of its own, and return its account; blind: with `blind_s`."""
    lan = Lan()
    logs: dict[str, str] = {}
    try:
        trial = Trial(lan, count, broken=broken)
        try:
            trial.wait_for_writers()
            seen = {"blind_s": round(trial.blind_s(), 2)} if blind else {}
            trial.trouble(seed, seconds)
            settled_s = trial.settle()
            account: dict[str, Any] = trial.account()
            account |= {"kills": trial.kills, "cuts": trial.cuts, "jumps": trial.jumps}
            account |= {"settled_s": round(settled_s, 2), **seen}
        finally:
            logs = {name: (trial.root / f"{name}.log").read_text() for name in trial.names}
            trial.close()
    except BaseException:
        print("\n".join(f"{name}: {text[-2000:]}" for name, text in logs.items()), file=sys.stderr)
        raise
    finally:
        lan.close()
    return {"seed": seed, "hubs": count, **account}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--hubs", type=int, default=3)
    parser.add_argument("--broken", action="store_true")
    options = parser.parse_args()
    bad = 0
    for seed in range(options.seeds):
        account = run(seed, options.seconds, options.hubs, broken=options.broken, blind=True)
        print(json.dumps(account), flush=True)
        bad += any(account[fault] for fault in FAULTS)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
