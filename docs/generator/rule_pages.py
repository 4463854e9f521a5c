"""A page for each family of the audit's rules, from the rules' own docstrings and cases."""

from __future__ import annotations

from itertools import groupby

from markdown import code, table

from argosy.refit.core.rule import RuleCase
from argosy.refit.rules.registry import RuleReference, load_references

FAMILIES = {
    "A": ("addresses", "Addresses"),
    "C": ("copies", "Copies"),
    "D": ("fleet-edges", "Edges of the fleet file"),
    "H": ("health", "Health"),
    "I": ("packages", "Packages and containers"),
    "S": ("start", "Faults at the start"),
    "Z": ("sockets", "ZeroMQ sockets and contexts"),
}
# What the rules of a family have in common.
INTRODUCTIONS = {
    "H": """\
These rules find health reporting outside the standard ([agents](../agent.md#health),
[old agents](../compat.md)), by the behaviour of the code.

A health payload is a dict whose `status` is a health word, or is next to related keys (`uptime`, `agent`,
`metrics` …). A call counts as the value that its function returns, and `_get_health_status()` is always a
payload. A dict that only reports an error is not.
""",
    "I": "How I604 runs hadolint: [Audit a tree](../../how-to/audit-a-tree.md#dockerfiles).\n",
    "S": """\
S105 to S110 find faults of files that parse and bind their names. The intended code is known only to a
person, so the audit changes none of them; `argosy repair` fixes the certain cases
([rules of the repair](../repair-rules.md)).
""",
}
ACTIONS = {
    "auto": "`argosy refit` can fix it alone",
    "review": "a change can be proposed, a person has to check it",
    "report": "a person has to decide",
}
_MOST_EXAMPLE_LINES = 14


def pages() -> dict[str, str]:
    """Return the pages by path: the index, and one for each family."""
    references = load_references()
    result = {"reference/rules/index.md": _index(references)}
    for letter, group in groupby(references, key=lambda item: item.rule.code[0]):
        name, title = FAMILIES[letter]
        result[f"reference/rules/{name}.md"] = f"# {title}\n\n{INTRODUCTIONS.get(letter, '')}" + "".join(
            map(_section, group)
        )
    return result


def _index(references: tuple[RuleReference, ...]) -> str:
    rows = [
        (
            f"[{item.rule.code}]({FAMILIES[item.rule.code[0]][0]}.md#{_anchor(item)})",
            _title(item),
            item.rule.action,
        )
        for item in references
    ]
    return (
        "# Rules of the audit\n\n"
        "`argosy audit` reports these ([Audit a tree](../../how-to/audit-a-tree.md)). Codes are stable.\n\n"
        + table(("action", "meaning"), [(code(name), text) for name, text in ACTIONS.items()])
        + "\n"
        + table(("code", "finds", "action"), rows)
    )


def _title(item: RuleReference) -> str:
    return item.docstring.splitlines()[0]


def _anchor(item: RuleReference) -> str:
    return item.rule.code.lower()


def _section(item: RuleReference) -> str:
    _, _, text = item.docstring.strip().partition("\n")
    needs = " Needs a fleet file." if item.rule.is_fleet_rule else ""
    return (
        f"\n## {item.rule.code}: {_title(item)} {{ #{_anchor(item)} }}\n\n"
        f"Action: `{item.rule.action}`.{needs}\n\n{text.strip()}\n" + _example(item)
    )


def _example(item: RuleReference) -> str:
    """Return the shortest case of one Python file that has a finding."""
    fitting = [case for case in item.must_find if isinstance(case.source, str) and "# <--" in case.source]
    if not fitting:
        return ""
    lines = min(fitting, key=_size).source
    assert isinstance(lines, str)
    if len(lines.splitlines()) > _MOST_EXAMPLE_LINES:
        return ""
    return f"\n```python\n{lines.strip()}\n```\n"


def _size(case: RuleCase) -> tuple[int, int]:
    return len(case.source.splitlines()), len(case.source)
