"""A Dockerfile as data: its instructions with their lines, and what each says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import msgspec

KNOWN = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
        *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)
_INSTRUCTION = re.compile(r"\s*(\S+)\s*(.*)", re.DOTALL)
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
_HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z_]\w*)[\"']?")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)


class Instruction(msgspec.Struct, frozen=True):
    """One instruction. word: in capitals. flags: those of its `--name=value`. line: counted from 1."""

    word: str
    text: str
    flags: dict[str, str]
    line: int

    def words(self) -> tuple[str, ...] | None:
        """Return its list form (`["python", "a.py"]`) or the words of its shell form.

        None for what is neither: Docker hands such a text to a shell as it is.
        """
        try:
            if self.text.startswith("["):
                return tuple(msgspec.json.decode(self.text, type=list[str]))
            return tuple(shlex.split(self.text))
        except (msgspec.DecodeError, ValueError):
            return None

    @property
    def is_damaged_list(self) -> bool:
        """Whether it looks like a list and is none, so that a shell would be given its brackets."""
        return self.text.startswith("[") and self.words() is None


def read_instructions(text: str) -> Iterator[Instruction]:
    """Yield the instructions of a Dockerfile; lines of comments within one are left out, as Docker does."""
    lines = text.splitlines()
    escape = "\\"
    at = 0
    while at < len(lines):
        line = lines[at]
        directive = _ESCAPE.match(line) if at == 0 else None
        if directive is not None:
            escape = directive[1]
        if not line.strip() or line.lstrip().startswith("#"):
            at += 1
            continue
        start = at
        parts: list[str] = []
        while at < len(lines):
            line = lines[at]
            at += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                continue
            goes_on = line.rstrip().endswith(escape)
            parts.append(line.rstrip().removesuffix(escape) if goes_on else line)
            if not goes_on:
                break
        made = _made(" ".join(parts), start + 1)
        at = _after_heredocs(made, lines, at)
        yield made


def find_faults(text: str) -> Iterator[tuple[Instruction, str]]:
    """Yield the instructions that Docker refuses, or takes for something else, each with what is wrong."""
    is_first = True
    for item in read_instructions(text):
        fault = _fault_of(item, is_first=is_first)
        if fault:
            yield item, fault
        is_first = is_first and item.word == "ARG"


def _fault_of(item: Instruction, *, is_first: bool) -> str:
    if item.word not in KNOWN:
        return f"`{item.word[:40]}` is no instruction"
    if is_first and item.word not in ("FROM", "ARG"):
        return f"`{item.word}` comes before FROM"
    if not item.text:
        return f"`{item.word}` says nothing"
    if item.word in ("CMD", "ENTRYPOINT", "SHELL") and item.is_damaged_list:
        return f"`{item.word} {item.text[:40]}` is no list: a shell gets it with its brackets"
    return ""


def _made(text: str, line: int) -> Instruction:
    match = _INSTRUCTION.match(text)
    word, rest = (match[1].upper(), match[2].strip()) if match else (text.strip().upper(), "")
    flags: dict[str, str] = {}
    while flag := _FLAG.match(rest):
        flags[flag[1]] = flag[2] or ""
        rest = rest[flag.end() :]
    return Instruction(word, rest, flags, line)


def _after_heredocs(made: Instruction, lines: list[str], at: int) -> int:
    """Return the line behind the texts that an instruction takes from below itself."""
    if made.word not in ("RUN", "COPY", "ADD"):
        return at
    for end in _HEREDOC.findall(made.text):
        stop = at
        while stop < len(lines) and lines[stop].strip() != end:
            stop += 1
        if stop < len(lines):
            at = stop + 1
    return at
