"""A cable that is slow and loses frames: relays between two interfaces until its input ends.

Kernels of small virtual machines come without netem, and a test must not mean one thing here
and another there; so frames pass through this process everywhere.

    python cable.py INTERFACE INTERFACE DELAY_S LOSS SEED
"""

from __future__ import annotations

import contextlib
import heapq
import os
import random
import select
import socket
import sys
import time

EVERY_PROTOCOL = 0x0003
LONGEST_FRAME_BYTES = 65536


class Cable:
    """Two raw sockets and the frames on their way; each leaves `delay_s` after it came."""

    def __init__(self, ends: tuple[str, str], delay_s: float, loss: float, seed: int) -> None:
        self._ends = [_raw(name) for name in ends]
        self._delay_s = delay_s
        self._loss = loss
        self._chance = random.Random(seed)
        self._under_way: list[tuple[float, int, socket.socket, bytes]] = []
        self._count = 0

    def relay(self) -> None:
        """Relay until standard input ends."""
        one, other = self._ends
        across = {one: other, other: one}
        while True:
            watched = [sys.stdin.fileno(), *(end.fileno() for end in across)]
            ready, _, _ = select.select(watched, [], [], self._patience_s())
            if sys.stdin.fileno() in ready:
                return
            for end, opposite in across.items():
                if end.fileno() in ready:
                    self._take(end, opposite)
            self._deliver()

    def _patience_s(self) -> float | None:
        return max(0.0, self._under_way[0][0] - time.monotonic()) if self._under_way else None

    def _take(self, end: socket.socket, to: socket.socket) -> None:
        frame, address = end.recvfrom(LONGEST_FRAME_BYTES)
        if address[2] == socket.PACKET_OUTGOING or self._chance.random() < self._loss:
            return
        self._count += 1  # keeps frames of one instant in their order
        heapq.heappush(self._under_way, (time.monotonic() + self._delay_s, self._count, to, frame))

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= time.monotonic():
            _, _, to, frame = heapq.heappop(self._under_way)
            to.send(frame)


def _raw(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
    opened.bind((interface, EVERY_PROTOCOL))
    return opened


if __name__ == "__main__":
    one, other, delay, loss, seed = sys.argv[1:]
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -15)  # a cable does not wait for a processor
    cable = Cable((one, other), float(delay), float(loss), int(seed))
    print("ready", flush=True)
    cable.relay()
