"""Renders the result of the scenario as text."""

from __future__ import annotations

from collections import Counter
from typing import Any


def render_text(result: dict[str, Any]) -> str:
    """Return the result as text: before and after, then the agents that are not ready and why."""
    before, after = result["before"], result["after"]
    lines = [f"{'':<28}{'before':>10}{'after':>10}"]
    for label, of in _ROWS:
        left = str(of(before)) if before else "-"
        lines.append(f"{label:<28}{left:>10}{of(after)!s:>10}")
    for files, sides in (result["audits"] or {}).items():
        lines += [
            f"audit, {files} files: {key} {count} before, {sides['after'][key]} after"
            for key, count in sides["before"].items()
        ]
    lines.append(f"decisions: {after['decisions']}")
    if after["rules_only"] is not None:
        lines.append(
            f"ready by rules alone {after['rules_only']}, with shared decisions {after['shared_only']}"
        )
    lines += [f"ready without {part}: {count}" for part, count in result["ablation"].items()]
    lines += [f"degraded: {name}: {'; '.join(what)}" for name, what in after["degraded"].items()]
    lines += [f"not ready: {name}: {reason}" for name, reason in after["not_ready"].items()]
    lines += [f"no answer on the main port: {name}: {what}" for name, what in after["no_main_port"].items()]
    lines += [f"does without: {name}: {', '.join(what)}" for name, what in after["optional"].items()]
    counts = Counter(why for each in after["apart"].values() for why in each)
    lines += [f"in no cell, since it {why}: {count} agents" for why, count in counts.most_common()]
    lines.append(f"{result['seconds']} s in all")
    return "\n".join(lines)


_ROWS = (
    ("agents declared", lambda each: each["declared"]),
    ("scripts that parse", lambda each: each["parse"]),
    ("statically startable", lambda each: each["startable"]),
    ("ready", lambda each: len(each["ready"])),
    ("complete", lambda each: len(each["ready"]) - len(each["degraded"])),
    ("degraded", lambda each: len(each["degraded"])),
    ("answer on the main port", lambda each: len(each["main_port"])),
    ("processes", lambda each: each["processes"]),
    ("contexts", lambda each: each["contexts"]),
    ("most contexts in a process", lambda each: each["most_contexts"]),
    ("threads", lambda each: each["threads"]),
    ("descriptors", lambda each: each["descriptors"]),
    ("PSS (MiB)", lambda each: each["pss_bytes"] // 2**20),
    ("start (s)", lambda each: each["start_seconds"]),
)
