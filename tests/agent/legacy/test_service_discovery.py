"""Service discovery of old code: what the fleet declares is found at once, nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import zmq

from argosy.agent.legacy import service_discovery
from argosy.wire.address_book import AddressBook, AgentAddress, write_address_book


@pytest.fixture(autouse=True)
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agents = {
        "Voice": AgentAddress("mainpc", host="10.0.0.4", port=5595),
        "Memory": AgentAddress("pc2", host="0.0.0.0", port=7140),
        "Silent": AgentAddress("pc2"),
    }
    write_address_book(tmp_path / "book", AddressBook("trial", "testing", ("mainpc",), str(tmp_path), agents))
    monkeypatch.setenv("ARGOSY_BOOK", str(tmp_path / "book"))


def test_what_is_declared_is_found_in_a_registrys_words() -> None:
    found, answer = service_discovery.discover_service("Voice")
    assert found
    assert answer["status"] == "SUCCESS"
    assert answer["payload"] == {
        "name": "Voice",
        "ip": "10.0.0.4",
        "host": "10.0.0.4",
        "port": 5595,
        "location": "mainpc",
    }
    assert service_discovery.get_service_address("Voice") == "tcp://10.0.0.4:5595"


def test_callers_that_take_the_result_for_the_answer_are_served_too() -> None:
    told = service_discovery.discover_service("Voice")
    assert told
    assert isinstance(told, dict)
    assert told.get("status") == "SUCCESS"
    assert "payload" in told
    assert told["payload"]["port"] == 5595
    assert told.get("payload", {}).get("host") == "10.0.0.4"
    unknown = service_discovery.discover_service("Nobody")
    assert not unknown
    assert isinstance(unknown, dict)
    assert unknown.get("status") == "error"
    assert unknown.get("payload") is None


def test_callers_that_look_for_the_place_at_the_top_find_it_there() -> None:
    told = service_discovery.discover_service("Voice")
    assert (told.get("host", "0.0.0.0"), told.get("port", 5588)) == ("10.0.0.4", 5595)
    assert (told["ip"], told["port"]) == ("10.0.0.4", 5595)
    assert service_discovery.discover_service("Nobody").get("port", 5588) == 5588


@pytest.mark.parametrize(("name", "is_found"), [("Voice", True), ("Nobody", False)])
def test_callers_that_take_the_pair_get_it(name: str, is_found: bool) -> None:
    told = service_discovery.discover_service(name)
    found, answer = told
    assert (told[0], told[1]) == (found, answer) == tuple(told)  # type: ignore[index]
    assert found is is_found
    assert type(answer) is dict
    assert answer == told == dict(told) == {**told}
    assert json.loads(json.dumps(told)) == answer
    with pytest.raises(KeyError, match="2"):
        told[2]  # type: ignore[index]


def test_an_interface_never_becomes_a_peer() -> None:
    assert service_discovery.get_service_address("Memory") == "tcp://127.0.0.1:7140"


@pytest.mark.parametrize("name", ["Nobody", "Silent"])
def test_the_unknown_is_told_at_once(name: str) -> None:
    found, answer = service_discovery.discover_service(name)
    assert not found
    assert "not found" in answer["message"]
    assert name in answer["message"]
    assert service_discovery.get_service_address(name) is None
    assert service_discovery.connect_to_service(name) is None


def test_without_a_fleet_nobody_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGOSY_BOOK")
    found, answer = service_discovery.discover_service("Voice")
    assert not found
    assert "there is no fleet" in answer["message"]


def test_a_machine_counts_only_as_the_fleet_calls_it() -> None:
    assert service_discovery.discover_service("Voice", "mainpc")[0]
    assert not service_discovery.discover_service("Voice", "pc2")[0]
    assert service_discovery.discover_service("Voice", "MainPC")[0]


def test_who_registers_is_told_what_is_declared() -> None:
    answer = service_discovery.register_service("Voice", port="6000")  # type: ignore[arg-type]
    assert answer["status"] == "SUCCESS"
    assert answer["payload"]["port"] == 5595
    assert service_discovery.register_service("Nobody", port=1)["status"] == "error"


def test_a_client_connects_and_its_context_is_a_lease() -> None:
    client = service_discovery.get_service_discovery_client()
    assert client is service_discovery.get_service_discovery_client()
    socket = client.connect_to_service("Memory")
    assert socket is not None
    assert int(socket.type) == int(zmq.REQ)
    assert socket.rcvtimeo == client.timeout
    socket.close()
    client.context.term()
    assert not client.context.closed
