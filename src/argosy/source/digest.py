"""Imports BLAKE2b without `hashlib`.

`hashlib` loads OpenSSL, which takes longer than all digests of an audit in which nothing has changed.
CPython has BLAKE2b in a separate module.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python
    from hashlib import blake2b

__all__ = ["blake2b"]
