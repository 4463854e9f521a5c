"""Use before definition: the analysis agrees with really loading the module."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source.binder import find_scopes
from argosy.source.use_before_def import UseBeforeDefinition, find_uses_before_definition
from source.parsed_text import parsed


def early_uses(text: str, *, is_main: bool = False) -> list[UseBeforeDefinition]:
    found = parsed(text)
    return list(find_uses_before_definition(found, find_scopes(found), is_main=is_main))


def certain(text: str, *, is_main: bool = False) -> list[str]:
    return [item.name for item in early_uses(text, is_main=is_main) if item.is_certain]


def load(text: str) -> NameError | SystemExit | None:
    """Run a module for real, without the future imports of this file; return what ended it."""
    code = compile(text, "a.py", "exec", dont_inherit=True)
    try:
        exec(code, {"__name__": "a"})
    except (NameError, SystemExit) as error:
        return error
    return None


def test_use_before_import_is_found() -> None:
    (item,) = early_uses("import sys\nsys.path.insert(0, join_path('a'))\nfrom paths import join_path\n")
    assert (item.name, item.line, item.column, item.bound_line, item.bound_by) == (
        "join_path",
        2,
        20,
        3,
        "import",
    )
    assert item.is_certain


def test_name_without_binding_is_found() -> None:
    (item,) = early_uses("class A(aseAgent):\n    pass\n")
    assert (item.name, item.bound_line, item.bound_by, item.is_certain) == ("aseAgent", 0, None, True)


def test_early_use_is_reported_once_at_most_certain_place() -> None:
    (item,) = early_uses("if len('a'):\n    a\na\na\n")
    assert (item.line, item.is_certain) == (3, True)


@pytest.mark.parametrize(
    "text",
    [
        "x = a",
        "a += 1",
        "del a",
        "a.b = 1",
        "a[0] = 1",
        "@a\ndef f(): pass",
        "def f(x=a): pass",
        "def f(x: a): pass",
        "def f() -> a: pass",
        "x: a = 1",
        "class C(a): pass",
        "class C(metaclass=a): pass",
        "class C:\n    x = a",
        "[x for x in a]",
        "lambda x=a: x",
        "a and 1",
        "1 if a else 2",
        "1 < a < 2",
        "f'{a}'",
        "with a: pass",
        "for x in a: pass",
        "while a: pass",
        "if a: pass",
        "assert a",
        "try:\n    a\nexcept KeyError:\n    pass",
        "try:\n    pass\nfinally:\n    a",
        "match a:\n    case 1: pass",
        "if True:\n    a",
        "a: int\nb = a",
        "del_ = 1\ndel del_\na",
        "try:\n    a\nexcept NameError:\n    raise",
        "x = 1\ndel x\nx.y = a",
    ],
)
def test_certain_use_raises_name_error(text: str) -> None:
    assert "a" in certain(text)
    assert isinstance(load(text), NameError)


@pytest.mark.parametrize(
    "text",
    [
        "0 and a",
        "1 or a",
        "1 if 1 else a",
        "2 < 1 < a",
        "[a for x in ()]",
        "lambda: a",
        "def f(): return a",
        "if 0:\n    a",
        "while 0:\n    a",
        "for x in ():\n    a",
        "assert 1, a",
        "try:\n    a\nexcept NameError:\n    pass",
        "try:\n    a\nexcept Exception:\n    pass",
        "try:\n    pass\nexcept a:\n    pass",
        "from contextlib import suppress\nwith suppress(NameError):\n    a",
        "if (a := 1): a",
        "if __name__ == '__main__':\n    a",
        "from __future__ import annotations\ndef f(x: a) -> a: pass\ny: a = 1",
        "class C:\n    a = 1\n    b = a",
        "class C:\n    b = __qualname__, __module__",
        "try:\n    import a\nexcept ImportError:\n    a = None\na",
        "[a for a in (1,)]",
        "def f():\n    global a\n    a = 1\nf()\na",
        "exec('a = 1')\na",
        "for a in (1,): pass\na",
        "import os.path as a\na",
        "with open('/dev/null') as a: a",
        "match 1:\n    case a: a",
        "try:\n    raise SystemExit\nexcept SystemExit as a:\n    a",
    ],
)
def test_module_that_loads_has_no_certain_use(text: str) -> None:
    assert load(text) is None
    assert certain(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "import sys\nsys.exit(0)\n",
        "raise SystemExit\n",
        "if len('a'):\n    raise SystemExit\nelif 0:\n    exit()\nelse:\n    quit()\n",
        "if True:\n    raise SystemExit\n",
        "try:\n    raise SystemExit\nfinally:\n    pass\n",
        "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise SystemExit\nelse:\n    raise SystemExit\n",
        "with open('/dev/null'):\n    raise SystemExit\n",
        "class C:\n    raise SystemExit\n",
    ],
)
def test_no_use_is_certain_after_system_exit(text: str) -> None:
    assert certain(text + "a\n") == []
    assert not isinstance(load(text + "a\n"), NameError)


def test_main_block_is_checked_only_in_script() -> None:
    text = "if __name__ == '__main__':\n    main()\n"
    assert certain(text, is_main=True) == ["main"]
    assert early_uses(text) == []


def test_type_checking_import_binds_no_name_at_run_time() -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\nx = a\n"
    assert certain(text) == ["a"]


def test_star_import_hides_early_uses() -> None:
    assert early_uses("from m import *\na\n") == []


_NAMES = st.sampled_from("abc")


@st.composite
def modules(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """A random module of bindings and reads, with branches, loops, handlers and class bodies."""
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        name, other = draw(_NAMES), draw(_NAMES)
        kinds = ["read", "bind", "copy", "del", "comprehension", "function", "walrus", "and", "exit"]
        blocks = [
            "if 1:",
            "if 0:",
            "if len('x'):",
            "for {} in (1, 2):",
            "while 0:",
            "class {}:",
            "try:",
            "with o() as {}:",
        ]
        kind = draw(st.sampled_from(kinds + (blocks if depth < 2 else [])))
        if kind in blocks:
            body = ["    " + line for line in draw(modules(depth + 1))]
            lines += [kind.format(name), *body]
            if kind == "try:" and draw(st.booleans()):
                lines += ["finally:", *("    " + line for line in draw(modules(depth + 1)))]
            elif kind == "try:":
                handler = draw(
                    st.sampled_from(["except NameError", "except KeyError", "except Exception as " + other])
                )
                lines += [handler + ":", *("    " + line for line in draw(modules(depth + 1)))]
        else:
            lines.append(
                {
                    "read": f"{name}",
                    "bind": f"{name} = 1",
                    "copy": f"{name} = {other}",
                    "del": f"del {name}",
                    "comprehension": f"[{name} for {other} in (1,)]",
                    "function": f"def {name}(x={other}): return {other}",
                    "walrus": f"({name} := {other})",
                    "and": f"0 and {name}",
                    "exit": "raise SystemExit",
                }[kind]
            )
    return lines


@given(modules())
def test_certain_use_ends_module_at_or_before_its_line(lines: list[str]) -> None:
    """A module with a certain finding is ended by an error, no later than at the first of them."""
    text = "\n".join(["from contextlib import nullcontext as o", *lines]) + "\n"
    found = [item for item in early_uses(text) if item.is_certain]
    ended = [last_line(error) for error in chain(load(text))]
    assert not found or (ended != [] and min(ended) <= found[0].line)


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error with those that it came after: what `finally` raises hides what was under way."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__context__
    return found


def last_line(error: BaseException) -> int:
    """Return the innermost line of the module where an error was raised; class bodies are frames too."""
    frame = error.__traceback__
    assert frame is not None
    while frame.tb_next is not None:
        frame = frame.tb_next
    return frame.tb_lineno


@given(
    st.lists(st.tuples(st.sampled_from(["{} = 1", "{}", "import {}", "def {}(): pass"]), _NAMES), max_size=8)
)
def test_first_certain_use_is_where_straight_module_raises(parts: list[tuple[str, str]]) -> None:
    text = (
        "\n".join(form.format({"a": "ast", "b": "bisect", "c": "copy"}[name]) for form, name in parts) + "\n"
    )
    found = [item for item in early_uses(text) if item.is_certain]
    error = load(text)
    expected = [(last_line(error), error.name)] if isinstance(error, NameError) else []
    assert [(item.line, item.name) for item in found][:1] == expected
