"""BLAKE2b, which tells a content from others.

CPython has it in a module of its own, and `hashlib` in front of it loads OpenSSL: that takes longer than all
the digests of an audit in which nothing has changed.
"""

from __future__ import annotations

try:
    from _blake2 import blake2b
except ImportError:  # another Python
    from hashlib import blake2b

__all__ = ["blake2b"]
