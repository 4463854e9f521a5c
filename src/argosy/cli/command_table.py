"""The commands and their one-line help; each command is the module `argosy.cli.commands.<command>`.

A command's module has `configure(parser)`, which adds its arguments, and `run(args) -> int`, which
returns the exit code and raises ArgosyError for an error that the user can correct.
"""

from __future__ import annotations

from argosy import __version__

COMMAND_GROUPS: dict[str, dict[str, str]] = {
    "run a fleet": {
        "up": "start the fleet, or apply a changed fleet file",
        "down": "stop the fleet, or some agents, in reverse order",
        "status": "show the state of every agent",
        "ls": "list this user's fleets on this machine",
        "logs": "print the agents' output, merged, oldest first",
        "restart": "restart agents in place",
        "timeline": "show the last start: what each agent waited for, and how long",
        "call": "send one request to an agent",
        "drill": "inject faults, and report detection, recovery and lost requests",
        "sync": "copy the tree to the fleet's machines; optional rolling restart",
        "serve": "run this machine's supervisor for other machines to connect to",
        "hub": "run this machine's observability hub, or open its page",
        "top": "show the fleet live, full screen",
        "clean": "remove the state, logs and sockets of a stopped fleet",
        "completion": "print the completion script for bash, zsh or fish",
    },
    "describe a fleet": {
        "init": "create a fleet: a fleet file and two small agents",
        "new": "add an agent: a module and an entry in the fleet file",
        "check": "check the fleet file and the scripts it names",
        "graph": "show needs, levels, cycles and redundant edges",
        "plan": "predict the start, and the cost of each need",
        "address": "show the address one agent gets for another, and why",
        "import": "write a fleet file from an existing configuration",
        "stub": "write typed peers of the agents, for editors and type checkers",
        "schema": "print the JSON Schema of fleet.yaml, for editors",
        "doctor": "diagnose this machine and the fleet on it",
        "keys": "manage the keys that fleet machines authenticate with",
    },
    "put a fleet into containers": {
        "image": "plan, build and push images with what the agents import",
        "compose": "print a Compose file of the fleet",
        "k8s": "print Kubernetes manifests of the fleet",
    },
    "change the code": {
        "audit": "find problems in a tree of Python files",
        "claims": "check claims about the code against the code",
        "repair": "propose patches for files that do not parse",
        "refit": "apply behaviour-preserving rewrites, with undo",
    },
    "track metrics": {
        "track": "measure objectives, and fail when a metric gets worse",
    },
}

COMMANDS: dict[str, str] = {name: text for group in COMMAND_GROUPS.values() for name, text in group.items()}

# Command names of other tools, and the argosy command that does the same.
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

# Commands whose module has another name: `import` is a Python keyword.
MODULE_NAMES: dict[str, str] = {"import": "import_command"}


def help_text() -> str:
    """Return what `argosy --help` prints."""
    lines = ["usage: argosy COMMAND [options]", "", "Runs, watches and refits fleets of Python agents.", ""]
    for group, commands in COMMAND_GROUPS.items():
        lines.append(f"{group}:")
        lines += [f"  {name:<11}{text}" for name, text in commands.items()]
        lines.append("")
    lines += [f"`argosy COMMAND --help` shows its options; this is argosy {__version__}.", ""]
    return "\n".join(lines)
