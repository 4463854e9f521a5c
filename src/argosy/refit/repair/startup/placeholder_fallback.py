"""Replaces a placeholder that was left as a variable's fallback, `<BIND_ADDR>`, by the tree's fallback.

No address has such a host. It is replaced if the fallbacks of the same variable in the rest of the tree, at
least two, are all the same text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from argosy.refit.repair.candidate import RepairCandidate
from argosy.refit.repair.name_resolution.module_view import ModuleView
from argosy.refit.repair.span_edit import SpanEdit
from argosy.refit.repair.startup.project_context import PLACEHOLDER, ProjectContext, parse_fallback
from argosy.refit.repair.startup.startup_rule import StartupCase, StartupRule

NAME = "placeholder-fallback"
_MIN_OTHERS = 2


def may_apply(view: ModuleView) -> bool:
    return PLACEHOLDER.search(view.text) is not None


def propose(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    for node, _ in view.index.of_type(ast.Call):
        found = parse_fallback(node)
        if found is None or not PLACEHOLDER.fullmatch(str(found[1].value)):
            continue
        variable, text = found
        other_fallbacks = [
            item for item in context.find_fallbacks(variable) if not PLACEHOLDER.fullmatch(item)
        ]
        start, stop = view.span(text)
        quote = view.text[start]
        if (
            len(set(other_fallbacks)) != 1
            or len(other_fallbacks) < _MIN_OTHERS
            or quote not in "'\""
            or not other_fallbacks[0].isprintable()
        ):
            continue
        if quote in other_fallbacks[0] or "\\" in other_fallbacks[0]:
            continue
        description = (
            f"the placeholder `{text.value!s}` becomes `{other_fallbacks[0]}`, "
            f"as in {len(other_fallbacks)} other places"
        )
        yield RepairCandidate(
            NAME, text.lineno, (SpanEdit(start, stop, f"{quote}{other_fallbacks[0]}{quote}"),), description
        )


_OTHERS = dict.fromkeys(("one.py", "two.py"), "import os\nx = os.environ.get('BIND', '0.0.0.0')\n")
_TEXT = "import os\nHOST = os.environ.get('BIND', '<BIND_ADDR>')\n"
MUST_CHANGE = (
    StartupCase(_TEXT, _TEXT.replace("<BIND_ADDR>", "0.0.0.0"), files=_OTHERS),
    StartupCase(
        "from env import get_env\nHOST = get_env('BIND', '<BIND_ADDR>')\n",
        "from env import get_env\nHOST = get_env('BIND', '0.0.0.0')\n",
        files=_OTHERS,
    ),
)
MUST_NOT_CHANGE = (
    StartupCase(_TEXT),
    StartupCase(_TEXT, files={**_OTHERS, "six.py": "import os\nx = os.environ.get('BIND', '127.0.0.1')\n"}),
    StartupCase("import os\nHOST = os.environ.get('BIND', '<a>')\n", files=_OTHERS),
    StartupCase("TEXT = {}.get('BIND', '<BIND_ADDR>')\n", files=_OTHERS),
)

RULE = StartupRule(NAME, may_apply, propose, MUST_CHANGE, MUST_NOT_CHANGE)
