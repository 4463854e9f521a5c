"""Address literals: which texts are addresses, and what address rules do without a fleet file."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.refit.analysis.addresses.address_literals import address_kind, find_addresses, parse_address_text
from argosy.refit.audit.tree_audit import audit

FLEET = """\
fleet: f
machines: {mainpc: {}}
environments: {development: {mainpc: 192.168.100.16}}
agents: {A: {run: [a], machine: mainpc, port: 7220}}
"""


@given(
    st.ip_addresses(v=4), st.one_of(st.none(), st.integers(1, 65535)), st.sampled_from(["", "tcp", "redis"])
)
def test_address_parser_reads_host_port_and_scheme(
    address: ipaddress.IPv4Address, port: int | None, scheme: str
) -> None:
    text = (f"{scheme}://" if scheme else "") + str(address) + (f":{port}" if port else "")
    found = parse_address_text(text)
    assert (found is None) == (address_kind(str(address)) is None)
    if found is not None:
        assert (found.host, found.port, found.scheme) == (str(address), port, scheme)
        assert text[found.start :].startswith(found.host)
        inside = list(find_addresses(f"x = {text} # y"))
        assert [item.host for item in inside] == [found.host]


@given(st.text(max_size=80))
def test_address_parser_accepts_any_text(text: str) -> None:
    found = parse_address_text(text)
    assert found is None or found.host in text
    for item in find_addresses(text):
        assert text[item.start :].startswith(item.host)


@pytest.mark.parametrize(
    "text",
    [
        *("", "redis", "1.2.3", "v10.0.0.1", "10.0.0.1/8", "10.0.0.0", "10.0.0.255", "999.1.1.1", "8.8.8.8"),
        *(
            "224.0.0.1",
            "169.254.169.254",
            "192.0.2.3",
            "http://example.com",
            "localhost is here",
            "*",
            "tcp://",
        ),
        *("10.0.0.1:70000", "localhosts", "12:30", "tcp://redis:6379", "10.0.0.1.example.com"),
    ],
)
def test_address_parser_refuses_other_text(text: str) -> None:
    assert parse_address_text(text) is None


def test_fleet_rules_are_skipped_without_fleet_file(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("A_PORT = 7120\nMAINPC_IP = '10.0.0.1'\n")
    without = audit(tmp_path)
    assert without.skipped_rules["A404"] == "no fleet file"
    assert "A401" not in without.skipped_rules
    assert "A404" not in {item.code for item in without.findings}
    (tmp_path / "fleet.yaml").write_text(FLEET)
    report = audit(tmp_path, fleet=tmp_path / "fleet.yaml")
    assert report.skipped_rules == {}
    assert [item.line for item in report.findings if item.code == "A404"] == [1, 2]
