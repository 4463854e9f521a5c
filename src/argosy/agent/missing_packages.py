"""Placeholders for packages that are not installed where an agent runs.

`argosy repair --absent torch` writes this; it may be written by hand as well:

    try:
        import torch
    except ModuleNotFoundError:
        from argosy.api import placeholder

        torch = placeholder("torch")

Where the package is installed, nothing else happens. Otherwise the agent starts, is degraded with the
package's name, and each use of the placeholder raises the ModuleNotFoundError that the
import would have raised.

One check has a valid result without the package: whether there is a device. With
`ARGOSY_DEVICES=absent` in the environment, `torch.cuda.is_available()` and the like return False. A module
that uses the package only for that check, and where the check is true, does not lack the package
then: `placeholder("torch", behind_device_check=True)` declares such a module, and repair writes it
where it can prove it.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final, NoReturn

DEVICES_VARIABLE: Final = "ARGOSY_DEVICES"

# What a placeholder returns for a device check: no device. Each is false as a condition.
DEVICE_CHECKS: Final[dict[str, object]] = {
    "torch.cuda.is_available": False,
    "torch.cuda.device_count": 0,
    "torch.backends.mps.is_available": False,
    "torch.xpu.is_available": False,
}

# By package: whether every module with a placeholder for it uses it behind a device check.
_missing: dict[str, bool] = {}


def missing_packages() -> tuple[str, ...]:
    """Return the packages of this process whose placeholders can fail, in the order of their imports."""
    return tuple(top for top, is_behind in _missing.items() if not (is_behind and _has_no_devices()))


def placeholder(name: str, *, behind_device_check: bool = False) -> Any:
    """Return a placeholder for the module or name `name`, in the handler of its import's error.

    behind_device_check: the module uses it only where a device check was true.
    Raises ModuleNotFoundError: the handled error, if it is about another package.
    Raises RuntimeError: no ModuleNotFoundError is being handled.
    """
    error = sys.exc_info()[1]
    if not isinstance(error, ModuleNotFoundError):
        raise RuntimeError(f"`placeholder({name!r})` is for the handler of the ModuleNotFoundError")
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
            raise AttributeError(name)  # looked up by Python itself on any object
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
