"""The published packages that are tried: they use pyzmq and include their tests."""

from __future__ import annotations

from typing import Literal

import msgspec


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """One package at one version.

    form: the kind of archive its files come from; some wheels contain the tests. root: the import root in
    the archive. tests, options: arguments of pytest. extras: packages that the tests need besides. settings:
    environment variables of the tests. fleet: a fleet file with the literal addresses of the code, for the
    address rewrites; empty for none.
    """

    name: str
    version: str
    form: Literal["sdist", "wheel"]
    root: str = "."
    tests: tuple[str, ...]
    extras: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    settings: dict[str, str] = msgspec.field(default_factory=dict)
    fleet: str = ""


_LOGBOOK_FLEET = """\
fleet: logbook
environments: {development: {redis: localhost}}
agents: {Queues: {run: src/logbook/queues.py}}
"""

PACKAGES = (
    Package(
        name="logbook",
        version="1.10.1",
        form="sdist",
        root="src",
        tests=("tests",),
        extras=("pyzmq", "redis", "execnet", "jinja2", "sqlalchemy", "pytest-rerunfailures"),
        fleet=_LOGBOOK_FLEET,
    ),
    Package(
        name="parsl",
        version="2026.10.26",
        form="sdist",
        tests=(
            "parsl/tests/test_htex/test_worker_interchange_bad_messages_3262.py",
            "parsl/tests/test_htex/test_interchange_exit_bad_registration.py",
            "parsl/tests/test_htex/test_manager_failure.py",
            "parsl/tests/test_monitoring/test_htex_fuzz_zmq.py",
            "parsl/tests/test_curvezmq.py",
        ),
        options=("--config", "local"),
        extras=("pandas", "sqlalchemy<3", "pytest<8", "pytest-random-order"),
    ),
    Package(
        name="bluesky",
        version="1.15.1",
        form="sdist",
        root="src",
        tests=("src/bluesky/tests/test_zmq.py",),
        extras=("ophyd", "multiprocess", "matplotlib", "pytest-mock", "pytest-asyncio"),
    ),
    Package(name="motorway", version="3.1.4", form="sdist", tests=("motorway/tests",), extras=("boto3",)),
    Package(name="scoop", version="0.7.2.0", form="sdist", tests=("test/tests.py",)),
    Package(name="ipyparallel", version="9.2.0", form="wheel", tests=("ipyparallel/tests",)),
    Package(
        name="camera-stream",
        version="0.3.8",
        form="sdist",
        root="src",
        tests=("tests",),
        extras=("camera-stream[web]",),
    ),
    Package(name="commlink", version="0.4.2", form="sdist", root="src", tests=("tests",)),
    Package(
        name="karabo-bridge",
        version="0.7.0",
        form="sdist",
        tests=("karabo_bridge/tests",),
        extras=("h5py", "testpath"),
    ),
    Package(
        name="meshcat",
        version="0.3.2",
        form="sdist",
        root="src",
        tests=("src/meshcat/tests",),
        settings={"CI": "1"},  # no browser: its own client receives the plots
    ),
)
