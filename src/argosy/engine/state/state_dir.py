"""The state directory and the runtime directory of a fleet, and the paths inside them.

State (leases, unit states, logs, event log) is in `$XDG_STATE_HOME/argosy/`, one directory per fleet
file. Sockets are in a separate runtime directory: their paths must stay below the 107 bytes of
`sun_path`, and a log-out may delete them, which a lease must survive.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from argosy.fault import Fault, MissingError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Longer agent names are shortened in socket paths, with a digest to keep them distinct.
_MAX_STEM_LENGTH = 40
# The rest of the 107 bytes without `/argosy/DIGEST/notify/STEM.sock`.
_MAX_BASE_LENGTH = 107 - len("/argosy//notify/.sock") - 12 - _MAX_STEM_LENGTH
# Files in a state directory by the names that earlier versions gave them.
_RENAMED_FILES = {
    "diary": "event-log",
    "diary.1": "event-log.1",
    "imprint.json": "source-snapshot.json",
    "appetite.json": "memory-history.json",
    "wills": "unit-state",
}


class _StateDirFile:
    """The path of a file in the state directory, as an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, state_dir: _Directories, _: type[object] | None = None) -> Path:
        return _join(state_dir.path, self._name)


class _Directories(NamedTuple):
    path: Path
    runtime_path: Path


class StateDir(_Directories):
    """The two directories of one fleet on this machine, and the paths inside them."""

    __slots__ = ()

    supervisor_lock = _StateDirFile("supervisor.lock")  # its content is the generation
    spawn_lock = _StateDirFile("spawn.lock")  # held by the client that starts a supervisor
    event_log = _StateDirFile("event-log")  # the events of the fleet, one per line
    applied_plan = _StateDirFile("applied.json")  # the plan that was applied last
    source_snapshot = _StateDirFile("source-snapshot.json")  # digests of the sources when agents started
    memory_history = _StateDirFile("memory-history.json")  # how much memory each agent needed last time
    address_book = _StateDirFile("book.json")  # the addresses of the fleet, for its agents
    unit_state = _StateDirFile("unit-state")  # what only the supervisor knows of each agent
    forkers_file = _StateDirFile("forkers.json")  # the forkers of the current or the last supervisor
    supervisor_log = _StateDirFile("supervisor.log")  # the output of the supervisor
    hub_lock = _StateDirFile("hub.lock")  # held by the running hub; its content identifies the hub
    hub_log = _StateDirFile("hub.log")  # the output of the hub
    hub_token = _StateDirFile("hub.token")  # for actions on the hub's page; its owner's alone
    hub_store = _StateDirFile("hub.db")  # the store of this machine's hub
    leases_dir = _StateDirFile("lease")  # the directory of the leases
    logs_dir = _StateDirFile("log")  # the directory of the agents' logs

    @property
    def control_socket(self) -> Path:
        """The socket that clients connect to."""
        return _join(self.runtime_path, "control.sock")

    def lease_file(self, agent: str) -> Path:
        """The lease file of one agent."""
        return _join(self.leases_dir, agent)

    def legacy_unit_state(self, agent: str) -> Path:
        """The state file of one agent, as earlier versions kept it."""
        return _join(_join(self.path, "will"), agent)

    def cell_manifest(self, cell: str) -> Path:
        """The agents that the process of one cell may host.

        In the runtime directory, since the process outlives a state directory that is deleted.
        """
        return _join(_join(self.runtime_path, "cell"), cell)

    def members_socket(self, cell: str) -> Path:
        """The socket on which one cell receives the list of its members."""
        return self.runtime_path / "notify" / f"{short_stem(f'calls:{cell}')}.sock"

    def log_file(self, agent: str) -> Path:
        """The output of one agent."""
        return _join(self.logs_dir, f"{agent}.log")

    def notify_socket(self, agent: str) -> Path:
        """The sd_notify socket of one agent."""
        return _join(_join(self.runtime_path, "notify"), f"{short_stem(agent)}.sock")

    def create(self) -> None:
        """Create both directories, readable by their owner alone.

        Raises MissingError: a directory cannot be created.
        """
        for path in (self.path, self.leases_dir, self.logs_dir):
            _create_private_directory(path)
        inner = (self.runtime_path / name for name in ("notify", "z", "cell"))
        for path in (self.runtime_path.parent, self.runtime_path, *inner):
            _create_private_directory(path)

    def rename_old_files(self) -> None:
        """Rename files of an earlier version to today's names; only the supervisor may call it.

        A file is left alone if today's name exists or the disk refuses the renaming.
        """
        for old, new in _RENAMED_FILES.items():
            if not (self.path / new).exists():
                with contextlib.suppress(OSError):
                    (self.path / old).rename(self.path / new)


@functools.lru_cache(4096)
def _join(directory: Path, name: str) -> Path:
    """Return the path of a file in a directory, cached."""
    return directory / name


def locate_state_dir(fleet_path: str | Path, variables: Mapping[str, str] | None = None) -> StateDir:
    """Return the directories of the fleet file at `fleet_path`; creates nothing.

    The state directory is named after the file's directory and a digest of its real path, so that two
    checkouts of one fleet never share state.
    """
    variables = os.environ if variables is None else variables
    path = Path(fleet_path).resolve()
    stem = path.parent.name or "fleet"
    return state_dir_at(state_home(variables) / f"{stem}-{_digest(str(path))[:10]}", variables)


def state_dir_at(state: Path, variables: Mapping[str, str] | None = None) -> StateDir:
    """Return both directories of the fleet whose state directory is `state`."""
    variables = os.environ if variables is None else variables
    return StateDir(state, runtime_base(variables) / _digest(str(state))[:12])


def list_own_directories(parent: Path) -> list[Path]:
    """Return the directories in `parent` that this user owns, without links; none if it is not readable."""
    try:
        with os.scandir(parent) as entries:
            found = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    me = os.getuid()
    return sorted(Path(each.path) for each in found if each.stat(follow_symlinks=False).st_uid == me)


def state_home(variables: Mapping[str, str]) -> Path:
    """Return the directory of all state directories: `$XDG_STATE_HOME/argosy`."""
    home = variables.get("XDG_STATE_HOME") or str(Path(variables.get("HOME") or Path.home(), ".local/state"))
    return Path(home, "argosy")


def runtime_base(variables: Mapping[str, str]) -> Path:
    """Return the directory of all runtime directories: `$XDG_RUNTIME_DIR/argosy`.

    A directory in /tmp is used if that is missing, of another user, or too long for the path of a socket.
    """
    xdg_runtime_dir = variables.get("XDG_RUNTIME_DIR")
    is_short = xdg_runtime_dir and len(os.fsencode(xdg_runtime_dir)) <= _MAX_BASE_LENGTH
    if (
        xdg_runtime_dir
        and is_short
        and os.path.isdir(xdg_runtime_dir)
        and os.stat(xdg_runtime_dir).st_uid == os.getuid()
    ):
        return Path(xdg_runtime_dir, "argosy")
    return _fallback_base()


def runtime_bases(variables: Mapping[str, str]) -> list[Path]:
    """Return every directory that may hold runtime directories of this user."""
    return list(dict.fromkeys([runtime_base(variables), _fallback_base()]))


def _fallback_base() -> Path:
    return Path(f"/tmp/argosy-{os.getuid()}")


def short_stem(agent: str) -> str:
    """Return a file stem for `agent` that fits into a socket path."""
    if len(agent) <= _MAX_STEM_LENGTH:
        return agent
    return f"{agent[: _MAX_STEM_LENGTH - 9]}-{_digest(agent)[:8]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _create_private_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise MissingError(
            Fault(
                str(path),
                "directory-not-created",
                f"the directory `{path}` cannot be created: {error.strerror}",
                "set XDG_STATE_HOME and XDG_RUNTIME_DIR to directories that you may write",
            )
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise MissingError(
            Fault(
                str(path),
                "foreign-directory",
                f"`{path}` is not a directory of user {os.getuid()}",
                "remove it, or set XDG_RUNTIME_DIR to a directory of your own",
            )
        )
    if found.st_mode & 0o077:
        path.chmod(0o700)
