"""Random programs with marked places, in many encodings and newlines, for the tests of edits."""

from __future__ import annotations

from hypothesis import strategies as st

ENCODINGS = ["utf-8", "utf-8-sig", "latin-1", "cp1252", "koi8-r", "shift_jis", "euc_jp", "cp437", "ascii"]
WORDS = {
    "latin-1": "größe déjà",
    "cp1252": "größe € “x”",
    "koi8-r": "привет мир",
    "shift_jis": "日本語ソース",
    "euc_jp": "日本語",
    "cp437": "Ä é ─",
    "ascii": "plain",
    "utf-8": "größe 日本語 👍 \u2028 \x0b",
    "utf-8-sig": "größe 日本語 👍",
}
# {w}: a word of the encoding. @: where an own context is made. {i}: the indentation of the file.
_TOP = [
    "x = '{w}'",
    "# {w}",
    "ctx = @",
    "a = '{w}'; ctx = @; b = '{w}'  # {w}",
    "print('{w}', 1,\n    2)",
    "text = '''{w}\n   {w}'''",
    "if x:\n{i}ctx = @  # {w}\n{i}'{w}'",
    "def f():\n{i}'''{w}'''\n{i}ctx = @\n{i}ctx.term()",
    "class C:\n{i}'''{w}'''\n\n{i}def __init__(self):\n{i}{i}self.w = '{w}'; self.context = @",
    "\fdef g(ctx=None):\n{i}ctx = ctx or @",
    "with @ as ctx:\n{i}s = ctx.socket(1)",
    "s = @.socket(1)",
    "ctx = (\n{i}@  # {w}\n)",
    "if True: ctx = @",
    "x = [\n# {w}\n'{w}']",
]


@st.composite
def marked_programs(draw: st.DrawFn) -> tuple[str, str, str, bool]:
    """Return (text with `@`, encoding, line end, ends with a newline)."""
    encoding = draw(st.sampled_from(ENCODINGS))
    pieces = draw(st.lists(st.sampled_from(_TOP), min_size=1, max_size=8))
    indent = draw(st.sampled_from(["    ", "\t", "  ", "\t  "]))
    blank = draw(st.sampled_from(["\n", "\n\n", "\n  \n", "\n\f\n"]))
    body = blank.join(pieces).replace("{w}", WORDS[encoding]).replace("{i}", indent)
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    declared = {"utf-8-sig": "utf-8"}.get(encoding, encoding)
    head = f"# -*- coding: {declared} -*-\n"
    other = draw(st.sampled_from(["", "kind = zmq.REP\n"]))
    return head + "import zmq\n" + other + body, encoding, newline, draw(st.booleans())


def written(text: str, encoding: str, newline: str, is_ended: bool) -> bytes:
    """Return the text as a file's bytes."""
    whole = text + ("\n" if is_ended else "")
    return whole.replace("\n", newline).encode(encoding)
