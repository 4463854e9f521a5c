"""Loads a tracker file: text to document, document to structs, each measure and baseline understood."""

from __future__ import annotations

import datetime
import os
import re
import shlex
from collections.abc import Mapping as Map
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.fault import Fault, InputError
from argosy.fleet.decode import Decoder, shown
from argosy.fleet.document import Mapping, read_document
from argosy.fleet.places import FaultList, Place, displayed
from argosy.fleet.spelling import suggestion
from argosy.fleet.units import duration_s
from argosy.track.builtin import Builtin, find_builtin, shown_builtins
from argosy.track.spec import (
    Baseline,
    Claim,
    ClaimedKeys,
    Measure,
    MeasureKeys,
    Metric,
    MetricKeys,
    Objective,
    ObjectiveKeys,
    Read,
    ReadKeys,
    Tolerance,
    Track,
    TrackKeys,
    WayKeys,
)

if TYPE_CHECKING:
    from argosy.fleet.document import Node

TRACK_FILE = "track.yaml"
_HOURS = {"h": 1.0, "d": 8.0, "w": 40.0}
_HINT = "such as `objectives: {contexts: {title: one context, metrics: {own: {measure: audit.Z301.count}}}}`"


def find_track(chosen: str | None) -> Path:
    """Return the absolute path of the tracker file that `chosen`, or this folder or a parent, holds.

    Raises InputError: there is none.
    """
    if chosen is not None:
        path = Path(os.path.expanduser(chosen))
        path = path / TRACK_FILE if path.is_dir() else path
        if path.is_file():
            return path.absolute()
        raise InputError(
            Fault(chosen, "no-track", f"there is no file `{path}`", "`argosy track init` makes one")
        )
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / TRACK_FILE).is_file():
            return folder / TRACK_FILE
    message = f"no `{TRACK_FILE}` in this folder or a parent of it"
    raise InputError(Fault(str(here), "no-track", message, "`argosy track init` makes one"))


def load_track(path: str | Path, text: str | None = None) -> Track:
    """Return what the tracker file at `path` says.

    text: the file's content, where it is at hand already; `path` then only names it.
    Raises InputError: everything that is wrong with it, each with `file:line:column`.
    """
    track, faults = read_track(path, text)
    if faults or track is None:
        raise InputError(*faults)
    return track


def read_track(path: str | Path, text: str | None = None) -> tuple[Track | None, list[Fault]]:
    """Return what a tracker file says, None where it is faulty, and all faults in the order of the file."""
    file = Path(path)
    faults = FaultList(displayed(file), "tracker file", "argosy schema track")
    root = read_document(file, text, faults)
    track = _build(root, file.absolute().parent, faults) if root is not None else None
    found = faults.in_file_order()
    return (None if found else track), found


def _build(root: Node, folder: Path, faults: FaultList) -> Track | None:
    if not isinstance(root, Mapping):
        faults.add(root.place, "wrong-type", f"the file is {shown(root)}, expected a mapping", _HINT)
        return None
    decoder = Decoder(faults)
    values = decoder.fields(root, TrackKeys)
    if len(faults):
        return None
    keys = TrackKeys(**values)
    builder = _Builder(keys, decoder.places, faults)
    if keys.start:
        builder.date("start", keys.start)
    if not keys.objectives:
        faults.add(decoder.places["objectives"], "no-objectives", "`objectives` is empty", _HINT)
    return Track(
        title=keys.track,
        about=keys.about.strip(),
        start=keys.start,
        folder=str(folder),
        report=str(folder / keys.report),
        ledger=str(folder / keys.ledger),
        objectives=tuple(builder.objective(name, one) for name, one in keys.objectives.items()),
    )


class _Builder:
    """Understands the objectives of one file; what is wrong with one is a fault at its place."""

    def __init__(self, keys: TrackKeys, places: Map[str, Place], faults: FaultList) -> None:
        self.keys = keys
        self.places = places
        self.faults = faults

    def objective(self, name: str, keys: ObjectiveKeys) -> Objective:
        at = f"objectives.{name}"
        if not keys.metrics:
            self.fault(f"{at}.metrics", "no-metrics", f"`{at}` has no metric", "an objective needs a number")
        metrics = tuple(self.metric(name, each, one) for each, one in keys.metrics.items())
        return Objective(
            name=name,
            title=keys.title,
            why=keys.why,
            weeks=self.weeks(f"{at}.slot", keys.slot),
            priority=keys.priority,
            effort_h=float(keys.effort[:-1]) * _HOURS[keys.effort[-1]],
            owner=keys.owner,
            claims=tuple(self.claim(f"{at}.claimed.{n}", one, keys) for n, one in enumerate(keys.claimed)),
            metrics=metrics,
        )

    def metric(self, objective: str, name: str, keys: MetricKeys) -> Metric:
        at = f"objectives.{objective}.metrics.{name}"
        measure: Measure | None = None
        if keys.stated is None:
            measure = self.measure(at, keys, duration_s(keys.timeout))
        elif keys.measure or keys.uses or keys.run:
            self.fault(
                f"{at}.stated", "stated", f"`{at}` has a measure and a stated figure", "keep the measure"
            )
        builtin = find_builtin(measure.builtin) if measure is not None and measure.builtin else None
        return Metric(
            name=f"{objective}.{name}",
            where=self.faults.where(self.place(at)),
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

    def measure(self, at: str, keys: WayKeys, timeout_s: float) -> Measure | None:
        """Return the measure that a metric or a baseline names itself; exactly one of three ways."""
        ways = [way for way in ("measure", "uses", "run") if getattr(keys, way)]
        if len(ways) != 1:
            what = "no measure" if not ways else " and ".join(f"`{way}`" for way in ways)
            hint = "one of `measure`, `uses` and `run`; `stated` for a figure that nobody can measure"
            self.fault(at, "measure", f"`{at}` has {what}", hint)
            return None
        if keys.measure:
            return self.builtin(at, keys, timeout_s)
        shared = self.shared(at, keys) if keys.uses else None
        if keys.uses and shared is None:
            return None
        read = self.read(at, keys.read)
        run = shared.run if shared is not None else keys.run
        return Measure(
            command=self.words(f"{at}.run", run),
            read=read,
            inputs=tuple(keys.inputs or (shared.inputs if shared is not None else ())),
            timeout_s=duration_s(shared.timeout) if shared is not None else timeout_s,
            env=tuple(sorted(shared.env.items())) if shared is not None else (),
        )

    def builtin(self, at: str, keys: WayKeys, timeout_s: float) -> Measure | None:
        builtin = find_builtin(keys.measure)
        if builtin is None:
            hint = suggestion(keys.measure, shown_builtins(), "built-in measures")
            self.fault(
                f"{at}.measure", "unknown-measure", f"there is no built-in measure `{keys.measure}`", hint
            )
            return None
        if keys.read is not None:
            self.fault(f"{at}.read", "read", "a built-in measure is a number already", "leave `read` out")
        if keys.fleet and builtin.of != "fleet":
            self.fault(f"{at}.fleet", "fleet", f"`{keys.measure}` is about a tree", "`tree:` names it")
        if keys.tree and builtin.of != "tree":
            self.fault(f"{at}.tree", "tree", f"`{keys.measure}` is about a fleet", "`fleet:` names its file")
        return Measure(
            builtin=keys.measure,
            tree=(keys.tree or ".") if builtin.of == "tree" else "",
            fleet=(keys.fleet or "fleet.yaml") if builtin.of == "fleet" else "",
            inputs=tuple(keys.inputs),
            timeout_s=timeout_s,
        )

    def shared(self, at: str, keys: WayKeys) -> MeasureKeys | None:
        found = self.keys.measures.get(keys.uses)
        if found is None:
            hint = suggestion(keys.uses, self.keys.measures, "names in `measures`")
            self.fault(f"{at}.uses", "unknown-measure", f"`measures` has no `{keys.uses}`", hint)
        return found

    def read(self, at: str, keys: ReadKeys | None) -> Read | None:
        ways = (
            [] if keys is None else [way for way in ("json", "match", "lines", "exit") if getattr(keys, way)]
        )
        if keys is None or len(ways) != 1:
            hint = "one of `{json: after.ready}`, `{match: 'total (\\d+)'}`, `{lines: true}`, `{exit: true}`"
            what = "no `read`" if not ways else f"a `read` with {' and '.join(ways)}"
            self.fault(f"{at}.read", "read", f"`{at}` has {what}: how its output becomes a number", hint)
            return None
        if keys.match:
            try:
                re.compile(keys.match)
            except re.error as error:
                message = f"`{keys.match}` is not a regular expression: {error}"
                self.fault(f"{at}.read.match", "pattern", message, "quote it with '...'")
        path = keys.json.split(".") if isinstance(keys.json, str) else keys.json
        return Read(
            "json" if keys.json else "match" if keys.match else "lines" if keys.lines else "exit",
            tuple(path) if keys.json else (),
            keys.match,
        )

    def words(self, at: str, run: str | Sequence[str]) -> tuple[str, ...]:
        if not isinstance(run, str):
            return tuple(run)
        try:
            return tuple(shlex.split(run))
        except ValueError as error:
            self.fault(
                at, "command", f"`{run}` cannot be split into words: {str(error).lower()}", "or a list"
            )
            return ()

    def baseline(self, at: str, keys: MetricKeys, own: Measure | None) -> Baseline | None:
        found = keys.baseline
        if found is None:
            return None
        is_measured = bool(found.measure or found.uses or found.run)
        if found.stated is not None:
            if is_measured or found.at:
                self.fault(at, "baseline", f"`{at}` is stated and measured", "keep what can be measured")
            return Baseline(stated=found.stated, source=found.source)
        if not is_measured and (found.read or found.tree or found.fleet) and own is not None:
            measure: Measure | None = self.varied(at, found, own)
        else:
            measure = self.measure(at, found, duration_s(keys.timeout)) if is_measured else own
        if not is_measured and measure is own and not found.at:
            hint = "`at: COMMIT`, `stated: FIGURE`, or another measure, `tree` or `read`"
            self.fault(at, "baseline", f"`{at}` says neither where nor what", hint)
        return Baseline(at=found.at, measure=measure)

    def varied(self, at: str, keys: WayKeys, own: Measure) -> Measure:
        """Return the metric's own measure, of another tree or fleet, or read in another way."""
        read = self.read(at, keys.read) if keys.read is not None else own.read
        return Measure(
            builtin=own.builtin,
            command=own.command,
            read=read,
            tree=keys.tree or own.tree,
            fleet=keys.fleet or own.fleet,
            inputs=tuple(keys.inputs) or own.inputs,
            timeout_s=own.timeout_s,
            env=own.env,
        )

    def claim(self, at: str, keys: ClaimedKeys, objective: ObjectiveKeys) -> Claim:
        metric = keys.metric or next(iter(objective.metrics), "")
        found = objective.metrics.get(metric)
        if found is None:
            hint = suggestion(metric, objective.metrics, "metrics of this objective")
            self.fault(f"{at}.metric", "unknown-metric", f"this objective has no metric `{metric}`", hint)
        elif keys.value is None and found.target is None:
            self.fault(at, "claim", f"`{metric}` has no target to be met", "add `value:` or a `target`")
        return Claim(keys.text, keys.source, metric, keys.value)

    def weeks(self, at: str, slot: str) -> tuple[int, int] | None:
        if not slot:
            return None
        first, _, last = slot.partition("-")
        weeks = int(first), int(last or first)
        if weeks[0] < 1 or weeks[1] < weeks[0]:
            self.fault(at, "slot", f"`{slot}` is no range of weeks from 1", "such as `2-4`")
        if not self.keys.start:
            hint = "add `start: 2026-11-02` at the top of the file"
            self.fault(at, "slot", "weeks are counted from `start`, and there is none", hint)
        return weeks

    def date(self, at: str, text: str) -> None:
        try:
            datetime.date.fromisoformat(text)
        except ValueError as error:
            self.fault(at, "date", f"`{text}` is no date: {error}", "such as 2026-11-02")

    def place(self, at: str) -> Place:
        while at not in self.places and "." in at:
            at = at.rpartition(".")[0]
        return self.places.get(at, Place(1, 1))

    def fault(self, at: str, code: str, message: str, hint: str) -> None:
        self.faults.add(self.place(at), code, message, hint)


def _tolerance(text: str) -> Tolerance:
    plain = text.strip()
    if plain.endswith("%"):
        return Tolerance(share=float(plain[:-1]) / 100)
    return Tolerance(amount=float(plain))


def _is_portable(builtin: Builtin | None) -> bool:
    return builtin is not None and builtin.is_portable
