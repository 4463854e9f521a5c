"""Legacy service discovery: declared services are found immediately, others are not."""

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


def test_discover_service_returns_declared_service_as_registry_reply() -> None:
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


def test_discovery_result_works_as_reply_dict() -> None:
    result = service_discovery.discover_service("Voice")
    assert result
    assert isinstance(result, dict)
    assert result.get("status") == "SUCCESS"
    assert "payload" in result
    assert result["payload"]["port"] == 5595
    assert result.get("payload", {}).get("host") == "10.0.0.4"
    unknown = service_discovery.discover_service("Nobody")
    assert not unknown
    assert isinstance(unknown, dict)
    assert unknown.get("status") == "error"
    assert unknown.get("payload") is None


def test_discovery_result_has_host_and_port_at_top_level() -> None:
    result = service_discovery.discover_service("Voice")
    assert (result.get("host", "0.0.0.0"), result.get("port", 5588)) == ("10.0.0.4", 5595)
    assert (result["ip"], result["port"]) == ("10.0.0.4", 5595)
    assert service_discovery.discover_service("Nobody").get("port", 5588) == 5588


@pytest.mark.parametrize(("name", "is_found"), [("Voice", True), ("Nobody", False)])
def test_discovery_result_unpacks_as_pair(name: str, is_found: bool) -> None:
    result = service_discovery.discover_service(name)
    found, answer = result
    assert (result[0], result[1]) == (found, answer) == tuple(result)  # type: ignore[index]
    assert found is is_found
    assert type(answer) is dict
    assert answer == result == dict(result) == {**result}
    assert json.loads(json.dumps(result)) == answer
    with pytest.raises(KeyError, match="2"):
        result[2]  # type: ignore[index]


def test_wildcard_host_resolves_to_loopback() -> None:
    assert service_discovery.get_service_address("Memory") == "tcp://127.0.0.1:7140"


@pytest.mark.parametrize("name", ["Nobody", "Silent"])
def test_unknown_service_is_reported_as_not_found(name: str) -> None:
    found, answer = service_discovery.discover_service(name)
    assert not found
    assert "not found" in answer["message"]
    assert name in answer["message"]
    assert service_discovery.get_service_address(name) is None
    assert service_discovery.connect_to_service(name) is None


def test_discovery_without_fleet_reports_no_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGOSY_BOOK")
    found, answer = service_discovery.discover_service("Voice")
    assert not found
    assert "there is no fleet" in answer["message"]


def test_discovery_filters_by_machine_name() -> None:
    assert service_discovery.discover_service("Voice", "mainpc")[0]
    assert not service_discovery.discover_service("Voice", "pc2")[0]
    assert service_discovery.discover_service("Voice", "MainPC")[0]


def test_register_service_returns_declared_address() -> None:
    answer = service_discovery.register_service("Voice", port="6000")  # type: ignore[arg-type]
    assert answer["status"] == "SUCCESS"
    assert answer["payload"]["port"] == 5595
    assert service_discovery.register_service("Nobody", port=1)["status"] == "error"


def test_discovery_client_connects_and_survives_term_of_its_context() -> None:
    client = service_discovery.get_service_discovery_client()
    assert client is service_discovery.get_service_discovery_client()
    socket = client.connect_to_service("Memory")
    assert socket is not None
    assert int(socket.type) == int(zmq.REQ)
    assert socket.rcvtimeo == client.timeout
    socket.close()
    client.context.term()
    assert not client.context.closed
