"""Options: the command line of an agent."""

from __future__ import annotations

import msgspec
import pytest

from argosy.agent.options import parse_options
from argosy.fault import InputError


class Options(msgspec.Struct):
    voice: str = "en"
    sample_rate: int = 16_000
    loud: bool = False
    sizes: list[int] = []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], Options()),
        (["--voice", "fil"], Options(voice="fil")),
        (["--voice=fil=x"], Options(voice="fil=x")),
        (["--sample-rate", "8000"], Options(sample_rate=8000)),
        (["--sample_rate", "8000"], Options(sample_rate=8000)),
        (["--loud"], Options(loud=True)),
        (["--loud", "--no-loud"], Options(loud=False)),
        (["--loud=true"], Options(loud=True)),
        (["--sizes", "1,2", "--sizes=3"], Options(sizes=[1, 2, 3])),
    ],
)
def test_parse_options_reads_typed_values(words: list[str], expected: Options) -> None:
    assert parse_options(Options, words) == (expected, None)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--vioce", "x"], "there is no option `--vioce`"),
        (["voice"], "`voice` is not an option"),
        (["--voice"], "`--voice` needs a value"),
        (["--sample-rate", "fast"], "expected `int`, got `str`"),
        (["--sizes", "1,b"], "expected `int`, got `str`"),
        (["--port", "0"], "expected 1 to 65535"),
        (["--port", "x"], "expected 1 to 65535"),
    ],
)
def test_parse_options_reports_wrong_options(words: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_options(Options, words)


def test_parse_options_accepts_port_of_every_agent() -> None:
    assert parse_options(None, ["--port", "5595"]) == (None, 5595)
    assert parse_options(Options, ["--port=5595"]) == (Options(), 5595)


def test_unknown_option_hint_lists_port_option() -> None:
    with pytest.raises(InputError) as raised:
        parse_options(None, ["--voice", "x"])
    assert raised.value.faults[0].hint == "its options are `--port`"
