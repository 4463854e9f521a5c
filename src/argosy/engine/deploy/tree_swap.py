"""Swaps the tree on another machine for a new version, by shell commands on that machine.

New files wait in `.argosy/incoming` until all have arrived; then one command, which needs no more input,
moves them into place and the replaced files into `.argosy/previous`. If the swap fails, the same command
undoes it. A swap or an undo that a power failure interrupts is undone by the next `prepare_target`.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from argosy.engine.deploy.ssh_target import SshTarget, run_remote
from argosy.engine.state.tree_version import VERSION_FILE, TreeVersion, decode_tree_version

if TYPE_CHECKING:
    from collections.abc import Iterable

INCOMING_DIR: Final = ".argosy/incoming/tree"  # relative to the tree
PARTIAL_DIR: Final = ".argosy-partial"  # holds partly transferred files, beside their final places
SCRATCH_DIR: Final = ".argosy/incoming/scratch"  # rsync's temporary directory
_PREVIOUS_DIR: Final = ".argosy/previous"
_SWAP_MARKER: Final = ".argosy/changing"
_TOOLS: Final = ("rsync", "git")

# Makes way for a file: removes a directory in its place, which may only hold compiled code.
_SH_CLEAR: Final = (
    'clear() { if [ -L "$1" ]; then rm -f "$1"; elif [ -d "$1" ]; then'
    ' find "$1" -name __pycache__ -prune -exec rm -rf {} + &&'
    ' find "$1" -depth -type d -exec rmdir {} + ; fi; }; '
)
_SH_SET_ASIDE: Final = (
    'for f; do [ -e "./$f" ] || [ -L "./$f" ] || continue; '
    f'p="{_PREVIOUS_DIR}/tree/$f"; mkdir -p "${{p%/*}}" && mv -f "./$f" "$p" || exit 1; done'
)
_SH_PLACE: Final = (
    f'{_SH_CLEAR}for f; do p="{_PREVIOUS_DIR}/tree/${{f#./}}"; mkdir -p "${{f%/*}}" || exit 1; '
    'if [ -L "$f" ] || { [ -e "$f" ] && [ ! -d "$f" ]; }; then'
    ' mkdir -p "${p%/*}" && { ln "$f" "$p" 2>/dev/null || cp -a "$f" "$p"; };'
    f' else printf "%s\\0" "$f" >> {_PREVIOUS_DIR}/added; fi'
    f' && clear "$f" && mv -f "{INCOMING_DIR}/$f" "$f" || exit 1; done'
)
_SH_REMOVE: Final = 'for f; do rm -f "$f" || exit 1; done'
_SH_RETURN: Final = (
    f'{_SH_CLEAR}for f; do mkdir -p "${{f%/*}}" && clear "$f" && mv -f "{_PREVIOUS_DIR}/tree/$f" "$f"'
    " || exit 1; done"
)


def _sh_for_each_file(directory: str, script: str) -> str:
    """Return a shell line that runs a script with the files of a directory as arguments, each with `./`."""
    find = f"find . -name {PARTIAL_DIR} -prune -o ! -type d -print0"
    return f"(cd {directory} && {find}) | xargs -0 sh -c {shlex.quote(script)} sh"


_SH_ROLLBACK: Final = (
    f"if [ -d {_PREVIOUS_DIR}/tree ]; then"
    f" xargs -0 sh -c {shlex.quote(_SH_REMOVE)} sh < {_PREVIOUS_DIR}/added"
    f" && {_sh_for_each_file(f'{_PREVIOUS_DIR}/tree', _SH_RETURN)}"
    f" && if [ -e {_PREVIOUS_DIR}/note ]; then cp {_PREVIOUS_DIR}/note {VERSION_FILE}.new"
    f" && mv -f {VERSION_FILE}.new {VERSION_FILE};"
    f" else rm -f {VERSION_FILE}; fi"
    f" && rm -rf {_PREVIOUS_DIR}; fi && rm -rf {_SWAP_MARKER} .argosy/incoming"
)
_SH_SWAP: Final = (
    f"{{ rm -rf {_PREVIOUS_DIR} && mkdir -p {_PREVIOUS_DIR}/tree && : > {_PREVIOUS_DIR}/added"
    f" && {{ [ ! -e {VERSION_FILE} ] || cp {VERSION_FILE} {_PREVIOUS_DIR}/note; }} && : > {_SWAP_MARKER}"
    f" && xargs -0 sh -c {shlex.quote(_SH_SET_ASIDE)} sh < .argosy/incoming/gone"
    f" && {_sh_for_each_file(INCOMING_DIR, _SH_PLACE)}"
    f" && mv -f .argosy/incoming/note {VERSION_FILE} && rm -rf {_SWAP_MARKER} .argosy/incoming"
    f"; }} </dev/null || {{ {_SH_ROLLBACK}; exit 1; }}"
)


class TargetState(NamedTuple):
    """The state of a target. version: None if none is recorded. tools: which of rsync and git it has."""

    version: TreeVersion | None
    tools: frozenset[str]


def prepare_target(target: SshTarget, version: TreeVersion) -> TargetState:
    """Return the state of the target, and prepare its incoming directory if it needs this version.

    Files of this version that have arrived before are kept. An interrupted swap is undone first.

    Raises RefusedError: the target is unreachable or refuses.
    """
    directory = shlex.quote(target.directory)
    output = run_remote(
        target,
        f"mkdir -p {directory}/.argosy && cd {directory} || exit 1;"
        f" if [ -e {_SWAP_MARKER} ]; then {_SH_ROLLBACK} || exit 1; fi;"
        f" for tool in {' '.join(_TOOLS)}; do command -v $tool >/dev/null && printf '%s ' $tool; done;"
        f" echo; if [ -f {VERSION_FILE} ]; then cat {VERSION_FILE}; fi;"
        f""" if grep -q '"tree":"{version.tree}"' {VERSION_FILE} 2>/dev/null; then exit 0; fi;"""
        f' cd .argosy; [ "$(cat incoming/version 2>/dev/null)" = {version.tree} ] || rm -rf incoming;'
        f" mkdir -p incoming/tree incoming/scratch && echo {version.tree} > incoming/version",
    )
    tools, _, recorded = output.partition(b"\n")
    return TargetState(decode_tree_version(recorded), frozenset(tools.decode().split()))


def discard_incoming(target: SshTarget) -> None:
    """Remove the incoming directory.

    Raises RefusedError: the target is unreachable or refuses.
    """
    run_remote(target, f"rm -rf {shlex.quote(target.directory)}/.argosy/incoming")


def swap_tree(target: SshTarget, version: TreeVersion, removed_files: Iterable[str]) -> None:
    """Move the incoming files into place. removed_files: files that the version does not have any more.

    Raises RefusedError: the target is unreachable or refuses; the tree is unchanged then, unless the
    connection was lost after the command was read.
    """
    note = msgspec.json.encode(version)
    names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in sorted(removed_files))
    run_remote(
        target,
        f"cd {shlex.quote(target.directory)} && head -c {len(note)} > .argosy/incoming/note"
        " && cat > .argosy/incoming/gone || exit 1;"
        f" [ $(cat .argosy/incoming/note .argosy/incoming/gone | wc -c) -eq {len(note) + len(names)} ]"
        f" || {{ echo 'Connection closed before the command had arrived' >&2; exit 1; }}; {_SH_SWAP}",
        note + names,
    )


def roll_back(target: SshTarget) -> TreeVersion | None:
    """Restore the tree at the target as it was before the last deployment, unless that was committed.

    Returns the version at the target afterwards, None if none is recorded.
    Raises RefusedError: the target is unreachable or refuses.
    """
    directory = shlex.quote(target.directory)
    return decode_tree_version(
        run_remote(
            target,
            f"cd {directory} && {_SH_ROLLBACK} && if [ -e {VERSION_FILE} ]; then cat {VERSION_FILE}; fi",
        )
    )


def discard_previous(target: SshTarget) -> None:
    """Commit the current tree at the target: remove the files from before the last swap.

    Raises RefusedError: the target is unreachable or refuses.
    """
    run_remote(target, f"rm -rf {shlex.quote(target.directory)}/{_PREVIOUS_DIR}")
