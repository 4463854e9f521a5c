"""Option check: `check` reports the arguments that the agent would reject, and nothing else."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from argosy.agent.options import parse_options
from argosy.engine.explain.preflight import PreflightReport, run_preflight
from argosy.fault import InputError
from argosy.fleet import load_fleet

OPTIONS = """
class Options(msgspec.Struct, frozen=True):
    '''What it takes.'''

    voice: Literal["en", "de"] = "en"
    times: int = 1
    speed: float | None = None
    loud: bool = False
    names: list[str] = []
    tone: Tone = Tone.LOW
    odd: dict[str, int] = {}
"""
TEXT = f"""
import enum
from typing import Literal
import msgspec
from argosy.agent import Agent

class Tone(enum.StrEnum):
    LOW = "low"
    HIGH = "high"
{OPTIONS}
class Voice(Agent):
    Options = Options
"""


def preflight(root: Path, args: str, text: str = TEXT, run: str = "agents.voice:Voice") -> PreflightReport:
    (root / "agents").mkdir(exist_ok=True)
    (root / "agents" / "voice.py").write_text(text)
    (root / "fleet.yaml").write_text(f'fleet: f\nagents:\n  A: {{run: "{run}", args: {args}}}\n')
    return run_preflight(load_fleet(root / "fleet.yaml"), variables={"PATH": os.environ["PATH"]})


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("args", "column", "message", "hint"),
    [
        ("[--voic, en]", 41, "there is no option `--voic`", "did you mean `--voice`?"),
        ("[--loud, --times, fast]", 49, "expected `int`, got `str` - at `$.times`", "it takes int"),
        ("[--times=fast]", 41, "expected `int`, got `str` - at `$.times`", "it takes int"),
        ("[--speed, fast]", 41, "expected `float | null`, got `str` - at `$.speed`", ""),
        ("[--voice, fil]", 41, "invalid enum value 'fil' - at `$.voice`", ""),
        ("[--tone, mid]", 41, "invalid enum value 'mid' - at `$.tone`", ""),
        ("[--times]", 41, "`--times` needs a value", ""),
        ("[voice]", 41, "`voice` is not an option", "its options are"),
        ("[--port, many]", 41, "`--port` is `many`, expected 1 to 65535", ""),
    ],
)
def test_check_locates_argument_that_agent_rejects(
    tmp_path: Path, args: str, column: int, message: str, hint: str
) -> None:
    (fault,) = preflight(tmp_path, args).errors
    assert (fault.where, fault.code) == (f"fleet.yaml:3:{column}", "bad-option")
    assert fault.message == f"`A` does not accept its `args`: {message}"
    assert hint in fault.hint


@pytest.mark.parametrize(
    "args",
    [
        "[]",
        "[--voice, de, --times=2, --speed, 1.5, --no-loud, --names, 'a,b', --tone, high, --port, '5000']",
        "[--loud, --loud=true, --speed, 'null']",
        "[--odd, x]",
        "[--no-odd]",
    ],
)
def test_check_accepts_arguments_that_agent_accepts(tmp_path: Path, args: str) -> None:
    assert preflight(tmp_path, args).errors == ()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("class Voice(Agent):", "class Voice(Agent, Mixed):"),
        ("class Voice(Agent):", "@changed\nclass Voice(Agent):"),
        ("    Options = Options\n", "    Options = made()\n"),
        ("    Options = Options\n", "    Options = Options\n\nVoice.Options = made()\n"),
        ("    Options = Options\n", "    Options = Options\n\nsetattr(Voice, 'Options', made())\n"),
        ("    Options = Options\n", "    if more:\n        Options = made()\n"),
        ("(msgspec.Struct, frozen=True)", "(Base)"),
        ("(msgspec.Struct, frozen=True)", "(msgspec.Struct, rename='camel')"),
        ("class Voice(", "class Options(msgspec.Struct):\n    voic: str\n\nclass Voice("),
    ],
)
def test_check_reports_nothing_for_undecidable_options(tmp_path: Path, old: str, new: str) -> None:
    assert old in TEXT
    report = preflight(tmp_path, "[--voic, en]", TEXT.replace(old, new))
    assert "bad-option" not in [fault.code for fault in report.errors]


def test_check_reads_nested_inherited_and_missing_options(tmp_path: Path) -> None:
    nested = TEXT.replace(OPTIONS, "").replace("    Options = Options\n", OPTIONS.replace("\n", "\n    "))
    assert "no option `--voic`" in preflight(tmp_path, "[--voic, en]", nested).errors[0].message
    heir = TEXT + "\nclass Heir(Voice): pass\n"
    assert (
        "no option `--voic`"
        in preflight(tmp_path, "[--voic, en]", heir, "agents.voice:Heir").errors[0].message
    )
    bare = "from argosy.agent import Agent\nclass Voice(Agent): pass\n"
    assert preflight(tmp_path, "[--voic, en]", bare).errors[0].hint == "its options are `--port`"


@pytest.mark.parametrize(
    "args", ["--voic en", "--times fast", "--voice fil", "--speed x", "--times", "--loud"]
)
def test_check_reports_same_message_as_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: str
) -> None:
    found = preflight(tmp_path, f"[{', '.join(args.split())}]").errors
    monkeypatch.syspath_prepend(str(tmp_path / "agents"))
    monkeypatch.delitem(sys.modules, "voice", raising=False)
    said = ""
    try:
        parse_options(__import__("voice").Voice.Options, args.split())
    except InputError as error:
        said = error.faults[0].message
    assert [fault.message.partition("`args`: ")[2] for fault in found] == ([said] if said else [])
