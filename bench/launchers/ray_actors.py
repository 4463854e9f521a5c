"""Starts a fleet by Ray on one machine: one actor per agent, all at once.

    ray_actors.py LAUNCH_SPEC.json

Prints `up` when every actor has been requested; stops Ray and exits when its standard input closes.
"""

import json
import os
import runpy
import sys
from typing import Any

import ray


class AgentActor:
    """The actor, a process that runs one agent."""

    def run(self, spec: dict[str, Any]) -> None:
        """Run the agent; never returns."""
        os.environ.update(spec["env"])
        os.chdir(spec["cwd"])
        _, _, module, *words = spec["argv"]  # python -m MODULE WORDS...
        sys.argv[1:] = words
        sys.path.insert(0, spec["cwd"])
        runpy.run_module(module, run_name="__main__", alter_sys=True)


def main() -> None:
    """Start the actors, print `up`, wait for the end of standard input, stop Ray."""
    with open(sys.argv[1], encoding="utf-8") as file:
        launch_spec = json.load(file)
    agents = launch_spec["agents"]
    ray.init(
        num_cpus=len(agents),
        include_dashboard=False,
        log_to_driver=False,
        _temp_dir=f"{launch_spec['home']}/ray",
    )
    actors = [ray.remote(AgentActor).options(num_cpus=1).remote() for _ in agents]
    running = [actor.run.remote(spec) for actor, spec in zip(actors, agents, strict=True)]
    print("up", flush=True)
    sys.stdin.read()
    for actor in actors:
        ray.kill(actor)
    del running
    ray.shutdown()


if __name__ == "__main__":
    main()
