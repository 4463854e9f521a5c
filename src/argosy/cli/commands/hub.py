"""Run this machine's hub in the foreground, until Ctrl-C.

The hub stores reports of the agents and the engine, replicates those of the other machines' hubs, and
serves `/metrics` (OpenMetrics), `/events` (server-sent events), `/api/...` and `/healthz`, by default
on 127.0.0.1:9470 (`hub` in the fleet file). Agents connect to it automatically, also if it starts
later.

The page, the API and actions need the hub's token, since a machine may have other users: `--open` opens
the page with it, `--token` prints it for programs; neither starts a hub.

example: argosy hub --open

"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import webbrowser

import setproctitle

from argosy.cli.arguments import add_fleet, add_options, parse_fleet
from argosy.cli.console import print_json
from argosy.engine.state.state_dir import StateDir, locate_state_dir
from argosy.engine.supervisor.hub_process import acquire_hub_lock, find_running_hub
from argosy.extra import install_command
from argosy.fault import Fault, MissingError
from argosy.fleet.loader import load_fleet
from argosy.fleet.quantities import parse_duration_s
from argosy.hub.http.grafana import make_dashboard
from argosy.hub.http.token import read_token, renew_token
from argosy.wire.address_book import hub_name, read_address_book


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy hub`."""
    add_fleet(parser)
    options = {
        "--store FILE": "the store file (default: in the fleet's state folder)",
        "--grafana": "print a Grafana dashboard of the fleet; start nothing",
        "--open": "print a link to the page with the token, and open it if there is a display",
        "--token": "print the token for reads and actions",
        "--renew-token": "replace the token and print the new one",
    }
    add_options(parser, options)


def run(args: argparse.Namespace) -> int:
    """Run the hub, or print its token, a link or a dashboard; returns 0 after an ordered stop.

    Raises MissingError: the fleet was never started here, the extra is missing, or `--open` finds no hub.
    Raises RefusedError: a hub runs already, or the token cannot be read.
    """
    path, _ = parse_fleet(args)
    if args.grafana:
        print(json.dumps(make_dashboard(load_fleet(path)), indent=2))
        return 0
    state_dir = locate_state_dir(path)
    if not state_dir.address_book.exists():
        message = "the fleet has not been started on this machine, so its addresses are unknown"
        raise MissingError(Fault(str(path), "no-address-book", message, "`argosy up` writes them"))
    if args.open:
        return _open_page(state_dir, as_json=args.as_json)
    if args.token or args.renew_token:
        return _show_token(state_dir, is_new=args.renew_token, as_json=args.as_json)
    fleet = load_fleet(path)
    machines = read_address_book(state_dir.address_book).machines
    os.environ |= {
        "ARGOSY_BOOK": str(state_dir.address_book),
        "ARGOSY_AGENT": hub_name(machines[0] if machines else ""),
    }
    options = {
        "store": args.store or str(state_dir.hub_store),
        "lock": str(state_dir.hub_lock),
        "book": str(state_dir.address_book),
        "fleet": str(path),
        "page": str(fleet.hub.port),
        "bind": fleet.hub.bind,
    }
    for name in ("detail", "retention"):
        if (kept := getattr(fleet.hub, name)) is not None:
            options[name] = str(parse_duration_s(kept))
    try:
        hub = importlib.import_module("argosy.hub.hub_agent").HubAgent
        importlib.import_module("argosy.hub.http.http_server")
    except ModuleNotFoundError as error:
        message = f"the hub needs `{error.name}`, which is not installed"
        raise MissingError(Fault("", "no-hub", message, f"`{install_command('hub')}`")) from error
    acquire_hub_lock(state_dir.hub_lock)
    setproctitle.setproctitle(f"argosy: hub {fleet.name}")
    from argosy.agent.runner import run_agent  # noqa: PLC0415 - it loads the wire

    code: int = run_agent(hub, [word for key, value in options.items() for word in (f"--{key}", value)])
    return code


def _open_page(state_dir: StateDir, *, as_json: bool) -> int:
    """Print the link to the page, and open it if there is a display."""
    hub_record = find_running_hub(state_dir.hub_lock)
    if not hub_record or not hub_record.url:
        hint = "`argosy up -d` starts it; `argosy status` shows why it does not run"
        raise MissingError(Fault("hub", "no-hub", "no hub of this fleet listens here", hint))
    token = read_token(state_dir.hub_token)
    url = _page_url(hub_record.url, token)
    if as_json:
        print_json(
            {"argosy": "hub/1", "token": token, "url": url, "opened": _open_in_browser(state_dir, url)}
        )
        return 0
    print(url, flush=True)
    if _open_in_browser(state_dir, url):
        sys.stderr.write("opened in a browser\n")
    return 0


def _page_url(address: str, token: str) -> str:
    """Return the link to a page; browsers do not send the part after `#`."""
    return f"{address}/#token={token}"


def _open_in_browser(state_dir: StateDir, url: str) -> bool:
    """Open a link in the browser; return whether there is a display.

    Uses a file that only this user can read, since every user can see command lines.
    """
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    path = state_dir.hub_token.with_name("hub.open.html")
    text = f'<!doctype html><meta http-equiv="refresh" content="0; url={url}"><a href="{url}">the hub</a>\n'
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with open(file, "w") as page:
        page.write(text)
    return webbrowser.open(path.as_uri())


def _show_token(state_dir: StateDir, *, is_new: bool, as_json: bool) -> int:
    """Print the token on stdout, and the link to the page on stderr."""
    token = renew_token(state_dir.hub_token) if is_new else read_token(state_dir.hub_token)
    hub_record = find_running_hub(state_dir.hub_lock)
    url = _page_url(hub_record.url, token) if hub_record and hub_record.url else None
    if as_json:
        print_json({"argosy": "hub/1", "token": token, "url": url})
        return 0
    print(token)
    sys.stderr.write(f"open {url}\n" if url else "the hub does not run: `argosy up -d` starts it\n")
    return 0
