r"""Text from files and networks, made harmless to whatever shows it.

A name may hold an escape sequence that clears a terminal, a sign that reorders a line, a newline
that begins another, or twenty million letters. All that leaves archscope passes through here;
the renderers add what their own formats give a meaning to.
"""

from __future__ import annotations

import re

LONGEST_LINE = 2000
"""Characters of a message; longer ones lose their middle."""

# Controls, line separators, bidirectional overrides, invisible signs, lone surrogates and what no
# XML holds: whatever could move the cursor, split a line or reorder what is read. The joiner of
# emoji (U+200D) stays.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200c\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Show what does not print as its escape: a newline becomes the two characters backslash, n."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def one_line(text: str, longest: int = LONGEST_LINE) -> str:
    """A message as one printable line, without the middle of what is far too long.

    Args:
        text: of any length; blanks and newlines become single spaces.
        longest: characters that are left.
    """
    # An escape is at most ten characters long, so this much of either end is always enough.
    line = printable(" ".join(_ends(text, 2 * longest).split()))
    return _ends(line, longest)


def _ends(text: str, longest: int) -> str:
    """The beginning and the end of a text, two thirds and one."""
    if len(text) <= longest:
        return text
    tail = longest // 3
    return f"{text[: longest - tail - 1]}…{text[-tail:]}"
