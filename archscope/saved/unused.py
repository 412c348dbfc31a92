"""What of a file decides nothing: imports that it never uses, and what runs as a script alone."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

SILENT = frozenset({
    "argparse", "csv", "datetime", "glob", "inspect", "io", "logging", "os", "pathlib", "pickle",
    "platform", "pprint", "random", "shutil", "subprocess", "sys", "tempfile", "time", "timeit",
    "traceback", "unittest", "uuid",
})  # fmt: skip
"""Modules that every Python has, whose import changes nothing that another module sees."""


def without_unused(
    tree: ast.Module, is_python_s: Callable[[str], bool]
) -> tuple[ast.Module, frozenset[str]]:
    """A file without what decides nothing of the networks in it.

    Args:
        tree: the file, which is changed.
        is_python_s: whether importing a module of `SILENT` brings in Python's own.

    Returns:
        the file, and the names of imports that are left out: another file may use them.
    """
    if not any(_binds_own_name(node) for node in ast.walk(tree)):
        tree.body = [kept for node in tree.body for kept in _imported(node)]
    silent = {
        id(alias): alias.asname or alias.name.partition(".")[0]
        for node in ast.walk(tree)
        for module, alias in _imports(node)
        if module in SILENT and alias.name != "*" and is_python_s(module)
    }
    passed = silent.keys() | {id(text) for node in ast.walk(tree) for text in _notes(node)}
    used = {name for node in ast.walk(tree) if id(node) not in passed for name in _names(node)}
    unused = {alias: name for alias, name in silent.items() if name not in used}
    return _Without(frozenset(unused)).visit(tree), frozenset(unused.values())


def reached_elsewhere(tree: ast.AST) -> Iterator[str]:
    """The names that a file may use of another one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, (ast.alias, ast.Constant)):
            yield from _names(node)


def _imported(node: ast.stmt) -> list[ast.stmt]:
    """What runs of a statement where its file is imported."""
    if isinstance(node, ast.If) and ast.unparse(node.test) in SCRIPT:
        return node.orelse
    return [node]


SCRIPT = ("__name__ == '__main__'", "'__main__' == __name__")


def _binds_own_name(node: ast.AST) -> bool:
    """Whether a file gives itself another name than that of its import."""
    read = isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    return not read and not isinstance(node, ast.Constant) and "__name__" in _names(node)


def _imports(node: ast.AST) -> Iterator[tuple[str, ast.alias]]:
    """The top modules of an import, each with the name that it gets."""
    if isinstance(node, ast.Import):
        yield from ((alias.name.partition(".")[0], alias) for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and not node.level:
        yield from (((node.module or "").partition(".")[0], alias) for alias in node.names)


def _notes(node: ast.AST) -> list[ast.Constant]:
    """Docstrings, and other texts that are statements."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node.value]
    return []


def _names(node: ast.AST) -> set[str]:
    """Every word of a node itself: what it binds, reads, or holds as a text."""
    words: set[str] = set()
    for _, value in ast.iter_fields(node):
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                words.update(re.findall(r"\w+", text))
    return words


class _Without(ast.NodeTransformer):
    """Leaves imports out."""

    def __init__(self, unused: frozenset[int]) -> None:
        self.unused = unused

    def _import(self, node: ast.Import | ast.ImportFrom) -> ast.stmt:
        node.names = [alias for alias in node.names if id(alias) not in self.unused]
        return node if node.names else ast.copy_location(ast.Pass(), node)

    visit_Import = visit_ImportFrom = _import  # noqa: N815
