"""The system tools that tests need, by the table that `script/system` installs from."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).resolve().parents[2] / "script" / "system.txt"
_REASON = re.compile(r"needs (\S+ \([^)]+\)(?:, \S+ \([^)]+\))*)")
_TOOL = re.compile(r"(\S+) \([^)]+\)")
_BY_PATH = frozenset({"sshd"})  # it starts by nothing else, and a plain user's PATH does not have it


class Tool(NamedTuple):
    """A program, or the path of a file. packages: of Debian. is_optional: `script/system` leaves it out."""

    name: str
    packages: str
    is_optional: bool


def read_table(text: str) -> dict[str, Tool]:
    """Return the tools of a table by their names."""
    rows = (line.partition("#")[0].split() for line in text.splitlines())
    return {row[0]: Tool(row[0], row[1].replace(",", " "), "optional" in row[2:]) for row in rows if row}


TOOLS = read_table(TABLE.read_text(encoding="utf-8"))


def find(tool: str) -> str | None:
    """Return the path of a tool of the table."""
    assert tool in TOOLS, f"`{tool}` is not in {TABLE}"
    if "/" in tool:  # a file, that need not be a program
        return tool if Path(tool).exists() else None
    return shutil.which(tool) or (shutil.which(tool, path="/usr/sbin:/sbin") if tool in _BY_PATH else None)


def missing_tools_reason(*tools: str) -> str:
    """Return which of these tools are missing, as the reason of a skip; empty when all are there."""
    missing = [f"{tool} ({TOOLS[tool].packages})" for tool in tools if find(tool) is None]
    return f"needs {', '.join(missing)}" if missing else ""


def tools_of(reason: str) -> tuple[str, ...]:
    """Return the tools that a skip was for, nothing when it was for something else."""
    found = _REASON.fullmatch(reason)
    return tuple(_TOOL.findall(found[1])) if found else ()


def summarize_skips(reasons: Iterable[str]) -> str:
    """Return the skips of a run as one line, by their reasons, the most frequent first."""
    counts = Counter(reasons).most_common()
    said = [
        f"{count} {'needs' if count == 1 else 'need'} {reason.removeprefix('needs ')}"
        if tools_of(reason)
        else f"{count}: {' '.join(reason.split())}"
        for reason, count in counts
    ]
    return f"skipped: {', '.join(said)}" if said else ""


def missing_required_tools(reasons: Iterable[str]) -> tuple[str, ...]:
    """Return the tools that CI has to have, and for which tests were skipped."""
    tools = {tool for reason in reasons for tool in tools_of(reason)}
    return tuple(sorted(tool for tool in tools if tool in TOOLS and not TOOLS[tool].is_optional))
