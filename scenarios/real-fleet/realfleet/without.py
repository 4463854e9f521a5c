"""Parts of the compat base, each of which an ablation does without.

The run's environment loads this module at the start of an interpreter whose variable
`REAL_FLEET_WITHOUT` names a part; the product itself has no such switch.
"""

from __future__ import annotations

import os
from typing import Final

PARTS: Final[tuple[str, ...]] = ()


def _do_without(part: str) -> None:
    raise RuntimeError(f"no part `{part}`")


if os.environ.get("REAL_FLEET_WITHOUT"):
    _do_without(os.environ["REAL_FLEET_WITHOUT"])
