"""Renders an audit as one self-contained HTML page: a map of the tree, copies, a list for each code.

All findings are in the page as text, so that it can be read and searched without the script, which filters
the findings and colours the map by those that remain.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise

import msgspec

from argosy.cli.render.audit_view import AuditView
from argosy.cli.render.treemap import TreemapBox, layout_treemap
from argosy.html_page import inline_code, render_page, table
from argosy.refit.codemods.tree_pipeline import RefitReport
from argosy.refit.core.finding import Finding
from argosy.refit.rules.b501_own_base_class.codemod import BASE_CLASS, SERVICE_DISCOVERY
from argosy.refit.rules.registry import RuleReference, load_references

_WIDTH, _HEIGHT = 1200, 560
_LETTER_WIDTH = 6.3  # approximate width of a letter at 11 px
_COLOUR_STEPS = (1, 3, 6, 11)
_MAX_GROUPS = 12  # of copies; the others are folded
_MAX_REASONS = 12
# Codes of a refit that an audit does not have.
_EXTRA_TITLES = {BASE_CLASS: "own base class of agents", SERVICE_DISCOVERY: "own lookup of agents"}
_ACTION_LABELS = {
    "auto": "of a kind that refit changes automatically",
    "review": "a change can be proposed",
    "report": "a person has to decide",
}


def render_audit_page(view: AuditView) -> str:
    """Return the whole page."""
    references = {item.rule.code: item for item in load_references()}
    by_code: dict[str, list[Finding]] = defaultdict(list)
    for item in view.findings:
        by_code[item.code].append(item)
    by_code_sorted = sorted(by_code.items())
    refit = view.planned_refit
    return render_page(
        f"{view.name}: audit",
        "argosy.cli.render",
        "audit_page.html",
        summary=escape(view.summary_line()),
        when=time.strftime("%Y-%m-%d %H:%M"),
        actions=_actions(view.findings),
        codes="".join(_code_button(code, items, references[code]) for code, items in by_code_sorted),
        map=_treemap_svg(view),
        legend=_legend(),
        refit="" if refit is None else _refit_section(refit, view.titles),
        copies=_copies_html(view.findings),
        lists="".join(_finding_list_html(code, items, references[code]) for code, items in by_code_sorted),
        data=_script_data(view),
    )


def _actions(findings: Sequence[Finding]) -> str:
    counts = Counter[str](item.action for item in findings)
    return " &middot; ".join(
        f"<b>{counts[action]}</b> {word} (<i>{action}</i>)"
        for action, word in _ACTION_LABELS.items()
        if counts[action]
    )


def _code_button(code: str, items: Sequence[Finding], rule_doc: RuleReference) -> str:
    paths = len({item.path for item in items})
    auto = sum(item.action == "auto" for item in items)
    count_text = f"in {paths} {'file' if paths == 1 else 'files'}{f', {auto} auto' if auto else ''}"
    return (
        f'<button class="chip" data-code="{code}" aria-pressed="false"><b>{len(items)}</b>'
        f"<span><code>{code}</code> {escape(rule_doc.rule.title)}</span>"
        f"<small>{count_text}</small></button>"
    )


def _treemap_svg(view: AuditView) -> str:
    counts = Counter(item.path for item in view.findings)
    broken = set(view.unparseable)
    boxes = layout_treemap(view.report.sizes, _WIDTH, _HEIGHT)
    drawn = "".join(_box_svg(box, counts[box.path], box.path in broken) for box in boxes)
    return (
        f'<svg id="map" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="map of the tree by findings">'
        '<defs><pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)"><path class="hatch" d="M0 0V6" /></pattern></defs>'
        f"{drawn}</svg>"
    )


def _box_svg(box: TreemapBox, count: int, is_broken: bool) -> str:
    if box.width < 0.3 or box.height < 0.3:
        return ""
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}"'
    if box.is_directory:
        max_letters = int((box.width - 8) / _LETTER_WIDTH)
        name = (
            box.name
            if len(box.name) <= max_letters
            else (box.name[: max_letters - 1] + "…" if max_letters > 3 else "")
        )
        label = f'<text x="{box.x + 4:.1f}" y="{box.y + 11.5:.1f}">{escape(name)}</text>' if name else ""
        return f'<rect class="folder" data-folder="{escape(box.path)}" {place}/>{label}'
    kind = "broken" if is_broken else f"f{colour_step(count)}"
    title = "does not parse" if is_broken else f"{count} finding{'' if count == 1 else 's'}"
    rect = f'<rect class="file {kind}" data-path="{escape(box.path)}" {place}>'
    hatch = f'<rect class="over" {place} fill="url(#hatch)"/>' if is_broken else ""
    return f"{rect}<title>{escape(box.path)}: {title}</title></rect>{hatch}"


def colour_step(count: int) -> int:
    """Return the step of the colour scale for a number of findings, 0 for none."""
    return sum(count >= step for step in _COLOUR_STEPS)


def _legend() -> str:
    edges = [*_COLOUR_STEPS, 0]
    labels = ["none"] + [
        f"{low}{'' if high == low + 1 else f' to {high - 1}' if high else ' or more'}"
        for low, high in pairwise(edges)
    ]
    steps = "".join(f'<span><i class="f{step}"></i>{word}</span>' for step, word in enumerate(labels))
    return f'<span><i class="broken"></i>does not parse</span>{steps}'


def _copies_html(findings: Sequence[Finding]) -> str:
    groups: dict[str, list[Finding]] = defaultdict(list)
    for item in findings:
        if item.group:
            groups[item.group].append(item)
    if not groups:
        return ""
    ordered = sorted(groups.values(), key=lambda items: (-len(items), items[0]))
    rows = [_copy_group_html(items) for items in ordered]
    shown, folded = "".join(rows[:_MAX_GROUPS]), "".join(rows[_MAX_GROUPS:])
    more = f"<details><summary>{len(rows) - _MAX_GROUPS} more groups</summary>{folded}</details>"
    return (
        '<section id="copies"><h2>Copies, the largest groups first</h2>'
        f"{shown}{more if folded else ''}</section>"
    )


def _copy_group_html(items: Sequence[Finding]) -> str:
    """Return one group of copies: the symbol, how similar they are, and all their places."""
    first = items[0]
    # The message begins with the symbol and ends with some of the places, which are all listed here.
    alike = f"({first.message.partition(' (')[2].partition(': ')[0]}"
    places = "".join(f"<li><code>{_location(item)}</code> {escape(item.symbol)}</li>" for item in items)
    return (
        f"<details><summary><b>{len(items)}</b> <code>{escape(first.symbol or first.path)}</code>"
        f" <small>{inline_code(alike)}</small></summary><ul>{places}</ul></details>"
    )


def _finding_list_html(code: str, items: Sequence[Finding], rule_doc: RuleReference) -> str:
    _, _, rest = rule_doc.docstring.strip().partition("\n")
    why = "".join(f"<p>{inline_code(part)}</p>" for part in rest.strip().split("\n\n"))
    rows = "".join(
        f'<tr data-path="{escape(item.path)}"><td><code>{_location(item)}</code></td>'
        f"<td>{inline_code(item.message)}{_hint_html(item)}</td><td><code>{escape(item.symbol)}</code></td></tr>"
        for item in items
    )
    return (
        f'<details class="list" data-code="{code}" id="{code}"><summary><code>{code}</code> '
        f'{escape(rule_doc.rule.title)} <b class="count">{len(items)}</b> '
        f"<i>{rule_doc.rule.action}</i></summary>"
        f'<div class="why">{why}</div>'
        f'<div class="frame">{table(("place", "what", "symbol"), rows)}</div></details>'
    )


def _location(item: Finding) -> str:
    return f"{escape(item.path)}:{item.line}"


def _hint_html(item: Finding) -> str:
    return f"<small>{inline_code(item.hint)}</small>" if item.hint else ""


def _script_data(view: AuditView) -> str:
    """Return the findings of each file by code, for the script."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for item in view.findings:
        counts[item.path][item.code] += 1
    text = msgspec.json.encode({"counts": counts, "steps": _COLOUR_STEPS}).decode()
    return text.replace("<", "\\u003c")


def _refit_section(report: RefitReport, titles: Mapping[str, str]) -> str:
    """Return the section: a row for each code, with the reasons of refusals. titles: by code."""
    sites = report.site_counts()
    if not sites:
        return ""
    titles_by_code = {**_EXTRA_TITLES, **titles}
    rows = "".join(
        f"<tr><td><code>{code}</code> {escape(titles_by_code.get(code, ''))}</td>"
        f"<td>{counts['migrated']} <small>migrate</small></td>"
        f"<td>{counts['refused']} <small>stay</small></td><td>{_reasons_html(report, code)}</td></tr>"
        for code, counts in sites.items()
    )
    sites_table = table(("site", "migrate", "stay", "why they stay"), rows, ' class="wide"')
    return (
        '<section id="refit"><h2>What a refit would do</h2>'
        f"<p><code>argosy refit --apply</code> changes <b>{len(report.after)}</b> of {report.files} files; "
        "every site is migrated, or refused with a reason.</p>"
        f'<div class="frame">{sites_table}</div></section>'
    )


def _reasons_html(report: RefitReport, code: str) -> str:
    """Return the reasons of the refused sites of a code, the most frequent first; counts the rest."""
    counts = Counter(item.reason for item in report.refused if item.code == code)
    shown = counts.most_common(_MAX_REASONS)
    lines = [f"<li>{count} times: {inline_code(reason)}</li>" for reason, count in shown]
    if rest := counts.total() - sum(count for _, count in shown):
        lines.append(f"<li>{rest} for other reasons (<code>argosy refit --json</code>)</li>")
    if not lines:
        return ""
    return f"<details><summary>{len(counts)} reasons</summary><ul>{''.join(lines)}</ul></details>"
