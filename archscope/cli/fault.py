"""Whose fault an exception is that nobody expected: the system's, the user's code, or archscope's.

Only the last is called archscope's, so that a report of one is always worth reading.
"""

from __future__ import annotations

import errno
import sysconfig
from pathlib import Path
from traceback import extract_tb

from archscope import hiding
from archscope.errors import first_line

PACKAGE = Path(__file__).parents[1]
FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)


def of_others(error: BaseException) -> str:
    """What to say of an exception that is not archscope's fault; empty for one that may be."""
    if isinstance(error, MemoryError):
        return "out of memory; close other programs, or ask for a smaller batch or input"
    if isinstance(error, OSError) and error.errno is not None:
        place = f"{error.filename}: " if error.filename else ""
        remedy = "free some space" if error.errno in FULL else "check it, and try again"
        return f"{place}the operating system refuses ({error.strerror}); {remedy}"
    hides = hiding.hidden(error)
    if hides:
        return f"{hides} ({type(error).__name__}: {first_line(error)})"
    reason = f"{type(error).__name__}: {first_line(error)}"
    place = _users_line(error)
    if place:
        return f"{place}: the network's code fails ({reason}); correct it"
    return "" if isinstance(error, Exception) else f"the network's code fails ({reason})"


def _users_line(error: BaseException) -> str:
    """The innermost line of code that is neither archscope's nor installed; empty for none."""
    installed = [Path(path) for path in sysconfig.get_paths().values()]
    for frame in reversed(extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        ours = file.is_relative_to(PACKAGE) or any(map(file.is_relative_to, installed))
        if file.suffix == ".py" and file.is_absolute() and not ours and file.name != "__main__.py":
            return f"{file}:{frame.lineno}"
        if file.is_relative_to(PACKAGE):
            return ""
    return ""
