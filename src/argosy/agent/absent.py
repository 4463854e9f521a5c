"""Stand-ins for packages that are absent where an agent runs.

What `argosy repair --absent torch` writes, and a person may write as well:

    try:
        import torch
    except ModuleNotFoundError:
        from argosy.agent.absent import stand_in

        torch = stand_in("torch")

Where the package is there, nothing else happens. Where it lacks, the agent starts, is degraded and
says so by the package's name, and whatever uses a stand-in raises the ModuleNotFoundError that the
import would have raised. A stand-in does nothing else.

One question has a true answer without the package: whether there is a device for it. With
`ARGOSY_DEVICES=absent` in the environment, `torch.cuda.is_available()` and its like say no. A module
that does no more with the package than ask that, and use it where the answer is yes, lacks nothing
then: `stand_in("torch", behind_probes=True)` says that it is such a module, and repair writes it
where it can show it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NoReturn

DEVICES: Final = "ARGOSY_DEVICES"

# What a stand-in may answer: that there is no device. All of it is false where it is asked as a condition.
PROBES: Final[dict[str, object]] = {
    "torch.cuda.is_available": False,
    "torch.cuda.device_count": 0,
    "torch.backends.mps.is_available": False,
    "torch.xpu.is_available": False,
}

# By package: whether every module that has a stand-in for it uses it behind a question for a device.
_absent: dict[str, bool] = {}


def absent() -> tuple[str, ...]:
    """Return the packages whose stand-ins of this process can fail, in the order of their imports."""
    return tuple(top for top, is_behind in _absent.items() if not (is_behind and _are_devices_absent()))


def stand_in(name: str, *, behind_probes: bool = False) -> Any:
    """Return what takes the place of the module or name `name`, while its import's error is handled.

    behind_probes: the module uses it only where a question for a device was answered with yes.
    Raises ModuleNotFoundError: the error that is handled is not about this package; then that.
    Raises RuntimeError: no such error is handled.
    """
    error = sys.exc_info()[1]
    if not isinstance(error, ModuleNotFoundError):
        raise RuntimeError(f"`stand_in({name!r})` is for the handler of the ModuleNotFoundError")
    top = name.partition(".")[0]
    if (error.name or "").partition(".")[0] != top:
        raise error
    _absent[top] = behind_probes and _absent.get(top, True)
    return _StandIn(name)


class _StandIn:
    """Raises at each use. path: the dotted name that it stands for."""

    __slots__ = ("_path",)
    _path: str

    def __init__(self, path: str) -> None:
        object.__setattr__(self, "_path", path)

    def __repr__(self) -> str:
        return f"<stand-in for {self._path}>"

    def __getattr__(self, name: str) -> _StandIn:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # asked by Python itself, of any object
        path = f"{self._path}.{name}"
        if _are_devices_absent() and any(f"{probe}.".startswith(f"{path}.") for probe in PROBES):
            return _StandIn(path)
        _fail(path)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        if self._path in PROBES and _are_devices_absent():
            return PROBES[self._path]
        _fail(self._path)

    def __setattr__(self, name: str, value: object) -> None:
        _fail(f"{self._path}.{name}")

    def __bool__(self) -> bool:
        _fail(self._path)

    def __iter__(self) -> NoReturn:
        _fail(self._path)

    def __getitem__(self, key: object) -> NoReturn:
        _fail(self._path)

    def __enter__(self) -> NoReturn:
        _fail(self._path)

    def __exit__(self, *args: object) -> None:
        _fail(self._path)

    def __instancecheck__(self, instance: object) -> bool:
        _fail(self._path)

    def __mro_entries__(self, bases: object) -> NoReturn:
        _fail(self._path)


def _are_devices_absent() -> bool:
    return os.environ.get(DEVICES) == "absent"


def _fail(path: str) -> NoReturn:
    top = path.partition(".")[0]
    raise ModuleNotFoundError(f"`{path}` is used here, and the package `{top}` is not installed", name=top)
