"""Fixtures and hooks for all tests."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from rig.apart import enter_own_network
from rig.lan import Lan, NoLanError
from rig.tools import missing_required_tools, summarize_skips

# The gate tries the same examples each time, so that a red run is always of the change at hand;
# `script/soak` looks for new ones (--hypothesis-profile=explore). No time is asserted in either.
settings.register_profile("gate", derandomize=True, deadline=None, database=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile("gate")

# Hubs are tried in tests of their own; no other fleet of a test needs one beside it.
os.environ["ARGOSY_HUB"] = "off"


def pytest_configure(config: pytest.Config) -> None:
    """Give each of several test processes a network of its own: examples and benches have fixed ports."""
    if hasattr(config, "workerinput"):
        enter_own_network()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that several processes end together."""
    slow = {
        item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("corpus")
    }
    items.sort(key=lambda item: (item.path not in slow, item.path.parent.name != "scenarios"))


def _reasons(config: pytest.Config) -> list[str]:
    """Return why tests were skipped."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    skips = [] if reporter is None else reporter.stats.get("skipped", [])
    return [skip.longrepr[2].removeprefix("Skipped: ") for skip in skips if isinstance(skip.longrepr, tuple)]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a tool that is missing is a fault: what it is for was not tested."""
    if os.environ.get("CI") and missing_required_tools(_reasons(session.config)) and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Close with the skips by their reasons."""
    reasons = _reasons(config)
    if said := summarize_skips(reasons):
        terminalreporter.write_line(said)
    if os.environ.get("CI") and (tools := missing_required_tools(reasons)):
        terminalreporter.write_line(f"error: this is CI, and has no {', '.join(tools)}", red=True)
        terminalreporter.write_line("hint: `script/system` installs what script/system.txt has", red=True)


ARCHIVE = Path(__file__).resolve().parents[2] / "shared" / "corpus" / "monorepo-before.tar.xz"


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real code base from before its migration, unpacked to a temp folder; read it, never write."""
    if not ARCHIVE.is_file():
        pytest.skip(f"the real code base is not beside this checkout ({ARCHIVE})")
    folder = tmp_path_factory.mktemp("corpus")
    with tarfile.open(ARCHIVE) as archive:  # `tar` would need `xz`
        archive.extraction_filter = lambda member, _: member
        archive.extractall(folder)
    return folder


@pytest.fixture
def lan() -> Iterator[Lan]:
    """A network of machines of its own; nothing of it is left after the test."""
    try:
        made = Lan()
    except NoLanError as reason:
        pytest.skip(str(reason))
    try:
        yield made
    finally:
        made.close()
