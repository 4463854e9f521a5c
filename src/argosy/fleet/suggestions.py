"""Suggests the closest known word for an unknown one."""

from __future__ import annotations

from collections.abc import Collection

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
    listed = sorted(known)
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{what}: " + ", ".join(f"`{one}`" for one in listed[:12]) + more
