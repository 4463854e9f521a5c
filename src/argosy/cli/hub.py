"""Run this machine's hub in the foreground, until Ctrl-C.

It keeps what the agents and the engine tell, pulls what the other machines' hubs have, and serves
`/metrics` (OpenMetrics), `/events` (server-sent events), `/api/...` and `/healthz`, by default on
127.0.0.1:9470 (`hub` in the fleet file). Agents find it by themselves, also when it starts later.

Restart, stop and quiet on the page need a token: `--token` prints it, and starts nothing.

example: argosy hub --token
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import TYPE_CHECKING

import setproctitle

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.report import print_json
from argosy.engine.companion import hold_lock, running_hub
from argosy.engine.folder import folder_of
from argosy.extra import install_command
from argosy.fault import Fault, MissingError
from argosy.fleet.load import load_fleet
from argosy.fleet.units import duration_s
from argosy.hub.grafana import dashboard
from argosy.hub.token import read_token, renew_token
from argosy.wire.book import hub_name, read_book

if TYPE_CHECKING:
    import argparse

    from argosy.engine.folder import Folder


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy hub`."""
    add_fleet(parser)
    parser.add_argument(
        "--store", metavar="FILE", help="where the records are (default: the fleet's state folder)"
    )
    parser.add_argument(
        "--grafana", action="store_true", help="print a Grafana dashboard of the fleet, and start nothing"
    )
    parser.add_argument("--token", action="store_true", help="print the token that actions on the page need")
    parser.add_argument(
        "--renew-token", action="store_true", help="make and print another; the one before ends"
    )


def run(args: argparse.Namespace) -> int:
    """Run the hub, or print its token or a dashboard; returns 0 when it was told to stop.

    Raises MissingError: the fleet was never started here, or the extra is missing. Raises RefusedError: a hub
    runs already, or the token cannot be read.
    """
    path, _ = take_fleet(args)
    if args.grafana:
        print(json.dumps(dashboard(load_fleet(path)), indent=2))
        return 0
    folder = folder_of(path)
    if not folder.book.exists():
        message = "the fleet has not been started on this machine, so nothing is known of its addresses"
        raise MissingError(Fault(str(path), "no-book", message, "`argosy up` writes them"))
    if args.token or args.renew_token:
        return _show_token(folder, is_new=args.renew_token, as_json=args.as_json)
    fleet = load_fleet(path)
    machines = read_book(folder.book).machines
    os.environ |= {"ARGOSY_BOOK": str(folder.book), "ARGOSY_AGENT": hub_name(machines[0] if machines else "")}
    words = {
        "store": args.store or str(folder.hub_store),
        "lock": str(folder.hub_lock),
        "book": str(folder.book),
        "fleet": str(path),
        "page": str(fleet.hub.port),
        "bind": fleet.hub.bind,
    }
    for name in ("detail", "retention"):
        if (kept := getattr(fleet.hub, name)) is not None:
            words[name] = str(duration_s(kept))
    try:
        hub = importlib.import_module("argosy.hub.hub").Hub
        importlib.import_module("argosy.hub.pageserver")
    except ModuleNotFoundError as error:
        message = f"the hub needs `{error.name}`, which is not installed"
        raise MissingError(Fault("", "no-hub", message, f"`{install_command('hub')}`")) from error
    hold_lock(folder.hub_lock)
    setproctitle.setproctitle(f"argosy: hub {fleet.name}")
    from argosy.agent.runner import run_agent  # noqa: PLC0415 - it loads the wire

    code: int = run_agent(hub, [word for key, value in words.items() for word in (f"--{key}", value)])
    return code


def _show_token(folder: Folder, *, is_new: bool, as_json: bool) -> int:
    """Print the token on stdout, and on stderr where to open the page with it."""
    token = renew_token(folder.hub_token) if is_new else read_token(folder.hub_token)
    mark = running_hub(folder.hub_lock)
    url = f"{mark.url}/#token={token}" if mark and mark.url else None
    if as_json:
        print_json({"argosy": "hub/1", "token": token, "url": url})
        return 0
    print(token)
    sys.stderr.write(f"open {url}\n" if url else "the hub does not run: `argosy up -d` starts it\n")
    return 0
