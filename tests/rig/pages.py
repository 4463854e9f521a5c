"""A page of the documentation as one shell script: what a reader does who follows it from top to bottom.

A `sh` block is run line by line, in the folder in which the one before it has ended. A `python` or `yaml`
block whose first line is a comment with a path, as `# fleet.yaml`, is a file; it is written as printed.
A line whose comment says `exit code N` must end with that code, every other one with 0.
In the Markdown, before a block: `<!-- not run: REASON -->` leaves it out, `<!-- in a copy of FOLDER -->`
has it begin in a repository with what FOLDER of this checkout holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
_FENCE = re.compile(r"^```(\w*)$")
_MARK = re.compile(r"^<!-- (not run|in a copy of):? ?(.*) -->$")
_FILE = re.compile(r"^# ([\w./-]+\.\w+)$")
_CODE = re.compile(r"#.*\bexit code (\d+)")


class Block(NamedTuple):
    """A fenced block. line: of its first line in the page. mark, words: of the comment before it."""

    language: str
    line: int
    lines: tuple[str, ...]
    mark: str
    words: str

    @property
    def path(self) -> str:
        """The file that it is, empty when it is none."""
        found = _FILE.match(self.lines[0]) if self.lines and self.language in ("python", "yaml") else None
        return found[1] if found else ""


def blocks_of(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = text.splitlines()
    number = 0
    mark = words = ""
    while number < len(lines):
        marked, fence = _MARK.match(lines[number]), _FENCE.match(lines[number])
        number += 1
        if marked:
            mark, words = marked.groups()
        elif fence:
            end = lines.index("```", number)
            yield Block(fence[1], number + 1, tuple(lines[number:end]), mark, words)
            number, mark, words = end + 1, "", ""


def script_of(page: Path) -> str:
    """Return the script of a page; it says on stderr which line it runs."""
    parts = ["set -euo pipefail"]
    for block in blocks_of(page.read_text()):
        if block.mark == "not run":
            continue
        if block.mark:
            parts += _repository(block)
        if block.path:
            parts += [f"mkdir -p {Path(block.path).parent}", f"cat > {block.path} <<'END OF FILE'"]
            parts += [*block.lines, "END OF FILE"]
        elif block.language == "sh":
            for offset, line in enumerate(block.lines):
                parts += _command(f"{page.name}:{block.line + offset}", line)
    return "\n".join(parts) + "\n"


def _command(place: str, line: str) -> list[str]:
    code = _CODE.search(line)
    told = f"echo {shlex.quote(f'## {place}: {line}')} >&2"
    if code is None:
        return [told, line]
    return [told, "got=0", f"{line[: code.start()]} || got=$?", f'[ "$got" = {code[1]} ]']


def _repository(block: Block) -> list[str]:
    name = Path(block.words).name
    return [
        f'cp -r {shlex.quote(str(ROOT / block.words))} "$PAGE/{name}"',
        f'cd "$PAGE/{name}"',
        "git init -q . && git add -A && git commit -qm 'as it is'",
    ]
