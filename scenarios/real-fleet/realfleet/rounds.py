"""The rounds: the untouched tree, the migrated tree, and the optional rounds of a full run."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from realfleet import decisions, outcome, tree_copy
from realfleet.ablations import ABLATION_PARTS, SLOWER
from realfleet.argosy_commands import Argosy
from realfleet.audit_comparison import audit_counts, compare_audits
from realfleet.observation import AgentObservation
from realfleet.optional_packages import missing_optional_packages
from realfleet.process_isolation import process_reasons
from realfleet.progress import ScenarioError, log_progress
from realfleet.sandbox import require_sandbox, run_in_sandbox, stop_sandboxes
from realfleet.sandbox_main import sandbox_environment
from realfleet.side_services import absent_programs, install_hint

TIMEOUT_S = 150.0
START_TIMEOUT_S = 60.0  # argosy's own
MIN_AGENT_TIMEOUT_S = 20.0
_NOT_INSTALLED = re.compile(r"`(\w+)` is neither in the tree nor installed")

Which = Literal["none", "shared", "all"]


class PreparedTree(msgspec.Struct, frozen=True):
    """A tree that is ready to start. facts: results of argosy's verbs."""

    place: Path
    facts: dict[str, Any]


class CountingRound(msgspec.Struct, frozen=True):
    """A round that only counts ready agents. patience_s: an agent's time-out, 0 for the fleet file's."""

    name: str
    made: PreparedTree
    patience_s: float
    without: str = ""


class ScenarioRounds:
    """All rounds of one run. room: the folder for everything. bin_: of the run's environment."""

    def __init__(
        self,
        source: Path,
        run_folder: Path,
        bin_: Path,
        told: decisions.Decisions,
        settle_s: float,
        *,
        with_audit: bool = True,
    ) -> None:
        require_sandbox()
        self._room = run_folder
        self._bin = bin_
        self._decisions = told
        self._settle_s = settle_s
        self._with_audit = with_audit
        self._argosy = Argosy(bin_, sandbox_environment(run_folder))
        self._pristine = run_folder / "pristine" / "fleet"
        self._pristine.parent.mkdir()
        tree_copy.copy_tree(source, self._pristine)
        self._before = tree_copy.digests(self._pristine)
        log_progress(f"tree: {len(self._before)} files")
        if absent := absent_programs():
            log_progress(
                f"not installed, its users are degraded: {', '.join(absent)} ({install_hint(absent)})"
            )

    def all(self, *, is_full: bool, with_before: bool) -> dict[str, Any]:
        """Run the requested rounds and return the result of the scenario."""
        before: dict[str, Any] = {}
        if with_before:
            before = self._measure("before", PreparedTree(self._copy(self._pristine, "before"), {}))
        whole = self._prepare_with_decisions("all")
        after = self._measure("after", whole, is_audited=self._with_audit)
        rules_only = shared_only = None
        ablation: dict[str, int] = {}
        if is_full:
            none, shared = self._prepare_with_decisions("none"), self._prepare_with_decisions("shared")
            # An agent that takes longer than the whole fleet did will not start.
            fleet_s = after["start_seconds"]
            patience_s = max(MIN_AGENT_TIMEOUT_S, fleet_s)
            jobs = [
                CountingRound("rules-only", none, patience_s),
                CountingRound("shared-only", shared, patience_s),
            ]
            jobs += [
                CountingRound(f"without-{part}", whole, 0.0 if part in SLOWER else patience_s, part)
                for part in ABLATION_PARTS
            ]
            rules_only, shared_only, *worth = self._counts(jobs, fleet_s)
            ablation = dict(zip(ABLATION_PARTS, worth, strict=True))
        after |= {
            "rules_only": rules_only,
            "shared_only": shared_only,
            "decisions": len(self._decisions.decisions),
            "fleet_files": len(self._decisions.fleet.files) if self._decisions.fleet else 0,
            "addresses": self._decisions.fleet.addresses if self._decisions.fleet else {},
            "absent_programs": sorted(absent_programs()),
        }
        audits = compare_audits(whole.facts["audit"], after["audit"]) if self._with_audit else None
        return {
            "argosy": "scenario/1",
            "before": before,
            "after": after,
            "audits": audits,
            "ablation": ablation,
        }

    # -- the migrated tree -------------------------------------------------------------------------

    def _prepare_with_decisions(self, which: Which) -> PreparedTree:
        """Return the tree migrated by argosy, with the chosen decisions."""
        ruled = self._prepare_with_rules()
        place = self._copy(ruled.place, f"tree-{which}")
        entries = self._decisions.chosen(which)
        applied = decisions.apply(place, entries)
        decided: dict[str, Any] = {"decisions": decisions.summary(applied)}
        decided["changed"] = self._require_closed(place, {each.file for each in entries})
        log_progress(f"tree-{which}: {decided['changed']} files changed, each in a manifest or a decision")
        return PreparedTree(place, {**ruled.facts, **decided})

    @functools.cache  # noqa: B019 - there is one object, and it lives as long as the program
    def _prepare_with_rules(self) -> PreparedTree:
        """Return the tree migrated by the verbs alone; the same for every round."""
        place = self._copy(self._pristine, "ruled")
        facts: dict[str, Any] = {"import": self._import(place)}
        with ThreadPoolExecutor(1) as aside:
            audited = self._copy(place, "audited") if self._with_audit else None  # before it changes
            audit = aside.submit(self._audit, audited) if audited else None
            facts["absent"] = self._repair(place)
            facts["audit"] = audit.result() if audit else None
        refitted = self._argosy.run_json("refit", str(place), "--apply", "--dirty")
        facts["refit"] = {key: refitted[key] for key in ("run", "sites", "gates")}
        facts["refit"]["changed"] = len(refitted["changed"])
        kept = [each for each in refitted["refused"] if each["code"] == "Z301"]
        facts["refit"]["own_contexts"] = {each["path"]: each["reason"] for each in kept}
        return PreparedTree(place, facts)

    def _audit(self, place: Path) -> dict[str, Any]:
        return audit_counts(self._argosy.run_json("audit", str(place)))

    def _copy(self, source: Path, name: str) -> Path:
        place = self._room / name / "fleet"
        place.parent.mkdir()
        shutil.copytree(source, place, symlinks=True)
        return place

    def _import(self, place: Path) -> dict[str, Any]:
        meant = self._decisions.fleet
        files = [str(place / each) for each in meant.files] if meant else [str(place)]
        homes = [f"--address={name}={host}" for name, host in meant.addresses.items()] if meant else []
        found = self._argosy.run_json("import", *files, *homes, "-o", str(place / "fleet.yaml"))
        return {key: found[key] for key in ("agents", "edges", "machines")}

    def _repair(self, place: Path) -> list[str]:
        """Repair the tree and return the required packages that are not installed.

        The imports of a file that does not parse are known only after its repair.
        """
        absent = self._absent(place)
        while True:
            self._argosy.run_json("repair", str(place), "--apply", *(f"--absent={name}" for name in absent))
            found = self._absent(place) - absent
            if not found:
                return sorted(absent)
            absent |= found

    def _absent(self, place: Path) -> set[str]:
        errors = self._argosy.run_json("check", str(place))["errors"]
        found = (_NOT_INSTALLED.match(each["message"]) for each in errors if each["code"] == "I602")
        return {match[1] for match in found if match}

    def _require_closed(self, place: Path, decided: set[str]) -> int:
        """Return the number of changed files. Raises ScenarioError: one is in no manifest or decision."""
        allowed = set(decided)
        for manifest in place.glob(".argosy/runs/*/manifest.json"):
            told = json.loads(manifest.read_text(encoding="utf-8"))
            allowed |= {entry["path"] for entry in told["files"]} if told["state"] == "applied" else set()
        found = tree_copy.changed_files(self._before, tree_copy.digests(place))
        if outside := sorted(found - allowed):
            raise ScenarioError(f"{len(outside)} files changed without a manifest or decision: {outside[:5]}")
        return len(found)

    # -- a start, measured -------------------------------------------------------------------------

    def _counts(self, jobs: Sequence[CountingRound], apart_s: float) -> list[int]:
        """Return the number of ready agents of each job's tree, all its agents started together.

        A start uses the processors for the time of the whole fleet and then waits for agents that never
        start. The next job begins during that wait.
        """
        with ThreadPoolExecutor(len(jobs)) as pool:
            counts: list[Future[int]] = []
            try:
                for job in jobs:
                    counts.append(pool.submit(self._count, job))
                    wait(counts[-1:], timeout=apart_s)
                return [each.result() for each in counts]
            except BaseException:
                stop_sandboxes()
                raise

    def _count(self, job: CountingRound) -> int:
        patience_s = min(job.patience_s, START_TIMEOUT_S)
        more = {"without": job.without, "patience_s": patience_s, "is_counted_only": True}
        return len(self._measure(job.name, job.made, **more)["ready"])

    def _measure(self, name: str, made: PreparedTree, **more: Any) -> dict[str, Any]:
        """Start all agents of a tree together and return the result.

        more: further fields of the sandbox job.
        """
        began_s = time.monotonic()
        if not (made.place / "fleet.yaml").exists():
            made.facts["import"] = self._import(made.place)
        checked = self._argosy.run_json("check", str(made.place))
        run_folder = self._room / f"run-{name}"
        run_folder.mkdir()
        before = tree_copy.digests(made.place)
        job = {
            "name": name,
            "tree": str(made.place),
            "room": str(run_folder),
            "bin": str(self._bin),
            "settle_s": self._settle_s,
            "timeout_s": TIMEOUT_S,
            **more,
        }
        seen = run_in_sandbox(job, run_folder, self._argosy.environment)
        if touched := tree_copy.changed_files(before, tree_copy.digests(made.place)):
            raise ScenarioError(f"a start has changed the original tree: {sorted(touched)[:5]}")
        looks = {key: msgspec.convert(each, type=AgentObservation) for key, each in seen["looks"].items()}
        lacks = self._decisions.missing_capabilities()
        if unknown := sorted(lacks.keys() - looks.keys()):
            raise ScenarioError(
                f"the decisions list missing capabilities of `{unknown[0]}`, and there is no such agent"
            )
        without = {name: [*lacks.get(name, ()), *seen["said"].get(name, ())] for name in looks}
        closed = outcome.shorten_paths(
            outcome.classify(looks, seen["logs"], without), str(run_folder / "seen")
        )
        told = self._build_result(made, checked, closed, looks, seen)
        told["seconds"] = round(time.monotonic() - began_s, 1)
        (self._room / f"{name}.json").write_text(
            json.dumps({**told, "logs": seen["logs"]}, indent=1), "utf-8"
        )
        complete = len(closed.ready) - len(closed.degraded)
        log_progress(
            f"{name}: {len(closed.ready)} of {checked['agents']} ready, {complete} complete, "
            f"{len(closed.main_port)} answer on the main port"
        )
        return told

    def _build_result(
        self,
        made: PreparedTree,
        checked: dict[str, Any],
        closed: outcome.RunOutcome,
        looks: dict[str, AgentObservation],
        seen: dict[str, Any],
    ) -> dict[str, Any]:
        living = [look for look in looks.values() if look.pid]
        scripts = _scripts(made.place)
        ready = {name: scripts[name] for name in closed.ready}
        return {
            "declared": checked["agents"],
            "parse": sum(_parses(made.place / script) for script in scripts.values()),
            "startable": checked["agents"] - len(checked["cannot_start"]),
            **msgspec.to_builtins(closed),
            "optional": missing_optional_packages(made.place, ready, self._bin / "python"),
            "apart": process_reasons(made.place, ready),
            "more_contexts": {
                name: _own_context(made, scripts[name]) for name, look in looks.items() if look.contexts > 1
            },
            "processes": len({look.pid for look in living}),
            "contexts": sum(look.contexts for look in living),
            "most_contexts": max((look.contexts for look in living), default=0),
            "threads": sum(look.threads for look in living),
            "descriptors": sum(look.descriptors for look in living),
            "pss_bytes": sum(look.pss_bytes for look in living),
            "start_seconds": seen["start_seconds"],
            "stop_seconds": seen["stop_seconds"],
            "killed": seen["killed"],
            "written": seen["written"],
            "audit": seen["audit"],
            "made": made.facts,
        }


def _own_context(made: PreparedTree, script: str) -> str:
    """Return why a process may have a context besides the shared one."""
    kept = made.facts.get("refit", {}).get("own_contexts", {})
    return f"refit left its own: {kept[script]}" if script in kept else "a module that it imports has one"


def _scripts(place: Path) -> dict[str, str]:
    """Return the script of each agent, relative to the tree."""
    fleet = yaml.safe_load((place / "fleet.yaml").read_text(encoding="utf-8"))
    return {name: str(agent["run"]) for name, agent in fleet["agents"].items()}


def _parses(script: Path) -> bool:
    try:
        ast.parse(script.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return True
