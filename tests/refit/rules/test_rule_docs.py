"""Rule documentation: the table of rules and the pre-commit hook match the code."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from argosy.cli.command_table import COMMANDS
from argosy.cli.commands import audit
from argosy.cli.dispatch import ArgosyParser
from argosy.refit.rules.registry import load_references

ROOT = Path(__file__).resolve().parents[3]


def test_rule_table_lists_every_rule() -> None:
    rows = re.findall(
        r"^\| \[([A-Z]\d{3})\]\(.*?\) \| (.*) \| (\w+) \|$",
        (ROOT / "docs/reference/rules/index.md").read_text(),
        re.M,
    )
    assert rows == [
        (item.rule.code, item.docstring.splitlines()[0], item.rule.action) for item in load_references()
    ]


def test_pre_commit_hook_runs_existing_command() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["argosy-audit"]
    program, verb, *options = hooks[0]["entry"].split()
    assert (program, verb in COMMANDS) == ("argosy", True)
    parser = ArgosyParser(prog="argosy audit", allow_abbrev=False)
    audit.configure(parser)
    assert parser.parse_args(options).since == "HEAD"
