"""Literal ports, and which files compute their ports."""

from __future__ import annotations

import pytest

from argosy.source.file_facts import extract_facts
from source.parsed_text import parsed


@pytest.mark.parametrize(
    ("text", "port", "how"),
    [
        (
            "class A(B):\n    def __init__(self):\n        super().__init__(name='A', port=5555)",
            5555,
            "super().__init__",
        ),
        ("class A:\n    def f(self):\n        self.port = 5556", 5556, "self.port"),
        ("p.add_argument('--port', type=int, default=5557)", 5557, "--port"),
        ("s.bind('tcp://*:5558')", 5558, "bind"),
    ],
)
def test_literal_port_is_found(text: str, port: int, how: str) -> None:
    ports = extract_facts(parsed(text)).ports
    assert [(item.port, item.pattern) for item in ports.literals] == [(port, how)]
    assert not ports.has_computed_ports
    assert port in ports.numbers


@pytest.mark.parametrize(
    "text",
    [
        "class A(B):\n    def __init__(self, port):\n        super().__init__(port=port)",
        "class A:\n    def f(self):\n        self.port = config['port']",
        "p.add_argument('--port', default=DEFAULT)",
        "s.bind(f'tcp://*:{port}')",
        "import os\nx = os.environ.get('MY_PORT')",
    ],
)
def test_computed_port_is_noticed(text: str) -> None:
    assert extract_facts(parsed(text)).ports.has_computed_ports


def test_other_numbers_and_schemes_are_not_literal_ports() -> None:
    ports = extract_facts(
        parsed("s.bind('ipc:///tmp/x')\nself.count = 5\nsuper().__init__(name='a')\nx = True\n")
    ).ports
    assert ports.literals == ()
    assert ports.numbers == {5}


def test_numbers_in_short_strings_are_collected() -> None:
    assert extract_facts(parsed("x = 'tcp://host:7200/a1'\ny = -1\n")).ports.numbers >= {7200, 1}
