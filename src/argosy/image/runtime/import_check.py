"""Imports every agent of an image, each in its own process, to find errors that only a real import shows.

Run inside the image: `python3 -m argosy.image.runtime.import_check NAME...`. Prints one JSON object per line:
the agent and its error, empty when it was imported. A script is loaded under a name other than `__main__`, so
that its main block does not run.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Sequence

from argosy.engine.plan.agent_sources import find_script_argument
from argosy.fleet import AgentSpec, load_fleet
from argosy.image.runtime.image_paths import FLEET_FILE

_TIMEOUT_S = 60
_MODULE_NAME = "argosy_import_check"


def main(names: Sequence[str]) -> int:
    """Import each agent; return 1 when one failed."""
    file = os.environ.get("ARGOSY_FLEET_FILE") or FLEET_FILE
    fleet = load_fleet(file)
    failed = 0
    for name in names:
        error = check_import(fleet.agents[name], os.path.dirname(os.path.abspath(file)))
        failed += bool(error)
        print(json.dumps({"agent": name, "error": error}), flush=True)  # noqa: T201 - read by the smoke test
    return 1 if failed else 0


def check_import(agent: AgentSpec, root: str) -> str:
    """Load one agent in a child process; return the error, empty when it was loaded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        os._exit(_load_and_report(agent, root, writing))
    os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as pipe:
        error_text = pipe.read().strip()
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        return ""
    if code == -signal.SIGALRM:
        return f"loading took more than {_TIMEOUT_S} s"
    return error_text or f"loading ended with code {code}"


def _load_and_report(agent: AgentSpec, root: str, writing: int) -> int:
    signal.alarm(_TIMEOUT_S)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    try:
        _load_agent(agent, root)
    except BaseException as error:
        # A script may exit, or raise a BaseException: both are reported.
        if isinstance(error, SystemExit) and not error.code:
            return 0
        place = traceback.extract_tb(error.__traceback__)[-1]
        os.write(writing, f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})".encode())
        return 1
    return 0


def _load_agent(agent: AgentSpec, root: str) -> None:
    folder = os.path.join(root, agent.cwd or "")
    os.environ.update(agent.env, ARGOSY_AGENT=agent.name)
    for entry in agent.env.get("PYTHONPATH", "").split(os.pathsep):
        if entry:
            sys.path.insert(0, os.path.join(folder, entry))
    os.chdir(folder)
    if agent.kind == "class":
        module, _, name = str(agent.run).partition(":")
        sys.path.insert(0, root)
        getattr(importlib.import_module(module), name)
        return
    script = str(agent.run) if agent.kind == "script" else find_script_argument(agent.run)
    if script is None:
        return
    path = os.path.join(root if agent.kind == "script" else folder, script)
    sys.argv = [path, *agent.args]
    sys.path.insert(0, os.path.dirname(path))
    with contextlib.suppress(SystemExit):
        runpy.run_path(path, run_name=_MODULE_NAME)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
