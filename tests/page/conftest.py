"""A running fleet and a browser on its hub's page; skipped where Playwright or Chromium is missing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.fleet import Rig, free_ports
from rig.needs import require

FLEET = """
fleet: toy
machines: {{here: {{gpu: "RTX 3060", gpu_memory: 12GiB}}}}
hub: {{port: {port}, alerts: {{after: 200ms, clear: 200ms}}}}
defaults: {{machine: here}}
agents:
  Root: {{run: "agents:Root", group: core}}
  Leaf:
    run: speaker.py
    group: edge
    ready: {{probe: notify}}
    needs: [{{agent: Root, on_death: degrade}}]
  Odd: {{run: odd.py, restart: never, ready: {{probe: notify}}}}
"""

AGENTS = """
from argosy.agent import Agent, Health, request

class Root(Agent):
    @request
    async def double(self, number: int) -> int:
        return 2 * number

    def health(self) -> Health:
        return Health("ok", "", {"model": "<b>large</b>", "voices": 3})
"""

# Says what would run in a page that takes a text for markup.
ODD = """
print("<img src=x onerror='window.broken = 1'><script>window.broken = 1</script>", flush=True)
exec(open("speaker.py").read())
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; its driver keeps a loop running in this thread, so it ends with the module."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        require("chromium")
    with playwright.sync_playwright() as driver:
        launched = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Rig]:
    """A fleet of three agents with a hub, for all tests of a module."""
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    rig = Rig(tmp_path_factory.mktemp("page"), runtime)
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port))
    rig.write(AGENTS, "agents.py")
    rig.write(ODD, "odd.py")
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    rig.env["PAGE"] = rig.hub()
    rig.env["LINK"] = rig.json("hub", "--open")["url"]
    yield rig
    rig.close()
    shutil.rmtree(runtime)


@pytest.fixture
def page(toy: Rig, browser: Any) -> Iterator[Any]:
    """The page, dark, on a desk; what the browser has to say against it fails the test."""
    yield from open_page(toy, browser)


def open_page(toy: Rig, browser: Any, **how: Any) -> Iterator[Any]:
    """Yield the page in a window of its own."""
    context = browser.new_context(
        **{"color_scheme": "dark", "viewport": {"width": 1280, "height": 800}, **how}
    )
    context.set_default_timeout(30_000)
    opened = context.new_page()
    told: list[str] = []
    opened.on("pageerror", lambda error: told.append(str(error)))
    opened.on("console", lambda said: told.append(said.text) if said.type == "error" else None)
    opened.goto(toy.env["LINK"])
    opened.locator(".tile").nth(2).wait_for()
    yield opened
    context.close()
    # A browser tells of each answer above 399 and of each lost connection; some tests are about them.
    assert [each for each in told if "Failed to load resource" not in each] == []
