"""Create a fleet: a fleet.yaml and two small agents, ready to run.

Overwrites no file that has content. `argosy import` writes a fleet file from an existing configuration.

example: argosy init harbour && cd harbour && argosy up
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from argosy.cli.arguments import FLEET_FILE, add_json, add_path
from argosy.cli.console import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.add_agent import DEFAULT_WATCHDOG

_FLEET_TEMPLATE = """\
# `argosy check` checks this file; docs/reference/fleet-file.md describes every key.
fleet: {name}
environments:
  development: {{here: 127.0.0.1}}
  testing: {{here: 127.0.0.1}}
machines:
  here: {{}}
agents:
  Greeter:
    run: agents.greeter:Greeter
    machine: here
    port: 7200
    liveness: {{watchdog: {watchdog}}}
  Visitor:
    run: agents.visitor:Visitor
    machine: here
    port: 7202
    needs: [Greeter]            # started when Greeter is ready, stopped before it
    liveness: {{watchdog: {watchdog}}}
"""
_GREETER_TEMPLATE = '''\
"""Returns greetings."""

from argosy.agent import Agent, request, run


class Greeter(Agent):
    @request
    async def greet(self, name: str = "world") -> str:
        """Return a greeting."""
        return f"hello {name}"


if __name__ == "__main__":
    run(Greeter)
'''
_VISITOR_TEMPLATE = '''\
"""Visits Greeter from time to time."""

from argosy.agent import Agent, every, run


class Visitor(Agent):
    @every("5s")
    async def visit(self) -> None:
        print(await self.peer("Greeter").greet(name=self.name), flush=True)


if __name__ == "__main__":
    run(Visitor)
'''
_TEMPLATE_FILES = {
    "agents/__init__.py": "",
    "agents/greeter.py": _GREETER_TEMPLATE,
    "agents/visitor.py": _VISITOR_TEMPLATE,
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy init`."""
    add_path(parser, "the folder, created if missing (default: this one)", "FOLDER")
    parser.add_argument("--name", metavar="NAME", help="the fleet's name (default: the folder's)")
    add_json(parser)


def _has_content(path: Path) -> bool:
    """Return whether `path` exists and is not an empty or blank file."""
    try:
        return path.exists() and not (path.is_file() and not path.read_bytes().strip())
    except OSError:
        return True


def run(args: argparse.Namespace) -> int:
    """Write the files. Raises InputError: one exists already, or cannot be written."""
    directory = Path(args.path)
    name = args.name or re.sub(r"[^A-Za-z0-9_.-]+", "-", directory.absolute().name).strip("-.") or "fleet"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
        if args.name:
            hint = "letters, digits, `_`, `-`, `.`"
            raise InputError(Fault("--name", "usage", f"`{name}` is not a valid name", hint))
        name = f"fleet-{name}"
    texts = {FLEET_FILE: _FLEET_TEMPLATE.format(name=name, watchdog=DEFAULT_WATCHDOG), **_TEMPLATE_FILES}
    existing = [path for path in texts if _has_content(directory / path)]
    if existing:
        hint = "`argosy new NAME` adds an agent" if FLEET_FILE in existing else "give another folder"
        message = f"`{existing[0]}` already exists"
        raise InputError(Fault(str(directory / existing[0]), "exists", message, hint))
    try:
        for path, text in texts.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, "utf-8")
    except OSError as error:
        message = f"it cannot be written: {(error.strerror or '').lower()}"
        raise InputError(Fault(str(error.filename), "unwritable", message)) from None
    if args.as_json:
        print_json({"argosy": "init/1", "fleet": name, "written": [str(directory / path) for path in texts]})
        return 0
    cd_command = "" if args.path == "." else f"cd {args.path} && "
    next_step = f"`{cd_command}argosy up -d`, then `argosy call Greeter greet`"
    print(f"wrote {len(texts)} files in {directory}; next: {next_step}")
    return 0
