"""The verbs and their one-line help; each verb is the module `argosy.cli.<verb>`.

A verb's module has `configure(parser)`, which adds its arguments, and `run(args) -> int`, which
returns the exit code and raises ArgosyError for what a person has to mend.
"""

from __future__ import annotations

from argosy import __version__

COMMAND_GROUPS: dict[str, dict[str, str]] = {
    "run a fleet": {
        "up": "start what is not running, apply a changed file",
        "down": "stop the fleet, or some of it, in reverse order",
        "status": "what is running, and how it is",
        "ls": "the fleets of this user on this machine, wherever their files are",
        "logs": "the agents' output, merged, oldest first",
        "restart": "restart agents in place",
        "timeline": "the last start: who waited for whom, and how long",
        "call": "send one request to an agent",
        "drill": "kill and freeze agents on purpose, and tell what came of it",
        "sync": "bring the tree to the fleet's machines, restart one after another",
        "serve": "be this machine's supervisor, for other machines to reach",
        "hub": "keep what this machine's agents say, share and show it",
        "top": "the whole fleet on the whole screen, live",
        "clean": "remove what a stopped fleet has left",
        "completion": "complete verbs, options and names in bash, zsh and fish",
    },
    "describe a fleet": {
        "init": "begin a fleet: a fleet file and two agents that run at once",
        "new": "add an agent: its module, and its entry in the fleet file",
        "check": "every fault of the fleet file and of the scripts it names",
        "graph": "needs, levels, cycles, redundant edges",
        "plan": "the start as it will go, and what each need costs",
        "address": "the address one agent gets for another, and why",
        "import": "write a fleet file from what is there today",
        "stub": "typed peers of the agents, for editors and type checkers",
        "schema": "the JSON Schema of fleet.yaml, for editors",
        "doctor": "what is wrong with this machine, and with the fleet on it",
        "keys": "the keys that let a fleet's machines, and nobody else, connect",
    },
    "put a fleet into containers": {
        "image": "the images of its agents: what they import, and nothing else",
        "compose": "a compose file of the fleet, on stdout",
        "k8s": "the fleet's manifests for Kubernetes, on stdout",
    },
    "change the code": {
        "audit": "find what is wrong with a tree of Python files",
        "claims": "check what people say about the code, claim by claim",
        "repair": "patches for files that do not parse, with their evidence",
        "refit": "change what is proven to stay the same, with undo",
    },
    "keep the numbers true": {
        "track": "objectives whose every figure is measured, and may not get worse",
    },
}

COMMANDS: dict[str, str] = {verb: text for group in COMMAND_GROUPS.values() for verb, text in group.items()}

# What people type by habit of other tools, and the verb that does it.
SUGGESTIONS: dict[str, str] = {
    "ps": "status",
    "list": "ls",
    "start": "up",
    "run": "up",
    "stop": "down",
    "kill": "down",
    "reload": "restart --changed",
    "log": "logs",
    "tail": "logs -f",
    "monitor": "top",
    "dashboard": "hub --open",
    "config": "check",
    "validate": "check",
    "lint": "check",
    "rm": "clean",
    "prune": "clean",
    "exec": "call",
    "chaos": "drill",
    "deploy": "sync",
    "apply": "up",
}

# Words that Python keeps for itself get an underscore in their module's name.
MODULE_NAMES: dict[str, str] = {"import": "import_command"}


def help_text() -> str:
    """Return what `argosy --help` prints."""
    lines = ["usage: argosy VERB [options]", "", "Runs, watches and refits fleets of Python agents.", ""]
    for group, commands in COMMAND_GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {verb:<11}{text}" for verb, text in commands.items()]
        lines.append("")
    lines += [f"`argosy VERB --help` tells more; this is argosy {__version__}.", ""]
    return "\n".join(lines)
