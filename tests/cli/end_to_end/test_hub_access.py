"""Hub access: only the owner reads the hub, by token, by cookie, or from an own local process."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from rig.fleet import Rig, free_ports

FLEET = """
fleet: toy
hub: {{port: {port}}}
defaults: {{ready: {{probe: notify}}}}
agents: {{Root: {{run: speaker.py}}}}
"""
STRANGER = 65534  # nobody
ASK = """
import os, sys, http.client, encodings.idna
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
for path in sys.argv[2:]:
    link = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    link.request("GET", path)
    print(link.getresponse().status)
    link.close()
"""
STATES = ("/api/fleet", "/api/machines", "/api/declared", "/api/alerts", "/api/agents/Root", "/events")
PRINTED = ("/api/events", "/api/agents/Root/log")
OPEN = ("/login", "/page/page.css", "/healthz", "/metrics")


class HubClient:
    """A running fleet, whose hub is asked."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.port = urlsplit(rig.hub()).port or 0
        self.token = rig.token()

    def ask(self, path: str, **headers: str) -> tuple[int, dict[str, str]]:
        """Return the code of an answer, and its headers."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            link.request(
                "GET", path, headers={key.replace("_", "-"): value for key, value in headers.items()}
            )
            answer = link.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}
        finally:
            link.close()

    def codes(self, *paths: str, **headers: str) -> list[int]:
        return [self.ask(path, **headers)[0] for path in paths]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubClient]:
    runtime = Path(tempfile.mkdtemp(prefix="argosy-t-", dir="/tmp"))
    rig = Rig(tmp_path_factory.mktemp("readers"), runtime)
    (port,) = free_ports(1)
    rig.write(FLEET.format(port=port))
    rig.env["ARGOSY_HUB"] = "on"
    rig.json("up", "-d")
    yield HubClient(rig)
    rig.close()
    shutil.rmtree(runtime)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user can be played by root alone")
def test_hub_rejects_other_local_user(toy: HubClient) -> None:
    words = [sys.executable, "-c", ASK.format(uid=STRANGER), str(toy.port), *STATES, *PRINTED, *OPEN]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd="/", check=True)
    told = dict(zip((*STATES, *PRINTED, *OPEN), map(int, done.stdout.split()), strict=True))
    assert told == {**dict.fromkeys((*STATES, *PRINTED), 401), **dict.fromkeys(OPEN, 200)}


def test_hub_serves_states_without_token_but_logs_and_events_only_with_it(
    toy: HubClient,
) -> None:
    assert toy.codes(*STATES, *OPEN) == [200] * len((*STATES, *OPEN))
    assert toy.codes(*PRINTED) == [401] * len(PRINTED)
    right = f"Bearer {toy.token}"
    assert toy.codes(*STATES, *PRINTED, authorization=right) == [200] * len((*STATES, *PRINTED))
    assert toy.codes(*PRINTED, authorization="Bearer guessed") == [401] * len(PRINTED)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "127.0.0.1"},
        {"x_forwarded_for": "10.0.0.9"},
        {"forwarded": "for=127.0.0.1"},
        {"via": "1.1 proxy"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_hub_rejects_proxied_and_cross_site_requests(toy: HubClient, headers: dict[str, str]) -> None:
    assert toy.codes("/api/fleet", **headers) == [401]


def test_login_link_sets_cookie_and_login_page_explains_link(toy: HubClient) -> None:
    code, headers = toy.ask("/")
    assert (code, headers["location"], "set-cookie" in headers) == (303, "login", False)
    link = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=30)
    link.request("GET", "/login")
    assert "argosy hub --open" in link.getresponse().read().decode()
    url = toy.rig.argosy("hub", "--open").stdout.strip()
    assert url == f"http://127.0.0.1:{toy.port}/#token={toy.token}"
    link.request("POST", "/api/login", headers={"authorization": f"Bearer {url.partition('=')[2]}"})
    answer = link.getresponse()
    answer.read()
    cookie = answer.headers["set-cookie"]
    assert {"httponly", "samesite=strict", "path=/"} <= {each.strip().lower() for each in cookie.split(";")}
    assert cookie.startswith(f"argosy-{toy.port}-")
    assert toy.token not in cookie
    pair = cookie.partition(";")[0]
    assert toy.codes("/", "/events", *PRINTED, cookie=pair) == [200] * 4
    assert toy.codes("/api/events", cookie=pair, sec_fetch_site="cross-site") == [401]
    link.request("POST", "/api/login", headers={"authorization": "Bearer guessed"})
    assert link.getresponse().status == 401
    link.close()


def test_cookie_authorises_no_action_and_expires_with_its_token(toy: HubClient) -> None:
    code, headers = toy.ask(f"/?token={toy.token}")
    assert (code, headers["location"]) == (303, f"./#token={toy.token}")
    pair = headers["set-cookie"].partition(";")[0]
    link = http.client.HTTPConnection("127.0.0.1", toy.port, timeout=30)
    said = {"cookie": pair, "content-type": "application/json"}
    link.request("POST", "/api/actions/silence", json.dumps({}), said)
    assert link.getresponse().status == 401
    link.close()
    toy.token = toy.rig.json("hub", "--renew-token")["token"]
    assert toy.codes("/", "/api/events", cookie=pair) == [303, 401]


def test_metrics_and_healthz_require_token_if_fleet_file_says_so(toy: HubClient) -> None:
    path = toy.rig.folder / "fleet.yaml"
    text = path.read_text()
    path.write_text(text.replace("hub: {", "hub: {token: all, "))
    try:
        toy.rig.json("up", "-d")
        toy.rig.until(lambda: toy.codes("/metrics", "/healthz") == [401, 401])
        assert toy.codes("/metrics", "/healthz", authorization=f"Bearer {toy.token}") == [200, 200]
    finally:
        path.write_text(text)
        toy.rig.json("up", "-d")
        toy.rig.until(lambda: toy.codes("/metrics") == [200])


def test_hub_answers_non_http_bytes_with_json_error(toy: HubClient) -> None:
    with socket.create_connection(("127.0.0.1", toy.port), timeout=30) as link:
        link.sendall(b"\0\1\2\r\n\r\n")
        head, _, body = link.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400")
    assert json.loads(body)["errors"][0]["code"] == "not-http"
