"""Add an agent: a module with its class, and an entry in the fleet file.

The fleet file keeps its comments and its order. If its agents are written in braces, nothing is
written, and the hint has the entry to paste.

example: argosy new Translator --needs Registry --watchdog 10s

"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import yaml

from argosy.atomic_file import write_atomic
from argosy.cli.arguments import add_fleet, parse_fleet
from argosy.cli.console import print_json
from argosy.fault import Fault, InputError
from argosy.fleet.add_agent import (
    DEFAULT_WATCHDOG,
    add_agent,
    class_name_for,
    find_free_port,
    module_name_for,
)
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.suggestions import unknown_name

_MODULE_TEMPLATE = '''\
"""{doc}"""

from argosy.agent import Agent, request, run


class {name}(Agent):
    async def start(self) -> None:
        """Load resources; the agent is ready when this returns."""

    @request
    async def echo(self, text: str) -> str:
        """Return the text."""
        return text


if __name__ == "__main__":
    run({name})
'''


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy new`."""
    add_fleet(parser, positionals="NAME", positionals_help="the new agent")
    parser.add_argument(
        "--needs", metavar="A,B", default="", help="the agents that have to be ready before it"
    )
    parser.add_argument("--machine", metavar="M", help="the machine it runs on")
    parser.add_argument("--port", type=int, metavar="N", help="its port (default: the next free one)")
    parser.add_argument(
        "--folder", metavar="DIR", default="agents", help="the folder of its module (default: agents)"
    )
    parser.add_argument(
        "--watchdog",
        metavar="S",
        default=DEFAULT_WATCHDOG,
        help=f"restart it after S without a sign of life (default {DEFAULT_WATCHDOG}; `none`: never)",
    )


def run(args: argparse.Namespace) -> int:
    """Add the agent.

    Raises InputError: the name or an option is invalid. Raises RefusedError: the file cannot be extended.
    """
    path, positionals = parse_fleet(args)
    if len(positionals) != 1:
        message = "expected the name of one new agent"
        raise InputError(Fault("NAME", "usage", message, "`argosy new Translator`"))
    name = positionals[0]
    fleet = load_fleet(path)
    needs = [need for need in args.needs.split(",") if need]
    _check_options(name, needs, args, fleet)
    module = ".".join([*Path(args.folder).parts, module_name_for(name)])
    source = path.parent / args.folder / f"{module_name_for(name)}.py"
    keys = {"run": f"{module}:{class_name_for(name)}"}
    if args.machine or len(fleet.machines) == 1:
        keys["machine"] = args.machine or next(iter(fleet.machines))
    keys["port"] = str(args.port or find_free_port(fleet))
    if needs:
        keys["needs"] = f"[{', '.join(needs)}]"
    if args.watchdog != "none":
        keys["liveness"] = f"{{watchdog: {args.watchdog}}}"
    if source.exists():
        raise InputError(Fault(str(source), "exists", f"`{source}` already exists", "use another name"))
    text = add_agent(path, path.read_text("utf-8"), name, keys)
    module_text = _MODULE_TEMPLATE.format(doc=f"{name}.", name=class_name_for(name))
    written = _write_files(source, module_text, path, text)
    if args.as_json:
        entry = yaml.safe_load("".join(f"{key}: {value}\n" for key, value in keys.items()))
        print_json({"argosy": "new/1", "agent": name, "written": written, "entry": entry})
    else:
        print(f"wrote {', '.join(written)}; `argosy up` starts it, and restarts no other agent")
    return 0


def _check_options(name: str, needs: list[str], args: argparse.Namespace, fleet: Fleet) -> None:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name):
        hint = "letters, digits, `_`, `-` and `.`"
        raise InputError(Fault(name, "usage", f"`{name}` is not a valid name", hint))
    if name in fleet.agents:
        message = f"the fleet already has an agent `{name}`"
        raise InputError(Fault(name, "exists", message, "use another name"))
    for need in needs:
        if need not in fleet.agents:
            raise InputError(unknown_name("--needs", "agent", need, fleet.agents))
    if args.machine and args.machine not in fleet.machines:
        raise InputError(unknown_name("--machine", "machine", args.machine, fleet.machines))
    if args.port is not None and not 1 <= args.port <= 65535:
        raise InputError(Fault("--port", "usage", f"found port {args.port}, expected 1 to 65535"))
    parts = Path(args.folder).parts
    if Path(args.folder).is_absolute() or not all(part.isidentifier() for part in parts):
        message = f"`{args.folder}` is not a package path below the fleet file's folder"
        raise InputError(Fault("--folder", "usage", message, "such as `agents`"))


def _write_files(source: Path, module: str, path: Path, text: str) -> list[str]:
    """Write the module, then the fleet file in one step; return what was written."""
    written = [str(source), str(path)]
    try:
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(module, "utf-8")
        write_atomic(path, text.encode(), mode=path.stat().st_mode & 0o777)
    except OSError as error:
        message = f"it cannot be written: {(error.strerror or '').lower()}"
        raise InputError(Fault(str(error.filename), "unwritable", message)) from None
    return written
