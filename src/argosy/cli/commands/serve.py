"""Run this machine's supervisor in the foreground, for `up` on another machine to connect to.

Exits on Ctrl-C or SIGTERM and leaves the agents running. The next supervisor adopts them, and restarts
agents that were up when the machine went down. Machines authenticate with the keys of `argosy keys`.
`install` writes a systemd unit (Type=notify) instead.

example: argosy serve --machine pc2
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import socket
import sys
from pathlib import Path

from argosy.cli.arguments import add_fleet, environment_name, looks_like_fleet, parse_fleet
from argosy.engine.plan.peering_plan import PeeringPlan, plan_peering
from argosy.engine.supervisor.entrypoint import serve
from argosy.fault import Fault, InputError, MissingError, RefusedError
from argosy.fleet.environments import local_machines, place
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.placement import Placement
from argosy.wire.security.curve_keys import active_keys_dir, default_keys_dir

_SYSTEMD_UNIT = """\
[Unit]
Description=argosy: supervisor of fleet {fleet} on {machine}
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
ExecStart={command}
Environment=ENV_TYPE={environment}
{variables}Restart=always
RestartSec=1
# The agents are its children and outlive it: the next supervisor adopts them.
KillMode=process

[Install]
WantedBy=default.target
"""
# They determine where state, keys and sockets are: the unit needs the values of the shell.
_PASSED_VARIABLES = ("ARGOSY_KEYS", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PATH")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy serve`."""
    add_fleet(parser, positionals="[install]", positionals_help="install: write a systemd unit")
    parser.add_argument("--machine", metavar="M", help="the machine of the fleet that this host is")
    parser.add_argument("-o", dest="unit_file", metavar="FILE", help="with install: the file to write")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; returns 0.

    Raises InputError: an invalid fleet, or a machine that it does not have. Raises RefusedError: there are no
    keys, or another supervisor of the fleet runs here.
    """
    args.positionals.sort(key=lambda word: not looks_like_fleet(word))
    path, positionals = parse_fleet(args)
    if positionals not in ([], ["install"]):
        message = f"unexpected argument `{positionals[0]}`"
        raise InputError(Fault(positionals[0], "usage", message, "`argosy serve --help`"))
    fleet = load_fleet(path)
    variables = dict(os.environ)
    placement = place(fleet, environment_name(args), variables)
    machines = local_machines(placement, args.machine, variables)
    peer_plan = plan_peering(fleet, placement, machines)
    if peer_plan is None:
        _check_keys(fleet, placement, machines)
    if positionals:
        return _install_systemd_unit(path, fleet, placement, peer_plan, args)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")

    def ready() -> None:
        where = f", reached at {peer_plan.listen_endpoint}" if peer_plan else ""
        names = ", ".join(sorted(name for name in machines if name)) or "its only machine"
        print(f"serving {fleet.name} as {names}{where} (pid {os.getpid()})", flush=True)
        _notify_service_manager(f"READY=1\nSTATUS=serving {fleet.name}{where}")

    serve(path, fleet.name, ready, peering_plan=peer_plan, is_persistent=True)
    return 0


def _check_keys(fleet: Fleet, placement: Placement, machines: frozenset[str | None]) -> None:
    """Raise RefusedError if other machines connect to this one and it has no keys."""
    others = [name for name in placement.machines() if name not in machines]
    if others and not active_keys_dir(fleet.name, placement.lookup.variables):
        key_dir = default_keys_dir(fleet.name, placement.lookup.variables)
        message = f"there are no keys in `{key_dir}`; a supervisor without keys would let anyone run commands"
        hint = "`argosy keys make` creates them, then `argosy keys copy M` writes what machine M needs"
        raise RefusedError(Fault(key_dir, "no-keys", message, hint))


def _notify_service_manager(text: str) -> None:
    """Send a message to the service manager, if one started this process."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def _install_systemd_unit(
    path: Path, fleet: Fleet, placement: Placement, peer_plan: PeeringPlan | None, args: argparse.Namespace
) -> int:
    """Write the unit, and print how to start it.

    Raises MissingError: it cannot be written.
    """
    chosen = args.machine or (peer_plan.machine if peer_plan else None)
    command = [sys.executable, "-m", "argosy", "serve", str(path)]
    command += ["--machine", chosen] if chosen else []
    variables = "".join(
        f'Environment="{name}={os.environ[name]}"\n' for name in _PASSED_VARIABLES if os.environ.get(name)
    )
    text = _SYSTEMD_UNIT.format(
        fleet=fleet.name,
        machine=chosen or "this machine",
        command=shlex.join(command),
        environment=placement.environment,
        variables=variables,
    )
    if os.geteuid() == 0:
        unit_dir, scope = Path("/etc/systemd/system"), ""
    else:
        config_home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        unit_dir, scope = Path(config_home) / "systemd" / "user", " --user"
    unit = Path(args.unit_file) if args.unit_file else unit_dir / f"argosy-{fleet.name}.service"
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"`{unit}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise MissingError(Fault(str(unit), "unwritable", message)) from error
    print(f"wrote {unit}")
    print(f"start:  systemctl{scope} daemon-reload && systemctl{scope} enable --now {unit.stem}")
    if scope:
        print("to keep it after logout:  loginctl enable-linger")
    return 0
