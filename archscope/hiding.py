"""Files of the user that hide Python's own modules: a `copy.py` or `random.py` on the way to them.

Nothing is imported here but what Python imports before the first line of any program, since what
else is imported may be what is hidden.
"""

from __future__ import annotations

import os
import sys

INSTALLED = ("site-packages", "dist-packages")


def search_here_last() -> None:
    """Let `python -m archscope` find Python's modules as the installed command does.

    Python searches the current folder first, where a file that the user named `copy.py` runs in
    place of Python's.
    """
    try:
        here = os.getcwd()  # noqa: PTH109  `pathlib` may be hidden
    except OSError:
        return
    if sys.path and sys.path[0] in ("", here):
        sys.path.append(sys.path.pop(0))


def hidden(error: BaseException) -> str:
    """What to say of an exception where a file hides one of Python's modules; empty for none.

    Args:
        error: that the file raised, or another one that is due to it.
    """
    loaded = {name: getattr(sys.modules.get(name), "__file__", None) for name in _NAMES}
    trace = error.__traceback__
    while trace is not None:  # a module whose import fails is not among those that are loaded
        name = str(trace.tb_frame.f_globals.get("__name__"))
        if name in _NAMES:
            loaded[name] = trace.tb_frame.f_code.co_filename
        trace = trace.tb_next
    for name, file in sorted(loaded.items()):
        if file and file.endswith(".py") and not _is_installed(file):
            shown = "".join(c if c.isprintable() else "?" for c in file)
            return f"{shown}: hides Python's own module {name}; rename the file"
    return ""


_NAMES = sys.stdlib_module_names - {"__main__", "antigravity", "this"}


def _is_installed(file: str) -> bool:
    """Whether a file is Python's, or installed beside it."""
    real = os.path.realpath(file)
    own = os.path.dirname(os.path.realpath(os.__file__))  # noqa: PTH120
    folders = (own, *(f"{os.sep}{name}" for name in INSTALLED))
    return any(f"{folder}{os.sep}" in real for folder in folders)
