"""Notify sockets: settled agents are read in batches, others at once."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from argosy.engine.unit.notify_socket import NotifyBatcher, NotifySocket


class SocketGroup:
    """Notify sockets, what each has received, and in how many turns of the loop."""

    def __init__(self, folder: Path, count: int) -> None:
        self.loop = asyncio.get_running_loop()
        self.batcher = NotifyBatcher(self.loop)
        self.paths = [str(folder / f"{number}.sock") for number in range(count)]
        self.received: list[tuple[int, dict[str, str]]] = []
        self.sockets = [
            NotifySocket(
                Path(path), self.loop, self.batcher, lambda _, fields, n=n: self.received.append((n, fields))
            )
            for n, path in enumerate(self.paths)
        ]
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def send(self, number: int, words: bytes) -> None:
        """Speak to one of them."""
        self._out.sendto(words, self.paths[number])

    def close(self) -> None:
        """Close all."""
        for each in self.sockets:
            each.close()
        self.batcher.close()
        self._out.close()


@pytest.mark.parametrize("pause_s", [0.0, 3600.0])
def test_notify_batcher_reads_settled_agents_in_one_turn(
    tmp_path: Path, pause_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("argosy.engine.unit.notify_socket._BATCH_INTERVAL_S", pause_s)

    async def test() -> None:
        many = SocketGroup(tmp_path, 5)
        for each in many.sockets:
            each.batch_reads()
        many.send(0, b"READY=1")
        while not many.received:
            await asyncio.sleep(0)
        for number in range(1, 5):
            many.send(number, b"READY=1")
        if pause_s:
            many.sockets[1].read_immediately()
        while len(many.received) == 1:
            await asyncio.sleep(0)
        if pause_s:
            assert many.received[1:] == [(1, {"READY": "1"})], "the others wait"
        else:
            assert sorted(many.received) == [(number, {"READY": "1"}) for number in range(5)]
        many.close()

    asyncio.run(test())


def test_notify_batcher_skips_socket_closed_by_handler(tmp_path: Path) -> None:
    async def test() -> None:
        many = SocketGroup(tmp_path, 4)
        for number, each in enumerate(many.sockets):
            each.batch_reads()
            many.send(number, b"READY=1")

        class Closing(list[tuple[int, dict[str, str]]]):
            def append(self, word: tuple[int, dict[str, str]]) -> None:
                super().append(word)
                for number, each in enumerate(many.sockets):
                    if number != word[0]:
                        each.close()

        many.received = Closing()
        while not many.received:
            await asyncio.sleep(0)
        assert len(many.received) == 1
        many.sockets = [many.sockets[many.received[0][0]]]
        many.close()

    asyncio.run(test())
