"""Renders an audit as SARIF 2.1.0, the exchange format of code hosts and editors."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from urllib.parse import quote

from argosy import __version__
from argosy.cli.render.audit_view import AuditView
from argosy.refit.core.finding import Finding
from argosy.refit.rules.registry import RuleReference, load_references

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {"S": "error"}


def render_sarif(view: AuditView) -> dict[str, object]:
    """Return one run; locations are relative to the root of the audit (`SRCROOT`)."""
    references = {item.rule.code: item for item in load_references()}
    codes = sorted({item.code for item in view.findings})
    order = {code: index for index, code in enumerate(codes)}
    seen = Counter[tuple[str, str, str]]()
    results: list[object] = []
    for item in view.findings:
        results.append(_sarif_result(item, order, seen[item.key()]))
        seen[item.key()] += 1
    run: dict[str, object] = {
        "tool": {
            "driver": {
                "name": "argosy",
                "semanticVersion": __version__,
                "version": __version__,
                "rules": [_sarif_rule(code, references) for code in codes],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "The root of the audit."}}},
        "results": results,
        "invocations": [
            {
                "executionSuccessful": not view.report.result.failures,
                "toolExecutionNotifications": [
                    {"level": "error", "message": {"text": f"{item.code} on {item.path}: {item.message}"}}
                    for item in view.report.result.failures
                ],
            }
        ],
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _sarif_rule(code: str, references: Mapping[str, RuleReference]) -> dict[str, object]:
    found = references[code]
    title, _, rest = found.docstring.strip().partition("\n")
    return {
        "id": code,
        "name": "".join(word.capitalize() for word in found.rule.title.split()),
        "shortDescription": {"text": f"{title}."},
        "fullDescription": {"text": rest.strip() or title},
        "help": {"text": found.docstring.strip()},
        "defaultConfiguration": {"level": _sarif_level(code)},
        "properties": {"action": found.rule.action},
    }


def _sarif_result(item: Finding, order: Mapping[str, int], occurrence: int) -> dict[str, object]:
    identity = "\0".join([*item.key(), str(occurrence)])
    return {
        "ruleId": item.code,
        "ruleIndex": order[item.code],
        "level": _sarif_level(item.code),
        "message": {"text": item.message + (f"\n{item.hint}" if item.hint else "")},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(item.path), "uriBaseId": "SRCROOT"},
                    "region": {"startLine": item.line, "startColumn": item.column},
                },
                **({"logicalLocations": [{"fullyQualifiedName": item.symbol}]} if item.symbol else {}),
            }
        ],
        "partialFingerprints": {"argosy/1": hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()},
        "properties": {"action": item.action, **({"group": item.group} if item.group else {})},
    }


def _sarif_level(code: str) -> str:
    return _LEVELS.get(code[0], "warning")
