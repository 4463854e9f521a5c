"""Memory that nobody has written to is given back, and all that was written stays."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own, where ctypes is loaded first, as in a zygote.
PROGRAM = """
import asyncio, ctypes, sys
from argosy.agent.runner import loop_factory
from argosy.agent.zero_pages import release_zero_pages

def taken_kib():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Private_Dirty"))

async def talk():
    async def echo(reader, writer):
        writer.write(await reader.readexactly(100_000))
        writer.close()
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    sent = bytes(range(250)) * 400
    writer.write(sent)
    print(await reader.readexactly(100_000) == sent)
    writer.close()
    server.close()

zeros, other = b"\\0" * (1 << 20), bytes(1 << 19) + b"x" + bytes(1 << 19)
before = taken_kib()
release_zero_pages(zeros)
release_zero_pages(other)
given = before - taken_kib()
print(900 < given < 1200, zeros == bytes(1 << 20), other == bytes(1 << 19) + b"x" + bytes(1 << 19))
make = loop_factory()
make().close()
before = taken_kib()
loop = make()
print(sys.getsizeof(loop) > 250_000, taken_kib() - before < 150)
loop.run_until_complete(talk())
loop.close()
"""


def test_a_loop_takes_little_and_works() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"] * 6, done.stdout
