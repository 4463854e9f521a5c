"""The array of the array rows: 1 MiB of float32. Only modules that send arrays import numpy."""

from __future__ import annotations

from typing import Any, Final

import numpy

SHAPE: Final = (512, 512)
BYTES: Final = 4 * SHAPE[0] * SHAPE[1]


def matrix() -> Any:
    """Return an array to send."""
    return numpy.arange(SHAPE[0] * SHAPE[1], dtype=numpy.float32).reshape(SHAPE)


def matrix_of(data: bytes) -> Any:
    """Return the array of received bytes."""
    return numpy.frombuffer(data, numpy.float32).reshape(SHAPE)
