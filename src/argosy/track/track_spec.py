"""A tracker file as frozen structs: the single schema for loading, the JSON Schema and the docs.

`...Keys` are the keys of the file; the loader builds `Track`, `Objective`, `Metric` and `Measure` from them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from argosy.fleet.fleet_spec import Duration, Name, PositiveCount, ScalarText

DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
SLOT_PATTERN = r"^\d{1,3}(-\d{1,3})?$"
EFFORT_PATTERN = r"^\d+(\.\d+)?(h|d|w)$"
TOLERANCE_PATTERN = r"^\d+(\.\d+)?\s?%?$"

Direction = Literal["lower", "higher"]
Priority = Literal["high", "medium", "low"]
CommandWords = Annotated[
    str | list[ScalarText],
    Meta(description="a command: a list of words, or a string that is split as by a shell; no shell runs it"),
]
Globs = Annotated[
    list[ScalarText],
    Meta(
        description="globs of files, relative to the tracker's directory (`**` matches directories); "
        "`$NAME` for files outside of it"
    ),
]


class ParserKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a number is read from a command's output; exactly one of these."""

    json: Annotated[
        str | list[ScalarText],
        Meta(
            description="the path of a value in its JSON output: keys separated by dots, or a list of keys; "
            "the value of a list or mapping is its length"
        ),
    ] = ""
    match: Annotated[str, Meta(description="a regular expression; the value is its first group")] = ""
    lines: Annotated[bool, Meta(description="the number of non-empty lines")] = False
    exit: Annotated[
        bool, Meta(description="the exit code; without it, codes other than 0 and 1 are errors")
    ] = False


class MeasureKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that several metrics use."""

    run: Annotated[CommandWords, Meta(description="the command, run in the tracker's directory")]
    inputs: Annotated[Globs, Meta(description="the files its output depends on; default every file")] = []
    timeout: Annotated[Duration, Meta(description="the time-out; default 10m")] = "10m"
    env: Annotated[dict[Name, ScalarText], Meta(description="environment variables")] = {}


class MethodKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a value is obtained: measured in one of three ways, or stated by a person."""

    measure: Annotated[
        str, Meta(description="a built-in measure, such as `audit.Z301.count`; `argosy track measures` lists")
    ] = ""
    uses: Annotated[str, Meta(description="a name of `measures`, with `read`")] = ""
    run: Annotated[CommandWords, Meta(description="a command, with `read`")] = ""
    read: Annotated[ParserKeys | None, Meta(description="how the number is read from the output")] = None
    stated: Annotated[
        float | None, Meta(description="no measure: a value given by a person, reported as unproven")
    ] = None
    source: Annotated[ScalarText, Meta(description="with `stated`: who gave it and where")] = ""
    tree: Annotated[
        ScalarText, Meta(description="for `audit.*`: the directory to read (default: the tracker's)")
    ] = ""
    fleet: Annotated[ScalarText, Meta(description="for `fleet.*` and others: the fleet file")] = ""
    inputs: Globs = []


class BaselineKeys(MethodKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The baseline of a metric: measured at a commit, measured in another way, or stated.

    Its keys override those of the metric.
    """

    at: Annotated[str, Meta(description="a commit, branch or tag at which the measure runs")] = ""


class MetricKeys(MethodKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number: how it is measured, its baseline and its target."""

    timeout: Annotated[Duration, Meta(description="the time-out; default 10m")] = "10m"
    unit: Annotated[ScalarText, Meta(description="the unit shown; default by the measure")] = ""
    better: Annotated[Direction, Meta(description="which direction is better; default `lower`")] = "lower"
    target: Annotated[float | None, Meta(description="the value to reach")] = None
    tolerance: Annotated[
        ScalarText,
        Meta(
            pattern=TOLERANCE_PATTERN,
            description="how much worse than its best it may get: a number in its unit, or `5 %`",
            extra={"any_scalar": True, "phrase": "a number in the metric's unit, or a share such as `5 %`"},
            extra_json_schema={"x-any-scalar": True},
        ),
    ] = "0"
    repeat: Annotated[
        PositiveCount, Meta(description="how often it is measured; the value is the median")
    ] = 1
    portable: Annotated[
        bool | None,
        Meta(
            description="whether the value is the same on two machines; default by the measure, false for "
            "a command"
        ),
    ] = None
    baseline: Annotated[BaselineKeys | None, Meta(description="the value it is compared with")] = None


class ObjectiveClaimKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A person's claim about an objective, compared with the measured values."""

    text: Annotated[ScalarText, Meta(description="the claim as text")]
    source: Annotated[ScalarText, Meta(description="who claims it and where")]
    metric: Annotated[str, Meta(description="the metric that decides; default the first")] = ""
    value: Annotated[float | None, Meta(description="the value claimed; default that the target is met")] = (
        None
    )


class ObjectiveKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An objective."""

    title: Annotated[ScalarText, Meta(description="what should become true")]
    why: Annotated[ScalarText, Meta(description="its purpose")] = ""
    slot: Annotated[
        ScalarText,
        Meta(
            pattern=SLOT_PATTERN,
            description="the weeks in the roadmap, counted from `start`: `3` or `2-4`",
            extra={"any_scalar": True, "phrase": "a week or two, such as `3` or `2-4`"},
            extra_json_schema={"x-any-scalar": True},
        ),
    ] = ""
    priority: Annotated[Priority, Meta(description="default `medium`")] = "medium"
    effort: Annotated[
        str,
        Meta(
            pattern=EFFORT_PATTERN,
            description="the remaining work: `4h`, `3d` or `2w`",
            extra={"phrase": "an effort such as `4h`, `3d` or `2w`"},
        ),
    ] = "1d"
    owner: Annotated[ScalarText, Meta(description="who is responsible")] = ""
    claimed: Annotated[list[ObjectiveClaimKeys], Meta(description="claims about it")] = []
    metrics: Annotated[dict[Name, MetricKeys], Meta(description="its metrics, by name")]


class TrackKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top level of a tracker file."""

    track: Annotated[ScalarText, Meta(description="the title of the report")]
    about: Annotated[ScalarText, Meta(description="an introductory paragraph of the report")] = ""
    start: Annotated[
        str,
        Meta(
            pattern=DATE_PATTERN,
            description="the first day of week 1, such as 2026-11-02",
            extra={"phrase": "a date such as 2026-11-02"},
        ),
    ] = ""
    report: Annotated[ScalarText, Meta(description="the file of the report; default TRACK.md")] = "TRACK.md"
    ledger: Annotated[ScalarText, Meta(description="the directory of the records; default `track`")] = "track"
    measures: Annotated[dict[Name, MeasureKeys], Meta(description="commands that several metrics use")] = {}
    objectives: Annotated[dict[Name, ObjectiveKeys], Meta(description="the objectives, by name")]


class OutputParser(msgspec.Struct, frozen=True):
    """How a number is read from an output. path: keys, for json. pattern: a regular expression, for match."""

    kind: Literal["json", "match", "lines", "exit"]
    path: tuple[str, ...] = ()
    pattern: str = ""

    def description(self) -> str:
        """Return it as text."""
        if self.kind == "json":
            return "json " + ".".join(self.path)
        return f"match {self.pattern}" if self.kind == "match" else self.kind


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How one number is measured.

    builtin: the name of a built-in measure; if empty, `command` is run and `parser` reads its output.
    tree, fleet: relative to the tracker's directory. inputs: globs; empty for the default of the measure.
    """

    builtin: str = ""
    command: tuple[str, ...] = ()
    parser: OutputParser | None = None
    tree: str = ""
    fleet: str = ""
    inputs: tuple[str, ...] = ()
    timeout_s: float = 600.0
    env: tuple[tuple[str, str], ...] = ()

    def description(self) -> str:
        """Return it in one line, for users and for the ledger."""
        if self.builtin:
            of = " of " + (self.fleet or self.tree) if self.fleet or self.tree else ""
            return self.builtin + of
        words = " ".join(self.command)
        return f"{words} ({self.parser.description()})" if self.parser else words


class MetricBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline of a metric. stated: a value given by `source`; else `measure` runs at `commit`."""

    stated: float | None = None
    source: str = ""
    commit: str = ""
    measure: Measure | None = None


class Tolerance(msgspec.Struct, frozen=True):
    """How much worse a value may get: an amount in its unit, or a share of the value."""

    amount: float = 0.0
    share: float = 0.0

    def around(self, value: float) -> float:
        """Return the tolerance around `value`, in its unit."""
        return max(self.amount, self.share * abs(value))


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number to measure. name: `objective.metric`. measure: None for a stated value."""

    name: str
    where: str
    measure: Measure | None
    stated: float | None
    source: str
    unit: str
    better: Direction
    target: float | None
    tolerance: Tolerance
    repeat: int
    is_portable: bool
    baseline: MetricBaseline | None


class ObjectiveClaim(msgspec.Struct, frozen=True):
    """A claim of a person. value: None if the claim is that the target of `metric` is met."""

    text: str
    source: str
    metric: str
    value: float | None


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """An objective. weeks: the first and the last, None without a slot."""

    name: str
    title: str
    why: str
    weeks: tuple[int, int] | None
    priority: Priority
    effort_hours: float
    owner: str
    claims: tuple[ObjectiveClaim, ...]
    metrics: tuple[Metric, ...]


class Track(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded tracker file. directory, report, ledger: absolute paths."""

    title: str
    about: str
    start: str
    directory: str
    report: str
    ledger: str
    objectives: tuple[Objective, ...]

    def metrics(self) -> tuple[Metric, ...]:
        """Return all metrics, in the order of the file."""
        return tuple(metric for objective in self.objectives for metric in objective.metrics)
