"""The part of the audit's page that says what `argosy refit` would do, and what it leaves and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape

from argosy.cli.audit_words import worded
from argosy.refit.rewrite.refit import Account
from argosy.refit.rewrite.standins import BASE, DISCOVERY

_MOST_REASONS = 12
# What a refit does beside the findings of an audit.
_TITLES = {BASE: "own base class of agents", DISCOVERY: "own lookup of agents"}


def render_refit(account: Account, titles: Mapping[str, str]) -> str:
    """Return the section: a row for each kind of site, with why some stay. titles: by code."""
    sites = account.sites()
    if not sites:
        return ""
    named = {**_TITLES, **titles}
    rows = "".join(
        f"<tr><td><code>{code}</code> {escape(named.get(code, ''))}</td>"
        f"<td>{counts['migrated']} <small>migrate</small></td>"
        f"<td>{counts['refused']} <small>stay</small></td><td>{_reasons(account, code)}</td></tr>"
        for code, counts in sites.items()
    )
    heads = "".join(f'<th scope="col">{word}</th>' for word in ("site", "migrate", "stay", "why they stay"))
    return (
        '<section id="refit"><h2>What a refit would do</h2>'
        f"<p><code>argosy refit --apply</code> changes <b>{len(account.after)}</b> of {account.files} files; "
        "every site is migrated or refused by name.</p>"
        f'<div class="frame"><table class="wide"><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )


def _reasons(account: Account, code: str) -> str:
    """Return the reasons of the sites of a code that stay, the most frequent first; the rest is counted."""
    counts = Counter(item.reason for item in account.refused if item.code == code)
    shown = counts.most_common(_MOST_REASONS)
    lines = [f"<li>{count} times: {worded(reason)}</li>" for reason, count in shown]
    if rest := counts.total() - sum(count for _, count in shown):
        lines.append(f"<li>{rest} for other reasons (<code>argosy refit --json</code>)</li>")
    if not lines:
        return ""
    return f"<details><summary>{len(counts)} reasons</summary><ul>{''.join(lines)}</ul></details>"
