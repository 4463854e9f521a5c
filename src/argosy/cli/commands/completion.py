"""Print the completion script of a shell: bash, zsh or fish.

  bash   eval "$(argosy completion bash)"    in ~/.bashrc
  zsh    eval "$(argosy completion zsh)"     in ~/.zshrc, after compinit
  fish   argosy completion fish > ~/.config/fish/completions/argosy.fish

The scripts complete commands, options and names. `down` and `status` complete the names of your fleets.
Agents, groups, machines and environments come from the fleet file on the command line, else from the one
in this folder or a parent.

example: argosy completion bash >> ~/.bashrc
"""

from __future__ import annotations

import argparse
import sys
from typing import Final

# Each script runs `argosy completion candidates`, which prints lines of `word<TAB>description` for the last
# word. Without a candidate the shell completes file names.
_BASH: Final = r"""_argosy() {
    local cur line words=() cword=$COMP_CWORD
    COMPREPLY=()
    # Bash splits COMP_WORDS at = and :; argosy does not.
    read -ra words <<< "${COMP_LINE:0:COMP_POINT}"
    [[ ${COMP_LINE:0:COMP_POINT} == *[[:space:]] ]] && words+=("")
    cur=${words[${#words[@]}-1]}
    while IFS= read -r line; do
        COMPREPLY+=("${line%%$'\t'*}")
    done < <(command argosy completion candidates "${words[@]:1}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *, ]] && compopt -o nospace
    # Readline replaces only what follows the last = or : of the word.
    local kept=${cur%"${cur##*[=:]}"}
    [[ -n $kept ]] && COMPREPLY=("${COMPREPLY[@]#"$kept"}")
}
complete -o default -F _argosy argosy
"""
_ZSH: Final = r"""#compdef argosy
_argosy() {
    local line
    local -a names texts
    while IFS= read -r line; do
        names+=("${line%%$'\t'*}")
        texts+=("${line//$'\t'/  -- }")
    done < <(command argosy completion candidates "${(@)words[2,CURRENT]}" 2>/dev/null)
    if (( ${#names} )); then compadd -l -d texts -a names; else _files; fi
}
if [[ $funcstack[1] == _argosy ]]; then _argosy "$@"; else compdef _argosy argosy; fi
"""
_FISH: Final = r"""function __argosy_words
    set -l words (commandline -opc) (commandline -ct)
    set -l found (command argosy completion candidates $words[2..] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c argosy -f -a '(__argosy_words)'
"""
_SHELL_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy completion`."""
    parser.add_argument(
        "shell", choices=tuple(_SHELL_SCRIPTS), metavar="|".join(_SHELL_SCRIPTS), help="the shell"
    )


def run(args: argparse.Namespace) -> int:
    """Print the script of one shell."""
    sys.stdout.write(_SHELL_SCRIPTS[args.shell])
    return 0
