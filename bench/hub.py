"""Measures a hub's store (size, queries, ingestion) and how fast a hub catches up with another.

`python bench/hub.py [--json] [--quick]`; needs `argosy[bench,hub]`. The method is in bench/README.md.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from argosy.hub.store.compaction import SEGMENTS_PER_CHUNK
from argosy.hub.store.record_store import RecordStore
from argosy.hub.store.records import SEGMENT_ROWS, HubEvent
from argosy.hub.store.store_reader import StoreReader
from argosy.hub.store.tables import block_id
from argosy.wire import connect
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book
from hub_cases import alert_latency, metric_cardinality, page_cost
from hub_cases.alert_latency import measure_alert_latency
from hub_cases.hub_fleet import running_hub_fleet
from hub_cases.metric_cardinality import measure_cardinality
from store_cases import by_prometheus, by_victoria, reporting_cost
from store_cases.by_hub import ByHub
from store_cases.by_rows import ByRows
from store_cases.sample_stream import AGENTS, FIRST_MS, METRICS, SERIES, iter_seconds
from testbed.host_info import this_machine
from testbed.result import Ratio, Result, Value, ratio_of, value_of
from testbed.runner import Options, interleave, log_progress, run_bench

HOUR = 3600
QUERIES = 40  # of a round
AGENTS_QUICK = 20
BACKLOG_RECORDS = 600_000
BEHIND_QUICK = 60_000
WEEK_HOURS = 7 * 24
ALONE_HOURS = 3
# The servers do not wait for the disk; the hub and the rows do every second.
INGEST_GOALS = {"rows": 1.0, "victoriametrics": 0.5, "prometheus": 0.5}
PARTS = 6  # of the hour; each part is one round
TIMEOUT_S = 60.0

METHOD = [
    f"{SERIES} series ({AGENTS} agents, {len(METRICS)} metrics), one sample per second: counters, gauges",
    "  with one decimal place, latencies of full entropy; the same for every store, one write a second",
    f"ingest: {PARTS} parts of the hour, every second to each store in turn, with a share of the final flush",
    "bytes_per_sample: the file's pages in use, or the server's data folder, after a flush, over its samples",
    f"query: one whole series as an array of doubles; {QUERIES} random series per round, in turn",
    f"query_unsealed: one series of the last minutes (at least {SEGMENT_ROWS - QUERIES} ticks that are not",
    "  blocks yet), by a reader that was used before; a tick is written before each query",
    "second: processor time of this process for all commits and seals of the hour, over its seconds, without",
    "  other stores; 1 is a core",
    "resident: of a hub's process with a week of the fleet on the disk (the hour's segments, repeated)",
    "reporting: processor time of an idle agent that reports, less that of one without a hub; no_hub: the",
    "  median time of a request to each, in turn",
    "catch_up: records per second from an origin that is that far ahead, hub to hub over the local wire",
    *page_cost.METHOD,
    *alert_latency.METHOD,
    *metric_cardinality.METHOD,
]


class SampleStore(Protocol):
    """A store under measurement."""

    def write(self, time_ms: int, values: list[tuple[str, array[float]]]) -> None: ...

    def flush(self) -> None: ...

    def series(self, agent: str, metric: str, from_ms: int, to_ms: int) -> int: ...

    def size_bytes(self) -> int: ...

    def close(self) -> None: ...


def measure(options: Options) -> Result:
    """Fill the stores, query them in turn, and return the results."""
    machine = this_machine()
    skipped: dict[str, str] = {}
    agents = AGENTS_QUICK if options.quick else AGENTS
    with tempfile.TemporaryDirectory(prefix="argosy-bench-") as name, contextlib.ExitStack() as open_:
        folder = Path(name)
        hub = ByHub(folder)
        stores: dict[str, SampleStore] = {"hub": hub, "rows": ByRows(folder)}
        if by_victoria.is_there():
            stores["victoriametrics"] = by_victoria.ByVictoria(folder)
        else:
            skipped["hub.query/victoriametrics"] = (
                "victoria-metrics is not installed (Debian: victoria-metrics)"
            )
        if not by_prometheus.is_there():
            skipped["hub.query/prometheus"] = "prometheus is not installed (Debian: prometheus)"
        elif options.quick:
            skipped["hub.query/prometheus"] = "a quick run does not build its blocks"
        else:
            stores["prometheus"] = by_prometheus.ByPrometheus(folder)
        for store in stores.values():
            open_.callback(store.close)
        ingest_s = ingest_all(stores, agents)
        asked = query_all(options, stores, agents)
        samples = agents * len(METRICS) * HOUR
        ratios = ratios_of(asked, ingest_s, samples)
        values = values_of(stores, samples)
        if "victoriametrics" in stores:
            sizes = [[stores[name].size_bytes() / samples] for name in ("hub", "victoriametrics")]
            ratios["hub.bytes/victoriametrics"] = ratio_of(*sizes, goal=1.5, unit="B")
        values["hub.query_unsealed"] = query_head(folder, agents)
        if options.quick:
            skipped["hub.second"] = "the fleet is smaller in a quick run"
        else:
            values["hub.second"] = value_of(seconds_alone(folder), "cores", goal=0.001)
        report(options, folder, ratios, values)
        values["hub.catch_up"] = catch_up(folder, BEHIND_QUICK if options.quick else BACKLOG_RECORDS)
        if options.quick:
            skipped["hub.resident"] = "a quick run does not build a week of data"
        else:
            values["hub.resident"] = resident(folder, hub)
    watched, left_out = measure_page_and_alerts(options)
    values |= watched
    skipped |= left_out
    return Result(name="hub", machine=machine, ratios=ratios, values=values, skipped=skipped, method=METHOD)


def measure_page_and_alerts(options: Options) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the values of the page and the alerts of running fleets, and the skipped rows."""
    labels = (*page_cost.LABELS, "hub.page/viewer", "hub.alert/root_cause", *metric_cardinality.LABELS)
    if options.quick:
        return {}, dict.fromkeys(labels, "a quick run starts no fleet")
    if importlib.util.find_spec("uvicorn") is None:
        return {}, dict.fromkeys(labels, 'the page needs its extra: pip install "argosy[hub]"')
    values = measure_alert_latency(3) | measure_cardinality()
    with running_hub_fleet(options.fleet) as fleet:
        shown, left_out = page_cost.measure_page(fleet, 3)
    return values | shown, left_out


def ingest_all(stores: dict[str, SampleStore], agents: int) -> dict[str, list[float]]:
    """Write the same samples to every store in turn; return the seconds of each per part of the hour."""
    took = {name: [0.0] * PARTS for name in stores}
    for number, (time_ms, values) in enumerate(iter_seconds(HOUR, agents)):
        part = number * PARTS // HOUR
        for name, store in stores.items():
            began = time.perf_counter()
            store.write(time_ms, values)
            took[name][part] += time.perf_counter() - began
        if number % 600 == 599:
            log_progress(f"{number + 1} of {HOUR} seconds stored")
    for name, store in stores.items():
        began = time.perf_counter()
        store.flush()
        flush_s = (time.perf_counter() - began) / PARTS
        took[name] = [each + flush_s for each in took[name]]
    return took


def seconds_alone(folder: Path) -> list[float]:
    """Return the share of a core that the hub's store takes for the whole fleet, hour by hour."""
    found = []
    for number in range(ALONE_HOURS):
        (folder / f"alone{number}").mkdir()
        with contextlib.closing(ByHub(folder / f"alone{number}")) as hub:
            took = 0.0
            for time_ms, values in iter_seconds(HOUR, AGENTS):
                began = time.process_time()
                hub.write(time_ms, values)
                took += time.process_time() - began
            found.append(took / HOUR)
    return found


def query_all(options: Options, stores: dict[str, SampleStore], agents: int) -> dict[str, list[float]]:
    """Return the median time of a query of each store, per round."""
    generator = random.Random(7)
    found: dict[str, list[float]] = defaultdict(list)
    last_ms = FIRST_MS + 1000 * HOUR
    for _, name in interleave(max(5, options.rounds), list(stores)):
        took = []
        for _ in range(QUERIES):
            agent, metric = f"Agent{generator.randrange(agents):02}", generator.choice(METRICS)
            began = time.perf_counter()
            got = stores[name].series(agent, metric, FIRST_MS, last_ms)
            took.append(time.perf_counter() - began)
            if got != HOUR:
                raise AssertionError(f"{name} has {got} of {HOUR} samples of {agent} {metric}")
        found[name].append(sorted(took)[QUERIES // 2])
    return found


def query_head(folder: Path, agents: int) -> Value:
    """Return the time of a query over unsealed ticks, each after one more tick was written."""
    generator = random.Random(8)
    (folder / "unsealed").mkdir()
    took = []
    with contextlib.closing(ByHub(folder / "unsealed")) as hub:
        for number, (time_ms, values) in enumerate(iter_seconds(SEGMENT_ROWS - 1, agents), 1):
            hub.write(time_ms, values)
            if number < SEGMENT_ROWS - QUERIES:
                continue
            agent, metric = f"Agent{generator.randrange(agents):02}", generator.choice(METRICS)
            began = time.perf_counter()
            got = hub.series(agent, metric, FIRST_MS, time_ms)
            took.append(1000 * (time.perf_counter() - began))
            if got != number:
                raise AssertionError(f"the hub has {got} of {number} samples of {agent} {metric}")
    return value_of(took, "ms", goal=1.0)


def ratios_of(
    asked: dict[str, list[float]], ingest_s: dict[str, list[float]], samples: int
) -> dict[str, Ratio]:
    """Return how many times faster the hub's store is than each of the others."""
    goals = {"rows": 8.0, "victoriametrics": 5.0, "prometheus": 5.0}
    found = {}
    for name in asked:
        if name != "hub":
            found[f"hub.query/{name}"] = ratio_of(
                [1 / each for each in asked["hub"]],
                [1 / each for each in asked[name]],
                goal=goals[name],
                unit="queries/s",
                better="higher",
            )
            ours, theirs = ([samples / PARTS / each for each in ingest_s[one]] for one in ("hub", name))
            found[f"hub.ingest/{name}"] = ratio_of(ours, theirs, goal=1.0, unit="samples/s", better="higher")
    return found


def values_of(stores: dict[str, SampleStore], samples: int) -> dict[str, Value]:
    """Return the bytes per sample of each store."""
    values = {
        f"{name}.bytes_per_sample": value_of(
            [store.size_bytes() / samples], "B", goal=2.4 if name == "hub" else None
        )
        for name, store in stores.items()
    }
    return values


def report(options: Options, folder: Path, ratios: dict[str, Ratio], values: dict[str, Value]) -> None:
    """Measure what reporting costs an agent."""
    log_progress("measuring an agent that reports, and one that does not")
    with reporting_cost.running_agents(folder, running_hub) as pids:
        idle = reporting_cost.idle_cost(pids)
        took = reporting_cost.request_times(folder, max(15, options.rounds))
    cost = idle["reporting"] - idle["silent"]
    values["agent.reporting"] = value_of([cost], "cores", goal=0.001)
    ratios["hub.request/no_hub"] = ratio_of(
        took["reporting"], took["silent"], goal=1.02, unit="s", better="lower"
    )


HUB = """
import sys
from argosy.agent import run
from argosy.hub.hub_agent import HubAgent
run(HubAgent)
"""


@contextlib.contextmanager
def running_hub(folder: Path, machine: str, book: Path, store: Path) -> Iterator[subprocess.Popen[Any]]:
    """Run a hub on a store."""
    process = subprocess.Popen(
        [sys.executable, "-c", HUB, "--store", str(store), "--book", str(book)],
        env={**os.environ, "ARGOSY_BOOK": str(book), "ARGOSY_AGENT": f"hub@{machine}"},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def catch_up(folder: Path, count: int) -> Value:
    """Let a new hub pull `count` records from another hub; return the records per second."""
    log_progress(f"catching up with {count} records")
    ahead = RecordStore(folder / "ahead.db", "ahead")
    for first in range(0, count, 1000):
        ahead.append(
            [
                HubEvent(FIRST_MS + number, "said", f"Agent{number % AGENTS:02}", {"number": number})
                for number in range(first, first + 1000)
            ]
        )
    origin = ahead.origin
    ahead.close()
    books = {}
    hubs = {}
    for machine in ("ahead", "behind"):
        (folder / machine).mkdir()
        hubs[machine] = AgentAddress(machine, port=_free_port())
    for machine in hubs:
        books[machine] = folder / f"{machine}.json"
        write_address_book(
            books[machine], AddressBook("bench", "testing", (machine,), str(folder / machine), {}, hubs=hubs)
        )
    with (
        running_hub(folder, "ahead", books["ahead"], folder / "ahead.db"),
        running_hub(folder, "behind", books["behind"], folder / "behind.db"),
    ):
        until = time.monotonic() + TIMEOUT_S
        began = 0.0
        while time.monotonic() < until:
            got = _known(folder / "behind.db", origin.epoch)
            began = began or (time.monotonic() if got else 0.0)
            if got >= count:  # the discovery of the other hub is a record too
                first_batch = 2000  # came before the clock began
                return value_of(
                    [(count - first_batch) / (time.monotonic() - began)],
                    "records/s",
                    goal=100_000,
                    better="higher",
                )
            time.sleep(0.01)
    raise TimeoutError(f"{got} of {count} records came in {TIMEOUT_S:.0f} s")


def _known(path: Path, epoch: str) -> int:
    if not path.exists():
        return 0
    reading = StoreReader(path)
    try:
        return next((at.last_event for at in reading.positions() if at.origin.epoch == epoch), 0)
    except sqlite3.OperationalError:  # the database is being created
        return 0
    finally:
        reading.close()


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def resident(folder: Path, hub: ByHub) -> Value:
    """Build a week of the fleet's data, run a hub on it, and return its resident size."""
    log_progress("building a week of data")
    base = hub.store._database
    base.execute("BEGIN")
    for hour in range(1, WEEK_HOURS):
        base.execute(
            "INSERT INTO block SELECT id + ?, body FROM block WHERE id & ? = 0",
            (SEGMENTS_PER_CHUNK * hour, block_id(1, 0) - 1),
        )
        base.execute(
            "INSERT INTO run SELECT origin, ?, segments, step_ms, first_ms + ?, last_ms + ? FROM run "
            "WHERE segment = 0",
            (SEGMENTS_PER_CHUNK * hour, 1000 * HOUR * hour, 1000 * HOUR * hour),
        )
    base.execute("UPDATE origin SET last_tick = last_tick * ?", (WEEK_HOURS,))
    base.execute("COMMIT")
    hub.flush()
    size = hub.size_bytes()
    book = folder / "week.json"
    (folder / "week").mkdir()
    write_address_book(
        book,
        AddressBook(
            "bench", "testing", ("here",), str(folder / "week"), {}, hubs={"here": AgentAddress("here")}
        ),
    )
    hub.close()
    with running_hub(folder, "here", book, hub.path) as process:
        peer = connect(f"ipc://{folder}/week/z/hub@here", timeout=20.0)
        peer.call("peer_statuses")
        status = Path(f"/proc/{process.pid}/status").read_text()
        rss = int(status.split("VmRSS:")[1].split()[0]) * 1024
        peer.close()
    log_progress(f"a week is {size / 2**20:.0f} MiB on the disk")
    return value_of([rss / 2**20], "MiB", goal=80.0)


if __name__ == "__main__":
    sys.exit(run_bench("hub", __doc__.partition("\n")[0], measure))
