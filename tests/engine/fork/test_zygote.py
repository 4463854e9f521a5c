"""A forked program compared with the same one started by exec: whatever it can observe is the same."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import sys
import sysconfig
import time
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from argosy.engine.fork.copy_on_write import SWITCHES, WITHOUT_VARIABLE
from argosy.engine.fork.zygote import ALWAYS_LOADED, PreloadRecipe
from argosy.engine.protocol.fork_protocol import SpawnDeclined, Spawned

from .forking import Bearing

PROBE = Path(__file__).with_name("probe_program.py")
MODULES = ["json", "dataclasses", "random", "numpy", "yaml", "msgspec", "asyncio", "zmq", "multiprocessing"]


def recipe(*modules: str) -> PreloadRecipe:
    return PreloadRecipe([], "/", list(modules))


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bearing]:
    made = Bearing(tmp_path_factory.mktemp("zygote"), recipe(*MODULES))
    yield made
    made.close()


@pytest.fixture(scope="module")
def forker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bearing]:
    made = Bearing(tmp_path_factory.mktemp("forker"))
    yield made
    made.close()


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Return where a test writes its script."""
    return tmp_path / "agent.py"


def seen(server: Bearing, *words: str, **given: object) -> dict[str, object]:
    assert server.run(*words, **given) == 0, server.log_text()  # type: ignore[arg-type]
    first, last = server.log_text().splitlines()
    assert last == "at exit"
    found: dict[str, object] = json.loads(first)["seen"]
    return found


def assert_same(forked: dict[str, object], spawned: dict[str, object]) -> None:
    differing = {key: (forked[key], spawned[key]) for key in spawned if forked[key] != spawned[key]}
    assert differing == {}


def test_forked_script_sees_same_process_as_spawned_one(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    words = (str(PROBE), "--voice", "en", "two words")
    env = {"ODD": "ä = b", "ARGOSY_AGENT": "A"}
    assert_same(*(seen(each, *words, cwd=tmp_path, env=env) for each in (zygote, forker)))


def test_forked_symlinked_script_sees_same_process_as_spawned_one(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(PROBE)
    assert_same(*(seen(each, str(link), cwd=tmp_path) for each in (zygote, forker)))


def test_forked_module_sees_same_process_as_spawned_one(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    package = tmp_path / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(PROBE, package / "__main__.py")
    shutil.copy(PROBE, package / "other.py")
    for name in ("pack", "pack.other"):
        assert_same(*(seen(each, "-m", name, "--x", cwd=tmp_path) for each in (zygote, forker)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("pass", 0),
        ("raise SystemExit", 0),
        ("raise SystemExit(7)", 7),
        ("raise SystemExit('words')", 1),
        ("import sys; sys.exit(None)", 0),
        ("import os; os._exit(9)", 9),
        ("def f():\n    raise ValueError('why')\nf()", 1),
        ("try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('k') from error", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("def (", 1),
        ("import atexit; atexit.register(print, 'last'); raise RuntimeError", 1),
        (
            "import threading as t, time\nt.Thread(target=lambda: (time.sleep(0.05), print('late'))).start()",
            0,
        ),
        ("import sys; sys.excepthook = lambda *a: print('mine', a[0]); raise OSError", 1),
        ("import sys; sys.stdout.write('no newline')", 0),
        ("class A:\n    def __del__(self): print('deleted')\na = A()", 0),
        ("import no_such_module", 1),
    ],
)
def test_forked_script_exits_and_prints_as_spawned_one(
    zygote: Bearing, forker: Bearing, script: Path, text: str, code: int
) -> None:
    script.write_text(text)
    ends = [(each.run(str(script)), each.log_text()) for each in (zygote, forker)]
    assert ends[0] == ends[1]
    assert ends[0][0] == code


def test_forked_module_fails_as_spawned_one(zygote: Bearing, forker: Bearing, tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text("raise ValueError('why')")
    for name in ("failing", "missing"):
        ends = [(each.run("-m", name, cwd=tmp_path), each.log_text()) for each in (zygote, forker)]
        assert ends[0] == ends[1]
        assert ends[0][0] == 1


def test_multiprocessing_children_of_forked_script_find_its_functions(
    zygote: Bearing, script: Path, tmp_path: Path
) -> None:
    (tmp_path / "beside.py").write_text("def double(x): return 2 * x")
    script.write_text(
        "import multiprocessing, sys\n"
        "from beside import double\n"
        "def triple(x): return 3 * x\n"
        "if __name__ == '__main__':\n"
        "    for kind in ('fork', 'spawn', 'forkserver'):\n"
        "        with multiprocessing.get_context(kind).Pool(1) as pool:\n"
        "            print(kind, pool.map(double, [1, 2]), pool.map(triple, [1, 2]), flush=True)\n"
    )
    assert zygote.run(str(script), cwd=tmp_path) == 0, zygote.log_text()
    assert zygote.log_text().splitlines() == [
        f"{kind} [2, 4] [3, 6]" for kind in ("fork", "spawn", "forkserver")
    ]


def test_forked_children_draw_different_random_numbers(zygote: Bearing, script: Path) -> None:
    script.write_text(
        "import random, uuid, numpy, multiprocessing\n"
        "print(random.random(), numpy.random.random(), uuid.uuid4(), "
        "bytes(multiprocessing.current_process().authkey).hex())"
    )
    drawn = []
    for _ in range(2):
        assert zygote.run(str(script)) == 0
        drawn.append(zygote.log_text().split())
    assert not set(drawn[0]) & set(drawn[1])


def test_zygote_reports_loaded_modules_and_sets_its_title(zygote: Bearing) -> None:
    assert zygote.warm is not None
    assert list(zygote.warm.loaded) == MODULES
    assert zygote.warm.left_out == {}
    shown = Path(f"/proc/{zygote.process.pid}/cmdline").read_bytes()
    assert shown == b"argosy: zygote\0"
    assert len(os.listdir(f"/proc/{zygote.process.pid}/task")) == 1


def test_forked_script_finds_preloaded_modules_loaded(zygote: Bearing, script: Path) -> None:
    script.write_text(
        "import sys; print('numpy' in sys.modules, 'argosy.engine.fork.preload_plan' in sys.modules)"
    )
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "True False\n"


def test_forked_script_does_not_inherit_locked_logging_lock(zygote: Bearing, script: Path) -> None:
    script.write_text("import logging, threading\nlogging.warning('x')\nprint(threading.active_count())")
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "WARNING:root:x\n1\n"


def test_forked_script_gets_default_event_loop(zygote: Bearing, forker: Bearing, script: Path) -> None:
    script.write_text("import asyncio; print(type(asyncio.get_event_loop()).__name__)")
    for server in (zygote, forker):
        assert server.run(str(script)) == 0
        assert server.log_text().splitlines()[-1] == "_UnixSelectorEventLoop"


def declined(server: Bearing, *words: str, **given: object) -> SpawnDeclined:
    server.order(*words, **given)  # type: ignore[arg-type]
    event = server.received()
    assert isinstance(event, SpawnDeclined), event
    return event


def test_zygote_declines_script_with_module_that_preload_would_hide(
    zygote: Bearing, script: Path, tmp_path: Path
) -> None:
    script.write_text("import yaml")
    (tmp_path / "yaml.py").write_text("print('mine')")
    event = declined(zygote, str(script))
    assert "yaml" in event.reason
    assert not event.is_exhausted
    (tmp_path / "yaml.py").unlink()
    assert zygote.run(str(script)) == 0, "and the zygote serves others, and this one again"


class ZygoteFactory:
    """Zygotes of an interpreter with packages of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", symlinks=True)
        self.python = str(folder / "venv/bin/python")
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = folder / "venv/lib" / version / "site-packages"
        (self.packages / "real.pth").write_text(sysconfig.get_path("purelib"))
        self.made: list[Bearing] = []

    def install(self, name: str, text: str) -> Path:
        """Install a package of one file."""
        file = self.packages / f"{name}.py"
        file.write_text(text)
        return file

    def start_zygote(self, *modules: str, is_careful: bool = False, is_awaited: bool = True) -> Bearing:
        """Return a zygote that was to load these."""
        made = recipe(*modules)._replace(is_careful=is_careful)
        self.made.append(Bearing(self.folder, made, self.python, is_awaited=is_awaited))
        return self.made[-1]


@pytest.fixture
def zygote_factory(tmp_path: Path) -> Iterator[ZygoteFactory]:
    made = ZygoteFactory(tmp_path)
    yield made
    for each in made.made:
        each.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()", "threads"),
        ("import socket\nkept = socket.socket()", "socket:"),
        ("kept = open('/dev/zero')", "/dev/zero"),
        ("import os\ncopy = dict(os.environ)", "whole environment"),
        ("raise SystemExit(3)", "cannot be imported: SystemExit: 3"),
        ("import os\nos.abort()", "signal 6"),
    ],
)
def test_zygote_leaves_out_package_unfit_for_fork_with_reason(
    zygote_factory: ZygoteFactory, script: Path, text: str, reason: str
) -> None:
    zygote_factory.install("harmless", "")
    zygote_factory.install("unfit", text)
    script.write_text("import sys; print('unfit' in sys.modules, 'harmless' in sys.modules)")
    # A zygote that dies of a package is started again as a careful one by the supervisor.
    zygote = zygote_factory.start_zygote("harmless", "unfit", is_careful="abort" in text)
    assert zygote.warm is not None
    assert reason in zygote.warm.left_out["unfit"]
    assert list(zygote.warm.loaded) == ["harmless"]
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "False True\n"


def test_zygote_leaves_out_cuda_and_missing_packages_without_import(zygote_factory: ZygoteFactory) -> None:
    zygote_factory.install("torch", "raise AssertionError")
    zygote = zygote_factory.start_zygote("torch", "nowhere_to_be_found")
    assert zygote.warm is not None
    assert "CUDA" in zygote.warm.left_out["torch"]
    assert "not installed" in zygote.warm.left_out["nowhere_to_be_found"]


def test_zygote_declines_spawn_after_preloaded_code_changed(
    zygote_factory: ZygoteFactory, script: Path
) -> None:
    file = zygote_factory.install("package", "NUMBER = 1")
    script.write_text("import package; print(package.NUMBER)")
    zygote = zygote_factory.start_zygote("package")
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "1\n"
    file.write_text("NUMBER = 22")
    event = declined(zygote, str(script))
    assert str(file) in event.reason
    assert event.is_exhausted
    zygote.close()
    zygote = zygote_factory.start_zygote("package")
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "22\n"


@pytest.mark.parametrize("by", ["its name", "another link", "its folder", "a removal"])
def test_zygote_detects_package_change_by_rename_link_and_removal(
    zygote_factory: ZygoteFactory, script: Path, by: str
) -> None:
    folder = zygote_factory.packages / "package"
    folder.mkdir()
    file = folder / "__init__.py"
    file.write_text("NUMBER = 1")
    link = zygote_factory.folder / "link.py"
    link.hardlink_to(file)
    script.write_text("import package; print(package.NUMBER)")
    zygote = zygote_factory.start_zygote("package")
    (folder / "notes.txt").write_text("a change beside what is loaded")
    assert zygote.run(str(script)) == 0, "which is none"
    match by:
        case "its name":
            (folder / "new.py").write_text("NUMBER = 2")
            (folder / "new.py").rename(file)
        case "another link":
            link.write_text("NUMBER = 2 # longer")
        case "its folder":
            folder.rename(folder.with_name("elsewhere"))
            (zygote_factory.packages / "elsewhere").rename(zygote_factory.folder / "elsewhere")
        case "a removal":
            file.unlink()
    event = declined(zygote, str(script))
    assert event.is_exhausted
    assert str(zygote_factory.packages) in event.reason


def test_zygote_is_exhausted_after_package_installation(zygote_factory: ZygoteFactory, script: Path) -> None:
    zygote_factory.install("package", "")
    zygote = zygote_factory.start_zygote("package")
    zygote_factory.install("another", "")
    script.write_text("")
    assert declined(zygote, str(script)).is_exhausted


def test_zygote_declines_spawn_if_variable_read_by_package_differs(
    zygote_factory: ZygoteFactory, script: Path
) -> None:
    zygote_factory.install("package", "import os\nMODE = os.environ.get('MODE', 'plain')")
    zygote = zygote_factory.start_zygote("package")
    script.write_text("import package; print(package.MODE)")
    event = declined(zygote, str(script), env={"MODE": "loud"})
    assert "`MODE`" in event.reason
    assert not event.is_exhausted
    assert zygote.run(str(script), env={"OTHER": "x"}) == 0


def test_zygote_accepts_spawn_if_unread_variable_differs(zygote: Bearing, script: Path) -> None:
    script.write_text("import os; print(os.environ['PATH'], os.environb[b'PATH'].decode())")
    assert zygote.run(str(script), env={"PATH": "/elsewhere"}) == 0
    assert zygote.log_text() == "/elsewhere /elsewhere\n"


def test_zygote_declines_spawn_with_second_thread(zygote_factory: ZygoteFactory, script: Path) -> None:
    zygote_factory.install(
        "late",
        "import os, threading\n"
        "forks = []\n"
        "def after():\n"
        "    forks.append(1)\n"
        "    if len(forks) == 3: threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "os.register_at_fork(after_in_parent=after)\n",
    )
    zygote = zygote_factory.start_zygote(
        "late"
    )  # the first fork is the trial, the second a spare, the third the next spare
    script.write_text("")
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    zygote.spare(spare)
    event = declined(zygote, str(script))
    assert "second thread" in event.reason
    assert event.is_exhausted


def test_zygote_declines_spawn_with_open_socket(zygote_factory: ZygoteFactory, script: Path) -> None:
    zygote_factory.install(
        "late",
        "import os, socket\n"
        "forks, kept = [], []\n"
        "def after():\n"
        "    forks.append(1)\n"
        "    if len(forks) == 3: kept.append(socket.socket())\n"
        "os.register_at_fork(after_in_parent=after)\n",
    )
    zygote = zygote_factory.start_zygote("late")
    script.write_text("")
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    zygote.spare(spare)
    event = declined(zygote, str(script))
    assert "socket:" in event.reason
    assert event.is_exhausted


def test_forked_sdk_agent_imports_no_further_modules(zygote_factory: ZygoteFactory, tmp_path: Path) -> None:
    (tmp_path / "sailor.py").write_text(
        "import os, sys\n"
        "before = set(sys.modules)\n"
        "from argosy.agent import Agent\n"
        "class Sailor(Agent):\n"
        "    async def start(self):\n"
        "        print(sorted(set(sys.modules) - before), flush=True)\n"
        "        os._exit(0)\n"
    )
    folder = tmp_path / "hatching"
    folder.mkdir()
    zygote = Bearing(folder, PreloadRecipe([], "/", list(ALWAYS_LOADED)))
    zygote_factory.made.append(zygote)
    assert zygote.run("-m", "argosy.agent", "sailor:Sailor", cwd=tmp_path) == 0, zygote.log_text()
    assert zygote.log_text() == "[]\n"


def test_warmup_run_leaves_no_loop_context_or_handler_in_children(
    zygote_factory: ZygoteFactory, script: Path
) -> None:
    folder = script.parent / "hatching"
    folder.mkdir()
    zygote = Bearing(folder, PreloadRecipe([], "/", list(ALWAYS_LOADED)))
    zygote_factory.made.append(zygote)
    assert zygote.warm.left_out == {}
    # A child meets the module that lived it, but no loop, no context and no handler of it.
    script.write_text(
        "import asyncio, os, signal, sys, zmq\n"
        "print('argosy.engine.fork.warmup_run' in sys.modules, len(os.listdir('/proc/self/task')))\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:3], signal.getsignal(signal.SIGTERM).name)\n"
        "print(zmq.Context._instance, asyncio._get_running_loop())\n"
    )
    assert zygote.run(str(script)) == 0
    assert zygote.log_text() == "True 1\n[0, 1, 2] SIG_DFL\nNone None\n"


@pytest.mark.parametrize(("without", "is_frozen"), [((), True), (SWITCHES, False)])
def test_zygote_skips_disabled_optimisations(
    zygote_factory: ZygoteFactory, script: Path, without: tuple[str, ...], is_frozen: bool
) -> None:
    recipe, env = PreloadRecipe([], "/", list(ALWAYS_LOADED)), {WITHOUT_VARIABLE: ",".join(without)}
    zygote = Bearing(zygote_factory.folder, recipe, env=env)
    zygote_factory.made.append(zygote)
    assert zygote.warm is not None
    assert zygote.warm.left_out == {}
    script.write_text(
        "import gc, sys; print(gc.get_freeze_count() > 0, 'argosy.engine.fork.warmup_run' in sys.modules)"
    )
    assert zygote.run(str(script), env=env) == 0
    assert zygote.log_text() == f"{is_frozen} {is_frozen}\n"
    children = Path(f"/proc/{zygote.process.pid}/task/{zygote.process.pid}/children").read_text().split()
    # The exit of the one that ran is reported before it is reaped.
    assert not without or not {*children} - {str(zygote.spawned_pid)}, "no child is forked in advance"


# ---- the child that waits for the next order


def test_preforked_child_runs_program_like_spawned_one(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    words = (str(PROBE), "--voice", "en", "two words")
    env = {"ODD": "ä = b", "ARGOSY_AGENT": "A"}
    spare = zygote.spare()
    forked = seen(zygote, *words, cwd=tmp_path, env=env)
    assert zygote.spawned_pid == spare
    assert_same(forked, seen(forker, *words, cwd=tmp_path, env=env))


def test_zygote_forks_when_no_preforked_child_is_ready(zygote: Bearing, script: Path) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    zygote.order(str(script))
    zygote.order(str(script))
    received = [zygote.received() for _ in range(4)]
    births = [each.pid for each in received if isinstance(each, Spawned)]
    assert births[0] == spare
    assert len(set(births)) == 2


def test_zygote_forks_after_preforked_child_was_killed(zygote: Bearing, script: Path) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    os.kill(spare, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{spare}").exists():
        assert time.monotonic() < deadline, "it is not reaped"
        time.sleep(0.002)
    assert zygote.run(str(script)) == 0, "the first that is received is a birth"
    assert zygote.log_text() == "here\n"
    assert zygote.spawned_pid != spare
    assert zygote.spare() != spare


def test_preforked_child_exits_with_its_zygote(zygote_factory: ZygoteFactory) -> None:
    zygote = zygote_factory.start_zygote("json")
    pidfd = os.pidfd_open(zygote.spare())
    zygote.process.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_trial_import_child_exits_with_its_zygote(zygote_factory: ZygoteFactory) -> None:
    mark = zygote_factory.folder / "pid"
    zygote_factory.install(
        "slow",
        "import os, pathlib, time\n"
        f"pathlib.Path({str(mark)!r} + '.new').write_text(str(os.getpid()))\n"
        f"os.rename({str(mark)!r} + '.new', {str(mark)!r})\n"
        "time.sleep(120)\n",
    )
    zygote = zygote_factory.start_zygote("slow", is_careful=True, is_awaited=False)
    deadline = time.monotonic() + 30
    while not mark.exists():
        assert time.monotonic() < deadline
        time.sleep(0.005)
    trial = int(mark.read_text())
    assert trial != zygote.process.pid
    pidfd = os.pidfd_open(trial)
    zygote.process.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_preforked_child_has_no_threads_handlers_or_loop(zygote_factory: ZygoteFactory, script: Path) -> None:
    folder = script.parent / "hatching"
    folder.mkdir()
    zygote = Bearing(folder, PreloadRecipe([], "/", list(ALWAYS_LOADED)))
    zygote_factory.made.append(zygote)
    script.write_text(
        "import asyncio, os, random, signal, threading, zmq\n"
        "print(len(os.listdir('/proc/self/task')), threading.active_count())\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:3], signal.getsignal(signal.SIGTERM).name)\n"
        "print(zmq.Context._instance, asyncio._get_running_loop())\n"
        "print(random.random())\n"
    )
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    *lines, first = zygote.log_text().splitlines()
    assert zygote.spawned_pid == spare
    assert lines == ["1 1", "[0, 1, 2] SIG_DFL", "None None"]
    assert zygote.spare(spare)
    assert zygote.run(str(script)) == 0
    assert zygote.log_text().splitlines()[-1] != first


def wait_until_stopped(pid: int) -> None:
    """Wait until a process has stopped: the signal is only on its way when `kill` returns."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_zygote_kills_stopped_preforked_child_and_forks_another(zygote: Bearing, script: Path) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGSTOP)
    wait_until_stopped(spare)
    zygote.order(str(script))
    received = [zygote.received() for _ in range(3)]
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    births = [each.pid for each in received if isinstance(each, Spawned)]
    assert len(births) == 1
    assert births != [spare]
    assert zygote.log_text() == "here\n"
    assert zygote.spare() != spare


def test_stopped_preforked_child_exits_with_its_zygote(zygote_factory: ZygoteFactory) -> None:
    zygote = zygote_factory.start_zygote("json")
    spare = zygote.spare()
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGSTOP)
    zygote.process.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_agent_from_preforked_child_outlives_its_zygote(zygote_factory: ZygoteFactory, script: Path) -> None:
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    zygote = zygote_factory.start_zygote("json")
    spare = zygote.spare()
    zygote.order(str(script))
    birth = zygote.received()
    assert isinstance(birth, Spawned)
    assert birth.pid == spare
    deadline = time.monotonic() + 30
    while zygote.log_text() != "here\n":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    pidfd = os.pidfd_open(spare)
    zygote.process.kill()
    zygote.process.wait(30)
    assert select.select([pidfd], [], [], 0.2)[0] == [], "it lives on"
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
