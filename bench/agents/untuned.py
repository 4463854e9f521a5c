"""An agent for which no memory saving of the engine was made: numpy, and much of the standard library."""

from __future__ import annotations

import asyncio
import csv
import dataclasses
import decimal
import difflib
import email.message
import gc
import html.parser
import http.client
import io
import sqlite3
import statistics
import urllib.request
import xml.etree.ElementTree
import zipfile

import numpy as np

from argosy.agent import Agent, request


@dataclasses.dataclass
class Window:
    """A window of a series. weight: of its mean."""

    mean: float
    deviation: float
    weight: decimal.Decimal = decimal.Decimal("0.5")


class UntunedAgent(Agent):
    """Keeps windows of a series in a table."""

    async def start(self) -> None:
        """Fill the table, and run a few tasks."""
        self.table = sqlite3.connect(":memory:")
        self.table.execute("create table windows (mean real, deviation real)")
        self.queue: asyncio.Queue[Window] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            for seed in range(20):
                tasks.create_task(self._fill(seed))
        rows = [dataclasses.astuple(self.queue.get_nowait())[:2] for _ in range(self.queue.qsize())]
        self.table.executemany("insert into windows values (?, ?)", rows)
        csv.writer(io.StringIO()).writerows(rows)
        self.tree = xml.etree.ElementTree.fromstring("<a><b c='1'/><b c='2'/></a>")
        self.message = email.message.EmailMessage()
        self.message["Subject"] = difflib.get_close_matches("windw", ["window", "series"])[0]

    async def _fill(self, seed: int) -> None:
        await asyncio.sleep(0)
        values = np.random.default_rng(seed).normal(size=1000)
        await self.queue.put(Window(float(values.mean()), statistics.pstdev(values[:50].tolist())))

    @request
    async def mean(self, seed: int) -> float:
        """Return the mean of a series."""
        return float(np.random.default_rng(seed).normal(size=1000).mean())

    @request
    def collect(self) -> int:
        """Run a full garbage collection; return how many objects it found unreachable."""
        return gc.collect()

    @request
    def modules(self) -> list[str]:
        """Return names of modules that it uses."""
        return [each.__name__ for each in (html.parser, http.client, urllib.request, zipfile)]
