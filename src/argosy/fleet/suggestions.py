"""The nearest right word for a word that is not known."""

from __future__ import annotations

from collections.abc import Collection

# What the same thing is called elsewhere; no measure of letters finds these.
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
    """Return the known word that `word` was probably meant to be, or None."""
    equivalent = _FOREIGN_KEYS.get(word.lower())
    if equivalent in known:
        return equivalent
    import difflib  # noqa: PLC0415  (only a wrong word needs it)

    folded = {candidate.lower(): candidate for candidate in known}
    near = difflib.get_close_matches(word.lower(), folded, 1)
    return folded[near[0]] if near else None


def suggest(word: str, known: Collection[str], what: str) -> str:
    """Return the hint for an unknown word: the nearest one, else what there is (at most 12 words)."""
    near = closest_match(word, known)
    if near is not None:
        return f"did you mean `{near}`?"
    if not known:
        return f"there are no {what}"
    listed = sorted(known)
    more = f" and {len(listed) - 12} more" if len(listed) > 12 else ""
    return f"{what}: " + ", ".join(f"`{one}`" for one in listed[:12]) + more
