"""What Python and NumPy hold for all code of the process, and a network's code may set."""

from __future__ import annotations

import contextvars
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

Flag = tuple[Callable[[], Any], Callable[[Any], None]]
"""How something of the process is asked, and how it is set."""


def _set_environment(before: dict[str, str]) -> None:
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    for name, value in before.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _folder() -> str | None:
    """The current folder; `None` where it is gone."""
    with suppress(OSError):
        return str(Path.cwd())
    return None


def _set_folder(before: str | None) -> None:
    if before is not None:
        with suppress(OSError):
            os.chdir(before)


def _set_path(before: list[str]) -> None:
    sys.path[:] = before


def _set_variables(before: contextvars.Context) -> None:
    """Set each context variable back; one that had no value then keeps what it was given."""
    for variable, value in before.items():
        if variable.get() is not value:
            variable.set(value)


def _numpy_errors() -> Any:
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None else numpy.geterr()


def _set_numpy_errors(before: Any) -> None:
    if before is not None:
        sys.modules["numpy"].seterr(**before)


def _numpy_prints() -> Any:
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None else numpy.get_printoptions()


def _set_numpy_prints(before: Any) -> None:
    if before is not None:
        sys.modules["numpy"].set_printoptions(**before)


FLAGS: tuple[Flag, ...] = (
    (lambda: dict(os.environ), _set_environment),
    (_folder, _set_folder),
    (lambda: list(sys.path), _set_path),
    (contextvars.copy_context, _set_variables),
    (_numpy_errors, _set_numpy_errors),
    (_numpy_prints, _set_numpy_prints),
)
