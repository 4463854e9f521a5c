"""Name repair: which names are repaired from the rest of the tree, and which are left alone."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from argosy.refit.repair.proposal import RepairProposal
from argosy.refit.repair.tree_repair import repair_tree

_BROKEN = "value = int(1))\n"


def _tree(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
    return root


def _repaired(root: Path, text: str, others: Mapping[str, str] | None = None) -> RepairProposal:
    """Return the proposal for `text`, with a bracket too many below it, in a tree with `others`."""
    whole = textwrap.dedent(text).lstrip("\n") + _BROKEN
    _tree(root, {**(others or {}), "app/broken.py": whole})
    report = repair_tree(str(root))
    assert [item.path for item in report.proposals] == ["app/broken.py"]
    assert report.proposals[0].is_applicable
    return report.proposals[0]


def _after(item: RepairProposal) -> str:
    return item.after.decode().removesuffix("value = int(1)\n")


def _left(item: RepairProposal) -> list[str]:
    return [name.name for name in item.undefined]


PATHS = {"lib/paths.py": "def join(*parts):\n    return parts\n", "lib/__init__.py": ""}


def test_repair_moves_import_above_first_use(tmp_path: Path) -> None:
    text = """
    import sys
    sys.path.insert(0, join("a"))
    from lib.paths import join
    """
    item = _repaired(tmp_path, text, PATHS)
    assert _after(item) == 'import sys\nfrom lib.paths import join\nsys.path.insert(0, join("a"))\n'
    assert _left(item) == []


CONFIGURED = {"lib/conf.py": "def load():\n    return {}\n", "lib/__init__.py": ""} | {
    f"other/a{number}.py": "from lib.conf import load\nconfig = load()\n" for number in range(3)
}


def test_repair_restores_lost_call_of_imported_function(tmp_path: Path) -> None:
    item = _repaired(tmp_path, "import sys\nfrom lib.conf import load\n\nprint(config)\n", CONFIGURED)
    assert _after(item) == "import sys\nfrom lib.conf import load\nconfig = load()\n\nprint(config)\n"
    assert _left(item) == []


@pytest.mark.parametrize(
    ("text", "others"),
    [
        # It is called already, for another name.
        ("from lib.conf import load\nother = load()\nprint(config)\n", CONFIGURED),
        # It is not imported.
        ("import sys\nprint(config)\n", CONFIGURED),
        # Others make the name otherwise as often.
        (
            "from lib.conf import load\nprint(config)\n",
            CONFIGURED | {f"third/b{number}.py": "config = read()\n" for number in range(3)},
        ),
    ],
)
def test_repair_leaves_name_with_other_possible_origin(
    tmp_path: Path, text: str, others: Mapping[str, str]
) -> None:
    assert _left(_repaired(tmp_path, text, others)) == ["config"]


@pytest.mark.parametrize(
    "text",
    [
        # Its module is nowhere: only the run knows whether sys.path leads to it.
        'import sys\nsys.path.insert(0, join("a"))\nfrom elsewhere.paths import join\n',
        # What binds the name in between would win.
        'HERE = join("a")\njoin = str\nfrom lib.paths import join\n',
        # Under a condition an import is not the module's own.
        'HERE = join("a")\nif HERE:\n    from lib.paths import join\n',
    ],
)
def test_repair_keeps_import_if_move_binds_nothing(tmp_path: Path, text: str) -> None:
    item = _repaired(tmp_path, text, PATHS)
    assert _after(item) == text
    assert _left(item) == ["join"]


def test_repair_imports_name_as_other_files_do(tmp_path: Path) -> None:
    others = {**PATHS, "one.py": "from lib.paths import join\n", "two.py": "from lib.paths import join\n"}
    item = _repaired(tmp_path, "import os\n\nHERE = join(os.sep)\n", others)
    assert _after(item) == "import os\nfrom lib.paths import join\n\nHERE = join(os.sep)\n"


def test_repair_writes_relative_import_as_absolute(tmp_path: Path) -> None:
    others = {**PATHS, "lib/one.py": "from .paths import join\n", "two.py": "from lib.paths import join\n"}
    item = _repaired(tmp_path, "HERE = join(1)\n", others)
    assert _after(item).startswith("from lib.paths import join\n")


@pytest.mark.parametrize(
    "others",
    [
        # Nobody imports it.
        {},
        # Two places.
        {
            "one.py": "from lib.paths import join\n",
            "two.py": "from lib.ways import join\n",
            "lib/ways.py": "join = 1\n",
        },
        # A script beside this one makes its own: the name is generic.
        {"one.py": "from lib.paths import join\n", "app/other.py": "join = str\n"},
        # The package is nowhere.
        {"one.py": "from ghost.paths import join\n", "two.py": "from ghost.paths import join\n"},
        # The module does not bind it.
        {"one.py": "from lib.empty import join\n", "lib/empty.py": "x = 1\n"},
        # The module cannot be read.
        {"one.py": "from lib.torn import join\n", "lib/torn.py": "def join(:\n"},
    ],
)
def test_repair_leaves_name_without_unique_source(tmp_path: Path, others: Mapping[str, str]) -> None:
    text = "HERE = join(1)\n"
    _tree(tmp_path, {**PATHS, **others, "app/broken.py": text + _BROKEN})
    item = next(item for item in repair_tree(str(tmp_path)).proposals if item.path == "app/broken.py")
    assert _after(item) == text
    assert _left(item) == ["join"]


def test_repair_prefers_import_used_in_same_way(tmp_path: Path) -> None:
    others = {
        "one.py": "from datetime import datetime\nprint(datetime.now())\n",
        "two.py": "from datetime import datetime\nprint(datetime.now())\n",
        "six.py": "import datetime\nprint(datetime.datetime.now())\n",
    }
    item = _repaired(tmp_path, "def f():\n    return datetime.now()\n\n\n", others)
    assert "from datetime import datetime\n" in _after(item)


@pytest.mark.parametrize(
    ("torn", "whole"), [("orjson_dumps", "json_dumps"), ("seAgent", "BaseAgent"), ("BASEAgent", "BaseAgent")]
)
def test_repair_restores_torn_name(tmp_path: Path, torn: str, whole: str) -> None:
    text = f"from lib.paths import join as {whole}\n\n\ndef f():\n    return {torn}(1)\n\n\n"
    item = _repaired(tmp_path, text, PATHS)
    assert f"    return {whole}(1)\n" in _after(item)
    assert _left(item) == []


def test_repair_leaves_ambiguous_torn_name(tmp_path: Path) -> None:
    text = "def agent_a(): pass\ndef agent_b(): pass\n\n\ndef f():\n    return agent_()\n\n\n"
    item = _repaired(tmp_path, text)
    assert _left(item) == ["agent_"]


def test_repair_removes_super_call_with_undefined_arguments(tmp_path: Path) -> None:
    text = """
    class A:
        def __init__(self, x):
            super().__init__(*args, **kwargs)
            self.x = x


    """
    item = _repaired(tmp_path, text)
    assert "super" not in _after(item)
    assert _left(item) == []


def test_repair_removes_first_of_duplicated_bodies(tmp_path: Path) -> None:
    text = """
    class A:
        def __init__(self, **kwargs):
            super().__init__()

            self.port = port
            self.name = "x"
            self.begin()
            self.port = kwargs["port"]
            self.name = "y"
            self.begin()


    """
    item = _repaired(tmp_path, text)
    assert _after(item).count("self.port") == 1
    assert 'kwargs["port"]' in _after(item)


def test_repair_keeps_partly_repeated_body(tmp_path: Path) -> None:
    text = """
    class A:
        def __init__(self, **kwargs):
            self.port = port
            self.only_here = 1
            self.port = kwargs["port"]


    """
    item = _repaired(tmp_path, text)
    assert _left(item) == ["port"]
    assert "only_here" in _after(item)


def test_repair_creates_missing_logger(tmp_path: Path) -> None:
    item = _repaired(tmp_path, 'import logging\n\n\ndef f():\n    logger.info("x")\n\n\n')
    assert "logger = logging.getLogger(__name__)\n\ndef f():" in _after(item)
    assert _left(item) == []


def test_repair_creates_no_logger_for_other_use(tmp_path: Path) -> None:
    item = _repaired(tmp_path, "def f():\n    logger.subscribe(1)\n\n\n")
    assert _left(item) == ["logger"]


def test_repair_unbinds_no_name(tmp_path: Path) -> None:
    # Each function needs the name: neither place of the import alone serves, the module's does.
    text = """
    def one(data):
        print(data)
    import json
        return json.loads(data)


    def two(data):
        return json.dumps(data)
    """
    _tree(tmp_path, {"broken.py": textwrap.dedent(text)})
    (item,) = repair_tree(str(tmp_path)).proposals
    assert item.is_applicable
    assert item.undefined == ()
    assert item.after.decode().startswith("import json\n") or "\nimport json\n" in item.after.decode()


def _proposed(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Return what would become of the files of a tree, by path, where anything would."""
    report = repair_tree(str(_tree(root, files)))
    assert all(item.damage is None and item.is_applicable for item in report.proposals)
    return {item.path: item.after.decode() for item in report.proposals}


def test_repair_fixes_names_of_file_that_parses(tmp_path: Path) -> None:
    files = {
        **PATHS,
        "app/run.py": 'HERE = join("a")\nfrom lib.paths import join\n',
        "app/fine.py": "x = 1\n",
    }
    assert _proposed(tmp_path, files) == {"app/run.py": 'from lib.paths import join\nHERE = join("a")\n'}


def test_repair_reads_names_of_broken_module_after_its_repair(tmp_path: Path) -> None:
    files = {
        "lib/paths.py": "def join(*parts):\n    return str(parts))\n",
        "one.py": "from lib.paths import join\n",
        "app/run.py": "HERE = join(1)\n",
    }
    report = repair_tree(str(_tree(tmp_path, files)))
    after = {item.path: item.after.decode() for item in report.proposals if item.is_applicable}
    assert after["app/run.py"] == "from lib.paths import join\nHERE = join(1)\n"
    for path, text in after.items():
        (tmp_path / path).write_text(text)
    assert repair_tree(str(tmp_path)).proposals == ()


def test_repair_prefers_module_already_imported_by_file(tmp_path: Path) -> None:
    files = {
        "app/a.py": "def start(): pass\nNAME = 1\n",
        "app/b.py": "def start(): pass\n",
        "app/one.py": "from app.a import start\n",
        "app/two.py": "from app.b import start\n",
        "app/run.py": "from app.a import NAME\nstart()\n",
    }
    assert _proposed(tmp_path, files) == {
        "app/run.py": "from app.a import NAME\nfrom app.a import start\nstart()\n"
    }
    (tmp_path / "app/run.py").write_text("from app.a import NAME\nfrom app.b import x\nstart()\n")
    assert repair_tree(str(tmp_path)).proposals == ()


@pytest.mark.parametrize(
    "text",
    [
        # A test for the version of Python, and what its branch reads.
        "import sys\nif sys.version_info[0] < 3:\n    text = unicode\n",
        # Names of two things: an object that another program puts in, and its class.
        "class Channel:\n    pass\n\n\ndef run():\n    channel.send(1)\n",
        # A constant, and a local name that was lost.
        "LIMIT = 1\n\n\ndef run():\n    return limit\n",
        # Private is another name.
        "def _ident():\n    pass\n\n\ndef run():\n    return ident()\n",
        # Asked for by a handler.
        "def run():\n    try:\n        return orjson_dumps(1)\n    except NameError:\n        return None\n",
        # Anything may be bound here.
        "from os.path import *\n\n\ndef run():\n    return late(1)\n",
    ],
)
def test_repair_leaves_possibly_sound_file_alone(tmp_path: Path, text: str) -> None:
    others = {
        "one.py": "from lib.old import unicode, late\n",
        "two.py": "from lib.old import unicode, late\n",
        "lib/old.py": "def late(): pass\nunicode = str\n",
    }
    assert _proposed(tmp_path, {**others, "app/run.py": text}) == {}


def test_repair_imports_no_name_used_only_inside_its_package(tmp_path: Path) -> None:
    files = {
        "lib/compat.py": "def texts(): pass\n",
        "lib/one.py": "from lib.compat import texts\n",
        "app/run.py": "def f():\n    return texts()\n",
    }
    assert _proposed(tmp_path, files) == {}


def test_repair_imports_no_function_for_attribute_access(tmp_path: Path) -> None:
    files = {
        "lib/paths.py": "def config(): pass\n",
        "one.py": "from lib.paths import config\n",
        "app/run.py": "def f():\n    return config.port\n",
    }
    assert _proposed(tmp_path, files) == {}


def test_repair_rejoins_f_string_prefix(tmp_path: Path) -> None:
    text = 'def ask(who):\n    prompt = f\n\n    """\n    Hello {who}\n    """\n    return prompt\n'
    after = _proposed(tmp_path, {"app/run.py": text})
    assert after == {"app/run.py": text.replace('f\n\n    "', 'f"', 1)}


@pytest.mark.parametrize(
    "text",
    [
        "def ask(who):\n    prompt = f\n    'Hello {nobody}'\n    return prompt\n",
        "def ask(f):\n    prompt = f\n    'Hello {f}'\n    return prompt\n",
        "def ask(who):\n    prompt = f  # lost\n    'Hello {who}'\n    return prompt\n",
        "def ask(who):\n    prompt = f\n    who = 'Hello {who}'\n    return prompt\n",
    ],
)
def test_repair_leaves_name_that_is_no_string_prefix(tmp_path: Path, text: str) -> None:
    assert _proposed(tmp_path, {"app/run.py": text}) == {}
