"""Restart agents in place; what needs them is restarted too only where its `on_death` asks for it.

example: argosy restart Translator Memory
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from argosy.cli.arguments import add_fleet, take_fleet
from argosy.cli.report import paint, print_json
from argosy.engine.client import connect
from argosy.engine.folder import folder_of
from argosy.engine.messages import Restart, Restarted
from argosy.fault import Fault, InputError, RefusedError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy restart`."""
    add_fleet(parser, words="AGENT...", words_help="the agents to restart")


def run(args: argparse.Namespace) -> int:
    """Restart; returns 0 when all that was touched is ready again."""
    path, names = take_fleet(args)
    if not names:
        raise InputError(Fault("AGENT", "usage", "no agent is named", "`argosy restart NAME...`"))
    client = connect(folder_of(path), "restart")
    if client is None:
        raise RefusedError(Fault(str(path), "not-running", "this fleet is not running", "`argosy up -d`"))
    with client:
        client.send(Restart(names=names))
        answer = client.receive(None)
    assert isinstance(answer, Restarted), "a restart is answered by its outcome"
    if args.as_json:
        print_json(
            {
                "argosy": "restart/1",
                "restarted": answer.restarted,
                "not_ready": answer.not_ready,
                "reconnected": answer.reconnected,
                "seconds": round(answer.seconds, 4),
            }
        )
    else:
        for name, reason in answer.not_ready.items():
            print(f"{paint('not ready', 'red')}  {name}: {reason}")
        print(
            f"{len(answer.restarted)} restarted in {answer.seconds:.2f} s; "
            f"{len(answer.reconnected)} that need them were left running"
        )
    return 1 if answer.not_ready else 0
