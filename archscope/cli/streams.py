"""The standard streams of a command, whatever its shell made of them."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

PLACES = (os.O_RDONLY, os.O_RDONLY, os.O_WRONLY)
"""How each of the three is opened where it was closed: a standard output that takes nothing."""


def make_usable() -> None:
    """Fill the place of each stream that is closed, and let the command outlive a lost reader.

    A file that is opened later would be in that place, and get what was meant for the stream.
    Of standard output a reader (`| head`) that has seen enough is no mistake; what stderr cannot
    take, as on a full disk, changes nothing of the answer.
    """
    for descriptor, flags in enumerate(PLACES):
        if _is_closed(descriptor):
            os.open(os.devnull, flags)  # takes the lowest free place
    sys.stdout = _lasting(sys.stdout, 1, BrokenPipeError)
    sys.stderr = _lasting(sys.stderr, 2, OSError)


def _is_closed(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return True
    return False


class _Lasting(io.FileIO):
    """A stream whose text is lost where it fails in a way that is nobody's error."""

    def __init__(self, descriptor: int, harmless: type[OSError]) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self.harmless = harmless

    def write(self, content: object) -> int | None:  # type: ignore[override]
        view = memoryview(content)  # type: ignore[arg-type]
        try:
            return super().write(view)
        except self.harmless:
            return view.nbytes


def _lasting(stream: TextIO | None, descriptor: int, harmless: type[OSError]) -> TextIO:
    """A stream as Python opens it; a terminal takes all, and what replaced a stream is not ours."""
    own = stream in (None, sys.__stdout__, sys.__stderr__)
    if stream is not None and (stream.isatty() or not own):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Lasting(descriptor, harmless)),
        "utf-8" if stream is None else stream.encoding,
        "backslashreplace" if stream is None else stream.errors,
        line_buffering=descriptor == 2,
    )
