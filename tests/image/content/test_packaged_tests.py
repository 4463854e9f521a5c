"""Packaged tests: images leave out the tests of packages unless something imports them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from argosy.image.content.packaged_tests import referenced_tests, unused_test_files
from argosy.image.content.wheels import read_wheel, unpack_wheel

TESTS = {
    "pack/tests/__init__.py": "",
    "pack/tests/test_core.py": "from pack import core\nimport pack.tests.data\n",
    "pack/tests/data/golden.bin": "x" * 100,
}
PACKAGE = {"pack/__init__.py": "", "pack/core.py": "def work():\n    return 'a test'\n"}


def wheel(files: dict[str, str]) -> zipfile.ZipFile:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return zipfile.ZipFile(memory)


def test_unused_package_tests_are_left_out() -> None:
    assert unused_test_files(wheel(PACKAGE | TESTS)) == set(TESTS)


@pytest.mark.parametrize(
    "source",
    [
        "from .tests import test_core\n",
        "import pack.tests.test_core as core\n",
        "def later():\n    from pack.tests.test_core import golden\n",
        "import importlib\n\nnames = importlib.import_module('pack.tests.test_core')\n",
        "import importlib\n\nnames = importlib.import_module('.tests.test_core', __package__)\n",
        "from pathlib import Path\n\ngolden = Path(__file__).parent / 'tests' / 'data'\n",
        "import os\n\ngolden = os.path.join(os.path.dirname(__file__), 'tests/data/golden.bin')\n",
    ],
)
def test_tests_used_by_package_itself_are_kept(source: str) -> None:
    assert unused_test_files(wheel(PACKAGE | TESTS | {"pack/other.py": source})) == set()


def test_only_used_tests_and_their_imports_are_kept() -> None:
    tests = {
        "pack/tests/__init__.py": "from . import base\n",
        "pack/tests/base.py": "",
        "pack/tests/support.py": "from .deep.more import thing\nfrom pack.tests import late\n",
        "pack/tests/late.py": "",
        "pack/tests/deep/__init__.py": "",
        "pack/tests/deep/more.py": "",
        "pack/tests/deep/test_more.py": "from ..support import thing\n",
        "pack/tests/test_core.py": "from . import support\n",
        "pack/tests/golden.bin": "x",
    }
    asks = {"pack/testing.py": "from pack.tests.support import thing\n"}
    only_tests = {"pack/tests/deep/test_more.py", "pack/tests/test_core.py"}
    assert unused_test_files(wheel(PACKAGE | tests | asks)) == only_tests
    asks = {"pack/testing.py": "def run():\n    from pack import tests\n"}
    kept = {"pack/tests/__init__.py", "pack/tests/base.py", "pack/tests/golden.bin"}
    assert unused_test_files(wheel(PACKAGE | tests | asks)) == set(tests) - kept


@pytest.mark.parametrize(
    "files",
    [
        {"pack/tests/__init__.py": "", "pack/tests/checks.py": "def is_odd(n): ...\n"},  # no tests, by name
        {"tests/test_core.py": ""},  # a package of its own
        {"pack/tests.py": "", "pack/test_core.py": ""},  # no folder
        {"pack-1.data/purelib/tests/test_core.py": ""},
    ],
)
def test_files_that_may_not_be_tests_are_kept(files: dict[str, str]) -> None:
    assert unused_test_files(wheel(PACKAGE | files)) == set()


@pytest.mark.parametrize(
    "source", ["import pack.tests.(\n", "# see pack.tests\n", "x = 'the tests/of this'\n"]
)
def test_mere_mention_of_tests_keeps_no_files(source: str) -> None:
    assert unused_test_files(wheel(PACKAGE | TESTS | {"pack/other.py": source})) == set(TESTS)


def test_only_used_tests_dir_is_kept() -> None:
    more = {"pack/sub/tests/test_sub.py": "", "pack/asks.py": "from pack.sub.tests import test_sub\n"}
    assert unused_test_files(wheel(PACKAGE | TESTS | more)) == set(TESTS)


def test_tests_used_by_other_sources_are_kept() -> None:
    assert unused_test_files(wheel(PACKAGE | TESTS), ["pack.tests.test_core"]) == set()
    assert unused_test_files(wheel(PACKAGE | TESTS), ["other.tests"]) == set(TESTS)
    sources = {
        "agents/speaker.py": "from pack.tests import data\nimport agents.tests.one\n",
        "agents/tests/test_speaker.py": "import other.tests\n",
    }
    assert referenced_tests(sources, lambda name: sources[name].encode()) == ("pack.tests", "pack.tests.data")


def test_unpack_wheel_leaves_tests_out_of_files_and_size(tmp_path: Path) -> None:
    path = tmp_path / "pack-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: pack\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in (PACKAGE | TESTS | {"pack-1.0.dist-info/METADATA": metadata}).items():
            archive.writestr(name, text)
    for used, names in (((), PACKAGE), (("pack.tests.test_core",), PACKAGE | TESTS), (None, PACKAGE | TESTS)):
        folder = tmp_path / f"laid out {used}"
        unpack_wheel(path, folder, "site", used)
        laid = {item.relative_to(folder / "site").as_posix() for item in folder.rglob("*") if item.is_file()}
        assert laid == {*names, "pack-1.0.dist-info/METADATA"}
    assert read_wheel(path, "0").unpacked_bytes == sum(map(len, PACKAGE.values())) + len(metadata)
