"""Writes values as YAML that all parsers read alike: ambiguous texts are quoted."""

from __future__ import annotations

import sys

import yaml

from argosy.fleet.yaml_nodes import resolve_scalar


class _QuotingDumper(yaml.SafeDumper):
    """Quotes texts that are numbers in YAML 1.2 only too (`0o17`, `1e3`); keeps each text on one line."""

    def ignore_aliases(self, data: object) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


class _LiteralText(str):
    """A text that is written as a literal block."""

    __slots__ = ()


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if resolve_scalar(text) != text or not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _represent_literal(dumper: yaml.SafeDumper, text: _LiteralText) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="|")


_QuotingDumper.add_representer(str, _represent_text)
_QuotingDumper.add_representer(_LiteralText, _represent_literal)


def dump_inline(value: object) -> str:
    """Return `value` as YAML on one line."""
    text: str = yaml.dump(
        [value],
        Dumper=_QuotingDumper,
        default_flow_style=True,
        sort_keys=False,
        allow_unicode=True,
        width=sys.maxsize,
    )
    return text.rstrip("\n")[1:-1]


def dump_document(value: object) -> str:
    """Return a mapping or list as a YAML document, with keys in the order of `value`."""
    text: str = yaml.dump(
        value,
        Dumper=_QuotingDumper,
        default_flow_style=False,
        sort_keys=False,
        allow_unicode=True,
        width=sys.maxsize,
    )
    return text


def literal_block(text: str) -> str:
    """Return `text` marked so that `dump_document` writes it as a literal block."""
    return _LiteralText(text)
