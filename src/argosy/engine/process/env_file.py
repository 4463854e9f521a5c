"""Environment files: `KEY=value` lines, as `env_file` names them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from argosy.fault import Fault, InputError

if TYPE_CHECKING:
    from pathlib import Path

_LINE = re.compile(r"^(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)\s*=\s*(?P<value>.*)$")


def read_env_file(path: Path, where: str) -> dict[str, str]:
    """Return the variables of an environment file.

    A value may be in single or double quotes; nothing is expanded in it. where: the place that names the
    file.
    Raises InputError: the file is missing, or a line is neither empty, a comment nor an assignment.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            Fault(where, "env-file", f"the env_file `{path}` cannot be read: {error}", "correct `env_file`")
        ) from error
    values: dict[str, str] = {}
    faults = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        found = _LINE.match(stripped)
        if found is None:
            faults.append(Fault(f"{path}:{number}:1", "env-file", "this line is not `KEY=value`"))
            continue
        values[found["key"]] = _unquote(found["value"])
    if faults:
        raise InputError(*faults)
    return values


def _unquote(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return value.partition(" #")[0].rstrip()
