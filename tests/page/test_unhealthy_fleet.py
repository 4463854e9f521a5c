"""Unhealthy fleet on the page: failing agents come first with their cause, and the layout does not shift."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rig.fleet import Rig, free_ports

from .conftest import open_page

# Long enough that its last group is far below the first screen, deep enough that its graph is wide.
FLEET = """
fleet: breaking
machines: {{here: {{}}}}
hub: {{port: {port}}}
defaults: {{machine: here, ready: {{probe: notify}}, run: speaker.py, group: alpha}}
agents:
  Alpha1: {{}}
{chain}
  Voice: {{run: voice.py, group: zulu, restart_limit: {{times: 1, within: 60s}}}}
  Singer: {{group: zulu, needs: [{{agent: Voice, on_death: degrade}}]}}
  Choir: {{group: zulu, needs: [Singer]}}
"""
CHAIN = "\n".join(f"  Alpha{each}: {{needs: [Alpha{each - 1}]}}" for each in range(2, 11))
VOICE = """
import pathlib, sys
if pathlib.Path("broken").exists():
    print("no such voice: alto", flush=True)
    sys.exit(3)
exec(open("speaker.py").read())
"""
SIZES = ((1400, 900), (400, 800))
TOP = "() => document.getElementById('main').getBoundingClientRect().top + scrollY"


@pytest.fixture(scope="module")
def breaking(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Rig]:
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    rig = Rig(tmp_path_factory.mktemp("trouble"), runtime)
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port, chain=CHAIN))
    rig.write(VOICE, "voice.py")
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    rig.env["PAGE"] = rig.hub()
    rig.env["LINK"] = rig.json("hub", "--open")["url"]
    yield rig
    rig.close()
    shutil.rmtree(runtime)


def break_voice(rig: Rig) -> None:
    """Have `Voice` given up and `Singer` degraded for it, if they are not yet."""
    if rig.agents()["Voice"]["state"] == "ready":
        rig.write("", "broken")
        os.kill(rig.pid("Voice"), signal.SIGKILL)
    rig.until(lambda: rig.agents()["Voice"]["state"] == "given-up")
    rig.until(lambda: rig.agents()["Singer"]["state"] == "degraded")


@pytest.fixture(params=SIZES, ids=["desk", "phone"])
def page(request: pytest.FixtureRequest, breaking: Rig, browser: Any) -> Iterator[Any]:
    width, height = request.param
    yield from open_page(breaking, browser, viewport={"width": width, "height": height})


def tile(page: Any, agent: str) -> Any:
    return page.locator(f'.tile[data-agent="{agent}"]')


def test_unhealthy_agents_come_first_with_cause_without_layout_shift(page: Any, breaking: Rig) -> None:
    before = page.evaluate(TOP)
    break_voice(breaking)
    page.locator(".unhealthy .tile").nth(1).wait_for()
    assert page.evaluate(TOP) == before
    names = page.locator(".tile").evaluate_all("all => all.map(each => each.dataset.agent)")
    assert names[:2] == ["Voice", "Singer"]  # the worst first
    assert len(names) == len(set(names)) == 13
    voice = tile(page, "Voice")
    box, foot = voice.bounding_box(), page.locator("#history").bounding_box()
    assert box["y"] + box["height"] < foot["y"]
    assert "given-up after 1 restart ·" in voice.inner_text()
    cause = voice.locator(".cause")
    assert cause.inner_text().startswith("exited with code 3")
    assert "last line: no such voice: alto" in cause.inner_text()
    assert "given up" not in voice.inner_text()
    assert "exited with code 3" in voice.get_attribute("title")
    lines = cause.evaluate("each => each.clientHeight / parseFloat(getComputedStyle(each).lineHeight)")
    assert 0.9 < lines < 2.1


def test_state_count_in_header_toggles_filter_of_its_agents(page: Any, breaking: Rig) -> None:
    break_voice(breaking)
    count = page.get_by_role("button", name="1 given-up")
    count.focus()
    page.keyboard.press("Enter")
    assert count.get_attribute("aria-pressed") == "true"
    tile(page, "Alpha1").wait_for(state="hidden")
    assert page.locator(".tile:visible").count() == 1
    page.keyboard.press("Enter")
    assert count.get_attribute("aria-pressed") == "false"
    assert page.locator(".tile:visible").count() == 13


def test_banner_causes_no_layout_shift(page: Any, breaking: Rig) -> None:
    break_voice(breaking)
    before = page.evaluate(TOP)
    page.evaluate(
        """() => { const moment = document.getElementById('moment'); moment.min = moment.min - 600;
        moment.value = moment.min; moment.dispatchEvent(new Event('input')); }"""
    )
    page.locator("#banner:visible").wait_for()
    assert page.evaluate(TOP) == before


def test_graph_marks_failing_agent_and_its_dependents(page: Any, breaking: Rig) -> None:
    break_voice(breaking)
    page.evaluate("() => { location.hash = '#/graph'; }")
    page.locator("#affected-legend").get_by_text("1 fails: Voice. ⚑ 2 agents need it").wait_for()
    kinds = page.locator(".node").evaluate_all(
        """all => Object.fromEntries(all.map(each => [each.dataset.agent,
            [each.classList.contains('failing'), each.textContent.includes('⚑')]]))"""
    )
    assert kinds.pop("Voice") == [True, False]
    assert kinds.pop("Singer") == kinds.pop("Choir") == [False, True]
    assert all(each == [False, False] for each in kinds.values())
    assert len(kinds) == 10


def test_graph_is_readable_on_desktop_and_list_on_phone(page: Any, breaking: Rig) -> None:
    page.evaluate("() => { location.hash = '#/graph'; }")
    page.locator(".node").nth(12).wait_for()
    if page.viewport_size["width"] == 400:
        assert page.locator("#graph svg").count() == 0
        assert page.locator("#graph h2").count() == 10
        return
    smallest = page.locator(".node text").evaluate_all(
        """all => Math.min(...all.map(
            each => parseFloat(getComputedStyle(each).fontSize) * each.getScreenCTM().a))"""
    )
    assert smallest >= 12
    page.locator('.node[data-agent="Alpha2"]').focus()
    lit = page.locator(".lit .node.near").evaluate_all("all => all.map(each => each.dataset.agent).sort()")
    assert lit == ["Alpha1", "Alpha2", "Alpha3"]
    faded = "name => getComputedStyle(document.querySelector(`.node[data-agent=${name}]`)).opacity"
    assert float(page.evaluate(faded, "Alpha9")) < 0.5
