"""Compares one package's tests before and after a refit, and counts the calls of rewritten code."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
from packages import Package

REPOSITORY = Path(__file__).resolve().parents[2]
HOOK = Path(__file__).with_name("hook")
_CALLS = (
    "argosy.wire.context",
    "argosy.api.req_socket",
    "argosy.api.host",
    "argosy.api.endpoint",
)
_TOOLS = (
    "pytest",
    "pytest-timeout",
    "setuptools>=77",
    "wheel",
    "hatchling",
    "hatch-vcs",
    "setuptools_scm",
    "setuptools-rust",
)
_TEST_S = 60
_PYTEST = (
    *("-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "junit_family=xunit1"),
    *("--continue-on-collection-errors", f"--timeout={_TEST_S}"),
)
_SUITE_S = 900
_RERUNS = 2


class DifferingTest(msgspec.Struct, frozen=True):
    """A test with different outcomes. before, after: the outcome of each run."""

    test: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    @property
    def is_steady(self) -> bool:
        """Whether it differs in every run, so that the refit may be the cause."""
        return len(set(self.before)) == 1 and len(set(self.after)) == 1


class PackageTrial(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one package.

    sites: migrated and refused sites by code. reasons: number of refused sites by reason. before, after:
    number of tests by outcome. calls: by rewritten place, `path:line` in the rewritten tree. processes: how
    many processes called one. again: number of files that a second refit would change. undone: whether
    `--undo` restored every byte.
    """

    name: str
    version: str
    sites: dict[str, dict[str, int]]
    reasons: dict[str, int]
    before: dict[str, int]
    after: dict[str, int]
    differing: tuple[DifferingTest, ...]
    calls: dict[str, int]
    processes: int
    again: int
    undone: bool

    @property
    def uncalled(self) -> tuple[str, ...]:
        """The rewritten places that no test calls; the tests prove nothing about them."""
        return tuple(place for place, count in self.calls.items() if not count)


class TrialError(Exception):
    """A package could not be tried; the text has the step and the end of its output."""


class TrialDirectory:
    """A folder with one package's environment, its tree as published, and a copy to rewrite."""

    def __init__(self, package: Package, folder: Path) -> None:
        self.package = package
        self.folder = folder
        self.python = str(folder / "venv" / "bin" / "python")
        self.before = folder / "before"
        self.after = folder / "after"
        self.fleet = folder / "fleet.yaml"
        self.calls = folder / "calls"

    def install(self) -> None:
        """Install the package and its dependencies, and unpack its files twice."""
        package = self.package
        _run_command([sys.executable, "-m", "venv", str(self.folder / "venv")], self.folder)
        wanted = f"{package.name}=={package.version}"
        self.pip("install", *_TOOLS)
        self.pip("install", "--no-build-isolation", wanted, *package.extras, str(REPOSITORY))
        binary = "--no-binary" if package.form == "sdist" else "--only-binary"
        self.pip("download", "--no-deps", "--no-build-isolation", binary, package.name, "-d", "got", wanted)
        archive = next((self.folder / "got").iterdir())
        shutil.unpack_archive(archive, self.folder / "open", "gztar" if package.form == "sdist" else "zip")
        held = list((self.folder / "open").iterdir())
        is_sole = package.form == "sdist" and len(held) == 1
        (held[0] if is_sole else self.folder / "open").rename(self.before)
        shutil.copytree(self.before, self.after, symlinks=True)
        if package.fleet:
            self.fleet.write_text(package.fleet)

    def pip(self, *words: str) -> None:
        _run_command([self.python, "-m", "pip", *words, "-q", "--disable-pip-version-check"], self.folder)

    def refit(self, *words: str) -> dict[str, object]:
        """Run `argosy refit` on the copy and return `refit/1`."""
        command = [str(self.folder / "venv/bin/argosy"), "refit", str(self.after), "--json", *words]
        if self.package.fleet and "--undo" not in words:
            command += ["--fleet", str(self.fleet)]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1) or not done.stdout:
            raise TrialError(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        found: dict[str, object] = msgspec.json.decode(done.stdout)
        return found

    def test(self, tree: Path, tests: Sequence[str] = ()) -> dict[str, str]:
        """Run the tests, in a network namespace if possible, and return the outcome of each."""
        report = self.folder / "report.xml"
        report.unlink(missing_ok=True)
        asked = tests or self.package.tests
        try:
            with (self.folder / "said").open("wb") as said:
                subprocess.run(
                    _alone([self.python, *_PYTEST, f"--junitxml={report}", *self.package.options, *asked]),
                    cwd=tree,
                    env=self.environment(tree),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                    timeout=_SUITE_S,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise TrialError(f"the tests took more than {_SUITE_S} s") from error
        if not report.is_file():
            end = (self.folder / "said").read_text(errors="replace")[-2000:]
            raise TrialError(f"pytest wrote no report:\n{end}")
        return dict(_outcomes(report))

    def environment(self, tree: Path) -> dict[str, str]:
        paths = [str(HOOK), str(tree / self.package.root)]
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("ARGOSY")},
            "PATH": f"{self.folder / 'venv' / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ARGOSY_CALLS": str(self.calls),
            "ARGOSY_FLEET_FILE": str(self.fleet),
            **self.package.settings,
        }


def run_trial(package: Package, folder: Path) -> PackageTrial:
    """Run the tests, refit, run them again, and undo.

    Raises TrialError: a step failed, so there is no result.
    """
    room = TrialDirectory(package, folder)
    room.install()
    before = room.test(room.before)
    found = room.refit("--apply")
    again = room.refit()
    room.calls.unlink(missing_ok=True)
    after = room.test(room.after)
    calls, processes = _called(room)
    differing = tuple(_differing(room, before, after))
    undone = _undo(room)
    sites: dict[str, dict[str, int]] = msgspec.convert(found["sites"], dict[str, dict[str, int]])
    refused = msgspec.convert(found["refused"], list[dict[str, str | int]])
    return PackageTrial(
        name=package.name,
        version=package.version,
        sites=sites,
        reasons=dict(Counter(f"{item['code']}: {item['reason']}" for item in refused)),
        before=dict(Counter(before.values())),
        after=dict(Counter(after.values())),
        differing=differing,
        calls=calls,
        processes=processes,
        again=len(msgspec.convert(again["changed"], list[str])),
        undone=undone,
    )


def _undo(room: TrialDirectory) -> bool:
    if not list((room.after / ".argosy" / "runs").glob("*")):
        return True  # nothing was changed
    room.refit("--undo")
    shutil.rmtree(room.after / ".argosy", ignore_errors=True)
    return _contents(room.before) == _contents(room.after)


def _contents(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*.py") if path.is_file()}


def _differing(
    room: TrialDirectory, before: Mapping[str, str], after: Mapping[str, str]
) -> Iterator[DifferingTest]:
    """Yield the tests with different outcomes, run alone twice more on both sides."""
    for test in sorted(before.keys() | after.keys()):
        first, second = before.get(test, "missing"), after.get(test, "missing")
        if first == second:
            continue
        ones, others = [first], [second]
        for _ in range(_RERUNS):
            ones.append(room.test(room.before, [test]).get(test, "missing"))
            others.append(room.test(room.after, [test]).get(test, "missing"))
        yield DifferingTest(test, tuple(ones), tuple(others))


def _called(room: TrialDirectory) -> tuple[dict[str, int], int]:
    """Return the number of calls of each rewritten place, and the number of calling processes."""
    places = {place: 0 for path in sorted(room.after.rglob("*.py")) for place in _places(room.after, path)}
    processes: set[str] = set()
    lines = room.calls.read_text().splitlines() if room.calls.is_file() else []
    for line in lines:
        place, _, process = line.rpartition(" ")
        path, _, number = place.rpartition(":")
        shown = f"{os.path.relpath(path, room.after)}:{number}"
        if shown in places:
            places[shown] += 1
            processes.add(process)
    return places, len(processes)


def _places(root: Path, path: Path) -> Iterator[str]:
    data = path.read_bytes()
    if b"argosy." not in data:
        return
    for node in ast.walk(ast.parse(data)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in _CALLS:
            yield f"{path.relative_to(root)}:{node.lineno}"


def _outcomes(report: Path) -> Iterator[tuple[str, str]]:
    for case in ElementTree.parse(report).iter("testcase"):
        words = {child.tag for child in case} & {"failure", "error", "skipped"}
        outcome = min(words) if words else "passed"
        yield _node(case), outcome


def _node(case: ElementTree.Element) -> str:
    """Return pytest's name of a test: `file::Class::name`."""
    file, classes = case.get("file") or "", case.get("classname") or ""
    module = file.removesuffix(".py").replace("/", ".")
    inner = classes.removeprefix(module).strip(".")
    return "::".join([file, *filter(None, inner.split(".")), case.get("name") or ""])


def _alone(command: Sequence[str]) -> list[str]:
    """Return the command in process and network namespaces, if possible."""
    alone = ["unshare", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        return list(command)
    return [*alone, "sh", "-c", 'ip link set lo up; exec "$@"', "sh", *command]


def _run_command(command: Sequence[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TrialError(f"{' '.join(command)}: {done.stdout[-1500:]}{done.stderr[-1500:]}")
