"""Be this machine's supervisor, in the foreground, for `up` on another machine to reach.

Ends on Ctrl-C or TERM, and leaves the agents running; the next one takes them over, and starts again
what was up when the machine went down. Machines let each other in by the keys of `argosy keys`.
`install` writes a systemd unit of it (Type=notify) instead.

example: argosy serve --machine pc2
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, environment_name, looks_like_fleet, parse_fleet
from argosy.engine.plan.peering_plan import plan_peering
from argosy.engine.supervisor.entrypoint import serve
from argosy.fault import Fault, InputError, MissingError, RefusedError
from argosy.fleet.environments import local_machines, place
from argosy.fleet.loader import load_fleet
from argosy.wire.security.curve_keys import active_keys_dir, default_keys_dir

if TYPE_CHECKING:
    import argparse

    from argosy.engine.plan.peering_plan import PeeringPlan
    from argosy.fleet.fleet_spec import Fleet
    from argosy.fleet.placement import Placement

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
# The agents are its children and outlive it: the next one takes them over.
KillMode=process

[Install]
WantedBy=default.target
"""
# What decides where state, keys and sockets are: the unit has to see what the shell does.
_PASSED_VARIABLES = ("ARGOSY_KEYS", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PATH")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy serve`."""
    add_fleet(parser, positionals="[install]", positionals_help="install: write a systemd unit")
    parser.add_argument("--machine", metavar="M", help="be this machine of the fleet")
    parser.add_argument("-o", dest="unit", metavar="FILE", help="with install: write the unit there")


def run(args: argparse.Namespace) -> int:
    """Serve until told to end; returns 0.

    Raises InputError: a faulty fleet, or a machine that it does not have; RefusedError: no keys, or
    another supervisor of the fleet runs here.
    """
    args.words.sort(key=lambda word: not looks_like_fleet(word))
    path, positionals = parse_fleet(args)
    if positionals not in ([], ["install"]):
        raise InputError(
            Fault(
                positionals[0], "usage", f"`{positionals[0]}` is not understood here", "`argosy serve --help`"
            )
        )
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
        print(f"serving {fleet.name} as {_machine_names(machines)}{where} (pid {os.getpid()})", flush=True)
        _notify_service_manager(f"READY=1\nSTATUS=serving {fleet.name}{where}")

    serve(path, fleet.name, ready, peering_plan=peer_plan, is_persistent=True)
    return 0


def _machine_names(machines: frozenset[str | None]) -> str:
    return ", ".join(sorted(name for name in machines if name)) or "its only machine"


def _check_keys(fleet: Fleet, placement: Placement, machines: frozenset[str | None]) -> None:
    """Raise RefusedError where other machines are to reach this one and there are no keys for it."""
    others = [name for name in placement.machines() if name not in machines]
    if others and not active_keys_dir(fleet.name, placement.lookup.variables):
        key_dir = default_keys_dir(fleet.name, placement.lookup.variables)
        message = f"there are no keys in `{key_dir}`, and whoever reaches a supervisor may run commands by it"
        hint = "`argosy keys make` once, then `argosy keys copy M` lays out what each machine needs"
        raise RefusedError(Fault(key_dir, "no-keys", message, hint))


def _notify_service_manager(text: str) -> None:
    """Tell the service manager, where one started this."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.sendto(text.encode(), "\0" + address[1:] if address.startswith("@") else address)


def _install_systemd_unit(
    path: Path, fleet: Fleet, placement: Placement, peer_plan: PeeringPlan | None, args: argparse.Namespace
) -> int:
    """Write the unit, and say how to start it.

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
    unit = Path(args.unit) if args.unit else unit_dir / f"argosy-{fleet.name}.service"
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        unit.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"`{unit}` cannot be written: {(error.strerror or str(error)).lower()}"
        raise MissingError(Fault(str(unit), "not-written", message)) from error
    print(f"written to {unit}")
    print(f"start:  systemctl{scope} daemon-reload && systemctl{scope} enable --now {unit.stem}")
    if scope:
        print("after a log-out too:  loginctl enable-linger")
    return 0
