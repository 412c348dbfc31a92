"""Texts that hold an address: `str(object())`, `f"{function}"`, which differs from run to run."""

from __future__ import annotations

import ast
from collections.abc import Iterator

MADE = ("str", "repr", "ascii", "format")
"""Functions that make a text of anything."""

PLAIN_CALLS = frozenset({
    "abs", "bool", "dict", "dim", "float", "format", "get", "getattr", "int", "item", "join",
    "keys", "len", "list", "lower", "max", "min", "numel", "range", "replace", "repr", "round",
    "size", "sorted", "str", "sum", "tuple", "type", "upper", "values",
})  # fmt: skip
"""Calls whose result has no address in its text."""


def show_an_address(tree: ast.AST) -> bool:
    """Whether a text may be made of an object that has none of its own."""
    functions = set(_functions(tree))
    silent = {id(inner) for node in ast.walk(tree) if _is_message(node) for inner in ast.walk(node)}
    return any(
        _has_address(shown, functions)
        for node in ast.walk(tree)
        if id(node) not in silent
        for shown in _shown(node)
    )


def _is_message(node: ast.AST) -> bool:
    """What is said of an error, which ends the run."""
    return isinstance(node, (ast.Raise, ast.Assert))


def _functions(tree: ast.AST) -> Iterator[str]:
    """Names of functions, and of what other calls make."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.Assign) and _has_address(node.value, set()):
            yield from (name.id for name in node.targets if isinstance(name, ast.Name))


def _shown(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions that become text."""
    if isinstance(node, ast.FormattedValue):
        yield node.value
    elif isinstance(node, ast.Call):
        made = getattr(node.func, "id", "") in MADE
        if made or getattr(node.func, "attr", "") in ("format", "format_map"):
            yield from node.args
            yield from (keyword.value for keyword in node.keywords)
        if isinstance(node.func, ast.Attribute) and node.func.attr.startswith("format"):
            yield _template(node.func.value)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and _is_text(node.left):
        yield node.right


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or isinstance(getattr(node, "value", None), str)


def _template(value: ast.expr) -> ast.expr:
    """What `format` writes into; one that asks for attributes is as good as any code."""
    text = getattr(value, "value", None)
    plain = isinstance(text, str) and "._" not in text and "[" not in text
    return value if plain else ast.parse("lambda: 0", mode="eval").body


def _has_address(value: ast.expr, functions: set[str]) -> bool:
    return any(
        isinstance(node, (ast.Lambda, ast.GeneratorExp))
        or (isinstance(node, ast.Name) and node.id in functions)
        or (isinstance(node, ast.Call) and not _is_plain_call(node))
        for node in ast.walk(value)
    )


def _is_plain_call(node: ast.Call) -> bool:
    name = getattr(node.func, "id", getattr(node.func, "attr", ""))
    return name in PLAIN_CALLS
