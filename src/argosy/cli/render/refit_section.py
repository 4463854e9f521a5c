"""The section of the audit page on what `argosy refit` would change, and what it refuses and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape

from argosy.cli.render.inline_markup import render_inline_code
from argosy.refit.codemods.tree_pipeline import RefitReport
from argosy.refit.rules.b501_own_base_class.codemod import BASE_CLASS, SERVICE_DISCOVERY

_MAX_REASONS = 12
# Codes of a refit that an audit does not have.
_EXTRA_TITLES = {BASE_CLASS: "own base class of agents", SERVICE_DISCOVERY: "own lookup of agents"}


def render_refit_section(report: RefitReport, titles: Mapping[str, str]) -> str:
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
    heads = "".join(f'<th scope="col">{word}</th>' for word in ("site", "migrate", "stay", "why they stay"))
    return (
        '<section id="refit"><h2>What a refit would do</h2>'
        f"<p><code>argosy refit --apply</code> changes <b>{len(report.after)}</b> of {report.files} files; "
        "every site is migrated, or refused with a reason.</p>"
        f'<div class="frame"><table class="wide"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )


def _reasons_html(report: RefitReport, code: str) -> str:
    """Return the reasons of the refused sites of a code, the most frequent first; counts the rest."""
    counts = Counter(item.reason for item in report.refused if item.code == code)
    shown = counts.most_common(_MAX_REASONS)
    lines = [f"<li>{count} times: {render_inline_code(reason)}</li>" for reason, count in shown]
    if rest := counts.total() - sum(count for _, count in shown):
        lines.append(f"<li>{rest} for other reasons (<code>argosy refit --json</code>)</li>")
    if not lines:
        return ""
    return f"<details><summary>{len(counts)} reasons</summary><ul>{''.join(lines)}</ul></details>"
