"""Finds missing capabilities and dead threads in an agent's log.

Legacy code catches a library's exception, logs it, and reports itself healthy. The patterns are messages of
libraries and of the kernel, not of agents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from realfleet.outcome import RAISED

_MISSING: Final = tuple(
    (what, re.compile(pattern))
    for what, pattern in (
        (
            "an audio device",
            r"PortAudioError\b|Error querying device -?\d|Invalid (?:in|out)put device|No Default \w+ Device"
            r"|ALSA lib .*(?:cannot find card|Unknown PCM|No such (?:file|device))"
            r"|pa_context_connect\(\) failed",
        ),
        ("eSpeak", r"do not have eSpeak|libespeak\S*: cannot open|eSpeak(?:-ng)? not installed"),
        (
            "a browser",
            r"Unable to obtain driver for \w+|NoSuchDriverException|(?:chrome|gecko|edge)driver'? executable"
            r"|cannot find \w+ binary|Expected browser binary location",
        ),
        (
            "a GPU",
            r"NVML Shared Library Not Found|NVMLError|Found no NVIDIA driver|NVIDIA-SMI has failed"
            r"|No CUDA GPUs are available|no CUDA-capable device|CUDA driver version is insufficient",
        ),
        ("a camera", r"can't open camera|[Cc]amera index out of range|VIDEOIO.*(?:can't|failed|Failed)"),
        ("a display", r"no \$DISPLAY environment|[Cc]annot open display|[Cc]ould not connect to display"),
        ("tesseract", r"tesseract is not installed"),
        ("ffmpeg", r"Couldn't find ffmpeg"),
        ("a serial port", r"could not open port /dev/"),
    )
)
# A missing program: `subprocess` gives its bare name; a data file has a folder or a suffix.
_PROGRAMS: Final = (
    re.compile(r"\[Errno 2\] No such file or directory: '([A-Za-z][\w+-]*)'"),
    re.compile(r"\b(?:ba|da)?sh: (?:(?:line )?\d+: )?([A-Za-z][\w+-]*): (?:command )?not found"),
)
_STAMP: Final = re.compile(r"^\s*\[?\d{4}-\d\d-\d\d[ T][\d:,.]+\]?[ -]*")
_DIED: Final = "Exception in thread "
_GOES_ON: Final = ("During handling of the above exception", "The above exception was the direct cause")
_MAX_LENGTH: Final = 200


def missing_capabilities(lines: Sequence[str]) -> list[str]:
    """Return missing capabilities and exceptions that ended threads, each once, with the text of the log.

    lines: all lines of a process until the observation, without the agent's name.
    """
    found: dict[str, str] = {}
    for line in lines:
        for what in _missing(line):
            found.setdefault(what, _STAMP.sub("", line).strip()[:_MAX_LENGTH])
    told = [f"goes without {what}, by its log: {said}" for what, said in found.items()]
    return told + [f"a thread of it has died: {each}" for each in dict.fromkeys(_dead_threads(lines))]


def _missing(line: str) -> Iterator[str]:
    yield from (what for what, pattern in _MISSING if pattern.search(line))
    yield from (f"the program `{found[1]}`" for each in _PROGRAMS if (found := each.search(line)))


def _dead_threads(lines: Sequence[str]) -> Iterator[str]:
    """Yield the exception that ended each dead thread: the last of its chain."""
    raised, is_dying = "", False
    for line in (each.strip() for each in lines):
        if _DIED in line:
            if raised:
                yield raised
            raised, is_dying = "", True
        elif is_dying and RAISED.match(line):
            raised, is_dying = line[:_MAX_LENGTH], False
        elif raised and line.startswith(_GOES_ON):
            is_dying = True
    if raised:
        yield raised
