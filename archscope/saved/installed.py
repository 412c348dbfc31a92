"""Version and files of an installed library, read without importing it."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

PATCHED_IN_PLACE = ("torchvision", "timm")
"""Libraries small enough to notice an edit of any of their files."""


class _UnsettledError(Exception):
    """A library may change while its version stays, and why."""


def library_text(library: str, *, stamped: bool = False) -> str | None:
    """Version and files of a library.

    Args:
        library: what is imported.
        stamped: look at each of its files; at the first one else, unless the library is small.

    Returns:
        empty text for a library that is not there; `None` for one whose files are not those of
        an ordinary installation.
    """
    try:
        return _read(library, stamped)
    except _UnsettledError:
        return None


def obstacle(library: str) -> str:
    """Why a library has no `library_text`, such as "timm is installed for development"."""
    try:
        _read(library, stamped=False)
    except _UnsettledError as unsettled:
        return str(unsettled)
    return ""


def _read(library: str, stamped: bool) -> str:
    """As `library_text`.

    Raises:
        _UnsettledError: in place of `None`.
    """
    spec = find_spec(library)
    place = None if spec is None or spec.origin is None else Path(spec.origin).parent
    elsewhere = f"{library} is imported from {place}, where it was not installed"
    try:
        installed = metadata.distribution(library)
    except metadata.PackageNotFoundError:
        if spec is None:
            return ""
        raise _UnsettledError(elsewhere) from None
    if _is_editable(installed):
        raise _UnsettledError(f"{library} is installed for development")
    if place is None:
        raise _UnsettledError(f"{library} is installed, but its files are not there")
    if place != Path(str(installed.locate_file(library))):
        raise _UnsettledError(elsewhere)
    files = _stamps(place) if stamped or library in PATCHED_IN_PLACE else ""
    return f"{library} {installed.version} {place} {_stamp(place / '__init__.py')} {files}"


def _is_editable(installed: metadata.Distribution) -> bool:
    source = installed.read_text("direct_url.json")
    return source is not None and bool(json.loads(source).get("dir_info", {}).get("editable"))


def _stamps(folder: Path) -> str:
    stamps = "\n".join(f"{path} {_stamp(path)}" for path in sorted(folder.rglob("*.py")))
    return hashlib.sha256(stamps.encode()).hexdigest()


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_size} {status.st_mtime_ns}"
