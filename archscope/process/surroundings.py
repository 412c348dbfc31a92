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


def _environment() -> tuple[dict[str, str], int]:
    return dict(os.environ), len(sys.modules)


def _set_environment(before: tuple[dict[str, str], int]) -> None:
    values, modules = before
    for name in os.environ.keys() - values.keys():
        if not _imported(modules):
            del os.environ[name]
    for name, value in values.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _folder() -> str | None:
    """The current folder; `None` where it is gone."""
    with suppress(OSError):
        return str(Path.cwd())
    return None


def _set_folder(before: str | None) -> None:
    if before is not None and _folder() != before:
        with suppress(OSError):
            os.chdir(before)


def _path() -> tuple[list[str], int]:
    return list(sys.path), len(sys.modules)


def _set_path(before: tuple[list[str], int]) -> None:
    folders, modules = before
    if sys.path != folders:
        added = [folder for folder in sys.path if folder not in folders]
        sys.path[:] = [*folders, *added] if _imported(modules) else folders


def _imported(modules: int) -> bool:
    """Whether a package was imported since there were so many modules.

    It may rely on the variables and folders that it added, and is not imported again.
    """
    names = list(sys.modules)[modules:]
    known = sys.stdlib_module_names
    return any(name.partition(".")[0] not in known and not _is_ours(name) for name in names)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] in ("archscope", "torch")


def _set_variables(before: contextvars.Context) -> None:
    """Set each context variable back; one that had no value then keeps what it was given."""
    for variable, value in before.items():
        if variable.get() is not value:
            variable.set(value)


def _numpy_errors() -> Any:
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None else numpy.geterr()


def _set_numpy_errors(before: Any) -> None:
    if before is not None and _numpy_errors() != before:
        sys.modules["numpy"].seterr(**before)


def _numpy_prints() -> Any:
    numpy: Any = sys.modules.get("numpy")
    return None if numpy is None else numpy.get_printoptions()


def _set_numpy_prints(before: Any) -> None:
    if before is not None and _numpy_prints() != before:
        sys.modules["numpy"].set_printoptions(**before)


FLAGS: tuple[Flag, ...] = (
    (_environment, _set_environment),
    (_folder, _set_folder),
    (_path, _set_path),
    (contextvars.copy_context, _set_variables),
    (_numpy_errors, _set_numpy_errors),
    (_numpy_prints, _set_numpy_prints),
)
