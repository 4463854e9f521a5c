"""Suggests the closest known word for an unknown one."""

from __future__ import annotations

from collections.abc import Collection

from argosy.fault import Fault
from argosy.fleet.quantities import format_names

# Names of the same keys in other tools, which spelling similarity does not find.
_FOREIGN_KEYS = {
    "command": "run",
    "dependencies": "needs",
    "depends_on": "needs",
    "depends-on": "needs",
    "entrypoint": "run",
    "environment": "env",
    "healthcheck": "ready",
    "health_check": "ready",
    "health_check_port": "health_port",
    "host": "machine",
    "name": "fleet",
    "node": "machine",
    "readiness": "ready",
    "script": "run",
    "script_path": "run",
    "timeout": "start_timeout",
    "working_dir": "cwd",
}


def closest_match(word: str, known: Collection[str]) -> str | None:
    """Return the known word that `word` probably means, or None."""
    equivalent = _FOREIGN_KEYS.get(word.lower())
    if equivalent in known:
        return equivalent
    import difflib  # noqa: PLC0415  (only needed for an unknown word)

    folded = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(word.lower(), folded, 1)
    return folded[near[0]] if near else None


def suggest(word: str, known: Collection[str], what: str) -> str:
    """Return the hint for an unknown word: the closest known word, else up to 12 known words."""
    near = closest_match(word, known)
    if near is not None:
        return f"did you mean `{near}`?"
    if not known:
        return f"there are no {what}"
    return f"{what}: {format_names(sorted(known), 12)}"


def unknown_name(where: str, kind: str, name: str, known: Collection[str]) -> Fault:
    """Return the fault `unknown-KIND` of a name that is not among the `known` ones of its kind."""
    return Fault(where, f"unknown-{kind}", f"there is no {kind} `{name}`", suggest(name, known, f"{kind}s"))
