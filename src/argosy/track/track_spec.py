"""A tracker file as frozen structs: the one schema for loading, the JSON Schema and the docs.

`...Keys` are what a person writes; `Track`, `Objective`, `Metric` and `Measure` are what the loader makes of
them.
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
    Meta(description="a command: a list of words, or a text that is split like a shell's; no shell runs it"),
]
Globs = Annotated[
    list[ScalarText],
    Meta(description="globs of files, by the tracker's folder (`**` crosses folders); `$NAME` outside of it"),
]


class ParserKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a command's output becomes a number; exactly one of these."""

    json: Annotated[
        str | list[ScalarText],
        Meta(
            description="the way to a value in the JSON that it prints: keys with dots between, or a list of "
            "keys; a list or mapping counts as its length"
        ),
    ] = ""
    match: Annotated[str, Meta(description="a regular expression; its first group in the output")] = ""
    lines: Annotated[bool, Meta(description="how many lines it prints that are not empty")] = False
    exit: Annotated[bool, Meta(description="its exit code; else any but 0 and 1 is trouble")] = False


class MeasureKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A command that several metrics read."""

    run: Annotated[CommandWords, Meta(description="the command, run in the tracker's folder")]
    inputs: Annotated[Globs, Meta(description="what its output hangs on; default every file")] = []
    timeout: Annotated[Duration, Meta(description="how long it may take; default 10m")] = "10m"
    env: Annotated[dict[Name, ScalarText], Meta(description="variables for it")] = {}


class MethodKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a figure is got: measured in one of three ways, or stated by somebody."""

    measure: Annotated[
        str, Meta(description="a built-in measure, such as `audit.Z301.count`; `argosy track measures` lists")
    ] = ""
    uses: Annotated[str, Meta(description="a name of `measures`, with `read`")] = ""
    run: Annotated[CommandWords, Meta(description="a command of its own, with `read`")] = ""
    read: Annotated[ParserKeys | None, Meta(description="how the output becomes a number")] = None
    stated: Annotated[
        float | None, Meta(description="no measure: a figure that somebody gave; it is told as that")
    ] = None
    source: Annotated[ScalarText, Meta(description="with `stated`: who gave it, and where")] = ""
    tree: Annotated[
        ScalarText, Meta(description="for `audit.*`: the folder to read (default: the tracker's)")
    ] = ""
    fleet: Annotated[ScalarText, Meta(description="for `fleet.*` and others: the fleet file")] = ""
    inputs: Globs = []


class BaselineKeys(MethodKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a metric is compared with: measured at a commit, measured in another way, or only stated.

    What it says of the way stands in place of the metric's own.
    """

    at: Annotated[str, Meta(description="a commit, branch or tag: the same measure, there")] = ""


class MetricKeys(MethodKeys, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number: how it is measured, where it was, where it is to go."""

    timeout: Annotated[Duration, Meta(description="how long it may take; default 10m")] = "10m"
    unit: Annotated[ScalarText, Meta(description="the unit, for people; default by the measure")] = ""
    better: Annotated[Direction, Meta(description="which way is good; default `lower`")] = "lower"
    target: Annotated[float | None, Meta(description="where it is to go")] = None
    tolerance: Annotated[
        ScalarText,
        Meta(
            pattern=TOLERANCE_PATTERN,
            description="how much worse than its best it may be: a number in its unit, or `5 %`",
            extra={"any_scalar": True, "phrase": "a number in the metric's unit, or a share such as `5 %`"},
            extra_json_schema={"x-any-scalar": True},
        ),
    ] = "0"
    repeat: Annotated[PositiveCount, Meta(description="how often it is measured; the median counts")] = 1
    portable: Annotated[
        bool | None,
        Meta(description="whether two machines give the same; default by the measure, false for a command"),
    ] = None
    baseline: Annotated[BaselineKeys | None, Meta(description="what it is compared with")] = None


class ObjectiveClaimKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody said of an objective, to be held against what is measured."""

    text: Annotated[ScalarText, Meta(description="the claim, in words")]
    source: Annotated[ScalarText, Meta(description="who claims it, and where")]
    metric: Annotated[str, Meta(description="the metric that tells; default the first")] = ""
    value: Annotated[
        float | None, Meta(description="the figure that is claimed; without it, that the target is met")
    ] = None


class ObjectiveKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is to become true."""

    title: Annotated[ScalarText, Meta(description="what is to become true")]
    why: Annotated[ScalarText, Meta(description="what it is good for")] = ""
    slot: Annotated[
        ScalarText,
        Meta(
            pattern=SLOT_PATTERN,
            description="the weeks of the roadmap, counted from `start`: `3` or `2-4`",
            extra={"any_scalar": True, "phrase": "a week or two, such as `3` or `2-4`"},
            extra_json_schema={"x-any-scalar": True},
        ),
    ] = ""
    priority: Annotated[Priority, Meta(description="default `medium`")] = "medium"
    effort: Annotated[
        str,
        Meta(
            pattern=EFFORT_PATTERN,
            description="how much work is left: `4h`, `3d` or `2w`",
            extra={"phrase": "an effort such as `4h`, `3d` or `2w`"},
        ),
    ] = "1d"
    owner: Annotated[ScalarText, Meta(description="who answers for it")] = ""
    claimed: Annotated[list[ObjectiveClaimKeys], Meta(description="what was said of it")] = []
    metrics: Annotated[dict[Name, MetricKeys], Meta(description="the numbers that tell, by name")]


class TrackKeys(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The top of a tracker file."""

    track: Annotated[ScalarText, Meta(description="what is tracked: the title of the report")]
    about: Annotated[ScalarText, Meta(description="a paragraph for the head of the report")] = ""
    start: Annotated[
        str,
        Meta(
            pattern=DATE_PATTERN,
            description="the first day of week 1, as 2026-11-02",
            extra={"phrase": "a date such as 2026-11-02"},
        ),
    ] = ""
    report: Annotated[ScalarText, Meta(description="where the report is written; default TRACK.md")] = (
        "TRACK.md"
    )
    ledger: Annotated[ScalarText, Meta(description="the folder of what was measured; default `track`")] = (
        "track"
    )
    measures: Annotated[dict[Name, MeasureKeys], Meta(description="commands that several metrics read")] = {}
    objectives: Annotated[dict[Name, ObjectiveKeys], Meta(description="the objectives, by name")]


class OutputParser(msgspec.Struct, frozen=True):
    """How an output becomes a number. kind: json, match, lines or exit. path: keys, for json."""

    kind: Literal["json", "match", "lines", "exit"]
    path: tuple[str, ...] = ()
    pattern: str = ""

    def description(self) -> str:
        """Return it for people."""
        if self.kind == "json":
            return "json " + ".".join(self.path)
        return f"match {self.pattern}" if self.kind == "match" else self.kind


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """How one number is got.

    builtin: the name of a built-in measure, or empty; then `command` is run and `read`.
    tree, fleet: relative to the tracker's folder. inputs: globs; empty for the default of its kind.
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
        """Return it in one line, for people and for the ledger."""
        if self.builtin:
            of = " of " + (self.fleet or self.tree) if self.fleet or self.tree else ""
            return self.builtin + of
        words = " ".join(self.command)
        return f"{words} ({self.parser.description()})" if self.parser else words


class MetricBaseline(msgspec.Struct, frozen=True, kw_only=True):
    """What a metric is compared with. stated: a figure of `source`; else `measure`, at commit `at`."""

    stated: float | None = None
    source: str = ""
    commit: str = ""
    measure: Measure | None = None


class Tolerance(msgspec.Struct, frozen=True):
    """How much worse a value may be: an amount in its unit, or a share of the value."""

    amount: float = 0.0
    share: float = 0.0

    def around(self, value: float) -> float:
        """Return the tolerance around `value`, in its unit."""
        return max(self.amount, self.share * abs(value))


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One number, ready to be measured. name: `objective.metric`. measure: None for a stated figure."""

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
    """What somebody said. value: None when the claim is that the target of `metric` is met."""

    text: str
    source: str
    metric: str
    value: float | None


class Objective(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is to become true. weeks: the first and the last, None without a slot."""

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
    """A tracker file, read. folder: absolute, of the file; report and ledger: absolute paths in it."""

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
