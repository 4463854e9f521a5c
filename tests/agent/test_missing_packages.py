"""Placeholders for missing packages: errors of their uses, device checks, and health."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from argosy.agent.health import Health, Status, with_missing_packages
from argosy.agent.missing_packages import DEVICES_VARIABLE, placeholder

_HEAD = """
try:
    import no_such_torch.nn as nn
    import no_such_torch
except ModuleNotFoundError:
    from argosy.api import placeholder
    no_such_torch = placeholder("no_such_torch")
    nn = placeholder("no_such_torch.nn")
    torch = placeholder("no_such_torch")
"""


def _run(body: str, **variables: str) -> str:
    """Return what a program of its own prints, whose process has no stand-ins but its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(body)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("use", "path"),
    [
        ("no_such_torch.zeros", "no_such_torch.zeros"),
        ("nn.Linear(1, 2)", "no_such_torch.nn.Linear"),
        ("nn()", "no_such_torch.nn"),
        ("bool(nn)", "no_such_torch.nn"),
        ("list(nn)", "no_such_torch.nn"),
        ("isinstance(1, nn)", "no_such_torch.nn"),
        ("type('A', (), {}) and nn['x']", "no_such_torch.nn"),
        ("setattr(nn, 'x', 1)", "no_such_torch.nn.x"),
        ("no_such_torch.cuda.is_available()", "no_such_torch.cuda"),
        ("exec('class A(nn): pass')", "no_such_torch.nn"),
    ],
)
def test_placeholder_use_names_missing_package(use: str, path: str) -> None:
    body = f"try:\n    {use}\nexcept ModuleNotFoundError as error:\n    print(error.name, '|', error)\n"
    said = _run(_HEAD + body)
    assert said == f"no_such_torch | `{path}` is used here, and the package `no_such_torch` is not installed"


def test_placeholder_reraises_error_of_other_module() -> None:
    body = """
    try:
        try:
            import no_such_other
        except ModuleNotFoundError:
            from argosy.api import placeholder
            torch = placeholder("no_such_torch")
    except ModuleNotFoundError as error:
        print(error.name)
    """
    assert _run(body) == "no_such_other"


def test_placeholder_outside_except_block_raises_runtime_error() -> None:
    with pytest.raises(RuntimeError, match="handler"):
        placeholder("torch")


def test_placeholder_reports_no_gpu_if_devices_are_absent() -> None:
    body = """
    try:
        raise ModuleNotFoundError("torch", name="torch")
    except ModuleNotFoundError:
        from argosy.api import placeholder
        torch = placeholder("torch")
    print(torch.cuda.is_available(), torch.cuda.device_count(), torch.backends.mps.is_available())
    for use in ("torch.cuda.empty_cache", "torch.zeros", "torch.cuda()"):
        try:
            eval(use)
        except ModuleNotFoundError as error:
            print(str(error).split("`")[1])
    """
    said = _run(body, **{DEVICES_VARIABLE: "absent"})
    assert said.splitlines() == ["False 0 False", "torch.cuda.empty_cache", "torch.zeros", "torch.cuda"]


def test_agent_with_placeholders_is_degraded_and_names_packages() -> None:
    body = """
    import json
    from argosy.agent.health import Health, with_missing_packages
    for health in (Health(), Health("HEALTHY", facts={"x": 1}), Health("failing", "no disk")):
        said = with_missing_packages(health)
        print(json.dumps([said.status, said.reason, said.facts]))
    """
    said = [json.loads(line) for line in _run(_HEAD + textwrap.dedent(body)).splitlines()]
    reason = "without no_such_torch: what needs it fails"
    assert said == [
        ["degraded", reason, {"missing_packages": ["no_such_torch"]}],
        ["degraded", reason, {"x": 1, "missing_packages": ["no_such_torch"]}],
        ["failing", "no disk", {"missing_packages": ["no_such_torch"]}],
    ]


def test_agent_without_placeholders_keeps_its_health() -> None:
    assert with_missing_packages(Health(Status.OK)) == Health(Status.OK)


@pytest.mark.parametrize(
    ("made", "devices", "expected"),
    [
        ([True], "absent", "()"),
        ([True], "", "('no_such_torch',)"),
        ([False], "absent", "('no_such_torch',)"),
        ([True, False], "absent", "('no_such_torch',)"),
        ([False, True], "absent", "('no_such_torch',)"),
    ],
)
def test_package_behind_device_check_is_not_missing_without_device(
    made: list[bool], devices: str, expected: str
) -> None:
    head = "from argosy.agent.missing_packages import missing_packages, placeholder\n"
    tries = "".join(
        "try:\n    import no_such_torch\nexcept ModuleNotFoundError:\n"
        f"    placeholder('no_such_torch', behind_device_check={each})\n"
        for each in made
    )
    assert _run(head + tries + "print(missing_packages())\n", **{DEVICES_VARIABLE: devices}) == expected
