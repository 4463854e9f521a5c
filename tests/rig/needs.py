"""Tests whose tool is missing are skipped, with the tool and its package.

Where CI is set that is an error, unless the table calls the tool optional: there `script/system` was to
install it, and a skip would hide a fault.
"""

from __future__ import annotations

import pytest

from rig.tools import missing_tools_reason


def require(*tools: str) -> None:
    """Skip the test that runs where one of these tools is missing."""
    if reason := missing_tools_reason(*tools):
        pytest.skip(reason)


def needs(*tools: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where one of these tools is missing."""
    reason = missing_tools_reason(*tools)
    return pytest.mark.skipif(bool(reason), reason=reason)
