"""Stand-ins for packages that are absent where an agent runs.

What `argosy repair --absent torch` writes, and a person may write as well:

    try:
        import torch
    except ModuleNotFoundError:
        from argosy.agent.missing_packages import stand_in

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

DEVICES_VARIABLE: Final = "ARGOSY_DEVICES"

# What a stand-in may answer: that there is no device. All of it is false where it is asked as a condition.
DEVICE_CHECKS: Final[dict[str, object]] = {
    "torch.cuda.is_available": False,
    "torch.cuda.device_count": 0,
    "torch.backends.mps.is_available": False,
    "torch.xpu.is_available": False,
}

# By package: whether every module that has a stand-in for it uses it behind a question for a device.
_missing: dict[str, bool] = {}


def missing_packages() -> tuple[str, ...]:
    """Return the packages whose stand-ins of this process can fail, in the order of their imports."""
    return tuple(top for top, is_behind in _missing.items() if not (is_behind and _has_no_devices()))


def placeholder(name: str, *, behind_device_check: bool = False) -> Any:
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
    _missing[top] = behind_device_check and _missing.get(top, True)
    return _Placeholder(name)


class _Placeholder:
    """Raises at each use. path: the dotted name that it stands for."""

    __slots__ = ("_path",)
    _path: str

    def __init__(self, path: str) -> None:
        object.__setattr__(self, "_path", path)

    def __repr__(self) -> str:
        return f"<placeholder for {self._path}>"

    def __getattr__(self, name: str) -> _Placeholder:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # asked by Python itself, of any object
        path = f"{self._path}.{name}"
        if _has_no_devices() and any(f"{probe}.".startswith(f"{path}.") for probe in DEVICE_CHECKS):
            return _Placeholder(path)
        _raise_missing(path)

    def __call__(self, *args: object, **kwargs: object) -> Any:
        if self._path in DEVICE_CHECKS and _has_no_devices():
            return DEVICE_CHECKS[self._path]
        _raise_missing(self._path)

    def __setattr__(self, name: str, value: object) -> None:
        _raise_missing(f"{self._path}.{name}")

    def __bool__(self) -> bool:
        _raise_missing(self._path)

    def __iter__(self) -> NoReturn:
        _raise_missing(self._path)

    def __getitem__(self, key: object) -> NoReturn:
        _raise_missing(self._path)

    def __enter__(self) -> NoReturn:
        _raise_missing(self._path)

    def __exit__(self, *args: object) -> None:
        _raise_missing(self._path)

    def __instancecheck__(self, instance: object) -> bool:
        _raise_missing(self._path)

    def __mro_entries__(self, bases: object) -> NoReturn:
        _raise_missing(self._path)


def _has_no_devices() -> bool:
    return os.environ.get(DEVICES_VARIABLE) == "absent"


def _raise_missing(path: str) -> NoReturn:
    top = path.partition(".")[0]
    raise ModuleNotFoundError(f"`{path}` is used here, and the package `{top}` is not installed", name=top)
