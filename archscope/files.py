"""The user's files: read whole and written whole, or refused in one line."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from archscope.errors import ArchscopeError

MOST_BYTES = 2**28
"""Above every record and budget, and far below memory: a link may lead to `/dev/zero`."""


def read_text(path: str | Path) -> str:
    """The text of a file.

    Raises:
        ArchscopeError: it cannot be read, is no text, or is far too large.
    """
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ArchscopeError(
                str(path), f"is larger than {MOST_BYTES >> 20} MiB", "check the path"
            )
        return content.decode()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ArchscopeError(str(path), f"cannot be read ({reason})", "check the path") from None


def replace_file(path: str | Path, content: bytes, argument: str = "") -> None:
    """Write beside a file, then rename, so that it is there whole or not at all.

    Args:
        path: of the file; a link stays one, and a file that is there keeps its mode.
        content: all of it.
        argument: what a message calls the file; its path when empty.

    Raises:
        ArchscopeError: the file cannot be written.
    """
    target = Path(path).resolve()
    writer = f"{os.getpid()}.{threading.get_ident()}"
    beside = target.with_name(f".{target.name}.{writer}.part")
    try:
        try:
            beside.write_bytes(content)
            if target.exists():
                shutil.copymode(target, beside)
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ArchscopeError(
            argument or str(path), f"cannot be written ({reason})", "check it"
        ) from None


def check_folder(folder: Path) -> None:
    """Refuse a folder of reports that is not there.

    Raises:
        ArchscopeError: it is no folder.
    """
    if not folder.is_dir():
        raise ArchscopeError(str(folder), "is no folder", "run it in the repository's root")
