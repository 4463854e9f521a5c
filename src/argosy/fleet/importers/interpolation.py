"""Interpolates `$NAME` and `${NAME:-default}` in a Compose file, as Compose does.

Values come from the `.env` next to the file and from the defaults in the text, never from the process
environment: the same files must give the same fleet file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from argosy.fleet.importers.input_file import PlainData

_VARIABLE = re.compile(r"\$(?:\$|([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-?+])([^{}]*))?\})")
_ENV_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")


class Interpolation:
    """Substitutes variables and records those without a value.

    variables: the variables set in `.env`. unset_names: names used without a value or a default.
    defaults_used: the defaults that were used, by name.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._variables = variables
        self.unset_names: set[str] = set()
        self.defaults_used: dict[str, str] = {}

    def substitute(self, value: PlainData) -> PlainData:
        """Return `value` with the variables in all its texts substituted."""
        if isinstance(value, dict):
            return {key: self.substitute(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.substitute(inner) for inner in value]
        return _VARIABLE.sub(self._replace, value) if isinstance(value, str) else value

    def _replace(self, match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name is None:
            return "$"
        kind, text = match[3] or "", match[4] or ""
        value = self._variables.get(name)
        is_set = value is not None and not (kind.startswith(":") and not value)
        if kind.endswith("+"):
            return text if is_set else ""
        if is_set:
            return value or ""
        if kind.endswith("-"):
            self.defaults_used[name] = text
            return text
        self.unset_names.add(name)
        return ""


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of a file of NAME=value lines; none if there is no such file."""
    if not path.is_file():
        return {}
    variables: dict[str, str] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        match = _ENV_LINE.match(line)
        if match:
            value = match[2]
            if value[:1] in ("'", '"') and value[-1:] == value[:1] and len(value) > 1:
                value = value[1:-1]
            else:
                value = re.sub(r"\s+#.*$", "", value)
            variables[match[1]] = value
    return variables
