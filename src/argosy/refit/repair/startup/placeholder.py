"""A placeholder that was left as a variable's fallback, `<BIND_ADDR>`: what the tree has there else.

No address has such a host. It is exchanged when the fallbacks of the same variable in the rest of the tree,
two at least, are all the same text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import Candidate
from argosy.refit.repair.edit import Edit
from argosy.refit.repair.names.view import View
from argosy.refit.repair.startup.around import PLACEHOLDER, Around, fallback_of
from argosy.refit.repair.startup.rule import Case, Rule

NAME = "placeholder"
_LEAST = 2


def may_apply(view: View) -> bool:
    return PLACEHOLDER.search(view.text) is not None


def propose(view: View, around: Around) -> Iterator[Candidate]:
    for node, _ in view.index.of(ast.Call):
        found = fallback_of(node)
        if found is None or not PLACEHOLDER.fullmatch(str(found[1].value)):
            continue
        variable, text = found
        others = [item for item in around.fallbacks(variable) if not PLACEHOLDER.fullmatch(item)]
        start, stop = view.span(text)
        quote = view.text[start]
        if len(set(others)) != 1 or len(others) < _LEAST or quote not in "'\"" or not others[0].isprintable():
            continue
        if quote in others[0] or "\\" in others[0]:
            continue
        said = (
            f"the placeholder `{text.value!s}` becomes `{others[0]}`, as {len(others)} other places have it"
        )
        yield Candidate(NAME, text.lineno, (Edit(start, stop, f"{quote}{others[0]}{quote}"),), said)


_OTHERS = dict.fromkeys(("one.py", "two.py"), "import os\nx = os.environ.get('BIND', '0.0.0.0')\n")
_TEXT = "import os\nHOST = os.environ.get('BIND', '<BIND_ADDR>')\n"
MUST = (
    Case(_TEXT, _TEXT.replace("<BIND_ADDR>", "0.0.0.0"), files=_OTHERS),
    Case(
        "from env import get_env\nHOST = get_env('BIND', '<BIND_ADDR>')\n",
        "from env import get_env\nHOST = get_env('BIND', '0.0.0.0')\n",
        files=_OTHERS,
    ),
)
MUST_NOT = (
    Case(_TEXT),
    Case(_TEXT, files={**_OTHERS, "six.py": "import os\nx = os.environ.get('BIND', '127.0.0.1')\n"}),
    Case("import os\nHOST = os.environ.get('BIND', '<a>')\n", files=_OTHERS),
    Case("TEXT = {}.get('BIND', '<BIND_ADDR>')\n", files=_OTHERS),
)

RULE = Rule(NAME, may_apply, propose, MUST, MUST_NOT)
