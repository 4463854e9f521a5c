"""Log symptoms: missing capabilities and dead threads; and rechecks of degraded agents."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection
from typing import Any

import pytest

from realfleet.log_symptoms import missing_capabilities
from realfleet.observation import AgentObservation
from realfleet.recheck import recheck_degraded


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("sounddevice.PortAudioError: Error querying device -1", "an audio device"),
        (
            "2026-01-02 03:04:05,678 - X - ERROR - no output stream: Error querying device -1",
            "an audio device",
        ),
        ("ALSA lib confmisc.c:855:(parse_card) cannot find card '0'", "an audio device"),
        ("This means you probably do not have eSpeak or eSpeak-ng installed!", "eSpeak"),
        ("Message: Unable to obtain driver for chrome; For documentation on this error", "a browser"),
        ("'geckodriver' executable needs to be in PATH.", "a browser"),
        ("pynvml.NVMLError_LibraryNotFound: NVML Shared Library Not Found", "a GPU"),
        ("_tkinter.TclError: no display name and no $DISPLAY environment variable", "a display"),
        ("FileNotFoundError: [Errno 2] No such file or directory: 'nvidia-smi'", "the program `nvidia-smi`"),
        ("/bin/sh: 1: ffmpeg: not found", "the program `ffmpeg`"),
        ("bash: line 1: espeak: command not found", "the program `espeak`"),
    ],
)
def test_log_symptoms_name_missing_devices_and_programs(line: str, what: str) -> None:
    (told,) = missing_capabilities(["begin", line, line])
    assert told.startswith(f"goes without {what}, by its log: ")
    assert "2026-01-02" not in told


@pytest.mark.parametrize(
    "line",
    [
        "FileNotFoundError: [Errno 2] No such file or directory: 'config/system.json'",
        "FileNotFoundError: [Errno 2] No such file or directory: 'personas.json'",
        "Configuration file not found at /t/config.json, using defaults",
        "found 2 audio devices, eSpeak is installed, and the driver for chrome",
        "ERROR - Request timed out",
        "ValueError: no such thing",
    ],
)
def test_log_symptoms_ignore_other_errors(line: str) -> None:
    assert missing_capabilities([line]) == []


def test_log_symptoms_name_missing_program_of_python_error() -> None:
    code = "import subprocess; subprocess.run(['no-such-program', '--version'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    (told,) = missing_capabilities(done.stderr.splitlines())
    assert "goes without the program `no-such-program`" in told


THREAD_ERRORS = """
import threading
def fails():
    try:
        {}["first"]
    except KeyError:
        raise AttributeError("gone")
def ends():
    raise SystemExit
for work in (fails, ends, lambda: 1 / 0):
    each = threading.Thread(target=work)
    each.start()
    each.join()
print("ValueError: told by no thread")
"""


def test_log_symptoms_report_dead_threads_with_error() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-c", THREAD_ERRORS],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    assert missing_capabilities(done.stdout.splitlines()) == [
        "a thread of it has died: AttributeError: gone",
        "a thread of it has died: ZeroDivisionError: division by zero",
    ]


def degraded(reason: str) -> dict[str, Any]:
    return {"status": "degraded", "reason": reason}


class ScriptedHealth:
    """Agents that tell one health after the other, and are silent when they have told all."""

    def __init__(self, told: dict[str, list[dict[str, Any]]]) -> None:
        self.told = {name: list(each) for name, each in told.items()}
        self.times = dict.fromkeys(told, 0)
        self.looks = {name: AgentObservation(7, "ready", "", degraded("cpu 100")) for name in told}

    def __call__(self, names: Collection[str]) -> dict[str, dict[str, Any]]:
        for name in names:
            self.times[name] += 1
        return {name: self.told[name].pop(0) for name in names if self.told[name]}


def test_recheck_polls_degraded_agent_until_health_settles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realfleet.recheck.PAUSE_S", 0.01)
    ask = ScriptedHealth(
        {
            "Steady": [degraded("cpu 100")],
            "Moving": [degraded(f"cpu {each}") for each in (99, 98, 97, 97)],
            "Relieved": [degraded("cpu 99"), {"status": "ok"}],
        }
    )
    good = AgentObservation(7, "ready", "", {"status": "ok"})
    found = recheck_degraded({**ask.looks, "Good": good}, ask, time.monotonic() + 600)
    assert ask.times == {"Steady": 1, "Moving": 4, "Relieved": 2}
    assert found["Good"] is good
    assert [each.health for each in found.values()] == [
        degraded("cpu 100"),
        degraded("cpu 97"),
        {"status": "ok"},
        {"status": "ok"},
    ]


def test_recheck_polls_silent_and_unsettled_agents_until_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("realfleet.recheck.PAUSE_S", 0.01)
    ask = ScriptedHealth({"Silent": [], "Moving": [degraded(f"cpu {each}") for each in range(10_000)]})
    until_s = time.monotonic() + 0.1
    found = recheck_degraded(ask.looks, ask, until_s)
    assert time.monotonic() >= until_s
    assert found["Silent"] is ask.looks["Silent"]
    assert found["Moving"].health == degraded(f"cpu {ask.times['Moving'] - 1}")


def test_recheck_does_not_wait_without_degraded_agents() -> None:
    began_s = time.monotonic()
    looks = {"A": AgentObservation(7, "ready", "", {"status": "ok"})}
    assert recheck_degraded(looks, lambda _: pytest.fail("it is asked"), began_s + 600) == looks
