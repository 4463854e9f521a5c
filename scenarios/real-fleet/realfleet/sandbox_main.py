"""Runs in the sandbox: overlay, side services, `argosy up`, wait, observe, `argosy down`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from realfleet.argosy_commands import Argosy
from realfleet.audit_comparison import audit_counts
from realfleet.log_symptoms import missing_capabilities
from realfleet.observation import AgentObservation, observe_fleet, query_health
from realfleet.outcome import not_ready_reason
from realfleet.progress import ScenarioError, log_progress
from realfleet.recheck import recheck_degraded
from realfleet.side_services import running_side_services

LINES: Final = 400
_START_IS_OVER: Final = 2.0  # of the settle time
_ENDINGS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class SandboxJob(msgspec.Struct, frozen=True):
    """A job of the sandbox. tree: the tree with its fleet file. room: the folder for everything written.

    without: the part of the base to remove. patience_s: start time-out of an agent, 0 for the fleet file's.
    is_counted_only: the end of the sandbox ends the fleet, without an orderly stop. is_audited: run `argosy
    audit` on the tree while the fleet settles.
    """

    name: str
    tree: str
    room: str
    bin: str
    answer: str
    settle_s: float
    timeout_s: float
    without: str = ""
    patience_s: float = 0.0
    is_counted_only: bool = False
    is_audited: bool = False


def run(job: SandboxJob) -> dict[str, Any]:
    """Start the fleet, observe it, and stop it."""
    room = Path(job.room)
    seen = _overlay(Path(job.tree), room)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    around = sandbox_environment(room, job.without)
    argosy = Argosy(Path(job.bin), around)
    fleet = seen / "fleet.yaml"
    _isolate_failures(fleet, job.patience_s)
    began_s, is_whole = time.monotonic(), False
    with running_side_services(room, around), ThreadPoolExecutor(1) as aside:
        try:
            words = ("up", str(fleet), "-d", "--no-hub", "--timeout", str(job.timeout_s))
            up = argosy.run_json(*words, within_s=job.timeout_s + 60)
            seconds = time.monotonic() - began_s
            ready = f"{len(up['ready'])} of {up['declared']} ready for `up`"
            log_progress(f"{job.name}: {ready} in {seconds:.1f} s; settling")
            audit = aside.submit(argosy.run_json, "audit", job.tree) if job.is_audited else None
            looks = _observe_agents(job, argosy, fleet)
            unready = [name for name, look in looks.items() if not_ready_reason(name, look, "")]
            lines = _lines(argosy, fleet, unready if job.is_counted_only else list(looks))
            is_whole = True
        finally:
            began_s = time.monotonic()
            down = {"killed": []} if is_whole and job.is_counted_only else argosy.run_json("down", str(fleet))
            stop_s = time.monotonic() - began_s
    return {
        "up": up,
        "start_seconds": round(seconds, 1),
        "stop_seconds": round(stop_s, 1),
        "killed": down["killed"],
        "looks": {name: msgspec.to_builtins(each) for name, each in looks.items()},
        "logs": {name: "\n".join(lines[name][-LINES:]) for name in unready},
        "said": {name: told for name, each in lines.items() if (told := missing_capabilities(each))},
        "written": _written(Path(job.tree), room / "upper"),
        "audit": audit_counts(audit.result()) if audit else None,
    }


def _observe_agents(job: SandboxJob, argosy: Argosy, fleet: Path) -> dict[str, AgentObservation]:
    """Return an observation of each agent after the settle time, with degraded agents rechecked."""
    until_s = time.monotonic() + _START_IS_OVER * job.settle_s
    if any(row["pid"] for row in argosy.run_json("status", str(fleet))["agents"].values()):
        time.sleep(job.settle_s)
    looks = observe_fleet(fleet, lambda: argosy.run_json("status", str(fleet)))
    if job.is_counted_only:
        return looks
    return recheck_degraded(looks, lambda names: query_health(fleet, names), until_s)


def _lines(argosy: Argosy, fleet: Path, names: list[str]) -> dict[str, list[str]]:
    """Return the log lines of each of these agents, without its name."""
    found: dict[str, list[str]] = {name: [] for name in names}
    # All logs at once: a request for an agent without a log is an error.
    for line in argosy.run_text("logs", str(fleet)).splitlines() if names else ():
        name, _, text = line.partition("|")
        if name.strip() in found:
            found[name.strip()].append(text.removeprefix(" "))
    return found


def sandbox_environment(room: Path, without: str = "") -> dict[str, str]:
    """Return all environment variables of a fleet in the sandbox."""
    found = {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "ENV_TYPE": "testing",
        "ARGOSY_DEVICES": "absent",  # no GPU; a stand-in for its package may say so
        "HOME": str(room / "home"),
        "TMPDIR": str(room / "tmp"),
        "XDG_STATE_HOME": str(room / "state"),
        "XDG_CACHE_HOME": str(room / "cache"),
        "XDG_CONFIG_HOME": str(room / "config"),
        "XDG_RUNTIME_DIR": str(room / "run"),
        **({"REAL_FLEET_ABLATION": without} if without else {}),
    }
    for name in ("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"):
        Path(found[name]).mkdir(mode=0o700, parents=True, exist_ok=True)
    return found


def _overlay(tree: Path, room: Path) -> Path:
    """Mount the tree under another path, where writes do not change it."""
    upper, work, seen = room / "upper", room / "work", room / "seen"
    for folder in (upper, work, seen):
        folder.mkdir()
    options = f"lowerdir={tree},upperdir={upper},workdir={work}"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, str(seen)], check=True)
    return seen


def _isolate_failures(fleet: Path, patience_s: float) -> None:
    """Let every agent start independently of the others: needs become wants, and each starts once.

    Otherwise one failed agent near the root counts as dozens.
    """
    told = yaml.safe_load(fleet.read_text(encoding="utf-8"))
    for agent in told["agents"].values():
        needs = [need if isinstance(need, str) else need["agent"] for need in agent.pop("needs", [])]
        wants = [*agent.get("wants", []), *needs]
        if wants:
            agent["wants"] = list(dict.fromkeys(wants))
    patience = {"start_timeout": f"{patience_s:.0f}s"} if patience_s else {}
    told["defaults"] = {**told.get("defaults", {}), "restart": "never", **patience}
    fleet.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")


def _written(tree: Path, upper: Path) -> dict[str, Any]:
    """Return the paths that the agents wrote in their view of the tree."""
    new: list[str] = []
    over: list[str] = []
    for folder, _, files in os.walk(upper):
        for name in files:
            relative = str(Path(folder, name).relative_to(upper))
            if name.endswith(".pyc") or relative == "fleet.yaml":
                continue
            (over if (tree / relative).exists() else new).append(relative)
    return {"new": len(new), "changed": sorted(over)}


def _interrupt(*_: object) -> None:
    """Begin to stop once; the orderly stop is not interrupted again."""
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main() -> int:
    """Read the job, run it, write the result."""
    for number in _ENDINGS:
        signal.signal(number, _interrupt)
    job = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SandboxJob)
    try:
        told = run(job)
    except ScenarioError as error:
        told = {"error": str(error)}
    except KeyboardInterrupt:
        return 130
    Path(job.answer).write_text(json.dumps(told), encoding="utf-8")
    return 0


__all__ = ["AgentObservation", "SandboxJob", "run"]

if __name__ == "__main__":
    sys.exit(main())
