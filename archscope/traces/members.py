"""The members of a JSON file one after another, and its events one by one, in bounded memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import IO, Any

EVENTS = "traceEvents"

CHUNK = 1 << 20
"""Bytes that are read at once."""

SPACE = " \t\r\n\ufeff"
"""What may be between values, and the mark that some editors begin a file with."""

FURTHEST = 1 << 20
"""Characters behind a mistake from which it is one, not the end of what was read so far."""

LONGEST_VALUE = 1 << 24
"""Bytes of an event or member above which a file is no trace; none that is written comes near."""


class DamagedError(Exception):
    """A value that no profiler writes."""


class Text:
    """A window on a file's text that moves on as values are taken from its beginning.

    Args:
        stream: of the file's bytes.
        moved: called whenever some were read.
    """

    def __init__(self, stream: IO[bytes], moved: Callable[[], None]) -> None:
        self._stream = stream
        self._moved = moved
        self._decode = json.JSONDecoder(parse_float=str, strict=False).raw_decode
        self._bytes = b""
        self._text = ""
        self._at = 0
        self.ended_early = False

    def peek(self) -> str:
        """The next character that is no space, `""` at the end."""
        while True:
            text = self._text
            while self._at < len(text):
                if text[self._at] not in SPACE:
                    return text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def skip(self, expected: str) -> None:
        """Step over one of some characters.

        Raises:
            json.JSONDecodeError: another one follows.
        """
        found = self.peek()
        if found == "" or found not in expected:
            self.ended_early = found == ""
            raise json.JSONDecodeError(f"{expected} is missing", self._text, self._at)
        self._at += 1

    def value(self) -> Any:
        """The next value, numbers with a point as text.

        Raises:
            json.JSONDecodeError: there is none.
            DamagedError: it is longer than all that a profiler writes.
        """
        self.peek()
        while True:
            try:
                value, end = self._decode(self._text, self._at)
            except json.JSONDecodeError as error:
                is_open = error.msg.startswith("Unterminated string")
                if len(self._text) - error.pos > FURTHEST and not is_open:
                    raise
                if len(self._text) - self._at > LONGEST_VALUE:
                    raise DamagedError("a value is longer than any that is written") from None
                # As much again as there is, so that all attempts together read a value twice.
                if not self._more(len(self._text) - self._at):
                    self.ended_early = True
                    raise
                continue
            # A number may go on in what was not read yet, as 12 of `12.` does.
            is_whole = end < len(self._text) and self._text[end] not in ".eE"
            if is_whole or not self._more():
                self._at = end
                return value

    def _more(self, least: int = CHUNK) -> bool:
        data = self._stream.read(max(CHUNK, least))
        if not data:
            return False
        data = self._bytes + data
        try:
            text, self._bytes = data.decode(), b""
        except UnicodeDecodeError as error:
            if len(data) - error.start > 3:
                # A kernel's name may hold any byte.
                text, self._bytes = data.decode(errors="replace"), b""
            else:
                text, self._bytes = data[: error.start].decode(), data[error.start :]
        self._text = self._text[self._at :] + text
        self._at = 0
        self._moved()
        return True


def members(text: Text) -> Iterator[tuple[str, Any]]:
    """The file's members; the events one by one. A bare list is a list of events."""
    if text.peek() == "[":
        yield from ((EVENTS, event) for event in _elements(text))
        return
    text.skip("{")
    while text.peek() != "}":
        key = text.value()
        text.skip(":")
        if key == EVENTS and text.peek() == "[":
            yield from ((EVENTS, event) for event in _elements(text))
        else:
            yield key, text.value()
        if text.peek() != "}":
            text.skip(",")
    text.skip("}")


def _elements(text: Text) -> Iterator[Any]:
    text.skip("[")
    while text.peek() != "]":
        yield text.value()
        if text.peek() != "]":
            text.skip(",")
    text.skip("]")
