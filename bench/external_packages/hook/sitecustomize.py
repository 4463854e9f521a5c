"""Counts calls of the functions that refits insert, in every child process; Python imports it by its name.

Each call appends `path:line pid` of its caller to the file that ARGOSY_CALLS names, so calls before a kill
are counted too.
"""

import importlib.machinery
import os
import sys

_COUNTED = {
    "argosy.wire.zmq_context.context_handle": ("context",),
    "argosy.wire.client.pooled_req": ("req_socket",),
    "argosy.fleet.resolver": ("host", "endpoint"),
}


def _counted(function, calls):
    def count(*args, **named):
        frame = sys._getframe(1)
        line = f"{frame.f_code.co_filename}:{frame.f_lineno} {os.getpid()}\n"
        os.write(calls, line.encode())
        return function(*args, **named)

    return count


class _Finder:
    """Finds modules as Python does and wraps the functions after loading."""

    def __init__(self, calls):
        self.calls = calls

    def find_spec(self, name, path=None, target=None):
        if name not in _COUNTED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module):
                load(module)
                for function in _COUNTED[name]:
                    setattr(module, function, _counted(getattr(module, function), self.calls))

            spec.loader.exec_module = exec_module
        return spec


if os.environ.get("ARGOSY_CALLS"):
    _file = os.open(os.environ["ARGOSY_CALLS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    sys.meta_path.insert(0, _Finder(_file))
