"""Address book: atomic writes, reload on change, and errors about missing entries."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from argosy.fault import InputError, MissingError
from argosy.wire.address_book import (
    AddressBook,
    AddressResolver,
    AgentAddress,
    read_address_book,
    socket_path,
    write_address_book,
)


def book(runtime: Path, **agents: AgentAddress) -> AddressBook:
    return AddressBook("harbour", "testing", ("mainpc",), str(runtime), agents)


def test_address_book_round_trips(tmp_path: Path) -> None:
    written = book(tmp_path, A=AgentAddress("mainpc", "127.0.0.1", "0.0.0.0", 5595, 6595, ("lookup",)))
    write_address_book(tmp_path / "book.json", written)
    assert read_address_book(tmp_path / "book.json") == written
    assert os.listdir(tmp_path) == ["book.json"]


def test_read_address_book_reports_missing_and_invalid_file(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="cannot be read"):
        read_address_book(tmp_path / "none")
    (tmp_path / "bad").write_text('{"fleet": 1}')
    with pytest.raises(InputError, match="not an address book"):
        read_address_book(tmp_path / "bad")


def test_resolver_rereads_changed_address_book(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    write_address_book(path, book(tmp_path, A=AgentAddress("pc2", "10.0.0.1", port=1)))
    directory = AddressResolver(path)
    assert directory.endpoint("A") == "tcp://10.0.0.1:1"
    write_address_book(path, book(tmp_path, A=AgentAddress("pc2", "10.0.0.2", port=1)))
    assert directory.endpoint("A") == "tcp://10.0.0.2:1"
    path.unlink()
    assert directory.endpoint("A") == "tcp://10.0.0.2:1"


def test_resolver_uses_ipc_on_same_machine_once_socket_exists(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    write_address_book(
        path,
        book(
            tmp_path,
            A=AgentAddress("mainpc", port=5595),
            B=AgentAddress("mainpc"),
            C=AgentAddress("pc2", port=7),
        ),
    )
    directory = AddressResolver(path)
    assert directory.endpoint("A") == "tcp://127.0.0.1:5595"
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "A").touch()
    assert directory.endpoint("A") == f"ipc://{tmp_path}/z/A"
    assert directory.endpoint("B") == f"ipc://{tmp_path}/z/B"
    assert directory.endpoint("C") == "tcp://127.0.0.1:7"


def test_resolver_names_unreachable_and_unknown_agents(tmp_path: Path) -> None:
    path = tmp_path / "book.json"
    write_address_book(path, book(tmp_path, A=AgentAddress("pc2")))
    with pytest.raises(InputError, match="declares no port"):
        AddressResolver(path).endpoint("A")
    assert AddressResolver(path).idempotent_methods("B") == ()
    with pytest.raises(InputError, match="has no agent `B`"):
        AddressResolver(path).endpoint("B")


def test_socket_path_is_none_when_too_long() -> None:
    assert socket_path("/" + "x" * 102, "A") == "/" + "x" * 102 + "/z/A"
    assert socket_path("/" + "x" * 103, "A") is None
    assert socket_path("/" + "é" * 52, "A") is None
