"""Reports the keys of a file that are not imported: one decision per key for all agents that have it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet

from argosy.fleet.importers.import_model import ImportDecision
from argosy.fleet.importers.input_file import InputFile, KeyPath

_MAX_NAMED = 3


def unsupported_key_decisions(
    input_file: InputFile,
    agent_keys: Sequence[tuple[str, KeyPath, Mapping[str, object]]],
    supported_keys: AbstractSet[str],
    reason: Callable[[str], str],
) -> Iterator[ImportDecision]:
    """Yield one decision for each key that is not in `supported_keys`.

    agent_keys: the name, path and keys of each agent. reason: returns why a key is not imported.
    """
    users: dict[str, list[tuple[str, KeyPath]]] = {}
    for name, key_path, keys in agent_keys:
        for key in keys:
            if key not in supported_keys:
                users.setdefault(key, []).append((name, key_path))
    for key, users_of_key in users.items():
        names = ", ".join(f"`{name}`" for name, _ in users_of_key[:_MAX_NAMED])
        more = f" and {len(users_of_key) - _MAX_NAMED} more" if len(users_of_key) > _MAX_NAMED else ""
        yield ImportDecision(
            input_file.location_of((*users_of_key[0][1], key)),
            f"`{key}` of {names}{more} is not imported",
            reason(key),
        )
