"""Scans the lines of a text that does not parse for imports.

Lines that look like imports inside a string are included: callers prefer false positives to misses.
"""

from __future__ import annotations

import re

from argosy.source.import_statements import Import, ImportCondition

_NAME = r"[^\W\d]\w*"
_DOTTED_NAME = rf"{_NAME}(?:\.{_NAME})*"
_ALIASED_MODULE = rf"{_DOTTED_NAME}(?:[ \t]+as[ \t]+{_NAME})?"
_IMPORTED_NAME = rf"{_NAME}(?:[ \t]+as[ \t]+{_NAME})?"
_FROM = re.compile(
    rf"^(?P<margin>[ \t]*)from[ \t]+(?P<dots>\.*)[ \t]*(?P<module>{_DOTTED_NAME})?[ \t]+import[ \t]*"
    rf"(?P<names>\*|\([^()]*\)|{_IMPORTED_NAME}(?:[ \t]*,[ \t]*{_IMPORTED_NAME})*|)",
    re.MULTILINE,
)
_PLAIN = re.compile(
    rf"^(?P<margin>[ \t]*)import[ \t]+(?P<names>{_ALIASED_MODULE}(?:[ \t]*,[ \t]*{_ALIASED_MODULE})*)"
    r"[ \t]*(?:[;#].*)?\r?$",
    re.MULTILINE,
)
_COMMENT = re.compile(r"#[^\n]*")


def scan_imports(text: str) -> tuple[Import, ...]:
    """Return the imports at the beginning of lines; an indented one is conditional."""
    found: list[Import] = []
    for match in _FROM.finditer(text):
        if match["dots"] or match["module"]:
            found.append(
                _make_import(
                    text, match, match["module"] or "", len(match["dots"]), _parse_names(match["names"])
                )
            )
    for match in _PLAIN.finditer(text):
        found += [_make_import(text, match, part.split()[0], 0, ()) for part in match["names"].split(",")]
    return tuple(sorted(found, key=lambda item: (item.line, item.column)))


def _make_import(text: str, match: re.Match[str], module: str, level: int, names: tuple[str, ...]) -> Import:
    margin = match["margin"]
    line = text.count("\n", 0, match.start()) + 1
    conditions = frozenset({ImportCondition.CONDITIONAL}) if margin else frozenset()
    return Import(module, level, names, line, len(margin) + 1, conditions)


def _parse_names(text: str) -> tuple[str, ...]:
    parts = _COMMENT.sub("", text).strip("() \t").split(",")
    return tuple(part.split()[0] for part in parts if part.strip())
