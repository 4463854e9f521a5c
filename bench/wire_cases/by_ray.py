"""Ray: an actor in its own process, 32 calls in flight from the driver, results taken as they are ready."""

from __future__ import annotations

import time
from typing import Any

import ray

from wire_cases.load_loops import IN_FLIGHT, PAYLOAD_TEXT, LoadFunction, Tally, check_answer, print_ready


class Echo:
    """The actor; the caller starts it through Ray, so the server process only waits."""

    def say(self, number: int, text: str) -> tuple[int, str]:
        return number, text


def serve(where: str) -> None:
    """Wait: the actor is a process of the caller's own cluster."""
    print_ready()
    while True:
        time.sleep(3600)


def load_functions(where: str) -> dict[str, LoadFunction]:
    """Return `in_flight`: 32 calls of one driver."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=f"{where}/ray")
    actor: Any = ray.remote(Echo).remote()
    return {"in_flight": lambda seconds: _keep_in_flight(actor, seconds)}


def _keep_in_flight(actor: Any, seconds: float) -> Tally:
    asked = [actor.say.remote(7, PAYLOAD_TEXT) for _ in range(IN_FLIGHT)]
    check_answer(ray.get(asked[0]), (7, PAYLOAD_TEXT))
    calls = 0
    began = now = time.perf_counter()
    while now - began < seconds:
        done, asked = ray.wait(asked)
        check_answer(ray.get(done[0]), (7, PAYLOAD_TEXT))
        asked.append(actor.say.remote(7, PAYLOAD_TEXT))
        calls += 1
        now = time.perf_counter()
    ray.get(asked)
    return Tally(calls, now - began)
