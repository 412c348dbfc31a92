"""What a network prints while a count runs.

It has no values, which nobody but a reader would miss, and goes to the errors: the answer alone is
the output.
"""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable
from typing import Any

from torch import Tensor


class _Printing(threading.local):
    """Whether this thread prints where its network cannot read it again."""

    goes_on = False


_printing = _Printing()


def without_values(tensor: Tensor) -> str | None:
    """What is printed of a tensor whose values are not known; `None` where a text decides."""
    return f"tensor(..., size={tuple(tensor.shape)})" if _printing.goes_on else None


def answers() -> list[tuple[Any, str, Callable[..., None]]]:
    """The patch of `print`, which knows the streams of the process."""
    streams = [sys.stdout, sys.stderr]
    own = builtins.print

    def printed(*values: Any, file: Any = None, **options: Any) -> None:
        stream = sys.stdout if file is None else file
        _printing.goes_on = any(stream is one for one in streams)
        try:
            own(*values, file=sys.stderr if stream is streams[0] else file, **options)
        finally:
            _printing.goes_on = False

    return [(builtins, "print", printed)]
