"""Requirements: what each kind of requirements file asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from argosy.source import requirements
from argosy.source.distributions import (
    can_provide,
    find_providers,
    is_provider,
    modules_provided_by,
    normalize_name,
)


def names(asked: requirements.Requirements) -> list[str]:
    return [item.name for item in asked.packages]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("PyYAML==6.0", "pyyaml"),
        ("  ruamel.yaml >= 0.1 ; python_version < '3.9'", "ruamel-yaml"),
        ("uvicorn[standard]~=0.2", "uvicorn"),
        ("torch @ https://example.org/torch.whl", "torch"),
        ("git+https://example.org/x.git#egg=odd_name", "odd-name"),
        ("six# a comment", "six"),
    ],
)
def test_requirement_line_names_distribution(line: str, name: str) -> None:
    assert names(requirements.read_requirements(line)) == [name]


def test_options_comments_and_paths_name_no_distribution() -> None:
    asked = requirements.read_requirements("-r base.txt\n--index-url https://x\n# six\n\n-c limits.txt\n")
    assert (asked.packages, asked.includes, asked.has_unnamed) == ((), ("base.txt",), False)
    assert requirements.read_requirements("-e .\n").has_unnamed
    assert requirements.read_requirements("./wheels/x.whl\n").has_unnamed


def test_pip_commands_of_shell_line_are_read() -> None:
    text = (
        "apt-get install -y git && pip3 install -U --no-cache-dir 'numpy>=1' six -r a.txt"
        " && python -m pip install ."
    )
    asked = requirements.read_pip_lines(text, 7)
    assert names(asked) == ["numpy", "six"]
    assert asked.includes == ("a.txt", ".")
    assert {item.line for item in asked.packages} == {7}
    assert requirements.read_pip_lines("pip install $EXTRA", 1).has_unnamed


def test_pyproject_separates_runtime_and_dev_dependencies() -> None:
    asked = requirements.read_pyproject(
        "[project]\nname = 'My.App'\ndependencies = [\n  'numpy',\n]\n"
        "[project.optional-dependencies]\ngpu = ['torch']\ntest = ['pytest']\n"
        "[dependency-groups]\ndev = ['ruff']\n"
    )
    assert names(asked) == ["numpy", "torch"]
    assert [item.name for item in asked.dev_packages] == ["pytest", "ruff"]
    assert (asked.packages[0].line, asked.packages[0].column, asked.project) == (4, 4, "my-app")
    poetry = requirements.read_pyproject("[tool.poetry.dependencies]\npython = '^3.9'\nflask = '*'\n")
    assert names(poetry) == ["flask"]


def test_setup_cfg_pipfile_and_conda_are_read() -> None:
    assert names(requirements.read_setup_cfg("[options]\ninstall_requires =\n  six\n  numpy>1\n")) == [
        "six",
        "numpy",
    ]
    assert names(requirements.read_pipfile("[packages]\nflask = '*'\n[dev-packages]\nruff = '*'\n")) == [
        "flask"
    ]
    conda = (
        "name: x\nchannels:\n  - defaults\ndependencies:\n  - python=3.9\n  - numpy=1\n  - pip:\n    - six\n"
    )
    assert names(requirements.read_conda(conda)) == ["numpy", "six"]


@given(st.text(max_size=400))
def test_requirements_readers_accept_any_text(text: str) -> None:
    for read in (
        requirements.read_requirements,
        requirements.read_pyproject,
        requirements.read_pipfile,
        requirements.read_setup_cfg,
        requirements.read_conda,
        lambda text: requirements.read_pip_lines(text, 1),
    ):
        read(text)


def test_provider_of_module_is_recognised() -> None:
    assert is_provider("opencv-python", ["cv2"])
    assert not is_provider("opencv-python", ["opencv_python"])
    assert is_provider("tts", ["TTS"])
    assert is_provider("google-cloud-pubsub", ["google"])
    assert not is_provider("numpy", ["scipy"])


NAMES = st.sampled_from(["opencv-python", "tts", "google-cloud-pubsub", "flask-cors", "numpy", "azure-core"])
TOPS = st.sampled_from(
    ["cv2", "opencv_python", "TTS", "google", "azure", "flask_cors", "Flask.Cors", "scipy"]
)


@given(st.sets(NAMES), st.sets(TOPS))
def test_find_providers_agrees_with_is_provider(names: set[str], tops: set[str]) -> None:
    assert find_providers(names, tops) == {name for name in names if is_provider(name, tops)}
    assert modules_provided_by(names, tops) == {
        top for top in tops if any(is_provider(name, [top]) for name in names)
    }
    assert can_provide("python-odd-name", "odd_name")
    assert normalize_name("Flask_Cors") == "flask-cors"
