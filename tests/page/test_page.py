"""The hub's page in a browser: its views, its accessibility, and its actions."""

from __future__ import annotations

import json
import os
import re
import signal
from importlib import resources
from typing import Any

import pytest

from argosy.agent.health import Status
from argosy.engine.protocol.state_machine import State
from rig.fleet import Rig, is_alive

from .conftest import open_page

VIEWS = ("tiles", "graph", "timeline", "machines", "alerts", "events", "agent/Root")
SETTLED = {
    "tiles": ".tile",
    "graph": ".node",
    "timeline": ".bars li",
    "machines": ".card",
    "alerts": "h2",
    "events": ".lines li",
    "agent/Root": "#agent dd",
}


def look(page: Any, view: str) -> None:
    """Go to a view, and wait until it is drawn."""
    page.evaluate("view => { location.hash = `#/${view}`; }", view)
    page.locator(
        f"#{view.partition('/')[0]} {SETTLED[view]}".replace("#agent #agent", "#agent")
    ).first.wait_for()


def tile(page: Any, agent: str) -> Any:
    return page.locator(f'.tile[data-agent="{agent}"]')


def wait_for_text(page: Any, what: str) -> None:
    """Wait until the page says something."""
    page.get_by_text(what).first.wait_for()


def violations(page: Any, rules: dict[str, Any]) -> list[str]:
    """Return what axe-core has to say against the page."""
    if not page.evaluate("() => 'axe' in window"):  # by the debugger, which no content policy holds up
        page.evaluate(resources.files("axe_playwright_python").joinpath("axe.min.js").read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [f"{each['id']}: {each['nodes'][0]['html']}" for each in found["violations"]]


WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
CONTRAST = {"type": "rule", "values": ["color-contrast"]}  # all that another palette can change


@pytest.mark.parametrize(("scheme", "rules"), [("dark", WCAG), ("light", CONTRAST)], ids=["dark", "light"])
def test_every_view_meets_wcag_aa(toy: Rig, browser: Any, scheme: str, rules: dict[str, Any]) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe-core is not installed")
    for page in open_page(toy, browser, color_scheme=scheme, reduced_motion="reduce"):
        found = {}
        for view in VIEWS:
            look(page, view)
            found[view] = violations(page, rules)
        page.keyboard.press("?")
        page.locator("#help-box[open]").wait_for()
        found["help"] = violations(page, rules)
        assert found == {view: [] for view in (*VIEWS, "help")}
        assert page.evaluate("() => getComputedStyle(document.body).backgroundColor") == (
            "rgb(18, 21, 26)" if scheme == "dark" else "rgb(246, 247, 249)"
        )


@pytest.mark.soak
def test_every_view_fits_a_phone(toy: Rig, browser: Any) -> None:
    for page in open_page(toy, browser, viewport={"width": 360, "height": 740}):
        for view in VIEWS:
            look(page, view)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, view


def test_tile_shows_state_by_sign_and_word(page: Any, toy: Rig) -> None:
    shown = tile(page, "Root")
    assert shown.locator(".mark").inner_text() == "●"
    assert shown.inner_text().split("\n")[-1].startswith("ready")
    text = resources.files("argosy.hub").joinpath("page", "dom.js").read_text()
    signs = dict(re.findall(r'"?([\w-]+)"?: \["(.)", "\w+"\]', text))
    states = {"waiting", "starting", "ready", "degraded", "failing", "restart-pending", "stopping", "exited"}
    assert states | {"given-up", "blocked"} <= set(signs)
    assert len(set(signs.values())) == len(signs)


def test_page_updates_states_and_alerts_without_reload(page: Any, toy: Rig) -> None:
    page.evaluate("() => { window.mark = 1; }")
    os.kill(toy.pid("Odd"), signal.SIGKILL)
    tile(page, "Odd").get_by_text("exited").wait_for()
    look(page, "alerts")
    page.locator("#alerts .card").get_by_text("Odd is exited: was killed by SIGKILL").wait_for()
    page.locator("#announcer").get_by_text("Alert: Odd is exited").wait_for()
    toy.json("up", "-d")
    page.get_by_text("No alert is active.").wait_for()
    assert page.evaluate("() => window.mark") == 1
    look(page, "tiles")
    tile(page, "Odd").get_by_text("ready").wait_for()


def test_page_reports_lost_hub_and_reconnects_without_reload(page: Any, toy: Rig) -> None:
    page.evaluate(
        """() => { window.mark = 1; window.banners = []; const banner = document.getElementById('banner');
        const note = () => window.banners.push(banner.textContent);
        new MutationObserver(note).observe(banner, {childList: true}); }"""
    )
    pid = json.loads((toy.state() / "hub.lock").read_bytes())["pid"]
    os.kill(pid, signal.SIGKILL)
    toy.until(lambda: not is_alive(pid))
    toy.until(lambda: "The hub does not answer" in str(page.evaluate("() => window.banners")), 30)
    page.locator("#banner").wait_for(state="hidden")
    before = toy.pid("Root")
    toy.json("restart", "Root")
    assert toy.pid("Root") != before
    look(page, "agent/Root")
    page.locator("#agent").get_by_text(f"pid {toy.pid('Root')}").first.wait_for()
    assert page.evaluate("() => window.mark") == 1


def test_agent_page_shows_health_metrics_needs_events_and_escaped_log(page: Any, toy: Rig) -> None:
    look(page, "agent/Root")
    shown = page.locator("#agent")
    shown.get_by_text("<b>large</b>").wait_for()  # a fact of its health, as text
    shown.locator("#chart canvas, #chart .uplot, #chart").first.wait_for()
    assert shown.get_by_role("button", name="requests handled").count() == 1
    assert shown.get_by_role("link", name="Leaf").count() == 1
    shown.locator(".lines li").get_by_text("ready").first.wait_for()
    page.evaluate("() => { location.hash = '#/agent/Odd'; }")
    page.locator("#agent pre").get_by_text("<script>window.broken = 1</script>").wait_for()
    assert page.evaluate("() => window.broken") is None


def test_agent_metrics_have_unit_and_description(page: Any, toy: Rig) -> None:
    look(page, "agent/Root")
    rows = page.locator("#agent table tr")
    rows.filter(has_text="event loop lag").wait_for()
    shown = dict(each.split("\t") for each in rows.all_inner_texts())
    assert shown["state"] == "ready"
    assert shown["reported status"] == "ok"
    assert re.fullmatch(r"[\d.]+ MiB", shown["memory (RSS)"])
    assert re.fullmatch(r"[\d.]+ ms", shown["event loop lag"])
    assert re.fullmatch(r"[\d.]+ s|\d+ min( \d+ s)?", shown["uptime"])
    assert shown["voices"] == "3"  # a figure of its own: as it is
    lag = page.get_by_role("button", name="event loop lag")
    assert lag.get_attribute("title").startswith("loop_lag_ms: delay of")
    lag.click()
    page.locator("#agent").get_by_text("event loop lag over time").wait_for()
    numbered = page.evaluate(
        """async () => { const { describeMetric } = await import("./page/metrics.js");
        return [["process_state", 8], ["status", 3], ["uptime", 193.264], ["wait_s", 0.25],
            ["load_percent", 7.5], ["x_per_s", 2], ["cache_bytes", 1536], ['lag_ms{to="a"}', 3],
            ["constructor", 2]].map(
            ([name, value]) => describeMetric(name).show(value)); }"""
    )
    assert numbered == ["given-up", "failing", "3 min 13 s", "250 ms", "7.5 %", "2/s", "1.5 KiB", "3 ms", "2"]


def test_page_state_numbers_match_engine() -> None:
    text = resources.files("argosy.hub").joinpath("page", "metrics.js").read_text()
    for name, words in (("STATES", State), ("STATUSES", Status)):
        told = re.search(rf"const {name} = (\[.*\]);", text)
        assert told
        assert json.loads(told[1]) == [each.value for each in words]


def test_events_view_shows_descriptions_and_event_kinds(page: Any, toy: Rig) -> None:
    look(page, "events")
    began = page.locator("#events li span[title='spawn-requested']").first
    assert began.inner_text() == "process is being started"
    account = page.locator("#events li span[title='apply-summary']").first
    assert account.inner_text().startswith("start of the fleet is over · ")


@pytest.mark.soak
def test_page_shows_frozen_agent_as_silent_and_its_metrics_as_stale(page: Any, toy: Rig) -> None:
    look(page, "agent/Root")
    figure = page.locator("#agent tr", has_text="event loop lag")
    figure.wait_for()
    pid = toy.pid("Root")
    os.kill(pid, signal.SIGSTOP)
    try:
        page.locator(
            "#agent .word.warn", has_text=re.compile("▲ degraded .*: silent for [0-9]+ s")
        ).wait_for()
        figure.get_by_text(re.compile("▲ stale: [0-9]+ s")).wait_for()
        look(page, "tiles")
        tile(page, "Root").locator("small", has_text=re.compile("^degraded · for ")).wait_for()
        tile(page, "Root").locator(".cause", has_text=re.compile("^silent for [0-9]+ s$")).wait_for()
        assert "warn" in tile(page, "Root").get_attribute("class")
    finally:
        os.kill(pid, signal.SIGCONT)
    tile(page, "Root").get_by_text("ready · for").wait_for()
    assert "good" in tile(page, "Root").get_attribute("class")


@pytest.mark.soak
def test_timeline_view_marks_critical_path_of_last_start(page: Any, toy: Rig) -> None:
    look(page, "timeline")
    page.locator("#timeline select").first.select_option(index=0)
    assert page.locator("#timeline .bars li").count() >= 1
    critical = page.locator("#timeline .critical").first
    assert critical.locator(".who").inner_text().startswith("★")


def test_page_shows_past_state_of_fleet_and_returns_to_now(page: Any, toy: Rig) -> None:
    page.evaluate(
        """() => { const moment = document.getElementById('moment'); moment.min = moment.min - 600;
        moment.value = moment.min; moment.dispatchEvent(new Event('input')); }"""
    )
    wait_for_text(page, "The fleet as it was at")
    tile(page, "Root").get_by_text("unknown").wait_for()
    page.evaluate("() => { location.hash = '#/agent/Root'; }")
    wait_for_text(page, "Health is available only for now.")
    assert page.get_by_role("button", name="Restart", exact=True).count() == 0  # nobody acts on the past
    page.get_by_role("button", name="Back to now").click()
    look(page, "tiles")
    tile(page, "Root").get_by_text("ready").wait_for()
    page.keyboard.press(",")  # to the event before
    wait_for_text(page, "The fleet as it was at")
    page.keyboard.press("Escape")
    page.locator("#banner").wait_for(state="hidden")


def test_agent_can_be_found_and_restarted_by_keyboard(page: Any, toy: Rig) -> None:
    before, token = toy.pid("Root"), toy.argosy("hub", "--token").stdout.strip()
    page.evaluate("() => sessionStorage.removeItem('token')")  # as in a tab that was opened without the link
    press = page.keyboard.press
    press("g")
    page.locator("#graph:not([hidden])").wait_for()
    press("f")
    press("/")
    page.keyboard.type("Root")
    tile(page, "Leaf").wait_for(state="hidden")
    while page.evaluate("() => document.activeElement.dataset.agent") != "Root":
        press("Tab")
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    press("Enter")
    page.locator("#agent-name").get_by_text("Root").wait_for()
    press("r")
    page.locator("#confirm-box[open]").get_by_text("1 agent needs it").wait_for()
    press("Enter")
    page.locator("#token-box[open]").wait_for()
    page.keyboard.type("wrong")
    press("Enter")
    page.locator("#token-box[open]").get_by_text("this is not the hub's token").wait_for()
    page.keyboard.type(token)
    press("Enter")
    page.locator("#outcome").get_by_text("restarted in").wait_for()
    assert toy.pid("Root") != before


@pytest.mark.soak
def test_arrow_keys_move_between_tiles_and_tab_leaves_them(page: Any, toy: Rig) -> None:
    page.locator(".tile[tabindex='0']").focus()
    seen = set()
    for _ in range(6):
        seen.add(page.evaluate("() => document.activeElement.dataset.agent"))
        page.keyboard.press("ArrowDown")
    assert seen == {"Root", "Leaf", "Odd"}
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.dataset.agent") is None


@pytest.mark.soak
def test_single_letter_shortcuts_can_be_disabled(page: Any, toy: Rig) -> None:
    page.keyboard.press("?")
    page.locator("#use-keys").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("Tab")  # whatever a key did, it has done by now
    assert page.locator("#graph").is_hidden()


@pytest.mark.soak
def test_page_reads_token_from_url_and_removes_it(toy: Rig, browser: Any) -> None:
    token = toy.argosy("hub", "--token").stdout.strip()
    for page in open_page(toy, browser):
        page.goto(f"{toy.env['PAGE']}/#token={token}")
        page.reload()
        page.locator(".tile").first.wait_for()
        assert token not in page.url
        look(page, "agent/Root")
        page.get_by_role("button", name="Silence for 10 min").click()
        page.locator("#outcome").get_by_text("Root is silenced until").wait_for()
        look(page, "alerts")
        page.get_by_role("button", name="Expire").click()
        page.locator("#outcome").get_by_text("the silence has ended").wait_for()


def test_login_page_explains_access_and_accepts_token(toy: Rig, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.goto(toy.env["PAGE"] + "/#/events")
    wait_for_text(page, "argosy hub --open")
    page.locator("#token").fill("wrong")
    page.keyboard.press("Enter")
    wait_for_text(page, "this is not the hub's token")
    page.locator("#token").fill(toy.token())
    page.keyboard.press("Enter")
    page.locator(".tile").nth(2).wait_for()
    page.goto(toy.env["PAGE"])  # now it works
    page.locator(".tile").nth(2).wait_for()
    context.close()


def test_group_can_be_silenced_by_keyboard_with_token(toy: Rig, browser: Any) -> None:
    token = toy.argosy("hub", "--token").stdout.strip()
    for page in open_page(toy, browser):
        page.evaluate("() => sessionStorage.removeItem('token')")
        look(page, "alerts")
        assert page.locator("#alerts").get_by_role("button", name=re.compile("silence", re.I)).count() == 1
        page.locator("#silence-target").select_option("core")
        page.locator("#silence-minutes").select_option("1 h")
        page.locator("#silence-minutes").press("Tab")
        assert page.evaluate("() => document.activeElement.textContent") == "Create silence"
        page.keyboard.press("Enter")
        page.locator("#token").fill(token)  # it is asked for, as for each action
        page.keyboard.press("Enter")
        page.locator("#outcome").get_by_text("group core is silenced until").wait_for()
        page.locator("#alerts li").get_by_text("group core, Leaf, Root, until").wait_for()
        page.get_by_role("button", name="Expire").click()
        page.locator("#outcome").get_by_text("the silence has ended").wait_for()


@pytest.mark.soak
def test_page_disables_animations_with_reduced_motion(toy: Rig, browser: Any) -> None:
    name = """() => { const one = document.querySelector('.tile'); one.classList.add('changed');
        return getComputedStyle(one).animationName; }"""
    for page in open_page(toy, browser, reduced_motion="reduce"):
        assert page.evaluate(name) == "none"
    for page in open_page(toy, browser, reduced_motion="no-preference"):
        assert page.evaluate(name) == "changed"


def test_first_page_load_is_small_and_uses_hub_only(toy: Rig, browser: Any) -> None:
    context = browser.new_context()
    page = context.new_page()
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request))
    page.goto(toy.env["LINK"])
    page.locator(".tile").nth(2).wait_for()
    assert all(each.url.startswith((toy.env["PAGE"], "data:")) for each in asked)
    ended = [each for each in asked if not each.url.endswith("/events")]
    transferred = sum(each.sizes()["responseBodySize"] for each in ended)
    assert 5_000 < transferred < 200_000
    context.close()
