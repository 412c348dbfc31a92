"""What a Python file declares that can be built as a network, read without running the file."""

from __future__ import annotations

import ast
import builtins
import sys
from pathlib import Path


def networks(file: Path) -> list[str]:
    """Classes in order that derive from `nn.Module`, then functions that need no argument.

    A base that the file imports counts as a network unless it is of Python itself or of
    `torch.utils`: only running the file would tell.
    """
    try:
        body = ast.parse(file.read_bytes()).body
    except (SyntaxError, ValueError, OSError):
        return []
    origins = _origins(body)
    classes: dict[str, bool] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            bases = map(ast.unparse, node.bases)
            classes[node.name] = any(_is_network(base, classes, origins) for base in bases)
    makers = [node.name for node in body if isinstance(node, ast.FunctionDef) and _makes(node)]
    found = [name for name, is_network in classes.items() if is_network]
    return [name for name in (*found, *makers) if not name.startswith("_")]


def _origins(body: list[ast.stmt]) -> dict[str, str]:
    """Where each imported name comes from: `torch.nn` of `nn`."""
    origins = {}
    for node in body:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                origins[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origins[alias.asname or alias.name] = f"{node.module or ''}.{alias.name}"
    return origins


def _is_network(base: str, classes: dict[str, bool], origins: dict[str, str]) -> bool:
    if base in classes:
        return classes[base]
    first, dot, rest = base.partition(".")
    origin = f"{origins.get(first, first)}{dot}{rest}"
    root = origin.partition(".")[0]
    of_python = root in sys.stdlib_module_names or hasattr(builtins, root)
    return not of_python and not origin.startswith("torch.utils.")


def _makes(function: ast.FunctionDef) -> bool:
    """Whether a function needs no argument and returns something."""
    given = function.args
    needs_none = len(given.posonlyargs) + len(given.args) == len(given.defaults)
    returns = (node for node in ast.walk(function) if isinstance(node, ast.Return))
    return needs_none and None not in given.kw_defaults and any(node.value for node in returns)
