"""What decides the answer for a network in a user's file: that file and all local ones it imports.

A file is read, not run.
Where reading cannot tell what running would do, there is no fingerprint, and so nothing is saved.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from archscope.saved.doubts import HARMLESS, doubtful, line_in_doubt
from archscope.saved.runs import is_hidden, runs
from archscope.saved.unused import reached_elsewhere, without_unused


def is_harmless(module: str) -> bool:
    """Whether importing a module brings nothing in that could decide an answer."""
    return module in HARMLESS


def fingerprint(path: Path, known: Callable[[str], bool] = is_harmless) -> str | None:
    """Hash of a file and of every local module that it imports, directly or not.

    Args:
        path: of the file.
        known: whether a module that is not local depends on nothing that could change unseen.

    Returns:
        `None` when the answer may depend on anything else: other packages, files that are read,
        code made while running, or a local module that hides one of the system's.
    """
    found = sources(path, known)
    if found is None:
        return None
    digest = hashlib.sha256()
    folder = path.resolve().parent
    for file, content in found.items():
        digest.update(f"{file.relative_to(folder)} {len(content)}\n".encode() + content)
    return digest.hexdigest()


def sources(path: Path, known: Callable[[str], bool] = is_harmless) -> dict[Path, bytes] | None:
    """What a file and every local module that it imports hold; arguments as for `fingerprint`."""
    try:
        return _read(path, known)
    except _UnknownError:
        return None


def obstacle(path: Path, known: Callable[[str], bool] = is_harmless) -> str:
    """Why `fingerprint` has none, such as "net.py imports os, which may read anything".

    Args:
        path: of the file.
        known: as for `fingerprint`.

    Returns:
        empty text where there is a fingerprint.
    """
    try:
        _read(path, known)
    except _UnknownError as unknown:
        return str(unknown)
    return ""


class _UnknownError(Exception):
    """What a file depends on cannot be seen from its text, and why."""


def _read(path: Path, known: Callable[[str], bool]) -> dict[Path, bytes]:
    """As `sources`.

    Raises:
        _UnknownError: in place of `None`.
    """
    folder = path.resolve().parent
    waiting, found = [path.resolve()], dict[Path, bytes]()
    unused, reached = dict[str, Path](), set[str]()
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        try:
            content = file.read_bytes()
            tree, left_out = without_unused(ast.parse(content), partial(_is_python_s, folder))
        except (OSError, SyntaxError, ValueError, RecursionError):
            raise _UnknownError(f"{file.name} cannot be read") from None
        unused |= dict.fromkeys(left_out, file)
        reached.update(reached_elsewhere(tree))
        local = _local_imports(tree, file, folder, known)
        if doubtful(tree):
            line = line_in_doubt(tree)
            where = file.name if line is None else f"line {line} of {file.name}"
            raise _UnknownError(f"{where} may read files, ask the machine or draw numbers")
        if not runs(file):
            raise _UnknownError(f"compiled code may run in place of {file.name}")
        found[file] = content
        waiting += sorted(local)
    for name in sorted(reached.intersection(unused)):
        raise _UnknownError(f"{unused[name].name} imports {name}, which may read anything")
    return found


def _is_python_s(folder: Path, module: str) -> bool:
    return not _files(folder, (module,)) and not is_hidden(module)


def _local_imports(
    tree: ast.AST, file: Path, folder: Path, known: Callable[[str], bool]
) -> set[Path]:
    """Files that the imports of one file may run.

    Raises:
        _UnknownError: an import cannot be followed.
    """
    found: set[Path] = set()
    for start, names in _imports(tree, file, folder):
        if start is None:
            raise _UnknownError(f"{file.name} imports from above its folder")
        local = _files(start, names)
        module = names[0] if names else "its folder"
        trusted = start == folder and bool(names) and known(module) and not is_hidden(module)
        if trusted and local:  # which would run?
            raise _UnknownError(f"{file.name} imports {module}, and a file beside it has that name")
        if not trusted and not local:
            hidden = start == folder and known(module)
            why = "which another file hides" if hidden else "which may read anything"
            raise _UnknownError(f"{file.name} imports {module}, {why}")
        found |= local
    return found


def _imports(
    tree: ast.AST, file: Path, folder: Path
) -> Iterator[tuple[Path | None, tuple[str, ...]]]:
    """Each import as the folder that it starts from (`None` above the top) and dotted names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield folder, tuple(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start: Path | None = folder
            if node.level:
                start = file.parents[node.level - 1]
                start = start if start != folder and start.is_relative_to(folder) else None
            names = tuple(node.module.split(".")) if node.module else ()
            for alias in node.names:
                yield start, (*names, alias.name)


def _files(start: Path, names: tuple[str, ...]) -> set[Path]:
    """Files behind a dotted name; its last part may be a name inside a module."""
    found: set[Path] = set()
    place = start
    for name in names:
        place /= name
        for candidate in (place.with_suffix(".py"), place / "__init__.py"):
            if candidate.is_file():
                found.add(candidate)
    return found
