"""Launches a fleet by `argosy up -d`, from nothing or with a running zygote."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import msgspec

from argosy.engine.control.control_client import connect
from argosy.engine.state.event_log import read_event_log
from argosy.fault import Fault, MissingError, RefusedError
from testbed.fleet_environment import FleetEnvironment

_WITHIN_S = 120.0
_WARM_WITHIN_S = 20.0
_WEIGHED_WITHIN_S = 60.0
_POLL_S = 0.5


class Up(msgspec.Struct, frozen=True, tag_field="argosy", tag="up/1"):
    """The fields of `up/1` that are checked."""

    ready: list[str]
    not_ready: dict[str, str]


class Down(msgspec.Struct, frozen=True, tag_field="argosy", tag="down/1"):
    """The agents that did not end within their stop time-out."""

    killed: list[str]


class ErrorReport(msgspec.Struct, frozen=True, tag_field="argosy", tag="error/1"):
    """Why a command failed."""

    errors: list[Fault]


class ArgosyLauncher:
    """Runs the `argosy` command; `name` says which fleet it gets.

    is_warm: the supervisor and its zygote run before the start, with one agent of the fleet that has no
    needs, because a supervisor without agents exits.
    """

    def __init__(self, name: str, *, is_warm: bool = False) -> None:
        self.name = name
        self._is_warm = is_warm

    def prepare(self, fleet_env: FleetEnvironment) -> None:
        """Check that the command exists; start the supervisor and the zygote if `is_warm`."""
        if not _command().exists():
            hint = "`pip install 'argosy[bench]'` for this interpreter"
            raise MissingError(Fault("bench", "no-argosy", f"there is no `{_command()}`", hint))
        if self._is_warm:
            _run_argosy(fleet_env, "up", "-d", "--no-hub", "--only", fleet_env.graph.levels()[0][0])
            _wait_for_zygote(fleet_env)

    def start(self, fleet_env: FleetEnvironment) -> None:
        """Run `argosy up`; it must report every agent as ready."""
        account = _run_argosy(fleet_env, "up", "-d", "--no-hub")
        if isinstance(account, Up) and len(account.ready) != len(fleet_env.processes):
            name, reason = next(iter(account.not_ready.items()))
            message = f"argosy: {len(account.ready)} of {len(fleet_env.processes)} ready, `{name}`: {reason}"
            raise RefusedError(Fault("bench", "not-ready", message))

    def stop(self, fleet_env: FleetEnvironment) -> None:
        """Run `argosy down`; every agent must end without being killed."""
        answer = _run_argosy(fleet_env, "down")
        if isinstance(answer, Down) and answer.killed:
            raise RefusedError(Fault("bench", "killed", f"argosy had to kill {', '.join(answer.killed)}"))


def _command() -> Path:
    return Path(sys.executable).with_name("argosy")


def _wait_for_zygote(fleet_env: FleetEnvironment) -> None:
    """Return when the event log says that a zygote is ready."""
    deadline = time.monotonic() + _WARM_WITHIN_S
    while not any(entry.kind == "zygote-ready" for entry in read_event_log(fleet_env.folder.event_log)):
        if time.monotonic() > deadline:
            raise RefusedError(
                Fault("bench", "no-zygote", f"no zygote was ready within {_WARM_WITHIN_S:g} s")
            )
        time.sleep(0.02)


def wait_until_memory_sampled(fleet_env: FleetEnvironment) -> None:
    """Return when the supervisor has sampled the memory of each agent once.

    Raises RefusedError: there is no supervisor, or it has not done so within 60 s.
    """
    deadline = time.monotonic() + _WEIGHED_WITHIN_S
    while True:
        client = connect(fleet_env.folder, "bench")
        if client is None or time.monotonic() > deadline:
            raise RefusedError(
                Fault("bench", "no-memory-sample", "the supervisor does not sample the memory of its agents")
            )
        with client:
            report = client.fetch_status()
        if all(each.pss_bytes for each in report.agents.values()):
            return
        time.sleep(_POLL_S)


def _run_argosy(fleet_env: FleetEnvironment, verb: str, *options: str) -> Up | Down:
    """Run a verb and return its answer; raises RefusedError with the errors it reports."""
    ended = subprocess.run(
        [_command(), verb, str(fleet_env.fleet_path), *options, "--json"],
        env=fleet_env.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        start_new_session=True,
        timeout=_WITHIN_S,
        check=False,
    )
    try:
        answer = msgspec.json.decode(ended.stdout, type=Up | Down | ErrorReport)
    except msgspec.DecodeError as error:
        stderr_text = ended.stderr.decode(errors="replace").strip()
        message = f"`argosy {verb}` ended with {ended.returncode} and no answer: {stderr_text}"
        raise RefusedError(Fault("bench", "no-answer", message)) from error
    if isinstance(answer, ErrorReport):
        raise RefusedError(*answer.errors)
    return answer
