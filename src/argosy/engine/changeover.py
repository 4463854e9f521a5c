"""The change from one tree to the next on another machine, done there by its shell alone.

What is new waits in `.argosy/incoming` until all of it has arrived; then one command, which reads nothing
more from the link, puts it in place and what it replaces into `.argosy/previous`. A change that fails is
undone by the same command. One that a loss of power broke off is undone by the next look, and so is one whose
undoing was broken off.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from argosy.engine.remote import Target, run_there
from argosy.engine.version import NOTE, Version, decode_note

if TYPE_CHECKING:
    from collections.abc import Iterable

INCOMING: Final = ".argosy/incoming/tree"  # in the tree's folder
PARTIAL: Final = ".argosy-partial"  # beside each file that came in part, a folder that holds it
SCRATCH: Final = ".argosy/incoming/scratch"  # where files are while they arrive
_PREVIOUS: Final = ".argosy/previous"
_CHANGING: Final = ".argosy/changing"
_TOOLS: Final = ("rsync", "git")

# A folder where a file has to be: it may hold compiled code, and is else to be empty.
_CLEAR: Final = (
    'clear() { if [ -L "$1" ]; then rm -f "$1"; elif [ -d "$1" ]; then'
    ' find "$1" -name __pycache__ -prune -exec rm -rf {} + &&'
    ' find "$1" -depth -type d -exec rmdir {} + ; fi; }; '
)
_ASIDE: Final = (
    'for f; do [ -e "./$f" ] || [ -L "./$f" ] || continue; '
    f'p="{_PREVIOUS}/tree/$f"; mkdir -p "${{p%/*}}" && mv -f "./$f" "$p" || exit 1; done'
)
_PLACE: Final = (
    f'{_CLEAR}for f; do p="{_PREVIOUS}/tree/${{f#./}}"; mkdir -p "${{f%/*}}" || exit 1; '
    'if [ -L "$f" ] || { [ -e "$f" ] && [ ! -d "$f" ]; }; then'
    ' mkdir -p "${p%/*}" && { ln "$f" "$p" 2>/dev/null || cp -a "$f" "$p"; };'
    f' else printf "%s\\0" "$f" >> {_PREVIOUS}/added; fi'
    f' && clear "$f" && mv -f "{INCOMING}/$f" "$f" || exit 1; done'
)
_REMOVE: Final = 'for f; do rm -f "$f" || exit 1; done'
_RETURN: Final = (
    f'{_CLEAR}for f; do mkdir -p "${{f%/*}}" && clear "$f" && mv -f "{_PREVIOUS}/tree/$f" "$f"'
    " || exit 1; done"
)


def _files_of(folder: str, script: str) -> str:
    """Return the line that runs a script with the files of a folder as arguments, each with `./`."""
    find = f"find . -name {PARTIAL} -prune -o ! -type d -print0"
    return f"(cd {folder} && {find}) | xargs -0 sh -c {shlex.quote(script)} sh"


_BACK: Final = (
    f"if [ -d {_PREVIOUS}/tree ]; then"
    f" xargs -0 sh -c {shlex.quote(_REMOVE)} sh < {_PREVIOUS}/added"
    f" && {_files_of(f'{_PREVIOUS}/tree', _RETURN)}"
    f" && if [ -e {_PREVIOUS}/note ]; then cp {_PREVIOUS}/note {NOTE}.new && mv -f {NOTE}.new {NOTE};"
    f" else rm -f {NOTE}; fi"
    f" && rm -rf {_PREVIOUS}; fi && rm -rf {_CHANGING} .argosy/incoming"
)
_CHANGE: Final = (
    f"{{ rm -rf {_PREVIOUS} && mkdir -p {_PREVIOUS}/tree && : > {_PREVIOUS}/added"
    f" && {{ [ ! -e {NOTE} ] || cp {NOTE} {_PREVIOUS}/note; }} && : > {_CHANGING}"
    f" && xargs -0 sh -c {shlex.quote(_ASIDE)} sh < .argosy/incoming/gone"
    f" && {_files_of(INCOMING, _PLACE)}"
    f" && mv -f .argosy/incoming/note {NOTE} && rm -rf {_CHANGING} .argosy/incoming"
    f"; }} </dev/null || {{ {_BACK}; exit 1; }}"
)


class Found(NamedTuple):
    """What is at the target. version: None where none is noted. tools: of rsync and git, what is there."""

    version: Version | None
    tools: frozenset[str]


def look(target: Target, version: Version) -> Found:
    """Return what is at the target, and make room beside it for this version where it is another.

    What has arrived of it before is kept. A change that was broken off is undone first.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    folder = shlex.quote(target.folder)
    said = run_there(
        target,
        f"mkdir -p {folder}/.argosy && cd {folder} || exit 1;"
        f" if [ -e {_CHANGING} ]; then {_BACK} || exit 1; fi;"
        f" for tool in {' '.join(_TOOLS)}; do command -v $tool >/dev/null && printf '%s ' $tool; done;"
        f" echo; if [ -f {NOTE} ]; then cat {NOTE}; fi;"
        f""" if grep -q '"tree":"{version.tree}"' {NOTE} 2>/dev/null; then exit 0; fi;"""
        f' cd .argosy; [ "$(cat incoming/version 2>/dev/null)" = {version.tree} ] || rm -rf incoming;'
        f" mkdir -p incoming/tree incoming/scratch && echo {version.tree} > incoming/version",
    )
    tools, _, note = said.partition(b"\n")
    return Found(decode_note(note), frozenset(tools.decode().split()))


def give_up(target: Target) -> None:
    """Remove what has arrived.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    run_there(target, f"rm -rf {shlex.quote(target.folder)}/.argosy/incoming")


def change(target: Target, version: Version, gone: Iterable[str]) -> None:
    """Put what has arrived in place. gone: files that the version has no more.

    Raises RefusedError: it cannot be reached, or refuses; the tree is the old one then, unless the link
    ended after the order was read.
    """
    note = msgspec.json.encode(version)
    names = b"".join(path.encode(errors="surrogateescape") + b"\0" for path in sorted(gone))
    run_there(
        target,
        f"cd {shlex.quote(target.folder)} && head -c {len(note)} > .argosy/incoming/note"
        " && cat > .argosy/incoming/gone || exit 1;"
        f" [ $(cat .argosy/incoming/note .argosy/incoming/gone | wc -c) -eq {len(note) + len(names)} ]"
        f" || {{ echo 'Connection closed before the order had arrived' >&2; exit 1; }}; {_CHANGE}",
        note + names,
    )


def change_back(target: Target) -> Version | None:
    """Make the tree at the target what it was before the last change, where that is kept.

    Returns the version that is noted then.
    Raises RefusedError: it cannot be reached, or refuses.
    """
    folder = shlex.quote(target.folder)
    return decode_note(run_there(target, f"cd {folder} && {_BACK} && if [ -e {NOTE} ]; then cat {NOTE}; fi"))


def forget_previous(target: Target) -> None:
    """Remove what was there before the last change.

    Raises RefusedError: it cannot be reached, or refuses.
    """
    run_there(target, f"rm -rf {shlex.quote(target.folder)}/{_PREVIOUS}")
