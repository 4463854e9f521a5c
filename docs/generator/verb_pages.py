"""A page for each command: its help, and what it prints with `--json`."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from functools import cache
from pathlib import Path

from markdown import code, table

import argosy
from argosy.cli.command_table import COMMAND_GROUPS, COMMANDS

ROOT = Path(argosy.__file__).parent
MEANINGS = Path(__file__).with_name("json_keys.toml")
_DOCUMENT = re.compile(r'"argosy": "[\w-]+/\d"')


def pages() -> dict[str, str]:
    """Return the pages by path: the index, and one for each command."""
    documents = json_documents()
    helps = _helps()
    result = {"reference/verbs/index.md": _index()}
    for verb in COMMANDS:
        text = f"# argosy {verb}\n\n```text\n{helps[verb]}```\n"
        for name, keys in documents.items():
            if name.split("/")[0] == verb or name.startswith(f"{verb}-"):
                text += f"\n## {name}\n\n" + _keys_table(name, keys)
        result[f"reference/verbs/{verb}.md"] = text
    return result


def document_index() -> str:
    """Return the JSON documents with their commands."""
    rows = []
    for name in sorted(json_documents()):
        verb = next(
            (verb for verb in COMMANDS if name.split("/")[0] == verb or name.startswith(f"{verb}-")), ""
        )
        rows.append(
            (code(name), f"[argosy {verb}](verbs/{verb}.md#{name.replace('/', '')})" if verb else "below")
        )
    return table(("document", "printed by"), rows)


def error_keys() -> str:
    """Return the documents that are of no single command."""
    documents = json_documents()
    text = []
    for name in ("action/1", "login/1", "error/1"):
        text.append(f"`{name}`\n\n" + _keys_table(name, documents[name]))
    return "\n".join(text)


@cache
def json_documents() -> dict[str, list[str]]:
    """Return the keys of each document: of dicts in the source that begin with `"argosy": "NAME/N"`.

    Raises SystemExit: a key has no meaning in json_keys.toml, or a meaning has no key.
    """
    found: dict[str, dict[str, None]] = defaultdict(dict)
    texts = [path.read_text() for path in sorted(ROOT.rglob("*.py"))]
    for text in texts:
        if not _DOCUMENT.search(text):
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Dict) and node.keys and _constant(node.keys[0]) == "argosy":
                name = _constant(node.values[0])
                if name:
                    found[name] |= dict.fromkeys(filter(None, map(_constant, node.keys[1:])))
    meanings = tomllib.loads(MEANINGS.read_text())
    extra = {name: keys.pop("also", {}) for name, keys in meanings.items()}
    wrong = [
        f"{name}: `{key}` has no meaning"
        for name, keys in found.items()
        for key in keys
        if key not in meanings.get(name, {})
    ]
    wrong += [
        f"{name}: there is no key `{key}`"
        for name, keys in meanings.items()
        for key in keys
        if key not in found.get(name, {})
    ]
    if wrong:
        raise SystemExit("\n".join([f"error: {MEANINGS.name} differs from the code", *wrong]))
    return {name: [*keys, *extra[name]] for name, keys in found.items()}


def _keys_table(name: str, keys: list[str]) -> str:
    meanings = tomllib.loads(MEANINGS.read_text())[name]
    meanings |= meanings.pop("also", {})
    return table(
        ("key", "meaning"), [(code("argosy"), code(name)), *((code(key), meanings[key]) for key in keys)]
    )


def _constant(node: ast.expr | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _index() -> str:
    parts = ["# Verbs\n\nEvery verb accepts `--json` and `--help`; see [JSON and exit codes](../json.md).\n"]
    for group, verbs in COMMAND_GROUPS.items():
        rows = [(f"[`argosy {verb}`]({verb}.md)", text) for verb, text in verbs.items()]
        parts.append(f"\n## To {group}\n\n" + table(("verb", "does"), rows))
    return "".join(parts)


def _helps() -> dict[str, str]:
    """Return the help of each command, as a terminal of 102 columns shows it."""
    program = (
        "import contextlib, io, json, sys\n"
        "from argosy.cli import main\n"
        "helps = {}\n"
        "for verb in sys.argv[1:]:\n"
        "    out = io.StringIO()\n"
        "    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):\n"
        "        main([verb, '--help'])\n"
        "    helps[verb] = out.getvalue()\n"
        "print(json.dumps(helps))\n"
    )
    env = {**os.environ, "COLUMNS": "102", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *COMMANDS], env=env, capture_output=True, text=True, check=True
    )
    helps: dict[str, str] = json.loads(done.stdout)
    return helps


REGIONS = {"json.documents": document_index, "json.others": error_keys}
