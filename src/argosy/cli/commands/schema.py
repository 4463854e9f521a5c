"""Print the JSON Schema of fleet.yaml, of a claims file, or of a tracker, for editors.

With this first line in a fleet file, editors complete and check it:
  # yaml-language-server: $schema=./fleet.schema.json

example: argosy schema > fleet.schema.json
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from argosy.fleet.json_schema import fleet_json_schema, json_schema_of
from argosy.refit.claims.claim_spec import ClaimsKeys
from argosy.track.track_spec import TrackKeys

_SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "fleet": fleet_json_schema,
    "claims": lambda: json_schema_of(ClaimsKeys, "claims.yaml"),
    "track": lambda: json_schema_of(TrackKeys, "track.yaml"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy schema`."""
    parser.add_argument(
        "file", nargs="?", choices=tuple(_SCHEMAS), default="fleet", help="the kind of file (default: fleet)"
    )
    parser.add_argument("--json", action="store_true", help="accepted for uniformity: a schema is JSON")


def run(args: argparse.Namespace) -> int:
    """Print the plain schema, which editors read, without the key `argosy` of other commands."""
    schema = _SCHEMAS[args.file]()
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n")
    return 0
