"""The libraries compared with argosy's 32 typed requests in flight, each where it is installed."""

from __future__ import annotations

import importlib.util
import shutil
from typing import Final

import msgspec


class Competitor(msgspec.Struct, frozen=True):
    """A library.

    module: its module here. needs: the imports it needs. program: the server program it needs.
    load: its fastest load with 32 requests in flight.
    """

    name: str
    module: str
    needs: tuple[str, ...]
    load: str
    goal: float
    carries_arrays: bool = False
    program: str = ""

    def unavailable_reason(self) -> str:
        """Return why it cannot run here, empty if it can."""
        missing = [name for name in self.needs if not importlib.util.find_spec(name)]
        if missing:
            return f"not installed: {', '.join(missing)}"
        if self.program and not shutil.which(self.program):
            return f"needs the program {self.program}"
        return ""


COMPETITORS: Final = (
    Competitor("pyro5", "by_pyro5", ("Pyro5", "numpy"), "threads", 2.5, carries_arrays=True),
    Competitor("rpyc", "by_rpyc", ("rpyc",), "threads", 4.0),
    Competitor("rpyc_pipelined", "by_rpyc", ("rpyc",), "in_flight", 1.0),
    Competitor("grpc", "by_grpc", ("grpc", "numpy"), "tasks", 7.0, carries_arrays=True),
    Competitor("nats", "by_nats", ("nats",), "tasks", 1.3, program="nats-server"),
    Competitor("redis", "by_redis", ("redis",), "tasks", 7.0, program="redis-server"),
    Competitor("zerorpc", "by_zerorpc", ("zerorpc",), "greenlets", 7.0),
    Competitor("ray", "by_ray", ("ray",), "in_flight", 7.0),
    Competitor("fastapi_httpx", "by_fastapi", ("fastapi", "uvicorn", "httpx"), "tasks", 7.0),
)
