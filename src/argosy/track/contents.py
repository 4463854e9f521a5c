"""What a report says, as data that Markdown and the page render: nothing in it was not computed."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from argosy.fleet.units import shown_size
from argosy.track.ledger import Ledger
from argosy.track.spec import Metric, Track
from argosy.track.verdict import Outlook, Standing, Status, end_of, is_met

STATUS_ORDER: tuple[Status, ...] = (
    "achieved",
    "measured",
    "on track",
    "at risk",
    "regressed",
    "stale",
    "unknown",
    "unproven",
)
_PRIORITIES = {"high": 0, "medium": 1, "low": 2}
_MOST_KEPT = 12
_SHORT = 9


class Cell(msgspec.Struct, frozen=True):
    """A cell of a table. status: it is a status word. series: it is a trend, and these are its values."""

    text: str
    status: str = ""
    series: tuple[float, ...] = ()


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the report: paragraphs, then a table, then a list."""

    title: str
    paragraphs: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    items: tuple[str, ...] = ()


class Report(msgspec.Struct, frozen=True):
    """A whole report."""

    title: str
    lead: tuple[str, ...]
    sections: tuple[Section, ...]


def make_report(track: Track, outlooks: Sequence[Outlook], ledger: Ledger) -> Report:
    """Return what there is to say about a tracker."""
    parts = (
        _objectives(outlooks),
        _impact(outlooks),
        _metrics(outlooks),
        _roadmap(track, outlooks),
        _achievements(outlooks),
        _next_actions(outlooks),
        _evidence(outlooks, ledger),
    )
    lead = [summary(outlooks)]
    if track.about:
        lead.append(" ".join(track.about.split()))
    return Report(track.title, tuple(lead), tuple(part for part in parts if part is not None))


def summary(outlooks: Sequence[Outlook]) -> str:
    """Return the account in one line: every objective and every metric is in it once."""
    metrics = [standing for outlook in outlooks for standing in outlook.standings]
    return (
        f"{_plural(len(outlooks), 'objective')}: {_counted(outlook.status for outlook in outlooks)}; "
        f"{_plural(len(metrics), 'metric')}: {_counted(standing.status for standing in metrics)}."
    )


def _counted(words: Iterable[Status]) -> str:
    counts = Counter(words)
    return ", ".join(f"{counts[word]} {word}" for word in STATUS_ORDER if counts[word])


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _objectives(outlooks: Sequence[Outlook]) -> Section:
    rows = []
    for outlook in outlooks:
        evidence = "; ".join(_now(standing) for standing in outlook.standings)
        claims = "; ".join(
            f"“{heard.claim.text}” ({heard.claim.source}): **{heard.verdict}**, {heard.because}"
            for heard in outlook.claims
        )
        rows.append(
            (
                Cell(outlook.objective.title),
                Cell(outlook.status, status=outlook.status),
                Cell(evidence),
                Cell(claims or "none"),
            )
        )
    return Section(
        title="Objectives",
        header=("objective", "status", "measured", "claimed"),
        rows=tuple(rows),
    )


def _now(standing: Standing) -> str:
    name = _short_name(standing.metric)
    if standing.current is None:
        return f"{name}: {standing.status}"
    return f"{name}: {shown(standing.current, standing.metric.unit)}{_word(standing)}"


def _word(standing: Standing) -> str:
    return f" ({standing.status})" if standing.status in ("stale", "unproven") else ""


def _impact(outlooks: Sequence[Outlook]) -> Section | None:
    rows = []
    for standing in _standings(outlooks):
        if standing.baseline is None or standing.current is None or standing.metric.measure is None:
            continue
        if standing.status == "stale":
            continue
        metric = standing.metric
        rows.append(
            (
                Cell(_title(outlooks, metric)),
                Cell(_shown_baseline(standing)),
                Cell(shown(standing.current, metric.unit)),
                Cell(_change(standing.baseline, standing.current)),
            )
        )
    if not rows:
        return None
    return Section(
        title="Total impact",
        paragraphs=("What was measured now, against its baseline. *Stated* baselines were not measured.",),
        header=("what", "before", "now", "change"),
        rows=tuple(rows),
    )


def _change(before: float, now: float) -> str:
    if before == now:
        return "none"
    if before == 0:
        return f"{now - before:+g}"
    share = (now - before) / abs(before) * 100
    if now and before and not 0.5 <= now / before <= 2:
        factor = now / before if now > before else before / now
        return f"{share:+.1f} % ({factor:.3g} times {'more' if now > before else 'less'})"
    return f"{share:+.1f} %"


def _metrics(outlooks: Sequence[Outlook]) -> Section:
    rows = []
    for standing in _standings(outlooks):
        metric = standing.metric
        values = tuple(one.value for one in standing.history[-_MOST_KEPT:] if one.value is not None)
        rows.append(
            (
                Cell(metric.name),
                Cell(_shown_baseline(standing)),
                Cell(_current(standing)),
                Cell(_target(metric)),
                Cell(standing.status, status=standing.status),
                Cell("" if len(values) < 2 else " ", series=values if len(values) > 1 else ()),
                Cell(standing.because),
            )
        )
    return Section(
        title="Success metrics",
        header=("metric", "baseline", "current", "target", "status", "trend", "because"),
        rows=tuple(rows),
    )


def _current(standing: Standing) -> str:
    if standing.current is None:
        return "unknown"
    told = shown(standing.current, standing.metric.unit)
    record = standing.record
    if record is not None and len(record.values) > 1:
        told += f" ± {shown(record.spread, standing.metric.unit)} (median of {len(record.values)})"
    return told


def _shown_baseline(standing: Standing) -> str:
    baseline = standing.metric.baseline
    if baseline is None:
        return "none"
    if standing.baseline is None:
        return "unknown"
    told = shown(standing.baseline, standing.metric.unit)
    if baseline.stated is not None:
        return f"{told} (*stated*{f', {baseline.source}' if baseline.source else ''})"
    return f"{told} at {baseline.at[:_SHORT]}" if baseline.at else told


def _target(metric: Metric) -> str:
    if metric.target is None:
        return "none"
    return f"{'≤' if metric.better == 'lower' else '≥'} {shown(metric.target, metric.unit)}"


def _roadmap(track: Track, outlooks: Sequence[Outlook]) -> Section | None:
    slotted = [outlook for outlook in outlooks if outlook.objective.weeks is not None]
    if not slotted or not track.start:
        return None
    start = datetime.date.fromisoformat(track.start)
    rows = []
    for outlook in sorted(slotted, key=lambda each: (each.objective.weeks or (0, 0), each.objective.name)):
        first, last = outlook.objective.weeks or (0, 0)
        weeks = f"{first}" if first == last else f"{first} to {last}"
        begins = start + datetime.timedelta(days=7 * (first - 1))
        rows.append(
            (
                Cell(weeks),
                Cell(f"{begins} to {end_of(track, outlook.objective)}"),
                Cell(outlook.objective.title),
                Cell(outlook.objective.owner or "none"),
                Cell(outlook.status, status=outlook.status),
            )
        )
    return Section(
        title="Roadmap", header=("week", "dates", "objective", "owner", "status"), rows=tuple(rows)
    )


def _achievements(outlooks: Sequence[Outlook]) -> Section | None:
    items = []
    for outlook in outlooks:
        for standing in outlook.standings:
            record = standing.record
            if standing.status != "achieved" or record is None or standing.current is None:
                continue
            metric = standing.metric
            before = "" if standing.baseline is None else f"from {_shown_baseline(standing)} "
            items.append(
                f"{outlook.objective.title}: {_short_name(metric)} {before}to "
                f"{shown(standing.current, metric.unit)}, target {_target(metric)}."
            )
    if not items:
        return None
    return Section(title="Key achievements", items=tuple(items))


def _next_actions(outlooks: Sequence[Outlook]) -> Section | None:
    ranked: list[tuple[tuple[float, float, str], str]] = []
    for outlook in outlooks:
        objective = outlook.objective
        for standing in outlook.standings:
            told = _action(standing)
            if not told:
                continue
            rank = (
                _PRIORITIES[objective.priority],
                -_gap(standing) / objective.effort_h,
                standing.metric.name,
            )
            owner = f", {objective.owner}" if objective.owner else ""
            effort = _effort(objective.effort_h)
            ranked.append((rank, f"{told} ({objective.priority} priority, {effort}{owner})"))
    if not ranked:
        return None
    return Section(
        title="Next actions",
        paragraphs=("By priority, then by what is missing for the effort it takes.",),
        items=tuple(text for _, text in sorted(ranked)),
    )


def _action(standing: Standing) -> str:
    metric = standing.metric
    match standing.status:
        case "unproven":
            return f"attach a measure to `{metric.name}`"
        case "unknown":
            return f"get `{metric.name}` measured: {standing.because}"
        case "stale":
            return f"measure `{metric.name}` again: `argosy track run`"
        case "regressed":
            return f"find out why `{metric.name}` is {standing.because}"
        case "at risk" | "on track":
            assert standing.current is not None
            return (
                f"bring `{metric.name}` from {shown(standing.current, metric.unit)} to {_target(metric)}: "
                f"{standing.because}"
            )
    return ""


def _gap(standing: Standing) -> float:
    """Return what is missing to the target as a share of the way; 1 where it cannot be told."""
    metric = standing.metric
    if standing.current is None or metric.target is None:
        return 1.0
    if is_met(metric, standing.current):
        return 0.0
    way = abs((standing.baseline if standing.baseline is not None else standing.current) - metric.target)
    return min(abs(standing.current - metric.target) / (way or 1.0), 1.0)


def _effort(hours: float) -> str:
    return f"{hours / 40:g} w" if hours >= 40 else f"{hours / 8:g} d" if hours >= 8 else f"{hours:g} h"


def _evidence(outlooks: Sequence[Outlook], ledger: Ledger) -> Section:
    rows = []
    machines: dict[str, str] = {}
    for standing in _standings(outlooks):
        for record, told in ((standing.record, "current"), (standing.baseline_record, "baseline")):
            if record is None:
                continue
            machines[record.machine_id] = record.machine
            commit = (record.commit[:_SHORT] or "no commit") + ("+" if record.is_dirty else "")
            rows.append(
                (
                    Cell(record.metric + (" (baseline)" if told == "baseline" else "")),
                    Cell(f"`{record.method}`"),
                    Cell(commit),
                    Cell(record.at),
                    Cell(record.machine_id),
                    Cell(f"{max(len(record.values), 1)}"),
                    Cell(f"{record.seconds:g} s"),
                )
            )
    notes = [f"`{one.metric}` accepted as it was on {one.at}: {one.why}" for one in ledger.accepted]
    notes += [f"machine {name}: {text}" for name, text in sorted(machines.items())]
    notes += [f"{fault.where}: {fault.message}" for fault in ledger.damaged]
    return Section(
        title="Evidence",
        paragraphs=(
            "Each value with the command that gives it again (`argosy track run`); a `+` behind a commit "
            "says that files differed from it.",
        ),
        header=("metric", "method", "commit", "measured", "machine", "n", "took"),
        rows=tuple(rows),
        items=tuple(notes),
    )


def _standings(outlooks: Sequence[Outlook]) -> list[Standing]:
    return [standing for outlook in outlooks for standing in outlook.standings]


def _title(outlooks: Sequence[Outlook], metric: Metric) -> str:
    name = metric.name.partition(".")[0]
    title = next(outlook.objective.title for outlook in outlooks if outlook.objective.name == name)
    return f"{title}: {_short_name(metric)}"


def _short_name(metric: Metric) -> str:
    return metric.name.partition(".")[2]


def shown(value: float, unit: str) -> str:
    """Return a value with its unit, for people."""
    if unit == "bytes":
        return shown_size(round(value)) if value >= 0 else f"-{shown_size(round(-value))}"
    text = f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.4g}"
    return f"{text} {unit}".rstrip()
