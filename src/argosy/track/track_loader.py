"""Loads a tracker file: parses the document, decodes it into structs and resolves measures and baselines."""

from __future__ import annotations

import datetime
import os
import re
import shlex
from collections.abc import Mapping as Map
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from argosy.fault import Fault, InputError
from argosy.fleet.decode import read_keys
from argosy.fleet.locations import FaultList, TextPosition
from argosy.fleet.quantities import parse_duration_s
from argosy.fleet.suggestions import suggest
from argosy.track.builtin_measures import BuiltinMeasure, builtin_names, find_builtin
from argosy.track.track_spec import (
    Measure,
    MeasureKeys,
    MethodKeys,
    Metric,
    MetricBaseline,
    MetricKeys,
    Objective,
    ObjectiveClaim,
    ObjectiveClaimKeys,
    ObjectiveKeys,
    OutputParser,
    ParserKeys,
    Tolerance,
    Track,
    TrackKeys,
)

TRACK_FILE = "track.yaml"
_HOURS_PER_UNIT = {"h": 1.0, "d": 8.0, "w": 40.0}
_HINT = "such as `objectives: {contexts: {title: one context, metrics: {own: {measure: audit.Z301.count}}}}`"


def find_tracker_file(chosen: str | None) -> Path:
    """Return the absolute path of the tracker file in `chosen`, or in this directory or a parent.

    Raises InputError: there is none.
    """
    if chosen is not None:
        path = Path(os.path.expanduser(chosen))
        path = path / TRACK_FILE if path.is_dir() else path
        if path.is_file():
            return path.absolute()
        raise InputError(
            Fault(chosen, "no-track", f"there is no file `{path}`", "`argosy track init` creates one")
        )
    here = Path.cwd()
    for directory in (here, *here.parents):
        if (directory / TRACK_FILE).is_file():
            return directory / TRACK_FILE
    message = f"there is no `{TRACK_FILE}` in this directory or a parent"
    raise InputError(Fault(str(here), "no-track", message, "`argosy track init` creates one"))


def load_track(path: str | Path, text: str | None = None) -> Track:
    """Load the tracker file at `path`.

    text: the file's content if it is known already; `path` is then only its name.
    Raises InputError: all faults of the file, each with `file:line:column`.
    """
    track, faults = read_track(path, text)
    if faults or track is None:
        raise InputError(*faults)
    return track


def read_track(path: str | Path, text: str | None = None) -> tuple[Track | None, list[Fault]]:
    """Return a tracker file, None if it has faults, and all faults in file order."""
    directory = Path(path).absolute().parent
    description = ("tracker file", "argosy schema track", _HINT)
    return read_keys(path, text, TrackKeys, description, partial(_build, directory))


def _build(directory: Path, keys: TrackKeys, positions: Map[str, TextPosition], faults: FaultList) -> Track:
    builder = _TrackBuilder(keys, positions, faults)
    if keys.start:
        builder.check_date("start", keys.start)
    if not keys.objectives:
        faults.add(positions["objectives"], "no-objectives", "`objectives` is empty", _HINT)
    return Track(
        title=keys.track,
        about=keys.about.strip(),
        start=keys.start,
        directory=str(directory),
        report=str(directory / keys.report),
        ledger=str(directory / keys.ledger),
        objectives=tuple(builder.objective(name, one) for name, one in keys.objectives.items()),
    )


class _TrackBuilder:
    """Builds the objectives of one file; errors become faults with their position."""

    def __init__(self, keys: TrackKeys, places: Map[str, TextPosition], faults: FaultList) -> None:
        self.keys = keys
        self.places = places
        self.faults = faults

    def objective(self, name: str, keys: ObjectiveKeys) -> Objective:
        at = f"objectives.{name}"
        if not keys.metrics:
            self.add_fault(
                f"{at}.metrics",
                "no-metrics",
                f"`{at}` has no metric",
                "an objective needs at least one metric",
            )
        metrics = tuple(self.metric(name, each, one) for each, one in keys.metrics.items())
        return Objective(
            name=name,
            title=keys.title,
            why=keys.why,
            weeks=self.weeks(f"{at}.slot", keys.slot),
            priority=keys.priority,
            effort_hours=float(keys.effort[:-1]) * _HOURS_PER_UNIT[keys.effort[-1]],
            owner=keys.owner,
            claims=tuple(self.claim(f"{at}.claimed.{n}", one, keys) for n, one in enumerate(keys.claimed)),
            metrics=metrics,
        )

    def metric(self, objective: str, name: str, keys: MetricKeys) -> Metric:
        at = f"objectives.{objective}.metrics.{name}"
        measure: Measure | None = None
        if keys.stated is None:
            measure = self.measure(at, keys, parse_duration_s(keys.timeout))
        elif keys.measure or keys.uses or keys.run:
            self.add_fault(
                f"{at}.stated", "stated", f"`{at}` has a measure and a stated value", "keep the measure"
            )
        builtin = find_builtin(measure.builtin) if measure is not None and measure.builtin else None
        return Metric(
            name=f"{objective}.{name}",
            where=self.faults.format_position(self.place(at)),
            measure=measure,
            stated=keys.stated,
            source=keys.source,
            unit=keys.unit or (builtin.unit if builtin else ""),
            better=keys.better,
            target=keys.target,
            tolerance=_tolerance(keys.tolerance),
            repeat=keys.repeat,
            is_portable=keys.portable if keys.portable is not None else _is_portable(builtin),
            baseline=self.baseline(f"{at}.baseline", keys, measure),
        )

    def measure(self, at: str, keys: MethodKeys, timeout_s: float) -> Measure | None:
        """Return the measure of a metric or baseline, which must be given in exactly one of three ways."""
        given = [way for way in ("measure", "uses", "run") if getattr(keys, way)]
        if len(given) != 1:
            what = "no measure" if not given else " and ".join(f"`{way}`" for way in given)
            hint = "one of `measure`, `uses` and `run`; `stated` for a value that cannot be measured"
            self.add_fault(at, "measure", f"`{at}` has {what}", hint)
            return None
        if keys.measure:
            return self.builtin(at, keys, timeout_s)
        shared = self.shared_measure(at, keys) if keys.uses else None
        if keys.uses and shared is None:
            return None
        read = self.parser(at, keys.read)
        run = shared.run if shared is not None else keys.run
        return Measure(
            command=self.command_words(f"{at}.run", run),
            parser=read,
            inputs=tuple(keys.inputs or (shared.inputs if shared is not None else ())),
            timeout_s=parse_duration_s(shared.timeout) if shared is not None else timeout_s,
            env=tuple(sorted(shared.env.items())) if shared is not None else (),
        )

    def builtin(self, at: str, keys: MethodKeys, timeout_s: float) -> Measure | None:
        builtin = find_builtin(keys.measure)
        if builtin is None:
            hint = suggest(keys.measure, builtin_names(), "built-in measures")
            self.add_fault(
                f"{at}.measure", "unknown-measure", f"there is no built-in measure `{keys.measure}`", hint
            )
            return None
        if keys.read is not None:
            self.add_fault(f"{at}.read", "read", "a built-in measure needs no `read`", "remove `read`")
        if keys.fleet and builtin.subject != "fleet":
            self.add_fault(f"{at}.fleet", "fleet", f"`{keys.measure}` is about a tree", "use `tree:`")
        if keys.tree and builtin.subject != "tree":
            self.add_fault(f"{at}.tree", "tree", f"`{keys.measure}` is about a fleet", "use `fleet:`")
        return Measure(
            builtin=keys.measure,
            tree=(keys.tree or ".") if builtin.subject == "tree" else "",
            fleet=(keys.fleet or "fleet.yaml") if builtin.subject == "fleet" else "",
            inputs=tuple(keys.inputs),
            timeout_s=timeout_s,
        )

    def shared_measure(self, at: str, keys: MethodKeys) -> MeasureKeys | None:
        found = self.keys.measures.get(keys.uses)
        if found is None:
            hint = suggest(keys.uses, self.keys.measures, "names in `measures`")
            self.add_fault(f"{at}.uses", "unknown-measure", f"`measures` has no `{keys.uses}`", hint)
        return found

    def parser(self, at: str, keys: ParserKeys | None) -> OutputParser | None:
        given = (
            [] if keys is None else [way for way in ("json", "match", "lines", "exit") if getattr(keys, way)]
        )
        if keys is None or len(given) != 1:
            hint = "one of `{json: after.ready}`, `{match: 'total (\\d+)'}`, `{lines: true}`, `{exit: true}`"
            what = "no `read`" if not given else f"a `read` with {' and '.join(given)}"
            self.add_fault(f"{at}.read", "read", f"`{at}` has {what}: how its output becomes a number", hint)
            return None
        if keys.match:
            try:
                re.compile(keys.match)
            except re.error as error:
                message = f"`{keys.match}` is not a regular expression: {error}"
                self.add_fault(f"{at}.read.match", "pattern", message, "quote it with '...'")
        path = keys.json.split(".") if isinstance(keys.json, str) else keys.json
        return OutputParser(
            "json" if keys.json else "match" if keys.match else "lines" if keys.lines else "exit",
            tuple(path) if keys.json else (),
            keys.match,
        )

    def command_words(self, at: str, run: str | Sequence[str]) -> tuple[str, ...]:
        if not isinstance(run, str):
            return tuple(run)
        try:
            return tuple(shlex.split(run))
        except ValueError as error:
            self.add_fault(
                at, "command", f"`{run}` cannot be split into words: {str(error).lower()}", "or use a list"
            )
            return ()

    def baseline(self, at: str, keys: MetricKeys, own: Measure | None) -> MetricBaseline | None:
        found = keys.baseline
        if found is None:
            return None
        is_measured = bool(found.measure or found.uses or found.run)
        if found.stated is not None:
            if is_measured or found.at:
                self.add_fault(at, "baseline", f"`{at}` is stated and measured", "keep the measure")
            return MetricBaseline(stated=found.stated, source=found.source)
        if not is_measured and (found.read or found.tree or found.fleet) and own is not None:
            measure: Measure | None = self.derived_measure(at, found, own)
        else:
            measure = self.measure(at, found, parse_duration_s(keys.timeout)) if is_measured else own
        if not is_measured and measure is own and not found.at:
            hint = "`at: COMMIT`, `stated: VALUE`, or another measure, `tree` or `read`"
            self.add_fault(at, "baseline", f"`{at}` does not say what to measure, or at which commit", hint)
        return MetricBaseline(commit=found.at, measure=measure)

    def derived_measure(self, at: str, keys: MethodKeys, own: Measure) -> Measure:
        """Return the metric's own measure for another tree or fleet, or with another parser."""
        read = self.parser(at, keys.read) if keys.read is not None else own.parser
        return Measure(
            builtin=own.builtin,
            command=own.command,
            parser=read,
            tree=keys.tree or own.tree,
            fleet=keys.fleet or own.fleet,
            inputs=tuple(keys.inputs) or own.inputs,
            timeout_s=own.timeout_s,
            env=own.env,
        )

    def claim(self, at: str, keys: ObjectiveClaimKeys, objective: ObjectiveKeys) -> ObjectiveClaim:
        metric = keys.metric or next(iter(objective.metrics), "")
        found = objective.metrics.get(metric)
        if found is None:
            hint = suggest(metric, objective.metrics, "metrics of this objective")
            self.add_fault(f"{at}.metric", "unknown-metric", f"this objective has no metric `{metric}`", hint)
        elif keys.value is None and found.target is None:
            self.add_fault(at, "claim", f"`{metric}` has no target to meet", "add `value:` or a `target`")
        return ObjectiveClaim(keys.text, keys.source, metric, keys.value)

    def weeks(self, at: str, slot: str) -> tuple[int, int] | None:
        if not slot:
            return None
        first, _, last = slot.partition("-")
        weeks = int(first), int(last or first)
        if weeks[0] < 1 or weeks[1] < weeks[0]:
            self.add_fault(at, "slot", f"`{slot}` is not a range of weeks from 1", "such as `2-4`")
        if not self.keys.start:
            hint = "add `start: 2026-11-02` at the top of the file"
            self.add_fault(at, "slot", "weeks are counted from `start`, which is missing", hint)
        return weeks

    def check_date(self, at: str, text: str) -> None:
        try:
            datetime.date.fromisoformat(text)
        except ValueError as error:
            self.add_fault(at, "date", f"`{text}` is not a date: {error}", "such as 2026-11-02")

    def place(self, at: str) -> TextPosition:
        while at not in self.places and "." in at:
            at = at.rpartition(".")[0]
        return self.places.get(at, TextPosition(1, 1))

    def add_fault(self, at: str, code: str, message: str, hint: str) -> None:
        self.faults.add(self.place(at), code, message, hint)


def _tolerance(text: str) -> Tolerance:
    plain = text.strip()
    if plain.endswith("%"):
        return Tolerance(share=float(plain[:-1]) / 100)
    return Tolerance(amount=float(plain))


def _is_portable(builtin: BuiltinMeasure | None) -> bool:
    return builtin is not None and builtin.is_portable
