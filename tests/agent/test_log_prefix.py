"""Log prefix: each line has the name of its agent, and lines of agents are never mixed."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.agent.log_prefix import PrefixedStream, current_agent


class Pipe:
    """An attributed stream, and what has arrived at the other end."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        self.stream = PrefixedStream(self._write)

    def say(self, name: str, text: str) -> None:
        own = contextvars.copy_context()
        own.run(current_agent.set, name)
        assert own.run(self.stream.write, text) == len(text)

    def close(self) -> str:
        """Finish, and return all that was written."""
        self.stream.flush_partial_lines()
        os.close(self._write)
        with open(self._read, "rb") as file:
            return file.read().decode()


@pytest.fixture
def pipe() -> Pipe:
    return Pipe()


def test_lines_are_prefixed_with_agent_name_if_known(pipe: Pipe) -> None:
    pipe.say("A", "one\ntwo\n")
    pipe.say("", "three\n")
    assert pipe.close() == "A | one\nA | two\nthree\n"


def test_partial_lines_of_agents_are_not_mixed(pipe: Pipe) -> None:
    pipe.say("A", "half ")
    pipe.say("B", "whole\nbegun")
    pipe.say("A", "a line\n")
    assert pipe.close() == "B | whole\nA | half a line\nB | begun\n"


def test_unencodable_text_is_written_with_escapes(pipe: Pipe) -> None:
    pipe.say("A", "lone \udc80\n")
    assert pipe.close() == "A | lone \\udc80\n"


def test_tasks_and_threads_inherit_agent_prefix(pipe: Pipe) -> None:
    async def agent(name: str) -> None:
        current_agent.set(name)
        await asyncio.sleep(0)
        pipe.stream.write("in a task\n")
        await asyncio.to_thread(pipe.stream.write, "in its thread\n")

    async def both() -> None:
        await asyncio.gather(agent("A"), agent("B"))

    asyncio.run(both())
    thread = threading.Thread(target=pipe.stream.write, args=("elsewhere\n",))
    thread.start()
    thread.join()
    lines = pipe.close().splitlines()
    assert sorted(lines) == [
        "A | in a task",
        "A | in its thread",
        "B | in a task",
        "B | in its thread",
        "elsewhere",
    ]


pieces = st.lists(
    st.tuples(st.sampled_from(["", "A", "B"]), st.text(st.sampled_from("xyé\n"), max_size=8)), max_size=20
)


@given(pieces=pieces)
def test_prefixed_stream_keeps_text_of_each_agent(pieces: list[tuple[str, str]]) -> None:
    pipe = Pipe()
    said: dict[str, str] = {}
    for name, text in pieces:
        pipe.say(name, text)
        said[name] = said.get(name, "") + text
    found: dict[str, str] = {}
    for line in pipe.close().split("\n")[:-1]:
        name, between, text = line.partition(" | ")
        name, text = (name, text) if between else ("", line)
        found[name] = found.get(name, "") + text + "\n"
    whole = {name: text if text.endswith("\n") else text + "\n" for name, text in said.items() if text}
    assert found == whole
