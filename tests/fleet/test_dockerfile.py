"""Dockerfile parser: instructions with their arguments, flags and lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from argosy.fleet.dockerfile import read_instructions


def test_dockerfile_parser_reads_continuations_comments_and_flags() -> None:
    text = (
        "# syntax=docker/dockerfile:1\nFROM python:3.12 AS build\nRUN a && \\\n    # why\n    b\n\n"
        'COPY --from=build --chown=a:b /x /y\nCMD ["python", \'a.py\']\nentrypoint ["x", "y"]\n'
    )
    found = list(read_instructions(text))
    assert [(item.keyword, item.line) for item in found] == [
        ("FROM", 2),
        ("RUN", 3),
        ("COPY", 7),
        ("CMD", 8),
        ("ENTRYPOINT", 9),
    ]
    assert found[1].arguments.split() == ["a", "&&", "b"]
    assert found[2].flags == {"from": "build", "chown": "a:b"}
    assert (found[2].argv(), found[4].argv()) == (("/x", "/y"), ("x", "y"))
    assert found[3].has_malformed_list


def test_dockerfile_parser_keeps_heredoc_in_its_instruction() -> None:
    text = "FROM x\nRUN <<EOF\nnot an instruction\nEOF\nUSER a\n"
    assert [item.keyword for item in read_instructions(text)] == ["FROM", "RUN", "USER"]


@given(st.text(alphabet="FROM RUN\\\n#<EOF\"[]'", max_size=200))
def test_dockerfile_parser_accepts_any_text(text: str) -> None:
    for item in read_instructions(text):
        item.argv()
