"""What decides the answer for a network in a user's file: that file and all local ones it imports.

A file is read, not run.
Where reading cannot tell what running would do, there is no fingerprint, and so nothing is kept.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

HARMLESS = frozenset({
    "__future__", "abc", "collections", "copy", "dataclasses", "enum", "functools", "itertools",
    "math", "numbers", "operator", "string", "torch", "torchvision", "typing", "warnings",
})  # fmt: skip
"""Modules that a network may import and still depend on nothing but sources and versions."""

DOUBTFUL_NAMES = frozenset({
    "open", "exec", "eval", "compile", "input", "setattr", "delattr", "globals", "locals", "vars",
    "breakpoint", "__import__", "__builtins__", "__file__", "__loader__", "__spec__",
})  # fmt: skip
DOUBTFUL_ATTRIBUTES = frozenset({
    "load", "load_inline", "load_library", "cpp_extension", "hub", "from_file", "fromfile",
    "datasets", "io", "_C", "register_model", "cuda", "mps", "xpu", "backends", "accelerator",
    "is_available", "device_count", "get_num_threads", "__dict__", "__setattr__", "__globals__",
    "__builtins__", "__subclasses__",
})  # fmt: skip
"""Ways to read files, ask the machine, run other code, or change what other networks share."""


def fingerprint(path: Path) -> str | None:
    """Hash of a file and of every local module that it imports, directly or not.

    Returns:
        `None` when the answer may depend on anything else: other packages, files that are read,
        code made while running, or a local module that hides one of the system's.
    """
    digest = hashlib.sha256()
    folder = path.resolve().parent
    waiting, seen = [path.resolve()], set[Path]()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        try:
            content = file.read_bytes()
            tree = ast.parse(content)
        except (OSError, SyntaxError, ValueError, RecursionError):
            return None
        local = _local_imports(tree, file, folder)
        if local is None or _doubtful(tree):
            return None
        digest.update(f"{file.relative_to(folder)} {len(content)}\n".encode() + content)
        waiting += sorted(local)
    return digest.hexdigest()


def _local_imports(tree: ast.AST, file: Path, folder: Path) -> set[Path] | None:
    """Files that the imports of one file may run; `None` when one cannot be followed."""
    found: set[Path] = set()
    for start, names in _imports(tree, file, folder):
        if start is None:
            return None
        local = _files(start, names)
        known = start == folder and names[0] in HARMLESS
        if known == bool(local):  # neither known nor there, or both: which would run?
            return None
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


def _doubtful(tree: ast.AST) -> bool:
    """Whether a file may do what its text does not show, or change what it imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in DOUBTFUL_NAMES:
            return True
        if isinstance(node, ast.Attribute) and node.attr in DOUBTFUL_ATTRIBUTES:
            return True
        if isinstance(node, (ast.Import, ast.ImportFrom)) and _imports_doubt(node):
            return True
        if isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            root: ast.expr = node
            while isinstance(root, (ast.Attribute, ast.Subscript)):
                root = root.value
            if not isinstance(root, ast.Name) or root.id != "self":
                return True
    return False


def _imports_doubt(node: ast.Import | ast.ImportFrom) -> bool:
    parts = {part for alias in node.names for part in alias.name.split(".")}
    if isinstance(node, ast.ImportFrom) and node.module:
        parts |= set(node.module.split("."))
    return bool(parts & (DOUBTFUL_ATTRIBUTES | {"*"}))
