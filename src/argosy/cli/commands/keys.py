"""Create, show and export the CURVE keys of a fleet's machines.

  make    create missing keys; existing keys are never overwritten
  show    list the public keys and the faults of the key folder
  copy M  write the keys that machine M needs, with its own secret, to a folder to copy there

The keys are in ARGOSY_KEYS, else in $XDG_CONFIG_HOME/argosy/keys/FLEET. With such a folder, TCP
connections beyond loopback are limited to the fleet's machines, from the next start of each agent.

example: argosy keys copy pc2 -o keys-pc2

"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

import msgspec

from argosy.cli.arguments import add_fleet, add_options, looks_like_fleet, parse_fleet
from argosy.cli.console import paint, print_json
from argosy.fault import Fault, InputError, RefusedError
from argosy.fleet.fleet_spec import Fleet
from argosy.fleet.loader import load_fleet
from argosy.fleet.suggestions import suggest
from argosy.wire.security.curve_keys import default_keys_dir
from argosy.wire.security.key_management import (
    MachineKeys,
    check_keys,
    export_keys,
    list_keys,
    make_keys,
    renew_key,
)

ACTIONS = ("make", "show", "copy")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy keys`."""
    parser.add_argument("action", choices=ACTIONS, metavar="|".join(ACTIONS), help="what to do")
    add_fleet(parser, positionals="[M]", positionals_help="the machine to export keys for")
    text = "with make: replace the key of machine M; the others refuse it until they have the new one"
    add_options(parser, {"--renew M": text})
    parser.add_argument(
        "-o", dest="output_dir", metavar="DIR", help="with copy: the folder to create (default: keys-M)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the action; `show` returns 1 if the keys have faults.

    Raises InputError: an invalid fleet or option, or no such machine. Raises RefusedError: there are no
    usable keys. Raises MissingError: a folder cannot be written.
    """
    # FLEET may follow the machine: `argosy keys copy pc2 fleets/harbour`.
    args.positionals.sort(key=lambda word: not looks_like_fleet(word))
    path, positionals = parse_fleet(args)
    _check_usage(args, positionals)
    fleet = load_fleet(path)
    if not fleet.machines:
        message = f"fleet `{fleet.name}` has no machines, and keys are for connections between machines"
        hint = "add `machines:` to the fleet file"
        raise RefusedError(Fault(str(path), "no-machines", message, hint))
    key_dir = default_keys_dir(fleet.name)
    if args.action == "make":
        return _make_keys(fleet, key_dir, args.renew, as_json=args.as_json)
    if args.action == "copy":
        return _export_keys(fleet, key_dir, positionals[0], args.output_dir, as_json=args.as_json)
    return _show_keys(fleet, key_dir, as_json=args.as_json)


def _check_usage(args: argparse.Namespace, positionals: Sequence[str]) -> None:
    wanted = args.action == "copy"
    if len(positionals) != wanted:
        found = ", ".join(map("`{}`".format, positionals)) or "none"
        expected = "one machine" if wanted else "no machine"
        message = f"`argosy keys {args.action}` takes {expected}, found {found}"
        raise InputError(Fault("", "usage", message, "such as `argosy keys copy pc2`"))
    for option, value, action in (("--renew", args.renew, "make"), ("-o", args.output_dir, "copy")):
        if value is not None and args.action != action:
            raise InputError(Fault(option, "usage", f"`{option}` goes with `argosy keys {action}`"))


def _make_keys(fleet: Fleet, key_dir: str, renew: str | None, *, as_json: bool) -> int:
    if renew is not None:
        _check_machine(fleet, renew)
        renew_key(key_dir, renew)
    created = make_keys(key_dir, fleet.machines)
    if as_json:
        keys, renewed = list_keys(key_dir, tuple(fleet.machines)), [renew] if renew is not None else []
        _print_keys_json("make", key_dir, keys, made=created, renewed=renewed)
        return 0
    unchanged_count = len(fleet.machines) - len(created) - (renew is not None)
    print(f"{len(created)} made, {int(renew is not None)} renewed, {unchanged_count} kept in {key_dir}")
    if renew is not None:
        print(f"`{renew}` and the other machines refuse each other until they have the new keys")
    if created or renew is not None:
        print("each machine needs its own: `argosy keys copy M` writes them")
        print("running agents use them from their next start: `argosy down`, then `argosy up`")
    return 0


def _export_keys(fleet: Fleet, key_dir: str, machine: str, target: str | None, *, as_json: bool) -> int:
    _check_machine(fleet, machine)
    out = os.path.abspath(target or f"keys-{machine}")
    files = export_keys(key_dir, machine, out)
    if as_json:
        _print_keys_json("copy", key_dir, list_keys(key_dir, tuple(fleet.machines)), out=out, files=files)
        return 0
    print(f"{len(files)} files for `{machine}` in {out}, one of them its secret")
    remote_path = f"{machine}:.config/argosy/keys/{fleet.name}/"
    print(f"copy:  rsync -r --mkpath --delete --chmod=D700,F600 {out}/ {remote_path}")
    print(f"then:  rm -r {out}")
    return 0


def _show_keys(fleet: Fleet, key_dir: str, *, as_json: bool) -> int:
    machines = tuple(fleet.machines)
    found = list_keys(key_dir, machines)
    faults = check_keys(key_dir, machines)
    if as_json:
        _print_keys_json("show", key_dir, found, faults=[msgspec.to_builtins(fault) for fault in faults])
        return 1 if faults else 0
    print(key_dir)
    width = max(map(len, found))
    for name, keys in found.items():
        content = "public and secret" if keys.has_secret else "public"
        print(f"  {name:<{width}}  {keys.fingerprint or '-':<19}  {keys.public or '-':<40}  {content}")
    for fault in faults:
        print(f"{paint(fault.code, 'red')}  {fault.message}")
        if fault.hint:
            print(f"  {paint('hint:', 'cyan')} {fault.hint}")
    return 1 if faults else 0


def _check_machine(fleet: Fleet, machine: str) -> None:
    if machine not in fleet.machines:
        hint = suggest(machine, fleet.machines, "machines")
        message = f"fleet `{fleet.name}` has no machine `{machine}`"
        raise InputError(Fault(fleet.path, "unknown-machine", message, hint))


def _print_keys_json(action: str, key_dir: str, machines: dict[str, MachineKeys], **more: Any) -> None:
    machines_json = msgspec.to_builtins(machines)
    print_json({"argosy": "keys/1", "action": action, "folder": key_dir, "machines": machines_json, **more})
