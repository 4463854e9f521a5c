"""A forked program against the same one spawned: whatever it can notice is the same."""

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


def seen(bearing: Bearing, *words: str, **given: object) -> dict[str, object]:
    assert bearing.run(*words, **given) == 0, bearing.said()  # type: ignore[arg-type]
    first, last = bearing.said().splitlines()
    assert last == "at exit"
    found: dict[str, object] = json.loads(first)["seen"]
    return found


def assert_same(forked: dict[str, object], spawned: dict[str, object]) -> None:
    differing = {key: (forked[key], spawned[key]) for key in spawned if forked[key] != spawned[key]}
    assert differing == {}


def test_a_script_notices_nothing(zygote: Bearing, forker: Bearing, tmp_path: Path) -> None:
    words = (str(PROBE), "--voice", "en", "two words")
    env = {"ODD": "ä = b", "ARGOSY_AGENT": "A"}
    assert_same(*(seen(each, *words, cwd=tmp_path, env=env) for each in (zygote, forker)))


def test_a_script_behind_a_link_notices_nothing(zygote: Bearing, forker: Bearing, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(PROBE)
    assert_same(*(seen(each, str(link), cwd=tmp_path) for each in (zygote, forker)))


def test_a_module_notices_nothing(zygote: Bearing, forker: Bearing, tmp_path: Path) -> None:
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
def test_its_end_is_the_same(zygote: Bearing, forker: Bearing, script: Path, text: str, code: int) -> None:
    script.write_text(text)
    ends = [(each.run(str(script)), each.said()) for each in (zygote, forker)]
    assert ends[0] == ends[1]
    assert ends[0][0] == code


def test_a_module_that_is_missing_or_fails_says_the_same(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    (tmp_path / "failing.py").write_text("raise ValueError('why')")
    for name in ("failing", "missing"):
        ends = [(each.run("-m", name, cwd=tmp_path), each.said()) for each in (zygote, forker)]
        assert ends[0] == ends[1]
        assert ends[0][0] == 1


def test_processes_of_an_agent_find_its_classes(zygote: Bearing, script: Path, tmp_path: Path) -> None:
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
    assert zygote.run(str(script), cwd=tmp_path) == 0, zygote.said()
    assert zygote.said().splitlines() == [f"{kind} [2, 4] [3, 6]" for kind in ("fork", "spawn", "forkserver")]


def test_random_numbers_are_each_childs_own(zygote: Bearing, script: Path) -> None:
    script.write_text(
        "import random, uuid, numpy, multiprocessing\n"
        "print(random.random(), numpy.random.random(), uuid.uuid4(), "
        "bytes(multiprocessing.current_process().authkey).hex())"
    )
    drawn = []
    for _ in range(2):
        assert zygote.run(str(script)) == 0
        drawn.append(zygote.said().split())
    assert not set(drawn[0]) & set(drawn[1])


def test_the_zygote_says_what_it_loaded_and_shows_itself(zygote: Bearing) -> None:
    assert zygote.warm is not None
    assert list(zygote.warm.loaded) == MODULES
    assert zygote.warm.left_out == {}
    shown = Path(f"/proc/{zygote.process.pid}/cmdline").read_bytes()
    assert shown == b"argosy: zygote\0"
    assert len(os.listdir(f"/proc/{zygote.process.pid}/task")) == 1


def test_what_is_loaded_is_not_loaded_again(zygote: Bearing, script: Path) -> None:
    script.write_text(
        "import sys; print('numpy' in sys.modules, 'argosy.engine.fork.preload_plan' in sys.modules)"
    )
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "True False\n"


def test_a_lock_of_a_thread_is_not_inherited_locked(zygote: Bearing, script: Path) -> None:
    script.write_text("import logging, threading\nlogging.warning('x')\nprint(threading.active_count())")
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "WARNING:root:x\n1\n"


def test_old_code_still_gets_a_loop_that_it_did_not_make(
    zygote: Bearing, forker: Bearing, script: Path
) -> None:
    script.write_text("import asyncio; print(type(asyncio.get_event_loop()).__name__)")
    for bearing in (zygote, forker):
        assert bearing.run(str(script)) == 0
        assert bearing.said().splitlines()[-1] == "_UnixSelectorEventLoop"


def declined(bearing: Bearing, *words: str, **given: object) -> SpawnDeclined:
    bearing.order(*words, **given)  # type: ignore[arg-type]
    event = bearing.told()
    assert isinstance(event, SpawnDeclined), event
    return event


def test_a_module_beside_the_script_is_never_hidden_by_a_loaded_one(
    zygote: Bearing, script: Path, tmp_path: Path
) -> None:
    script.write_text("import yaml")
    (tmp_path / "yaml.py").write_text("print('mine')")
    event = declined(zygote, str(script))
    assert "yaml" in event.reason
    assert not event.is_exhausted
    (tmp_path / "yaml.py").unlink()
    assert zygote.run(str(script)) == 0, "and the zygote serves others, and this one again"


class Hatchery:
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

    def hatch(self, *modules: str, is_careful: bool = False, is_awaited: bool = True) -> Bearing:
        """Return a zygote that was to load these."""
        made = recipe(*modules)._replace(is_careful=is_careful)
        self.made.append(Bearing(self.folder, made, self.python, is_awaited=is_awaited))
        return self.made[-1]


@pytest.fixture
def hatchery(tmp_path: Path) -> Iterator[Hatchery]:
    made = Hatchery(tmp_path)
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
def test_what_is_not_fit_for_a_fork_is_left_out_and_named(
    hatchery: Hatchery, script: Path, text: str, reason: str
) -> None:
    hatchery.install("harmless", "")
    hatchery.install("unfit", text)
    script.write_text("import sys; print('unfit' in sys.modules, 'harmless' in sys.modules)")
    # A zygote that dies of a package is started again as a careful one by the supervisor.
    zygote = hatchery.hatch("harmless", "unfit", is_careful="abort" in text)
    assert zygote.warm is not None
    assert reason in zygote.warm.left_out["unfit"]
    assert list(zygote.warm.loaded) == ["harmless"]
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "False True\n"


def test_what_loads_cuda_or_is_no_package_is_left_out_unseen(hatchery: Hatchery) -> None:
    hatchery.install("torch", "raise AssertionError")
    zygote = hatchery.hatch("torch", "nowhere_to_be_found")
    assert zygote.warm is not None
    assert "CUDA" in zygote.warm.left_out["torch"]
    assert "not installed" in zygote.warm.left_out["nowhere_to_be_found"]


def test_code_that_has_changed_is_never_run_in_its_old_form(hatchery: Hatchery, script: Path) -> None:
    file = hatchery.install("package", "NUMBER = 1")
    script.write_text("import package; print(package.NUMBER)")
    zygote = hatchery.hatch("package")
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "1\n"
    file.write_text("NUMBER = 22")
    event = declined(zygote, str(script))
    assert str(file) in event.reason
    assert event.is_exhausted
    zygote.close()
    zygote = hatchery.hatch("package")
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "22\n"


@pytest.mark.parametrize("by", ["its name", "another link", "its folder", "a removal"])
def test_a_change_by_whatever_way_is_seen(hatchery: Hatchery, script: Path, by: str) -> None:
    folder = hatchery.packages / "package"
    folder.mkdir()
    file = folder / "__init__.py"
    file.write_text("NUMBER = 1")
    link = hatchery.folder / "link.py"
    link.hardlink_to(file)
    script.write_text("import package; print(package.NUMBER)")
    zygote = hatchery.hatch("package")
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
            (hatchery.packages / "elsewhere").rename(hatchery.folder / "elsewhere")
        case "a removal":
            file.unlink()
    event = declined(zygote, str(script))
    assert event.is_exhausted
    assert str(hatchery.packages) in event.reason


def test_a_package_that_is_installed_later_makes_the_zygote_spent(hatchery: Hatchery, script: Path) -> None:
    hatchery.install("package", "")
    zygote = hatchery.hatch("package")
    hatchery.install("another", "")
    script.write_text("")
    assert declined(zygote, str(script)).is_exhausted


def test_a_variable_that_a_package_has_read_must_be_the_same(hatchery: Hatchery, script: Path) -> None:
    hatchery.install("package", "import os\nMODE = os.environ.get('MODE', 'plain')")
    zygote = hatchery.hatch("package")
    script.write_text("import package; print(package.MODE)")
    event = declined(zygote, str(script), env={"MODE": "loud"})
    assert "`MODE`" in event.reason
    assert not event.is_exhausted
    assert zygote.run(str(script), env={"OTHER": "x"}) == 0


def test_a_variable_that_no_package_has_read_may_differ(zygote: Bearing, script: Path) -> None:
    script.write_text("import os; print(os.environ['PATH'], os.environb[b'PATH'].decode())")
    assert zygote.run(str(script), env={"PATH": "/elsewhere"}) == 0
    assert zygote.said() == "/elsewhere /elsewhere\n"


def test_a_zygote_with_a_second_thread_refuses(hatchery: Hatchery, script: Path) -> None:
    hatchery.install(
        "late",
        "import os, threading\n"
        "forks = []\n"
        "def after():\n"
        "    forks.append(1)\n"
        "    if len(forks) == 3: threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
        "os.register_at_fork(after_in_parent=after)\n",
    )
    zygote = hatchery.hatch(
        "late"
    )  # the first fork is the trial, the second a spare, the third the next spare
    script.write_text("")
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    zygote.spare(spare)
    event = declined(zygote, str(script))
    assert "second thread" in event.reason
    assert event.is_exhausted


def test_a_zygote_with_a_socket_of_its_own_refuses(hatchery: Hatchery, script: Path) -> None:
    hatchery.install(
        "late",
        "import os, socket\n"
        "forks, kept = [], []\n"
        "def after():\n"
        "    forks.append(1)\n"
        "    if len(forks) == 3: kept.append(socket.socket())\n"
        "os.register_at_fork(after_in_parent=after)\n",
    )
    zygote = hatchery.hatch("late")
    script.write_text("")
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    zygote.spare(spare)
    event = declined(zygote, str(script))
    assert "socket:" in event.reason
    assert event.is_exhausted


def test_an_agent_of_the_library_finds_all_of_it_loaded(hatchery: Hatchery, tmp_path: Path) -> None:
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
    hatchery.made.append(zygote)
    assert zygote.run("-m", "argosy.agent", "sailor:Sailor", cwd=tmp_path) == 0, zygote.said()
    assert zygote.said() == "[]\n"


def test_a_first_life_leaves_nothing_that_a_fork_would_break(hatchery: Hatchery, script: Path) -> None:
    folder = script.parent / "hatching"
    folder.mkdir()
    zygote = Bearing(folder, PreloadRecipe([], "/", list(ALWAYS_LOADED)))
    hatchery.made.append(zygote)
    assert zygote.warm.left_out == {}
    # A child meets the module that lived it, but no loop, no context and no handler of it.
    script.write_text(
        "import asyncio, os, signal, sys, zmq\n"
        "print('argosy.engine.fork.warmup_run' in sys.modules, len(os.listdir('/proc/self/task')))\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:3], signal.getsignal(signal.SIGTERM).name)\n"
        "print(zmq.Context._instance, asyncio._get_running_loop())\n"
    )
    assert zygote.run(str(script)) == 0
    assert zygote.said() == "True 1\n[0, 1, 2] SIG_DFL\nNone None\n"


@pytest.mark.parametrize(("without", "is_frozen"), [((), True), (SWITCHES, False)])
def test_what_is_switched_off_is_left_out(
    hatchery: Hatchery, script: Path, without: tuple[str, ...], is_frozen: bool
) -> None:
    recipe, env = PreloadRecipe([], "/", list(ALWAYS_LOADED)), {WITHOUT_VARIABLE: ",".join(without)}
    zygote = Bearing(hatchery.folder, recipe, env=env)
    hatchery.made.append(zygote)
    assert zygote.warm is not None
    assert zygote.warm.left_out == {}
    script.write_text(
        "import gc, sys; print(gc.get_freeze_count() > 0, 'argosy.engine.fork.warmup_run' in sys.modules)"
    )
    assert zygote.run(str(script), env=env) == 0
    assert zygote.said() == f"{is_frozen} {is_frozen}\n"
    children = Path(f"/proc/{zygote.process.pid}/task/{zygote.process.pid}/children").read_text().split()
    # The exit of the one that ran is reported before it is reaped.
    assert not without or not {*children} - {str(zygote.born)}, "no child is forked in advance"


# ---- the child that waits for the next order


def test_an_order_after_a_rest_is_the_spare_childs_and_it_notices_nothing(
    zygote: Bearing, forker: Bearing, tmp_path: Path
) -> None:
    words = (str(PROBE), "--voice", "en", "two words")
    env = {"ODD": "ä = b", "ARGOSY_AGENT": "A"}
    spare = zygote.spare()
    forked = seen(zygote, *words, cwd=tmp_path, env=env)
    assert zygote.born == spare
    assert_same(forked, seen(forker, *words, cwd=tmp_path, env=env))


def test_an_order_that_comes_before_there_is_a_spare_child_is_forked(zygote: Bearing, script: Path) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    zygote.order(str(script))
    zygote.order(str(script))
    told = [zygote.told() for _ in range(4)]
    births = [each.pid for each in told if isinstance(each, Spawned)]
    assert births[0] == spare
    assert len(set(births)) == 2


def test_a_spare_child_that_is_killed_is_nobodys_and_the_next_order_is_forked(
    zygote: Bearing, script: Path
) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    os.kill(spare, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while Path(f"/proc/{spare}").exists():
        assert time.monotonic() < deadline, "it is not reaped"
        time.sleep(0.002)
    assert zygote.run(str(script)) == 0, "the first that is told is a birth"
    assert zygote.said() == "here\n"
    assert zygote.born != spare
    assert zygote.spare() != spare


def test_the_spare_child_ends_with_its_zygote(hatchery: Hatchery) -> None:
    zygote = hatchery.hatch("json")
    pidfd = os.pidfd_open(zygote.spare())
    zygote.process.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_the_child_that_tries_an_import_ends_with_its_zygote(hatchery: Hatchery) -> None:
    mark = hatchery.folder / "pid"
    hatchery.install(
        "slow",
        "import os, pathlib, time\n"
        f"pathlib.Path({str(mark)!r} + '.new').write_text(str(os.getpid()))\n"
        f"os.rename({str(mark)!r} + '.new', {str(mark)!r})\n"
        "time.sleep(120)\n",
    )
    zygote = hatchery.hatch("slow", is_careful=True, is_awaited=False)
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


def test_a_spare_child_has_no_life_behind_it(hatchery: Hatchery, script: Path) -> None:
    folder = script.parent / "hatching"
    folder.mkdir()
    zygote = Bearing(folder, PreloadRecipe([], "/", list(ALWAYS_LOADED)))
    hatchery.made.append(zygote)
    script.write_text(
        "import asyncio, os, random, signal, threading, zmq\n"
        "print(len(os.listdir('/proc/self/task')), threading.active_count())\n"
        "print(sorted(map(int, os.listdir('/proc/self/fd')))[:3], signal.getsignal(signal.SIGTERM).name)\n"
        "print(zmq.Context._instance, asyncio._get_running_loop())\n"
        "print(random.random())\n"
    )
    spare = zygote.spare()
    assert zygote.run(str(script)) == 0
    *lines, first = zygote.said().splitlines()
    assert zygote.born == spare
    assert lines == ["1 1", "[0, 1, 2] SIG_DFL", "None None"]
    assert zygote.spare(spare)
    assert zygote.run(str(script)) == 0
    assert zygote.said().splitlines()[-1] != first


def until_stopped(pid: int) -> None:
    """Wait until a process has stopped: the signal is only on its way when `kill` returns."""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_spare_child_that_is_stopped_gets_no_order_and_is_ended(zygote: Bearing, script: Path) -> None:
    script.write_text("print('here')")
    spare = zygote.spare()
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGSTOP)
    until_stopped(spare)
    zygote.order(str(script))
    told = [zygote.told() for _ in range(3)]
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
    births = [each.pid for each in told if isinstance(each, Spawned)]
    assert len(births) == 1
    assert births != [spare]
    assert zygote.said() == "here\n"
    assert zygote.spare() != spare


def test_a_spare_child_that_is_stopped_ends_with_its_zygote(hatchery: Hatchery) -> None:
    zygote = hatchery.hatch("json")
    spare = zygote.spare()
    pidfd = os.pidfd_open(spare)
    os.kill(spare, signal.SIGSTOP)
    zygote.process.kill()
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)


def test_an_agent_that_was_a_spare_child_outlives_its_zygote(hatchery: Hatchery, script: Path) -> None:
    script.write_text("import time\nprint('here', flush=True)\ntime.sleep(60)\n")
    zygote = hatchery.hatch("json")
    spare = zygote.spare()
    zygote.order(str(script))
    birth = zygote.told()
    assert isinstance(birth, Spawned)
    assert birth.pid == spare
    deadline = time.monotonic() + 30
    while zygote.said() != "here\n":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    pidfd = os.pidfd_open(spare)
    zygote.process.kill()
    zygote.process.wait(30)
    assert select.select([pidfd], [], [], 0.2)[0] == [], "it lives on"
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert select.select([pidfd], [], [], 30)[0]
    os.close(pidfd)
