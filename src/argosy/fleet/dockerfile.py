"""Parses a Dockerfile into its instructions with their line numbers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import msgspec

INSTRUCTIONS = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
        *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)
_INSTRUCTION = re.compile(r"\s*(\S+)\s*(.*)", re.DOTALL)
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
_HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z_]\w*)[\"']?")
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)\s*$", re.IGNORECASE)


class DockerfileInstruction(msgspec.Struct, frozen=True):
    """One instruction. keyword: in capitals. flags: its `--name=value` options. line: counted from 1."""

    keyword: str
    arguments: str
    flags: dict[str, str]
    line: int

    def argv(self) -> tuple[str, ...] | None:
        """Return its list form (`["python", "a.py"]`) or the words of its shell form.

        Returns None if it is neither: Docker passes such a text to a shell unchanged.
        """
        try:
            if self.arguments.startswith("["):
                return tuple(msgspec.json.decode(self.arguments, type=list[str]))
            return tuple(shlex.split(self.arguments))
        except (msgspec.DecodeError, ValueError):
            return None

    @property
    def has_malformed_list(self) -> bool:
        """Whether it starts like a list but is not one, so that a shell gets it with its brackets."""
        return self.arguments.startswith("[") and self.argv() is None


def read_instructions(text: str) -> Iterator[DockerfileInstruction]:
    """Yield the instructions of a Dockerfile; as in Docker, comment lines within one are skipped."""
    lines = text.splitlines()
    escape = "\\"
    index = 0
    while index < len(lines):
        line = lines[index]
        directive = _ESCAPE.match(line) if index == 0 else None
        if directive is not None:
            escape = directive[1]
        if not line.strip() or line.lstrip().startswith("#"):
            index += 1
            continue
        start = index
        parts: list[str] = []
        while index < len(lines):
            line = lines[index]
            index += 1
            if line.lstrip().startswith("#") or (parts and not line.strip()):
                continue
            is_continued = line.rstrip().endswith(escape)
            parts.append(line.rstrip().removesuffix(escape) if is_continued else line)
            if not is_continued:
                break
        instruction = _parse_instruction(" ".join(parts), start + 1)
        index = _skip_heredocs(instruction, lines, index)
        yield instruction


def find_dockerfile_faults(text: str) -> Iterator[tuple[DockerfileInstruction, str]]:
    """Yield the instructions that Docker rejects or misreads, each with the fault."""
    is_first = True
    for item in read_instructions(text):
        fault = _fault_of(item, is_first=is_first)
        if fault:
            yield item, fault
        is_first = is_first and item.keyword == "ARG"


def _fault_of(item: DockerfileInstruction, *, is_first: bool) -> str:
    if item.keyword not in INSTRUCTIONS:
        return f"`{item.keyword[:40]}` is not an instruction"
    if is_first and item.keyword not in ("FROM", "ARG"):
        return f"`{item.keyword}` comes before FROM"
    if not item.arguments:
        return f"`{item.keyword}` has no arguments"
    if item.keyword in ("CMD", "ENTRYPOINT", "SHELL") and item.has_malformed_list:
        return f"`{item.keyword} {item.arguments[:40]}` is not a list: a shell gets it with its brackets"
    return ""


def _parse_instruction(text: str, line: int) -> DockerfileInstruction:
    match = _INSTRUCTION.match(text)
    keyword, rest = (match[1].upper(), match[2].strip()) if match else (text.strip().upper(), "")
    flags: dict[str, str] = {}
    while flag := _FLAG.match(rest):
        flags[flag[1]] = flag[2] or ""
        rest = rest[flag.end() :]
    return DockerfileInstruction(keyword, rest, flags, line)


def _skip_heredocs(instruction: DockerfileInstruction, lines: list[str], index: int) -> int:
    """Return the index of the line after the here-documents of an instruction."""
    if instruction.keyword not in ("RUN", "COPY", "ADD"):
        return index
    for end in _HEREDOC.findall(instruction.arguments):
        stop = index
        while stop < len(lines) and lines[stop].strip() != end:
            stop += 1
        if stop < len(lines):
            index = stop + 1
    return index
