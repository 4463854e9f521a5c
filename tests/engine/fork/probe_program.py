"""Prints everything that a program can notice about how it was started, as JSON."""

import atexit
import dataclasses
import gc
import importlib
import inspect
import json
import logging
import os
import pathlib
import pickle
import random
import resource
import signal
import sys
import threading
import warnings


@dataclasses.dataclass
class Thing:
    """Pickled by reference to `__main__`."""

    number: int = 0


def handlers() -> dict[str, str]:
    found = {}
    for number in sorted(signal.valid_signals()):
        handler = signal.getsignal(number)
        found[str(int(number))] = getattr(handler, "__name__", str(handler))
    return found


def descriptors() -> list[str]:
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.path.basename(os.readlink(f"/proc/self/fd/{name}")))
        except FileNotFoundError:
            continue
    return sorted(found)


def stream(name: str) -> list[object]:
    file = getattr(sys, name)
    inner = file.buffer
    return [
        *(file.name, file.encoding, file.errors, file.line_buffering, file.write_through, file.mode),
        *(file.isatty(), file.seekable(), file.newlines, type(inner).__name__),
    ]


def status(*names: str) -> dict[str, str]:
    with open("/proc/self/status") as file:
        lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    # Signals 32 and 33 are the C library's own, caught once a library has had a thread.
    lines["SigCgt"] = hex(int(lines["SigCgt"], 16) & ~(3 << 31))
    return {name: lines[name] for name in names}


def shown(name: str) -> list[str]:
    with open(f"/proc/self/{name}", "rb") as file:
        return sorted(os.fsdecode(word) for word in file.read().split(b"\0"))


main = sys.modules["__main__"]
found = {
    "name": __name__,
    "file": __file__,
    "spec": repr(__spec__).partition(" object at ")[0],
    "package": repr(__package__),
    "loader": type(__loader__).__name__,
    "cached": repr(__cached__),
    "doc": __doc__,
    "annotations": repr(__annotations__),
    "builtins": type(__builtins__).__name__,
    "globals": sorted(name for name in globals() if name.startswith("__")),
    "is_main": main.__dict__ is globals(),
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "path": sys.path,
    "executable": [sys.executable, sys.prefix, sys.base_prefix, sys._base_executable],
    "flags": list(sys.flags),
    "warnoptions": sys.warnoptions,
    "xoptions": sys._xoptions,
    "cwd": os.getcwd(),
    "environ": dict(os.environ),
    "environ_order": list(os.environ),
    "environb": {os.fsdecode(name): os.fsdecode(value) for name, value in os.environb.items()},
    "shown_environ": shown("environ"),
    "shown_argv": shown("cmdline"),
    "comm": pathlib.Path("/proc/self/comm").read_text(),
    "exe": os.readlink("/proc/self/exe"),
    "handlers": handlers(),
    "kernel": status("SigBlk", "SigIgn", "SigCgt", "Umask", "Threads", "Seccomp"),
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
    "wakeup": signal.set_wakeup_fd(-1),
    "descriptors": descriptors(),
    "inheritable": [os.get_inheritable(number) for number in (0, 1, 2)],
    "session": [os.getsid(0) == os.getpid(), os.getpgrp() == os.getpid()],
    "streams": {name: stream(name) for name in ("stdin", "stdout", "stderr")},
    "gc": [gc.isenabled(), list(gc.get_threshold()), gc.get_debug()],
    "recursion": sys.getrecursionlimit(),
    "switch": sys.getswitchinterval(),
    "threads": [thread.name for thread in threading.enumerate()],
    "is_main_thread": threading.current_thread() is threading.main_thread(),
    "hooks": [sys.excepthook is sys.__excepthook__, sys.displayhook is sys.__displayhook__],
    "traced": [repr(sys.gettrace()), repr(sys.getprofile())],
    "handling": repr(sys.exc_info()),
    "logging": [logging.getLogger().level, repr(logging.getLogger().handlers)],
    "source": inspect.getsource(Thing),
    "pickled": pickle.loads(pickle.dumps(Thing(3))).number,
    "pickle": pickle.dumps(Thing(3)).hex(),
    "limits": [
        resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name[:7] == "RLIMIT_"
    ],
    "nice": os.getpriority(os.PRIO_PROCESS, 0),
    "affinity": sorted(os.sched_getaffinity(0)),
}
numpy = importlib.import_module("numpy")  # it adds filters of its own, in a zygote earlier
found["filters"] = [repr(each[:3]) for each in warnings.filters]
print(json.dumps({"seen": found, "random": random.random()}), flush=True)
atexit.register(print, "at exit")
