"""The account of a full run as a page for people, made of nothing but what the run has printed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

_MIB: Final = 2**20

_HEAD = """\
# The real fleet, brought up from its own code

A code base of {declared} agents on two machines that nobody has tidied, taken as it is, made over by
argosy's verbs, and started: all agents together, in the testing environment, in a network that has nothing
but loopback. This page is

```sh
scenarios/real-fleet/run --tree TREE --json --full > bench/results/real-fleet-DATE.json
scenarios/real-fleet/run --page bench/results/real-fleet-DATE.json > docs/real-fleet.md
```

for the newest of these files; the untouched tree and the one made over go through the same commands. How it
is measured, and what *ready*, *degraded* and *complete* mean:
[scenarios/real-fleet/README.md](../scenarios/real-fleet/README.md).
"""

_MEANS = """\
What makes it over: `argosy repair --apply` (files that do not parse, names, what ends every start; packages
that are not installed here are told by `--absent`), `argosy refit --apply` (the tree's own base class and
lookups give way to argosy's, contexts become leases, addresses the fleet's), then
`scenarios/real-fleet/decisions.yaml`. No file outside the manifests and the decisions changed, and a start
changes none: what the agents write lands in an overlay ({new} new files, {over} of the tree's own written
over).
"""

_CELLS = """\
## Why no cell holds them
The context of a process is one for all that is in it, so agents in cells would share a few. Argosy puts no
agent of the old kind in a cell (`argosy check` tells it as `cell-old-class`): each takes of its process what
there is once. Of the {ready} that are ready:
"""


def as_page(told: dict[str, Any]) -> str:
    """Return the page, in Markdown."""
    before, after = told["before"], told["after"]
    parts = [
        _HEAD.format(declared=after["declared"]),
        _table(("", "as found", "made over"), [(label, of(before), of(after)) for label, of in _ROWS]),
        _without_decisions(after),
        _MEANS.format(new=after["written"]["new"], over=len(after["written"]["changed"])),
        f"The whole run took {told['seconds']} s.\n",
        "## Decisions",
        _table(
            ("file", "kind", "lines added", "removed", "why"),
            [_decision(each) for each in after["made"]["decisions"]],
        ),
        "## What the parts of the compat base are worth",
        _table(("without", "ready"), told["ablation"].items()),
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
    ]
    return "\n".join(part if part.startswith("#") or part.endswith("\n") else f"{part}\n" for part in parts)


def _without_decisions(after: dict[str, Any]) -> str:
    shared = sum(each["shared"] for each in after["made"]["decisions"])
    return (
        "By general rules, the compat base and its adapters alone, without any decision: "
        f"**{after['rules_only']}** ready. "
        f"With the {shared} shared decisions: **{after['shared_only']}**. "
        f"With all {after['decisions']}: **{len(after['ready'])}**.\n"
    )


def _decision(each: dict[str, Any]) -> tuple[object, ...]:
    restored = f" ({each['restored']} from another file of the tree)" if each["restored"] else ""
    return f"`{each['file']}`", each["kind"], f"{each['added']}{restored}", each["removed"], each["why"]


def _taken(after: dict[str, Any]) -> list[tuple[str, int]]:
    return Counter(why for each in after["apart"].values() for why in each).most_common()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [list(head), ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


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
