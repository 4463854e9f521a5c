"""Print the JSON Schema of fleet.yaml, or of a file of claims, for editors.

Name it in the first line of a fleet file, and the editor completes and checks:
  # yaml-language-server: $schema=./fleet.schema.json

example: argosy schema > fleet.schema.json
"""

from __future__ import annotations

import argparse
import sys

import msgspec

from argosy.fleet.schema import json_schema, schema_of
from argosy.refit.claims.spec import ClaimsKeys


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `argosy schema`."""
    parser.add_argument(
        "file", nargs="?", choices=("fleet", "claims"), default="fleet", help="of which file (default: fleet)"
    )
    parser.add_argument("--json", action="store_true", help="the same: a schema is JSON")


def run(args: argparse.Namespace) -> int:
    """Print the schema, plain, without the envelope of other verbs: that is what editors read."""
    schema = json_schema() if args.file == "fleet" else schema_of(ClaimsKeys, "claims.yaml")
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(schema), indent=2).decode() + "\n")
    return 0
