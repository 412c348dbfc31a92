"""What rearranging operators do to a `Reach`: views, slices, concatenation, padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod
from typing import Any

from archscope.analysis.receptive.reach import (
    WHOLE,
    Dimension,
    Factor,
    Reach,
    Shape,
    anonymous,
    merged,
    simplest,
)

Reaches = list[Reach | None]


def lost(reach: Reach, shape: Shape) -> Reach:
    """A result whose positions are no longer known: an axis that still varied is unknown."""
    labelled = {axis for dim in range(len(reach.dims)) for axis in reach.axes(dim)}
    spans = (
        None if axis in labelled and span != WHOLE else span
        for axis, span in enumerate(reach.spans)
    )
    return Reach(anonymous(shape), tuple(spans))


def regroup(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """A view: the same factors in other dimensions, cut where a dimension ends inside of one."""
    reach = reaches[0]
    if reach is None:
        return None
    waiting = [f for factors in reach.dims for f in factors if f.length != 1]
    waiting.reverse()
    dims: list[Dimension] = []
    for side in shape:
        taken: list[Factor] = []
        left = side
        while left > 1 and waiting:
            factor = waiting.pop()
            if left % factor.length == 0:
                taken.append(factor)
                left //= factor.length
            elif factor.length % left == 0:
                cut = bool(factor.axes)
                inner = factor.length // left
                step = factor.step * inner if cut else 1
                taken.append(Factor(left, factor.axes, cut, step))
                waiting.append(Factor(inner, factor.axes, cut, factor.step))
                left = 1
            else:
                return lost(reach, shape)
        dims.append(tuple(taken) or (Factor(1),))
    return _gathered(replace(reach, dims=tuple(_with_lone_axes(reach, dims))))


def _gathered(reach: Reach) -> Reach:
    """Space to depth: where the rows of a block have become channels, a position sees them all."""
    sides = len(reach.spans)
    if len(reach.dims) != sides + 2:
        return reach
    for dim in range(2, len(reach.dims)):
        factors = reach.dims[dim]
        if len(factors) == 1 and factors[0].cut and len(factors[0].axes) == 1:
            reach = _gathered_along(reach, dim, factors[0])
    return reach


def _gathered_along(reach: Reach, dim: int, outer: Factor) -> Reach:
    (axis,) = outer.axes
    channels = reach.dims[1]
    block = prod(factor.length for factor in channels if factor.axes == (axis,))
    others = (factors for place, factors in enumerate(reach.dims) if place not in (1, dim))
    if block != outer.step or any(axis in f.axes for factors in others for f in factors):
        return reach
    spans, dims = list(reach.spans), list(reach.dims)
    span = spans[axis]
    spans[axis] = span and span.window(block, block, 0)
    dims[1] = tuple(Factor(f.length) if f.axes == (axis,) else f for f in channels)
    dims[dim] = (Factor(outer.length, (axis,)),)
    return Reach(tuple(dims), tuple(spans))


def _with_lone_axes(reach: Reach, dims: list[Dimension]) -> list[Dimension]:
    """Where no dimension moved, those of length 1 still run along their axis."""
    if len(dims) != len(reach.dims):
        return dims
    return [
        old if prod(f.length for f in old) == prod(f.length for f in new) == 1 else new
        for old, new in zip(reach.dims, dims, strict=True)
    ]


def _reordered(reach: Reach | None, order: Sequence[int]) -> Reach | None:
    return reach and replace(reach, dims=tuple(reach.dims[dim] for dim in order))


def permute(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    return _reordered(reaches[0], args[1])


def transpose(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    order = list(range(len(shape)))
    first, second = args[1:3] if len(args) > 1 else (0, len(shape) - 1)
    order[first], order[second] = order[second], order[first]
    return _reordered(reaches[0], order)


def squeeze(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    reach = reaches[0]
    if reach is None:
        return None
    given = reach.shape
    chosen = args[1] if len(args) > 1 else range(len(given))
    gone = {dim % len(given) for dim in ([chosen] if isinstance(chosen, int) else chosen)}
    return _reordered(reach, [d for d in range(len(given)) if d not in gone or given[d] != 1])


def unsqueeze(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    reach = reaches[0]
    if reach is None:
        return None
    place = args[1] % len(shape)
    return replace(reach, dims=(*reach.dims[:place], (Factor(1),), *reach.dims[place:]))


def restrided(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Other strides for the same elements; with another shape anything may have moved."""
    reach = reaches[0]
    if reach is None or reach.shape == tuple(shape):
        return reach
    return lost(reach, shape)


def resized(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Expanding: dimensions appear on the left, or grow from 1."""
    reach = reaches[0]
    if reach is None:
        return None
    dims = list(anonymous(shape))
    offset = len(shape) - len(reach.dims)
    for index, side in enumerate(reach.shape):
        if side == shape[offset + index]:
            dims[offset + index] = reach.dims[index]
    return replace(reach, dims=tuple(dims))


def select(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    reach = reaches[0]
    dim = args[1] if len(args) > 1 else 0
    rank = len(shape) + 1
    return _reordered(reach, [d for d in range(rank) if d != dim % rank])


def slice_(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """A slice starts later and may skip positions."""
    reach = reaches[0]
    if reach is None:
        return None
    dim = (args[1] if len(args) > 1 else 0) % len(shape)
    start = (args[2] if len(args) > 2 else None) or 0
    step = args[4] if len(args) > 4 else 1
    start = start + args[0].shape[dim] if start < 0 else start
    axes = reach.axes(dim)
    spans = list(reach.spans)
    if len(axes) == 1:
        span = spans[axes[0]]
        if span is not None and span.size is not None:
            moved = span.start + start * span.stride
            spans[axes[0]] = replace(span, start=moved, stride=span.stride * step)
    return Reach(_with(reach.dims, dim, Factor(shape[dim], axes)), tuple(spans))


def _with(dims: tuple[Dimension, ...], dim: int, factor: Factor) -> tuple[Dimension, ...]:
    return (*dims[:dim], (factor,), *dims[dim + 1 :])


def split(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Pieces of a dimension; where they start is known only across channels."""
    reach = reaches[0]
    if reach is None:
        return None
    place = 1 if len(reach.dims) > len(shape) else 2
    dim = (args[place] if len(args) > place else 0) % len(reach.dims)
    spans = list(reach.spans)
    for axis in reach.axes(dim):
        span = spans[axis]
        spans[axis] = span if span is not None and span.size is None else None
    whole = replace(reach, spans=tuple(spans))
    if len(reach.dims) > len(shape):
        return _reordered(whole, [d for d in range(len(reach.dims)) if d != dim])
    return replace(whole, dims=_with(reach.dims, dim, Factor(shape[dim], reach.axes(dim))))


def concatenate(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """The union of what all see; along tokens, a class token joins those of the image."""
    known = [reach for reach in reaches if reach is not None]
    if not known:
        return None
    dim = (args[1] if len(args) > 1 else 0) % len(shape)
    dims = [next((r.dims[d] for r in known if any(f.axes for f in r.dims[d])), known[0].dims[d])
            for d in range(len(shape))]  # fmt: skip
    axes = tuple(dict.fromkeys(axis for reach in known for axis in reach.axes(dim)))
    dims[dim] = (Factor(shape[dim], axes),)
    return merged(known, tuple(dims))


def stack(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    known = [reach for reach in reaches if reach is not None]
    if not known:
        return None
    dim = (args[1] if len(args) > 1 else 0) % len(shape)
    dims = known[0].dims
    return merged(known, (*dims[:dim], (Factor(shape[dim]),), *dims[dim:]))


def pad(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Padding moves the first position outwards."""
    reach = reaches[0]
    if reach is None:
        return None
    dims, spans = list(reach.dims), list(reach.spans)
    for index, before in enumerate(args[1][::2]):
        dim = len(shape) - 1 - index
        dims[dim] = (Factor(shape[dim], reach.axes(dim)),)
        for axis in reach.axes(dim):
            span = spans[axis]
            if span is not None and span.size is not None:
                spans[axis] = replace(span, start=span.start - before * span.stride)
    return Reach(tuple(dims), tuple(spans))


def index(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Picking channels leaves positions where they are; picking positions does not."""
    reach, indices = reaches[0], args[1]
    if reach is None:
        return None
    picked = [dim for dim, given in enumerate(indices) if given is not None]
    if len(picked) == 1 and indices[picked[0]].dim() == 1 and not reach.axes(picked[0]):
        return replace(reach, dims=_with(reach.dims, picked[0], Factor(shape[picked[0]])))
    return lost(reach, shape)


def roll(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Positions change places and the first meet the last: unknown along the rolled axes."""
    reach = reaches[0]
    if reach is None:
        return None
    return _displaced(reach, args[2] if len(args) > 2 and args[2] else range(len(shape)))


def flip(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """The last position is the first: where both meet, what one sees depends on the position."""
    return reaches[0] and _displaced(reaches[0], args[1])


def _displaced(reach: Reach, moved: int | Iterable[int]) -> Reach:
    spans = list(reach.spans)
    for dim in [moved] if isinstance(moved, int) else moved:
        for axis in reach.axes(dim):
            span = spans[axis]
            spans[axis] = span if span is not None and span.size is None else None
    return replace(reach, spans=tuple(spans))


def pixel_shuffle(reaches: Reaches, args: Any, shape: Shape) -> Reach | None:
    """Channels become positions between the positions."""
    reach, factor = reaches[0], args[1]
    if reach is None:
        return None
    dims, spans = list(reach.dims), list(reach.spans)
    dims[-3] = (Factor(shape[-3]),)
    for dim in (-2, -1):
        dims[dim] = (Factor(shape[dim], reach.axes(dim)),)
        for axis in reach.axes(dim):
            span = spans[axis]
            if span is not None and span.size is not None:
                spans[axis] = replace(span, stride=simplest(Fraction(span.stride) / factor))
    return Reach(tuple(dims), tuple(spans))
