"""Other libraries, each where it is installed, against argosy's 32 typed requests in flight."""

from __future__ import annotations

import importlib.util
from typing import Final

import msgspec


class Rival(msgspec.Struct, frozen=True):
    """A library. module: its way; needs: what has to be importable; way: its best with 32 in flight."""

    name: str
    module: str
    needs: tuple[str, ...]
    way: str
    goal: float
    carries_arrays: bool = False

    def why_not(self) -> str:
        """Return why it cannot be asked here, empty when it can."""
        missing = [name for name in self.needs if not importlib.util.find_spec(name)]
        return f"not installed: {', '.join(missing)}" if missing else ""


RIVALS: Final = (
    Rival("pyro5", "by_pyro5", ("Pyro5", "numpy"), "threads", 2.5, carries_arrays=True),
    Rival("rpyc", "by_rpyc", ("rpyc",), "threads", 4.0),
    Rival("rpyc_pipelined", "by_rpyc", ("rpyc",), "in_flight", 1.0),
    Rival("grpc", "by_grpc", ("grpc", "numpy"), "tasks", 7.0, carries_arrays=True),
    Rival("zerorpc", "by_zerorpc", ("zerorpc",), "greenlets", 7.0),
    Rival("ray", "by_ray", ("ray",), "in_flight", 7.0),
    Rival("fastapi_httpx", "by_fastapi", ("fastapi", "uvicorn", "httpx"), "tasks", 7.0),
)

# Those that need a server program of their own.
UNMEASURED: Final = {
    "nats": "needs the program nats-server",
    "redis": "needs the program redis-server",
}
