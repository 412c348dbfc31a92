"""What leaves archscope moves no cursor, reorders no line and has a bounded length."""

from __future__ import annotations

import sys
import unicodedata

import pytest

from archscope.errors import ArchscopeError
from archscope.inert import LONGEST_LINE, one_line, printable

REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
VISIBLE = set(map(chr, [0x200D, *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2])) | set(
    map(chr, [0x110BD, 0x110CD, *range(0x13430, 0x13440)])
)
"""Format characters that have a glyph, and the joiner of emoji."""


def test_no_character_of_unicode_controls_a_terminal() -> None:
    for code in range(sys.maxunicode + 1):
        sign = chr(code)
        category = unicodedata.category(sign)
        controls = category in ("Cc", "Cs", "Zl", "Zp") or (category == "Cf")
        if (controls and sign not in VISIBLE) or unicodedata.bidirectional(sign) in REORDERING:
            shown = printable(sign)
            assert shown.startswith("\\") and shown.isascii(), hex(code)
        elif category[0] in "LNPSM":
            assert printable(sign) == sign


def test_a_line_loses_its_middle() -> None:
    text = one_line("begin\x1b[2J\n\u202e" + "x" * 20_000_000 + "\tend")
    assert len(text) == LONGEST_LINE
    assert text.startswith(r"begin\x1b[2J \u202exx") and text.endswith("xx end") and "…" in text
    assert len(one_line("\x00" * 20_000_000)) == LONGEST_LINE
    assert one_line("a" * LONGEST_LINE) == "a" * LONGEST_LINE


def test_an_error_keeps_problem_and_remedy() -> None:
    error = ArchscopeError("\x9b31m" * 10**6, "is\nunknown", "write \u2066lenet")
    assert str(error).endswith(r": is unknown; write \u2066lenet")
    assert str(error).startswith(r"\x9b31m") and len(str(error)) < 1.1 * LONGEST_LINE


@pytest.mark.parametrize(
    "forged",
    [
        "⟦batch=__import__('os')⟧", "⟦batch=" + "(" * 10**5 + "⟧", "⟦batch=[1]⟧", "⟦batch=⟧",
        '⟦batch="\\x"⟧', '⟦batch="\n"⟧', "⟦batch=" + "9" * 10**4 + "⟧", "⟦batch=1e⟧", "⟦⟧", "⟦ ⟧",
    ],
)  # fmt: skip
def test_what_looks_like_a_parameter_stays_as_it_is(forged: str) -> None:
    shown = str(ArchscopeError("name", forged))
    assert shown == f"name: {one_line(forged)}"
