"""Which keywords a constructor takes, also where it hands `**kwargs` on to others."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterable
from typing import Any

from archscope.errors import ArchscopeError


def check_keywords(name: str, constructor: Callable[..., Any], keywords: Iterable[str]) -> None:
    """Refuse a keyword that the constructor does not take, or takes and drops.

    Raises:
        ArchscopeError: naming the keyword and the nearest valid ones.
    """
    given = list(keywords)
    accepted = accepted_keywords(constructor) if given else None
    for key in given:
        if accepted is not None and key not in accepted:
            remedy = nearest(key, accepted, "it takes")
            if key in ("resolution", "img_size", "image_size", "size"):
                remedy = "write image for the side of its input"
            raise ArchscopeError(key, f"{name} takes no such keyword", remedy)


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean a, b?`, or after `otherwise` the whole list where nothing is near."""
    choices = sorted(set(known))
    return did_you_mean(word, choices) or f"{otherwise} {', '.join(choices) or 'none'}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean a, b?`, empty where nothing is near."""
    near = difflib.get_close_matches(word, sorted(set(known)), n=3, cutoff=0.6)
    return f"did you mean {', '.join(near)}?" if near else ""


def accepted_keywords(constructor: Callable[..., Any]) -> frozenset[str] | None:
    """All keywords that reach a parameter; `None` when `**kwargs` goes where it cannot be seen."""
    return _accepted(constructor, None, frozenset())


def _accepted(
    constructor: Callable[..., Any], bound: type | None, seen: frozenset[int]
) -> frozenset[str] | None:
    """Keywords of one callable and of all that it passes its `**kwargs` to.

    Args:
        constructor: function, class or partial.
        bound: the class whose next `__init__` in line `super()` means.
        seen: functions on the way here, against recursion.
    """
    if isinstance(constructor, functools.partial):
        return _accepted(constructor.func, bound, seen)
    if inspect.isclass(constructor):
        owner = next((c for c in constructor.__mro__ if "__init__" in vars(c)), object)
        return _accepted(owner.__init__, owner, seen)  # type: ignore[misc]
    function = inspect.unwrap(constructor)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    taken = frozenset(
        p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    )
    rest = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
    if bound is not None:
        taken -= {parameters[0].name}
    if rest is None or id(function) in seen:
        return taken
    tree = _syntax(function)
    if tree is None:
        return None
    for call, read in _uses(tree, rest):
        further = read if call is None else _handed_on(call, function, bound, seen | {id(function)})
        if further is None:
            return None
        taken |= further
    return taken


def _syntax(function: Callable[..., Any]) -> ast.AST | None:
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def _uses(tree: ast.AST, rest: str) -> list[tuple[ast.Call | None, frozenset[str]]]:
    """Calls that get `**rest`, and keywords read from it by `rest.pop("k")` or `rest["k"]`."""
    uses: list[tuple[ast.Call | None, frozenset[str]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if any(k.arg is None and _is(k.value, rest) for k in node.keywords):
                uses.append((node, frozenset()))
            elif isinstance(node.func, ast.Attribute) and _is(node.func.value, rest):
                uses.append((None, _text(node.args[:1])))
        elif isinstance(node, ast.Subscript) and _is(node.value, rest):
            uses.append((None, _text([node.slice])))
    return uses


def _is(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _text(nodes: list[ast.expr]) -> frozenset[str]:
    return frozenset(
        n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)
    )


def _handed_on(
    call: ast.Call, function: Callable[..., Any], bound: type | None, seen: frozenset[int]
) -> frozenset[str] | None:
    """Keywords of the function called, less the parameters that this call fills itself."""
    target, owner = _target(call.func, function, bound)
    if target is None:
        return None
    accepted = _accepted(target, owner, seen)
    if accepted is None:
        return None
    named = {k.arg for k in call.keywords if k.arg}
    try:
        order = list(inspect.signature(target).parameters)[1 if owner else 0 :]
    except (TypeError, ValueError):
        order = []
    return accepted - named - set(order[: len(call.args)])


def _target(
    node: ast.expr, function: Callable[..., Any], bound: type | None
) -> tuple[Callable[..., Any] | None, type | None]:
    """What an expression calls: a global (dotted or not), or `super().__init__`."""
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Call) and _is(node.value.func, "super") and bound:
            owner = next((c for c in bound.__mro__[1:] if node.attr in vars(c)), None)
            return (vars(owner)[node.attr], owner) if owner else (None, None)
        base, _ = _target(node.value, function, None)
        found = getattr(base, node.attr, None)
    elif isinstance(node, ast.Name):
        found = getattr(function, "__globals__", {}).get(node.id)
    else:
        found = None
    return found, None
