"""Start-up rules for values: a placeholder, a set, text that is decoded twice, a folder that is missing."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator

from argosy.refit.repair.module_view import ModuleView
from argosy.refit.repair.project_context import PLACEHOLDER, ProjectContext, parse_fallback
from argosy.refit.repair.repair_rule import RepairCandidate, RepairRule, StartupCase
from argosy.refit.transaction.text_edit import TextEdit
from argosy.refit.transaction.text_positions import detect_newline
from argosy.source.control_flow import dotted_name

_MIN_OTHERS = 2


def _may_placeholder_fallback(view: ModuleView) -> bool:
    return PLACEHOLDER.search(view.text) is not None


def propose_placeholder_fallback(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Replace a placeholder that was left as a variable's fallback, `<BIND_ADDR>`, by the tree's fallback.

    No address has such a host. It is replaced if the fallbacks of the same variable in the rest of the tree,
    at least two, are all the same text.
    """
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
            "placeholder-fallback",
            text.lineno,
            (TextEdit(start, stop, f"{quote}{other_fallbacks[0]}{quote}"),),
            description,
        )


_OTHERS = dict.fromkeys(("one.py", "two.py"), "import os\nx = os.environ.get('BIND', '0.0.0.0')\n")
_TEXT = "import os\nHOST = os.environ.get('BIND', '<BIND_ADDR>')\n"
_PLACEHOLDER_FALLBACK_MUST_CHANGE = (
    StartupCase(_TEXT, _TEXT.replace("<BIND_ADDR>", "0.0.0.0"), files=_OTHERS),
    StartupCase(
        "from env import get_env\nHOST = get_env('BIND', '<BIND_ADDR>')\n",
        "from env import get_env\nHOST = get_env('BIND', '0.0.0.0')\n",
        files=_OTHERS,
    ),
)
_PLACEHOLDER_FALLBACK_MUST_NOT_CHANGE = (
    StartupCase(_TEXT),
    StartupCase(_TEXT, files={**_OTHERS, "six.py": "import os\nx = os.environ.get('BIND', '127.0.0.1')\n"}),
    StartupCase("import os\nHOST = os.environ.get('BIND', '<a>')\n", files=_OTHERS),
    StartupCase("TEXT = {}.get('BIND', '<BIND_ADDR>')\n", files=_OTHERS),
)

PLACEHOLDER_FALLBACK = RepairRule(
    "placeholder-fallback",
    propose_placeholder_fallback,
    _may_placeholder_fallback,
    _PLACEHOLDER_FALLBACK_MUST_CHANGE,
    _PLACEHOLDER_FALLBACK_MUST_NOT_CHANGE,
)


def _may_port_in_set(view: ModuleView) -> bool:
    return "({" in view.text


def propose_port_in_set(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Remove the braces of a set where a port belongs: `endpoint({port})`.

    They are left over from an f-string. The function is in the tree, and its parameter is a port by its name,
    and an int or str by its annotation if it has one.
    """
    for node, _ in view.index.of_type(ast.Call):
        if not isinstance(node, ast.Call) or not dotted_name(node.func):
            continue
        for at, item in enumerate(node.args):
            if not (isinstance(item, ast.Set) and len(item.elts) == 1) or isinstance(
                item.elts[0], ast.Starred
            ):
                continue
            if _is_port_parameter(context.definition(view, dotted_name(node.func)), at):
                function = dotted_name(node.func)
                description = (
                    f"a set with one element where `{function}` takes a port: its braces are removed"
                )
                edit = TextEdit(*view.span(item), view.source_segment(item.elts[0]))
                yield RepairCandidate("port-in-set", item.lineno, (edit,), description)


def _is_port_parameter(function: object, at: int) -> bool:
    if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or at >= len(function.args.args):
        return False
    parameter = function.args.args[at]
    is_named = parameter.arg == "port" or parameter.arg.endswith("_port")
    annotation = ast.unparse(parameter.annotation) if parameter.annotation is not None else ""
    return is_named and "set" not in annotation.lower()


_LIB = {"lib.py": "def endpoint(port: int, host='localhost'): pass\ndef every(ports): pass\n"}
_PORT_IN_SET_MUST_CHANGE = (
    StartupCase(
        "from lib import endpoint\nADDRESS = endpoint({self_port}, 'x')\nself_port = 1\n".replace(
            "self_port", "PORT"
        ),
        "from lib import endpoint\nADDRESS = endpoint(PORT, 'x')\nPORT = 1\n",
        files=_LIB,
    ),
)
_PORT_IN_SET_MUST_NOT_CHANGE = (
    StartupCase("from lib import every\nevery({80})\n", files=_LIB),
    StartupCase("from lib import endpoint\nendpoint({80, 81})\n", files=_LIB),
    StartupCase("from gone import endpoint\nendpoint({80})\n", files=_LIB),
    StartupCase("from lib import endpoint\nendpoint(80, {80})\n", files=_LIB),
)

PORT_IN_SET = RepairRule(
    "port-in-set",
    propose_port_in_set,
    _may_port_in_set,
    _PORT_IN_SET_MUST_CHANGE,
    _PORT_IN_SET_MUST_NOT_CHANGE,
)


_ENCODINGS = frozenset({"utf-8", "utf8", "ascii", "latin-1"})


def _may_double_decode(view: ModuleView) -> bool:
    return view.text.count(".decode(") > 1 or ("recv_string(" in view.text and ".decode(" in view.text)


def propose_double_decode(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Remove a second decoding of text, such as `recv_string().decode()`.

    `str` has no `decode`: an AttributeError in every run.
    """
    for node, _ in view.index.of_type(ast.Call):
        inner = _decoded_value(node)
        if (
            isinstance(node, ast.Call)
            and inner is not None
            and (_decoded_value(inner) or _returns_str(inner))
        ):
            _, stop = view.span(inner)
            description = "text is decoded twice: the second `decode` is removed"
            yield RepairCandidate(
                "double-decode", inner.lineno, (TextEdit(stop, view.span(node)[1], ""),), description
            )


def _decoded_value(node: ast.AST) -> ast.expr | None:
    """Return `x` of a call `x.decode()`, without arguments or with a text encoding."""
    if not (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "decode"
    ):
        return None
    encodings = [item.value for item in node.args if isinstance(item, ast.Constant)]
    is_plain = not node.keywords and len(encodings) == len(node.args) <= 1 and set(encodings) <= _ENCODINGS
    return node.func.value if is_plain else None


def _returns_str(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "recv_string"
    )


_DOUBLE_DECODE_MUST_CHANGE = (
    StartupCase(
        "def f(socket):\n    return socket.recv().decode('utf-8').decode('utf-8')\n",
        "def f(socket):\n    return socket.recv().decode('utf-8')\n",
    ),
    StartupCase(
        "def f(socket):\n    return socket.recv_string().decode()\n",
        "def f(socket):\n    return socket.recv_string()\n",
    ),
)
_DOUBLE_DECODE_MUST_NOT_CHANGE = (
    StartupCase("def f(data):\n    return data.decode('hex').decode('utf-8')\n"),
    StartupCase("def f(data, codec):\n    return codec.decode(data).decode('utf-8')\n"),
    StartupCase("def f(data):\n    return data.decode() + data.decode()\n"),
)

DOUBLE_DECODE = RepairRule(
    "double-decode",
    propose_double_decode,
    _may_double_decode,
    _DOUBLE_DECODE_MUST_CHANGE,
    _DOUBLE_DECODE_MUST_NOT_CHANGE,
)


def _may_log_folder(view: ModuleView) -> bool:
    return "FileHandler(" in view.text


def propose_log_folder(view: ModuleView, context: ProjectContext) -> Iterator[RepairCandidate]:
    """Create the missing folder of a log file before the log is opened.

    `logging.FileHandler("service/logs/a.log")` while the module loads raises an error if the tree has
    `service/` but not `service/logs/`, since version control keeps no empty folders. `os.makedirs(…,
    exist_ok=True)` is inserted above the statement, unless the module creates folders before it.
    """
    if not view.is_module("os") and "os" in view.scope.bindings:
        return
    for node, scope in view.index.of_type(ast.Call):
        folder = _log_folder(node)
        index = view.statement_index(node.lineno)
        if not folder or _has_folder_creation(view, node.lineno):
            continue
        if scope is not view.scope or index >= len(view.body) or not view.has_own_lines(index):
            continue
        if context.has_folder(os.path.dirname(folder)) and not context.has_folder(folder):
            offset = view.line_offset(view.statement_first_line(index))
            newline = detect_newline(view.text)
            bound = [item.line for item in view.scope.bindings.get("os", ())]
            import_text = (
                "" if bound and min(bound) < view.statement_first_line(index) else f"import os{newline}"
            )
            inserted = f'{import_text}os.makedirs("{folder}", exist_ok=True){newline}'
            description = f"the folder `{folder}`, which is not in the tree, is created before its log"
            yield RepairCandidate(
                "log-folder", node.lineno, (TextEdit(offset, offset, inserted),), description
            )


def _has_folder_creation(view: ModuleView, line: int) -> bool:
    """Return whether a folder is created above a line, outside functions that may be called later."""
    functions = ("mkdir", "makedirs")
    return any(
        scope is view.scope and node.lineno < line and dotted_name(node.func).split(".")[-1] in functions
        for node, scope in view.index.of_type(ast.Call)
        if isinstance(node, ast.Call)
    )


def _log_folder(node: ast.Call) -> str:
    """Return the folder of a log file with a literal, relative path; empty for any other call."""
    if dotted_name(node.func).split(".")[-1] not in ("FileHandler", "RotatingFileHandler") or not node.args:
        return ""
    first = node.args[0]
    path = first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""
    is_plain = path.isprintable() and not {'"', "\\"} & set(path) and not path.startswith(("/", "."))
    return os.path.dirname(path) if is_plain else ""


_TEXT_LOG_FOLDER = "import logging\nlog = logging.FileHandler('service/logs/a.log')\n"
_LOG_FOLDER_MUST_CHANGE = (
    StartupCase(
        _TEXT_LOG_FOLDER,
        'import logging\nimport os\nos.makedirs("service/logs", exist_ok=True)\n'
        "log = logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
)
_LOG_FOLDER_MUST_NOT_CHANGE = (
    # It exists already, or is outside the tree.
    StartupCase(_TEXT_LOG_FOLDER, files={"service/logs/keep": ""}),
    StartupCase(_TEXT_LOG_FOLDER),
    # The file creates it.
    StartupCase(
        "import os\nos.makedirs('service/logs', exist_ok=True)\n" + _TEXT_LOG_FOLDER,
        files={"service/a.py": ""},
    ),
    # Not while the module loads.
    StartupCase(
        "import logging\ndef f():\n    logging.FileHandler('service/logs/a.log')\n",
        files={"service/a.py": ""},
    ),
    StartupCase("import logging\nlog = logging.FileHandler('a.log')\n"),
)

LOG_FOLDER = RepairRule(
    "log-folder", propose_log_folder, _may_log_folder, _LOG_FOLDER_MUST_CHANGE, _LOG_FOLDER_MUST_NOT_CHANGE
)
