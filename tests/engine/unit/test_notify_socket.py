"""Agents that repeat themselves are heard together, and whoever may change or end at once."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from argosy.engine.unit.notify_socket import NotifyBatcher, NotifySocket


class Many:
    """Notify sockets, what each has heard, and in how many turns of the loop."""

    def __init__(self, folder: Path, count: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.hearing = NotifyBatcher(self.loop)
        self.paths = [str(folder / f"{number}.sock") for number in range(count)]
        self.heard: list[tuple[int, dict[str, str]]] = []
        self.sockets = [
            NotifySocket(
                Path(path), self.loop, self.hearing, lambda _, fields, n=n: self.heard.append((n, fields))
            )
            for n, path in enumerate(self.paths)
        ]
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def say(self, number: int, words: bytes) -> None:
        """Speak to one of them."""
        self._out.sendto(words, self.paths[number])

    def close(self) -> None:
        """Close all."""
        for each in self.sockets:
            each.close()
        self.hearing.close()
        self._out.close()


@pytest.mark.parametrize("pause_s", [0.0, 3600.0])
def test_those_that_settled_are_taken_in_one_turn_after_a_pause(
    tmp_path: Path, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.unit.notify_socket._BATCH_INTERVAL_S", pause_s)

    async def test() -> None:
        many = Many(tmp_path, 5)
        for each in many.sockets:
            each.batch_reads()
        many.say(0, b"READY=1")
        while not many.heard:
            await asyncio.sleep(0)
        for number in range(1, 5):
            many.say(number, b"READY=1")
        if pause_s:
            many.sockets[1].read_immediately()
        while len(many.heard) == 1:
            await asyncio.sleep(0)
        if pause_s:
            assert many.heard[1:] == [(1, {"READY": "1"})], "the others wait"
        else:
            assert sorted(many.heard) == [(number, {"READY": "1"}) for number in range(5)]
        many.close()

    asyncio.run(test())


def test_what_one_says_may_close_another(tmp_path: Path) -> None:
    async def test() -> None:
        many = Many(tmp_path, 4)
        for number, each in enumerate(many.sockets):
            each.batch_reads()
            many.say(number, b"READY=1")

        class Closing(list[tuple[int, dict[str, str]]]):
            def append(self, word: tuple[int, dict[str, str]]) -> None:
                super().append(word)
                for number, each in enumerate(many.sockets):
                    if number != word[0]:
                        each.close()

        many.heard = Closing()
        while not many.heard:
            await asyncio.sleep(0)
        assert len(many.heard) == 1
        many.sockets = [many.sockets[many.heard[0][0]]]
        many.close()

    asyncio.run(test())
