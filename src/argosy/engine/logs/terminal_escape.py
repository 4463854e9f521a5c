"""Makes agents' output safe for a terminal: control characters are shown, not executed."""

from __future__ import annotations

import re
from typing import Final

_SGR_RESET: Final = "\033[0m"
_SGR_SEQUENCE: Final = re.compile(r"(\033\[[0-9;]*m)")
# C0 except tab, DEL and C1, as `cat -v` shows them: `^[` and `M-^[`.
_ESCAPES: Final = (
    {code: f"^{chr(code + 64)}" for code in range(32) if code != 9}
    | {127: "^?"}
    | {code: f"M-^{chr(code - 64)}" for code in range(128, 160)}
)


def escape_control(text: str, *, keep_colours: bool = False) -> str:
    r"""Return `text` with its control characters shown as `^[`, so that a terminal does not act on them.

    A title, a cleared screen or a moved cursor would falsify what the user reads. Colours (SGR,
    `ESC [ numbers m`) are removed, or kept and reset at the end of the text.
    """
    parts = _SGR_SEQUENCE.split(text)  # alternating text and colours
    parts[::2] = [part.translate(_ESCAPES) for part in parts[::2]]
    if keep_colours:
        return "".join([*parts, _SGR_RESET] if len(parts) > 1 else parts)
    return "".join(parts[::2])
