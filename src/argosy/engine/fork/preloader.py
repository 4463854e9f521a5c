"""Preloads modules into a zygote, with the modules that they load lazily, and freezes the heap.

A module can be preloaded if it can be imported and leaves nothing behind that a fork would break:
threads, open descriptors, CUDA. Threads are counted after a throw-away fork, since some libraries
(OpenBLAS) end theirs before a fork and start them again when they are needed.
"""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import os
import site
import sys
import sysconfig
import time
from typing import TYPE_CHECKING

from argosy.engine.fork.copy_on_write import compact_code, fill_heap_holes, is_on, trace_code
from argosy.engine.process.prctl import fork_dependent

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator

_THREAD_EXIT_WAIT_S = 0.1
_GPU_LIBRARIES = ("libcuda", "libcudart", "libnvidia", "libamdhip", "libhsa-runtime")
# Known to load CUDA, and slow to import: excluded without a trial.
_NEVER_PRELOADED_GPU = dict.fromkeys(
    ("torch", "tensorflow", "jax", "cupy", "vllm", "onnxruntime"),
    "it loads CUDA, which must not be loaded before a fork",
)
_NEVER_PRELOADED = {
    "antigravity": "it opens a browser",
    "this": "it prints",
    "readline": "it takes the terminal",
}
ALL_VARIABLES = b"*"
_RUNNER = "argosy.agent.runner"


class TrackedEnvironment(dict[bytes, bytes]):
    """The variables of os.environ that records the names read; `ALL_VARIABLES` once all were listed."""

    def __init__(self, variables: dict[bytes, bytes]) -> None:
        super().__init__(variables)
        self.names_read: set[bytes] = set()

    def __getitem__(self, name: bytes) -> bytes:
        self.names_read.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[bytes]:
        self.names_read.add(ALL_VARIABLES)
        return super().__iter__()


class Preloader:
    """Loads modules into a zygote and records what was left out.

    loaded: entry to seconds. left_out: module to reason. environment_reads: the variables that the
    imports read.
    """

    def __init__(self, own_descriptors: Iterable[int], user_dir: str) -> None:
        self.loaded: dict[str, float] = {}
        self.left_out: dict[str, str] = {}
        self.environment_reads = TrackedEnvironment(os.environ._data)  # type: ignore[attr-defined]
        self._own_descriptors = frozenset(own_descriptors)
        self._user_dir = user_dir
        self._package_dirs = _find_package_dirs()
        self._heap_fillers: list[object] = []

    def load(self, entries: Iterable[str]) -> None:
        """Import each entry, `module` or `module:name` where the name may be a module of its own."""
        variables = os.environ._data  # type: ignore[attr-defined]
        os.environ._data = self.environment_reads  # type: ignore[attr-defined]
        try:
            for entry in entries:
                self._load(entry)
        finally:
            variables.clear()
            variables.update(self.environment_reads.items())  # no read is recorded
            # The original dict, since os.environb has it too.
            os.environ._data = variables  # type: ignore[attr-defined]

    def load_in_trials(self, entries: Iterable[str]) -> None:
        """As `load`, but try each in a throw-away child first, and leave out what breaks a fork."""
        for entry in entries:
            top = entry.partition(":")[0].partition(".")[0]
            if top in self.left_out:
                continue
            reason = _run_in_child(functools.partial(self._load_and_check, entry))
            if reason:
                self.left_out[top] = reason
            else:
                self.load([entry])

    def _load_and_check(self, entry: str, result_fd: int) -> str:
        self.load([entry])
        top_module = entry.partition(":")[0].partition(".")[0]
        return self.left_out.get(top_module) or self.fork_obstacle(result_fd)

    def _load(self, entry: str) -> None:
        module, _, name = entry.partition(":")
        top = module.partition(".")[0]
        if top in self.left_out:
            return
        reason = self._exclusion_reason(top)
        began = time.monotonic()
        try:
            if not reason:
                _import(module, name)
                _warm(module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a package may raise anything, SystemExit too
            reason = f"it cannot be imported: {type(error).__name__}: {error}"
        if reason:
            self.left_out[top] = reason
        else:
            self.loaded[entry] = time.monotonic() - began

    def _exclusion_reason(self, top: str) -> str:
        if top in _NEVER_PRELOADED_GPU or top in _NEVER_PRELOADED:
            return _NEVER_PRELOADED_GPU.get(top) or _NEVER_PRELOADED[top]
        if top in sys.modules or top in sys.stdlib_module_names or top == "argosy":
            return ""
        spec = importlib.util.find_spec(top)
        origin = spec.origin or "" if spec else ""
        if spec is None:
            return "it is not installed"
        if not origin.startswith(self._package_dirs):
            return "it is not an installed package"
        return ""

    def fork_obstacle(self, *own: int) -> str:
        """Return what forbids a fork of this process, or an empty string. own: descriptors to ignore."""
        _run_in_child(lambda _: "")
        threads = wait_single_thread(_THREAD_EXIT_WAIT_S)
        if threads > 1:
            return f"it starts threads ({threads - 1})"
        if ALL_VARIABLES in self.environment_reads.names_read:
            return "it reads the whole environment while it is imported"
        for number, target in open_descriptors():
            if number > 2 and number not in self._own_descriptors and number not in own:
                return f"it keeps `{target}` open"
        with open("/proc/self/maps") as file:
            maps = file.read()
        library = next((name for name in _GPU_LIBRARIES if name in maps), "")
        return f"it loads `{library}`" if library else ""

    def freeze(self) -> None:
        """Reduce the number of pages that a child writes to, since each is copied for it.

        The warm-up run comes last, since a later import would empty caches again. The free blocks are
        filled before the code is copied, and again once the code that was replaced is freed.
        """
        run_code = trace_code(self._run_warmup) if is_on("warmup") else []
        gc.collect()
        self._heap_fillers += fill_heap_holes()
        if is_on("code"):
            compact_code(run_code, _COMPACTABLE_PACKAGES)
            del run_code
            gc.collect()
            self._heap_fillers += fill_heap_holes()
        gc.disable()
        if is_on("gc-freeze"):
            gc.freeze()

    def warm_up(self) -> None:
        """Run a sample agent if agents of the library are preloaded, to copy the pages it writes to."""
        if _RUNNER in self.loaded:
            importlib.import_module("argosy.engine.fork.warmup_run").run_warmup()

    def _run_warmup(self) -> None:
        """Use the packages as agents do, and run a sample agent."""
        try:
            for module in dict.fromkeys(entry.partition(":")[0] for entry in self.loaded):
                _warm(module)
            self.warm_up()
        except Exception as error:  # children only do more work themselves; the event log has the error
            self.left_out["warm-up"] = f"{type(error).__name__}: {error}"
        wait_single_thread(_THREAD_EXIT_WAIT_S)


def wait_single_thread(seconds: float) -> int:
    """Return the number of threads of this process; waits up to `seconds` until there is only one."""
    deadline = time.monotonic() + seconds
    while (count := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < deadline:
        time.sleep(0.001)  # a joined thread may still be exiting
    return count


def open_descriptors(known: Container[int] = ()) -> Iterator[tuple[int, str]]:
    """Yield number and target of each open descriptor except the `known` ones."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) in known:
            continue
        try:
            yield int(name), os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:
            continue  # the descriptor of the listing itself


def _find_package_dirs() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    found = {paths["purelib"], paths["platlib"], *site.getsitepackages(), site.getusersitepackages()}
    return tuple(f"{directory}/" for directory in found)


def _import(module: str, name: str) -> None:
    found = importlib.import_module(module)
    if name and not hasattr(found, name) and hasattr(found, "__path__"):
        try:
            importlib.import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            return  # a name that its `__getattr__` or a later import defines


def _run_in_child(work: Callable[[int], str]) -> str:
    """Return what `work` returns in a child process, or how the child ended.

    work(result_fd): gets the descriptor to which the child writes its result.
    """
    reading, writing = os.pipe()
    pid = fork_dependent()
    if pid == 0:
        try:
            os.close(reading)
            os.write(writing, work(writing).encode())
        except BaseException as error:
            os.write(writing, f"its trial failed: {error!r}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        output = file.read().decode()
    status = os.waitpid(pid, 0)[1]
    return output if os.WIFEXITED(status) else f"its import ended by signal {os.WTERMSIG(status)}"


def _warm(module: str) -> None:
    """Use a package that loads modules lazily."""
    if module in _WARMERS:
        _WARMERS[module]()


def _warm_pydantic() -> None:
    pydantic = importlib.import_module("pydantic")
    inner = pydantic.create_model("Inner", number=("int", pydantic.Field(gt=0)), text=(str, ""))
    fields = {
        "inner": (inner, ...),
        "share": ("float", 0.5),
        "items": ("list[str]", []),
        "facts": ("dict[str, str]", {}),
    }
    model = pydantic.create_model("Warm", **fields)
    model.model_validate({"inner": {"number": 1}, "facts": {"a": "b"}}).model_dump()
    model.model_validate_json(model(inner=inner(number=1)).model_dump_json())


def _warm_yaml() -> None:
    yaml = importlib.import_module("yaml")
    yaml.safe_dump(yaml.safe_load("a: {b: [1, 2.5, true, text]}"))


def _warm_msgspec() -> None:
    msgspec = importlib.import_module("msgspec")
    made = msgspec.defstruct("Warm", [("number", int, 0), ("text", str, "")])
    msgspec.msgpack.decode(msgspec.msgpack.encode(made()), type=made)
    msgspec.json.decode(msgspec.json.encode(made()), type=made)


def _warm_asyncio() -> None:
    importlib.import_module("encodings.idna")
    asyncio = importlib.import_module("asyncio")
    # Not asyncio.run: it marks the thread as having had a loop, so get_event_loop would create none.
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(_complete())


async def _complete() -> None:
    return None


def _warm_psutil() -> None:
    psutil = importlib.import_module("psutil")
    process = psutil.Process()
    process.cpu_times()
    process.memory_info()


_WARMERS: dict[str, Callable[[], None]] = {
    "pydantic": _warm_pydantic,
    "yaml": _warm_yaml,
    "msgspec": _warm_msgspec,
    "asyncio": _warm_asyncio,
    "psutil": _warm_psutil,
}
# Their code may be compacted: nobody keeps one of their code objects and compares it with a function's.
_COMPACTABLE_PACKAGES = frozenset(
    (
        *_WARMERS,
        *("annotated_types", "pydantic_core", "typing_extensions", "typing_inspection", "uvloop", "zmq"),
    )
)
