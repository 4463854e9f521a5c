"""Renders the result of a full run as a Markdown page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

from realfleet.audit_comparison import ADDRESSES

_MIB: Final = 2**20

_HEAD = """\
# The real fleet, brought up from its own code

A code base of {declared} agents on two machines that nobody has tidied, taken as it is, made over by
argosy's verbs, and started: all agents together, in the testing environment, in a network that has nothing
but loopback. This page is

```sh
scenarios/real-fleet/run --tree TREE --json --full > bench/results/real-fleet-DATE.json
scenarios/real-fleet/run --page bench/results/real-fleet-DATE.json > docs/explanation/real-fleet.md
```

for the newest of these files; the untouched tree and the one made over go through the same commands. How it
is measured, and what *ready*, *degraded* and *complete* mean:
`scenarios/real-fleet/README.md`.
"""

_MEANS = """\
What makes it over: `argosy repair --apply` (files that do not parse, names, what ends every start; packages
that are not installed here are told by `--absent`), `argosy refit --apply` (the tree's own base class and
lookups give way to argosy's, contexts become leases, health loops that it can take over go), then
`scenarios/real-fleet/decisions.yaml`. {addresses}

No file outside the manifests and the decisions changed, and a start changes none: what the agents write
lands in an overlay ({new} new files, {over} of the tree's own written over).
"""

_STAY = (
    "Addresses that are written out stay as they are: the fleet file that `argosy import` makes has no "
    "environments with addresses of their own, so that refit has nothing to move them to "
    "({refused} sites refused)."
)
_MOVED = "Of the addresses that are written out, {migrated} became the fleet's, and {refused} were refused."

_INPUT = """\
The decision file also says which fleet is meant, which is an input and no decision: the tree describes
several, and `fleet.files` names the {files} that are taken. Where the machines are at home is told the same
way: {addresses}.
"""

_BESIDE = """\
Beside the fleet stand a redis-server and, where PulseAudio is installed, a sound server with a null sink: it
plays at the pace of a real device to nobody, and who records from it hears silence. Programs that agents use
and that were not installed here: {absent}.
"""

_OLD_START = """\
The `argosy up` of the tree as found is the time until the last of its agents has ended: none comes up the old
way, so there is no start time of old to compare with.
"""

_AUDITED = """\
## What `argosy audit` tells, before and after
An audit counts what it can read: {before} files do not parse as found, {after} made over. The lower rows are
of the files that parse on both sides.
"""

_CELLS = """\
## Why no cell holds them
The context of a process is one for all that is in it, so agents in cells would share a few. Argosy puts no
agent of the old kind in a cell (`argosy check` reports `cell-legacy-class`): each takes of its process what
there is once. Of the {ready} that are ready:
"""


def render_page(result: dict[str, Any]) -> str:
    """Return the page, in Markdown."""
    before, after = result["before"], result["after"]
    parts = [
        _HEAD.format(declared=after["declared"]),
        _table(("", "as found", "made over"), [(label, of(before), of(after)) for label, of in _ROWS]),
        *([] if before["ready"] else [_OLD_START]),
        _without_decisions(after),
        _MEANS.format(
            new=after["written"]["new"], over=len(after["written"]["changed"]), addresses=_addresses(after)
        ),
        _BESIDE.format(absent=", ".join(f"`{each}`" for each in after["absent_programs"]) or "none"),
        f"The whole run took {result['seconds']} s.\n",
        *_audits(result["audits"]),
        "## Decisions",
        *(
            [_INPUT.format(files=after["fleet_files"], addresses=_homes(after))]
            if after["fleet_files"]
            else []
        ),
        _table(
            ("file", "kind", "lines added", "removed", "why"),
            [_decision(each) for each in after["made"]["decisions"]],
        ),
        "## What the parts of the compat base are worth",
        _table(("without", "ready"), result["ablation"].items()),
        "## Not ready, each with its reason",
        _table(("agent", "reason"), after["not_ready"].items()),
        "## Degraded: what will fail by name",
        _table(("agent", "what"), [(name, "; ".join(what)) for name, what in after["degraded"].items()]),
        "## Ready, and no answer on the declared main port",
        _table(("agent", "what is there"), after["no_main_port"].items()),
        "## Packages that a script has a way to do without, and does",
        _table(("agent", "packages"), [(name, ", ".join(what)) for name, what in after["optional"].items()]),
        "## More than one ZeroMQ context",
        _table(("agent", "why"), after["more_contexts"].items()),
        _CELLS.format(ready=len(after["ready"])),
        _table(("what an agent takes of its process", "agents"), _taken(after)),
        _table(("agent", "why no cell"), [(name, ", ".join(why)) for name, why in after["apart"].items()]),
    ]
    return "\n".join(part if part.startswith("#") or part.endswith("\n") else f"{part}\n" for part in parts)


def _homes(after: dict[str, Any]) -> str:
    result = [f"`{name}` is {address}" for name, address in after["addresses"].items()]
    return " and ".join(result) or "nobody says"


def _without_decisions(after: dict[str, Any]) -> str:
    shared = sum(each["shared"] for each in after["made"]["decisions"])
    return (
        "By general rules, the compat base and its adapters alone, without any decision: "
        f"**{after['rules_only']}** ready. "
        f"With the {shared} shared decisions: **{after['shared_only']}**. "
        f"With all {after['decisions']}: **{len(after['ready'])}**.\n"
    )


def _addresses(after: dict[str, Any]) -> str:
    sites = after["made"]["refit"]["sites"]
    found = [sites[code] for code in ADDRESSES if code in sites]
    migrated, refused = (sum(each[word] for each in found) for word in ("migrated", "refused"))
    return (_MOVED if migrated else _STAY).format(migrated=migrated, refused=refused)


def _audits(result: dict[str, Any]) -> tuple[str, str]:
    every, both = result["all"], result["both"]
    rows = [
        (f"{label}{more}", sides["before"][key], sides["after"][key])
        for more, sides in (("", every), (", files of both", both))
        for label, key in _COUNTED
    ]
    unread = {name: each["unparseable"] for name, each in every.items()}
    return _AUDITED.format(**unread), _table(("", "as found", "made over"), rows)


def _decision(each: dict[str, Any]) -> tuple[object, ...]:
    restored = f" ({each['restored']} from another file of the tree)" if each["restored"] else ""
    return f"`{each['file']}`", each["kind"], f"{each['added']}{restored}", each["removed"], each["why"]


def _taken(after: dict[str, Any]) -> list[tuple[str, int]]:
    return Counter(why for each in after["apart"].values() for why in each).most_common()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(head), ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


_COUNTED: Final = (
    ("loops of their own that answer for health (H201)", "health"),
    ("their implementations, copies up to names and constants (C701) counted once", "implementations"),
    ("addresses written out (A401, A402)", "addresses"),
)
_ROWS: Final = (
    ("agents declared", lambda each: each["declared"]),
    ("scripts that parse", lambda each: each["parse"]),
    ("statically startable (`argosy check`)", lambda each: each["startable"]),
    ("**ready**", lambda each: f"**{len(each['ready'])}**"),
    ("complete", lambda each: len(each["ready"]) - len(each["degraded"])),
    ("degraded", lambda each: len(each["degraded"])),
    ("answer a request on their declared main port", lambda each: len(each["main_port"])),
    ("processes", lambda each: each["processes"]),
    (
        "ZeroMQ contexts, all and most in a process",
        lambda each: f"{each['contexts']}, {each['most_contexts']}",
    ),
    ("threads", lambda each: each["threads"]),
    ("descriptors", lambda each: each["descriptors"]),
    ("PSS (MiB)", lambda each: each["pss_bytes"] // _MIB),
    ("`argosy up` (s)", lambda each: each["start_seconds"]),
    ("`argosy down` (s)", lambda each: each["stop_seconds"]),
)
