"""Operators whose operands are functions: their bodies run as Python, every operator inside seen.

PyTorch compiles such a function before it runs it; here it is called as it is written.
Of a condition on a value that a shape-only run lacks, each branch is measured on trial, and the
larger is the one that runs and counts.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from archscope.analysis import flex
from archscope.analysis.dispatch import KEY, run
from archscope.analysis.values.known import contents_of
from archscope.process import patched


def cond(
    pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()
) -> Any:
    """`torch.cond`."""
    if not _is_unknown(pred):
        return (true_fn if pred else false_fn)(*operands)
    return _larger({"true": true_fn, "false": false_fn}, operands, "cond")


def switch(index: Any, branches: Sequence[Callable[..., Any]], operands: Any = ()) -> Any:
    """One of several branches."""
    if not _is_unknown(index):
        return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
    named = {str(place): branch for place, branch in enumerate(branches)}
    return _larger(named, operands, "switch")


def _larger(branches: dict[str, Callable[..., Any]], operands: Any, what: str) -> Any:
    """Run the branch with the most multiply-accumulates, then the most other operations."""
    if run.measure is None:
        return next(iter(branches.values()))(*operands)
    costs = {name: run.measure(partial(f, *operands)) for name, f in branches.items()}
    largest = max(costs, key=costs.__getitem__)
    costs_text = " and ".join(
        f"{name} {macs:,} MACs and {others:,} elementwise" for name, (macs, others) in costs.items()
    )
    place = run.place() if run.place is not None else ""
    where = f" in {place}" if place else ""
    run.branches[f"A condition needs values: {what}{where}: {costs_text}; counted: {largest}"] = (
        None
    )
    return branches[largest](*operands)


def while_loop(
    cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried: Any, additional: Any = (),
    **options: Any,
) -> Any:  # fmt: skip
    """`while_loop`: as often as the condition holds, which a shape-only run may not know."""
    carried = tuple(carried)
    while bool(cond_fn(*carried, *additional)):
        result = body_fn(*carried, *additional)
        carried = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    return carried


def scan(
    combine_fn: Callable[..., Any], init: Any, xs: Any, additional: Any = (), **options: Any
) -> Any:
    """`scan`: one call for each slice of the first axis."""
    carry, rows = list(init), []
    for place in range(xs[0].shape[0] if xs else 0):
        results = combine_fn(*carry, *(x[place] for x in xs), *additional)
        carry = list(results[: len(carry)])
        rows.append(results[len(carry) :])
    stacked = [
        None if row[0] is None else torch.stack(list(row)) for row in zip(*rows, strict=True)
    ]
    return (*carry, *stacked)


def associative_scan(combine_fn: Callable[..., Any], xs: Any, additional: Any = ()) -> Any:
    """`associative_scan`: pairs of slices, pairs of pairs and so on, as PyTorch runs it."""
    from torch._higher_order_ops.associative_scan import generic_associative_scan

    scanned = generic_associative_scan(combine_fn, xs, additional_inputs=additional)  # type: ignore[no-untyped-call]
    return tuple(scanned)


def map_over(f: Callable[..., Any], xs: Any, args: Any = (), **options: Any) -> Any:
    """`map`: one call for each slice of the first axis."""
    from torch.utils._pytree import tree_map

    rows = [f(*(x[place] for x in xs), *args) for place in range(xs[0].shape[0])]
    return tree_map(lambda *parts: torch.stack(parts), rows[0], *rows[1:])


def called(function: Callable[..., Any], operands: Any = ()) -> Any:
    """`strict_mode`."""
    return function(*operands)


def subgraph(function: Callable[..., Any], identifier: Any, *operands: Any) -> Any:
    """A region that a compiler would compile once."""
    return function(*operands)


def hinted(body: Callable[..., Any], args: Any, kwargs: Any, hints: Any) -> Any:
    """A body with hints for a compiler."""
    return body(*args, **kwargs)


def _is_unknown(value: Any) -> bool:
    return isinstance(value, Tensor) and contents_of(value) is None


BODIES: dict[str, Callable[..., Any]] = {
    "associative_scan": associative_scan,
    "cond": cond,
    "flex_attention": flex.flex_attention,
    "hints_wrapper": hinted,
    "invoke_subgraph": subgraph,
    "map_impl": map_over,
    "scan": scan,
    "strict_mode": called,
    "switch": switch,
    "while_loop": while_loop,
}
"""What answers for which higher-order operator."""


@cache
def register() -> None:
    """Give each higher-order operator its body under the key, or let it pass the key by."""
    operators = torch._ops._higher_order_ops
    for name, operator in operators.items():
        if name in BODIES:
            operator.py_impl(KEY)(BODIES[name])
        else:
            operator.fallthrough(KEY)  # type: ignore[no-untyped-call]


@contextmanager
def uncompiled() -> Iterator[None]:
    """Let a thread that counts call what PyTorch would first compile; every other one compiles."""
    utilities: Any = sys.modules["torch._higher_order_ops.utils"]
    compiled = getattr(utilities, "_hop_compile_and_call", None)
    if compiled is None:
        yield
        return

    def call(fn: Callable[..., Any], args: Any, kwargs: Any = None) -> Any:
        if run.attention_kernels is None:
            return compiled(fn, args, kwargs)
        return fn(*args, **(kwargs or {}))

    with patched([(utilities, "_hop_compile_and_call", call)]):
        yield
