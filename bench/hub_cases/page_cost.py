"""Measures the hub's page: first paint, transferred bytes, and the cost of a viewer for hub and browser."""

from __future__ import annotations

import importlib
import shutil
import statistics
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

from hub_cases.hub_fleet import HubFleet, processor_s, wait_until
from testbed.result import Value, value_of
from testbed.runner import log_progress

LABELS: Final = ("hub.page/first_paint", "hub.page/transferred", "hub.page/renderer")
LOADS: Final = 7
VIEWERS: Final = 20
MEASURE_S: Final = 10.0
POLL_S: Final = 3.0  # the page's own interval for alerts

METHOD: Final = [
    "hub.page: the example fleet of 84 agents runs with its hub; headless Chromium with an empty cache",
    f"first_paint: until the first contentful paint, of {LOADS} loads; transferred: all bytes received",
    f"viewer: the hub's processor time with {VIEWERS} viewers (stream, alerts every {POLL_S:.0f} s), less",
    f"  that without, over {MEASURE_S:.0f} s each, per viewer; renderer: of the process that draws one page",
]


def measure_page(fleet: HubFleet, rounds: int) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the values, and the rows that could not be measured with the reason."""
    log_progress("measuring the cost of a viewer for the hub")
    values = {"hub.page/viewer": value_of(_measure_viewer_cost(fleet, rounds), "% of a core", goal=2.0)}
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    try:
        playwright = importlib.import_module("playwright.sync_api")
    except ModuleNotFoundError:
        return values, dict.fromkeys(LABELS, "Playwright is not installed (pip install playwright)")
    if chromium is None:
        return values, dict.fromkeys(LABELS, "no Chromium is installed (Debian: chromium)")
    log_progress("measuring the cost of the page for the browser")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        loads = [_load(browser, fleet.link) for _ in range(LOADS)]
        values["hub.page/first_paint"] = value_of([paint for paint, _ in loads], "s", goal=1.0)
        values["hub.page/transferred"] = value_of([size for _, size in loads], "KiB", goal=200.0)
        drawing = [_renderer(browser, fleet.link) for _ in range(rounds)]
        values["hub.page/renderer"] = value_of(drawing, "% of a core", goal=2.0)
        browser.close()
    return values, {}


def _load(browser: Any, link: str) -> tuple[float, float]:
    """Return the seconds to the first paint of a page, and the KiB transferred."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.locator(".tile").nth(83).wait_for()
    paint, size = page.evaluate(
        """() => [performance.getEntriesByName('first-contentful-paint')[0].startTime / 1000,
        [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .reduce((sum, each) => sum + each.transferSize, 0) / 1024]"""
    )
    context.close()
    return float(paint), float(size)


def _renderer(browser: Any, link: str) -> float:
    """Return the processor use of the process that draws an open page, in percent of a core."""
    before = _renderers()
    context = browser.new_context()
    page = context.new_page()
    page.goto(link)
    page.locator(".tile").nth(83).wait_for()
    page.wait_for_timeout(2000)  # wait for loading to end: the cost of an open page is measured
    mine = _renderers() - before  # the page's renderer, and a spare one of Chromium
    began_s = sum(map(processor_s, mine))
    page.wait_for_timeout(1000 * MEASURE_S)
    took_s = sum(map(processor_s, mine)) - began_s
    context.close()
    return 100 * took_s / MEASURE_S


def _renderers() -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"--type=renderer" in words:
                found.add(int(entry.name))
    return found


def _measure_viewer_cost(fleet: HubFleet, rounds: int) -> list[float]:
    """Return the hub's cost per viewer in percent of a core, one value per round."""
    pid = fleet.hub_pid()
    _measure_processor_s(pid)  # wait until the hub has processed the start of the fleet
    found = []
    for _ in range(rounds):
        alone = _measure_processor_s(pid)
        end = threading.Event()
        viewers = [
            threading.Thread(target=_act_as_viewer, args=(fleet.url, end), daemon=True)
            for _ in range(VIEWERS)
        ]
        for viewer in viewers:
            viewer.start()
        wait_until(lambda: fleet.get_json("/api/machines")["viewers"] == VIEWERS)
        together = _measure_processor_s(pid)
        end.set()
        for viewer in viewers:
            viewer.join()
        wait_until(lambda: fleet.get_json("/api/machines")["viewers"] == 0)
        found.append(100 * max(0.0, together - alone) / MEASURE_S / VIEWERS)
    log_progress(f"{statistics.median(found):.2f} % of a core per viewer")
    return found


def _measure_processor_s(pid: int) -> float:
    began = processor_s(pid)
    time.sleep(MEASURE_S)
    return processor_s(pid) - began


def _act_as_viewer(url: str, end: threading.Event) -> None:
    """Request what an open page requests."""
    with urllib.request.urlopen(url + "/events", timeout=60):  # the events fit the socket buffer
        while not end.wait(POLL_S):
            with urllib.request.urlopen(url + "/api/alerts", timeout=60) as answer:
                answer.read()
