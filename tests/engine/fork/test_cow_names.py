"""The names that are laid together: of today's code, and interned before what says them is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from argosy.engine.fork import cow_names
from argosy.engine.fork.cow_names import NAMES_FILE, intern_names, names_in_code

ENOUGH = 0.9
ADVICE = "`python -m argosy.engine.fork.cow_names` writes them anew"


def listed() -> list[str]:
    return Path(NAMES_FILE).read_text(encoding="utf-8").splitlines()


def test_the_list_has_each_name_once_in_order() -> None:
    assert listed() == sorted(set(listed()))
    assert not [name for name in listed() if name.split() != [name]]


def test_the_list_is_of_todays_code() -> None:
    """In an interpreter of its own: another has lived no first life."""
    code = "from argosy.engine.fork.cow_names import names_in_warmup; print(*names_in_warmup(), sep='\\n')"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    looked_up = set(found.stdout.splitlines())
    known = looked_up & set(listed())
    assert len(known) > ENOUGH * len(looked_up), (ADVICE, sorted(looked_up - known)[:20])
    assert len(known) > ENOUGH * len(listed()), (ADVICE, sorted(set(listed()) - known)[:20])


def test_names_of_code_are_what_it_says_has_and_is_called() -> None:
    def outer(given: int) -> object:
        kept = given

        def inner() -> str:
            return str(kept.real) + "one_word" + str(kept.imag) + "two words"

        return inner

    code = outer.__code__
    inner = next(each for each in code.co_consts if hasattr(each, "co_names"))
    assert {"given", "kept", "outer", "inner"} <= names_in_code([code, inner])
    assert {"str", "real", "one_word"} <= names_in_code([inner])
    assert "two words" not in names_in_code([inner])


def test_what_is_loaded_later_says_the_names_that_were_laid() -> None:
    code = (
        "import sys; from argosy.engine.fork.cow_names import intern_names, _interned; intern_names()\n"
        "from argosy.agent.agent_runtime import AgentRuntime\n"
        "name = next(each for each in vars(AgentRuntime) if each == 'run')\n"
        "print(any(each is name for each in _interned), len(_interned))\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True", str(len(listed()))]


def test_without_the_file_nothing_is_done(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = list(cow_names._interned)
    monkeypatch.setattr(cow_names, "NAMES_FILE", str(tmp_path / "missing"))
    intern_names()
    assert cow_names._interned == before
