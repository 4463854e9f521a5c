"""Renders a badge for a README: the number of achieved objectives, as an SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from argosy.track.metric_status import ObjectiveStatus

_LETTER_WIDTH = 6.6
_COLOURS = {"good": "#2b7a3d", "fair": "#8a6100", "bad": "#a3262a"}


def render_badge(title: str, objective_statuses: Sequence[ObjectiveStatus]) -> str:
    """Return the badge: green if all are achieved, red if one has regressed."""
    achieved = sum(each.status == "achieved" for each in objective_statuses)
    regressed = sum(each.status == "regressed" for each in objective_statuses)
    message = f"{achieved} of {len(objective_statuses)} achieved" + (
        f", {regressed} regressed" if regressed else ""
    )
    colour = _COLOURS["bad" if regressed else "good" if achieved == len(objective_statuses) else "fair"]
    left, right = (round(len(text) * _LETTER_WIDTH) + 12 for text in (title, message))
    label = escape(f"{title}: {message}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{label}"><title>{label}</title><rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        '<g fill="#fff" font-family="Verdana,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">{escape(title)}</text>'
        f'<text x="{left + right / 2:g}" y="14">{escape(message)}</text></g></svg>\n'
    )
