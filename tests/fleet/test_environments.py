"""Environments: addresses, overrides, where they come from, and which machine is local."""

from __future__ import annotations

import socket

import pytest

from argosy.fault import Fault, InputError
from argosy.fleet import Fleet, address, load_fleet, local_machines, place
from argosy.fleet.address_lookup import variable_names
from argosy.fleet.hosts import is_local_host, is_wildcard, parse_address, parse_port

TWO = """\
fleet: harbour
machines: {mainpc: {}, pc2: {}, spare: {}}
environments:
  development: {mainpc: 192.168.100.16, pc2: 192.168.100.17, redis: "192.168.100.16:6379"}
  production: {mainpc: $MAINPC_IP, pc2: "${PC2_IP}", spare: $SPARE_IP, redis: $REDIS}
  container: {mainpc: mainpc, pc2: pc2, redis: redis}
  testing: {mainpc: 127.0.0.1, pc2: localhost}
  mixed: {mainpc: 127.0.0.1, pc2: 192.168.100.17}
  short: {mainpc: 10.0.0.1}
agents:
  SystemDigitalTwin: {run: a.py, machine: mainpc, port: 7220}
  Memory: {run: m.py, machine: pc2, port: 7300}
  Quiet: {run: q.py, machine: pc2}
"""


def two() -> Fleet:
    return load_fleet("/f.yaml", TWO)


def one() -> Fleet:
    return load_fleet("/f.yaml", "fleet: f\nagents:\n  A: {run: a.py, port: 5000}\n")


def refused(call: object, *args: object) -> tuple[Fault, ...]:
    with pytest.raises(InputError) as caught:
        call(*args)  # type: ignore[operator]
    return tuple(caught.value.faults)


@pytest.mark.parametrize("environment", ["development", "production", "container", "testing"])
def test_single_machine_fleet_resolves_in_every_standard_environment(environment: str) -> None:
    placement = place(one(), environment, {})
    assert placement.endpoint_of("A").url == "tcp://127.0.0.1:5000"
    assert placement.bind_address_of("A") == "127.0.0.1"
    assert placement.machine_of("A") is None
    assert local_machines(placement, None, {}) == {None}


def test_machines_without_addresses_are_local_only_in_dev_and_testing() -> None:
    text = "fleet: f\nmachines: {a: , b: }\nagents: {A: {run: a.py, port: 1, machine: a}}\n"
    fleet = load_fleet("/f.yaml", text)
    for environment in ("development", "testing"):
        assert local_machines(place(fleet, environment, {}), None, {}) == {"a"}
    (fault,) = refused(place, fleet, "production", {})
    assert (fault.where, fault.code) == ("/f.yaml:2:1", "no-address")


def test_unknown_environment_is_fault_that_lists_known_ones() -> None:
    (fault,) = refused(place, two(), "prodution", {})
    assert fault.code == "unknown-environment"
    for name in ("development", "production", "container", "testing", "mixed"):
        assert f"`{name}`" in fault.message
    assert fault.hint == "did you mean `production`?"
    assert refused(place, one(), "staging", {})[0].code == "unknown-environment"


def test_place_reports_all_unset_variables() -> None:
    faults = refused(place, two(), "production", {"MAINPC_IP": ""})
    assert [(fault.where, fault.code) for fault in faults] == [
        ("/f.yaml:5:16", "unset-variable"),
        ("/f.yaml:5:36", "unset-variable"),
    ]
    assert "`$MAINPC_IP` is empty" in faults[0].message
    assert "`$PC2_IP` is not set" in faults[1].message
    assert "export PC2_IP=" in faults[1].hint


def test_environment_variables_provide_addresses() -> None:
    variables = {"MAINPC_IP": "10.1.1.1", "PC2_IP": "10.1.1.2"}
    placement = place(two(), "production", variables)
    assert placement.endpoint_of("Memory").url == "tcp://10.1.1.2:7300"
    (fault,) = refused(placement.endpoint_of_service, "redis")
    assert (fault.where, fault.code) == ("/f.yaml:5:72", "unset-variable")
    served = place(two(), "production", {**variables, "REDIS": "10.1.1.3:6380"}).endpoint_of_service("redis")
    assert (served.host, served.port) == ("10.1.1.3", 6380)


@pytest.mark.parametrize("value", ["0.0.0.0", "*", "::", "tcp://10.0.0.1", "10.0.0.1:5", "a b"])
def test_place_rejects_variable_with_invalid_address(value: str) -> None:
    faults = refused(place, two(), "production", {"MAINPC_IP": value, "PC2_IP": "10.1.1.2"})
    assert {(fault.where, fault.code) for fault in faults} == {("MAINPC_IP", "address")}


def test_bind_address_is_literal_address_of_machine() -> None:
    assert place(two(), "development", {}).bind_address_of("Memory") == "192.168.100.17"
    assert place(two(), "container", {}).bind_address_of("Memory") == "0.0.0.0"
    assert place(two(), "testing", {}).bind_address_of("Memory") == "127.0.0.1"
    assert place(two(), "development", {"MEMORY_BIND": "0.0.0.0"}).bind_address_of("Memory") == "0.0.0.0"


def test_host_and_port_variables_override_every_environment() -> None:
    variables = {"SYSTEM_DIGITAL_TWIN_HOST": "10.9.9.9", "SYSTEMDIGITALTWIN_PORT": "9000"}
    for environment in ("development", "container", "testing"):
        placement = place(two(), environment, variables)
        assert placement.endpoint_of("SystemDigitalTwin").url == "tcp://10.9.9.9:9000"
        assert placement.endpoint_of("Memory").port == 7300
    (fault,) = refused(place, two(), "testing", {"MEMORY_PORT": "many"})
    assert (fault.where, fault.code) == ("MEMORY_PORT", "address")
    assert place(two(), "testing", {"MEMORY_PORT": "tcp://10.0.0.1:44"}).endpoint_of("Memory").port == 44


def test_service_endpoint_comes_from_environment_or_variable() -> None:
    placement = place(two(), "development", {})
    assert placement.endpoint_of_service("redis").url == "tcp://192.168.100.16:6379"
    assert (
        place(two(), "development", {"REDIS_HOST": "10.2.2.2"}).endpoint_of_service("redis").url
        == "tcp://10.2.2.2:6379"
    )
    assert place(two(), "container", {}).endpoint_of_service("redis", port=6379).url == "tcp://redis:6379"
    assert refused(place(two(), "container", {}).endpoint_of_service, "redis")[0].code == "no-port"
    (fault,) = refused(placement.endpoint_of_service, "reddis")
    assert (fault.code, fault.hint) == ("unknown-service", "did you mean `redis`?")


def test_explain_endpoint_names_source_of_each_part() -> None:
    reasons = place(two(), "development", {}).explain_endpoint("Memory", "mainpc")
    assert [(reason.part, reason.value, reason.source, reason.where) for reason in reasons] == [
        ("machine", "pc2", "file", "/f.yaml:12:23"),
        ("host", "192.168.100.17", "file", "/f.yaml:4:41"),
        ("port", "7300", "file", "/f.yaml:12:37"),
        ("interface", "192.168.100.17", "file", "/f.yaml:4:41"),
    ]
    overridden = place(two(), "development", {"MEMORY_HOST": "10.0.0.5"}).explain_endpoint("Memory")
    assert ("host", "10.0.0.5", "variable", "MEMORY_HOST") in [
        (reason.part, reason.value, reason.source, reason.where) for reason in overridden
    ]
    assert [reason.source for reason in place(one(), "testing", {}).explain_endpoint("A")] == [
        "default",
        "file",
        "default",
    ]


def test_endpoint_without_port_name_or_address_is_fault() -> None:
    placement = place(two(), "development", {})
    assert refused(placement.endpoint_of, "Quiet")[0].code == "no-port"
    assert refused(placement.endpoint_of, "Memmory")[0].hint == "did you mean `Memory`?"
    (fault,) = refused(place, two(), "short", {})
    assert (fault.where, fault.code) == ("/f.yaml:9:3", "no-address")


def test_loopback_endpoint_is_fault_for_other_machine() -> None:
    placement = place(two(), "mixed", {})
    assert placement.endpoint_of("SystemDigitalTwin", "mainpc").url == "tcp://127.0.0.1:7220"
    assert refused(placement.endpoint_of, "SystemDigitalTwin", "pc2")[0].code == "loopback-peer"
    assert place(two(), "testing", {}).endpoint_of("SystemDigitalTwin", "pc2").host == "127.0.0.1"


def test_place_rejects_same_port_on_machines_with_one_host() -> None:
    text = (
        "fleet: f\nmachines: {a: , b: }\nenvironments:\n  apart: {a: 10.0.0.1, b: 10.0.0.2}\n"
        "  testing: {a: 127.0.0.1, b: 127.0.0.1}\nagents:\n"
        "  A: {run: a.py, machine: a, port: 5000}\n  B: {run: b.py, machine: b, health_port: 5000}\n"
    )
    fleet = load_fleet("/f.yaml", text)
    place(fleet, "apart", {})
    (fault,) = refused(place, fleet, "testing", {})
    assert (fault.where, fault.code) == ("/f.yaml:8:30", "port-used-twice")
    place(fleet, "testing", {"A_PORT": "5001"})


def test_local_machines_are_chosen_or_have_local_address() -> None:
    placement = place(two(), "development", {})
    assert local_machines(placement, "pc2", {"ARGOSY_MACHINE": "mainpc"}) == {"pc2"}
    assert local_machines(placement, None, {"ARGOSY_MACHINE": "mainpc"}) == {"mainpc"}
    assert local_machines(placement, None, {}, {"192.168.100.17"}.__contains__) == {"pc2"}
    assert local_machines(place(two(), "testing", {}), None, {}) == {"mainpc", "pc2"}
    assert local_machines(place(two(), "mixed", {}), None, {}, lambda host: True) == {"pc2"}
    assert local_machines(place(two(), "mixed", {}), None, {}, {"127.0.0.1"}.__contains__) == {"mainpc"}
    assert refused(local_machines, placement, "pc3", {})[0].code == "unknown-machine"
    (fault,) = refused(local_machines, placement, None, {}, lambda host: False)
    assert fault.code == "no-machine-here"
    assert "`pc2` (192.168.100.17)" in fault.message


def test_is_local_host_accepts_only_bindable_addresses() -> None:
    assert is_local_host("127.0.0.1")
    assert is_local_host("localhost")
    assert not is_local_host("192.0.2.1")  # TEST-NET-1, never a host's own
    assert not is_local_host("a name with spaces")


def test_address_returns_url_of_agent_or_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENV_TYPE", raising=False)
    assert address(two(), "Memory") == "tcp://192.168.100.17:7300"
    assert address(two(), "Memory", variables={"ENV_TYPE": "container"}) == "tcp://pc2:7300"
    assert address(two(), "redis", "development") == "tcp://192.168.100.16:6379"
    monkeypatch.setenv("ENV_TYPE", "nowhere")
    assert refused(address, two(), "Memory")[0].code == "unknown-environment"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("SystemDigitalTwin", "SYSTEM_DIGITAL_TWIN_HOST"),
        ("TTSService", "TTS_SERVICE_HOST"),
        ("redis", "REDIS_HOST"),
        ("memory-store.v2", "MEMORY_STORE_V2_HOST"),
        ("GGUFModelManager", "GGUF_MODEL_MANAGER_HOST"),
    ],
)
def test_variable_names_are_derived_from_agent_names(name: str, variable: str) -> None:
    assert variable_names(name, "HOST")[0] == variable


def test_parse_address_splits_host_and_port() -> None:
    assert parse_address("h:80") == ("h", "80")
    assert parse_address("[::1]:80") == ("::1", "80")
    assert parse_address("::1") == ("::1", "")
    assert parse_address("$A:${B}") == ("$A", "${B}")
    for wrong in ("tcp://h", "h:", "h:0", "h:65536", "a b", "", "h/", "$1", "-h"):
        assert parse_address(wrong) is None, wrong
    assert [parse_port(text) for text in ("1", "65535", "0", "x", "65536", "\u0661")] == [
        1, 65535, None, None, None, None
    ]  # fmt: skip
    assert all(map(is_wildcard, ("*", "0.0.0.0", "::")))


def test_ipv6_url_has_brackets() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    text = "fleet: f\nmachines: {m: }\nenvironments: {v6: {m: '::1'}}\nagents: {A: {run: a.py, port: 5}}\n"
    assert place(load_fleet("/f.yaml", text), "v6", {}).endpoint_of("A").url == "tcp://[::1]:5"
