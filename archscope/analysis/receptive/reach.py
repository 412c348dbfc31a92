"""How far a tensor sees: which pixels of the input each of its positions depends on.

Along one axis of the image, position p of a map depends on the pixels from `start + p · stride` to
`start + p · stride + size − 1` (Araujo, Norris and Sim 2019, section 2, where −start is the
effective padding).
`RULES` says for each operator what it does to these numbers, and which dimension of its result
runs along which axis of the image.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, floor, prod
from typing import Any

Number = int | Fraction


@dataclass(frozen=True, slots=True)
class Span:
    """What one position depends on along one axis of the image.

    Args:
        size: pixels; `None` for the whole axis.
        stride: pixels from one position to the next.
        start: first pixel of position 0, negative in the padding.
    """

    size: Number | None = 1
    stride: Number = 1
    start: Number = 0

    def window(self, kernel: int, stride: Number, padding: int, dilation: int = 1) -> Span:
        """A window slides over this map (Araujo et al. 2019, equations 3 to 6)."""
        if self.size is None:
            return self
        return Span(
            self.size + (kernel - 1) * dilation * self.stride,
            self.stride * stride,
            self.start - padding * self.stride,
        )


WHOLE = Span(None)


def union(spans: Iterable[Span | None]) -> Span | None:
    """The span that holds several: the largest over all paths; `None` is unknown."""
    found = list(spans)
    known = [span for span in found if span is not None]
    if any(span.size is None for span in known):
        return WHOLE
    if len(known) < len(found):
        return None
    start = min(span.start for span in known)
    end = max(span.start + (span.size or 0) for span in known)
    return Span(end - start, max(span.stride for span in known), start)


@dataclass(frozen=True, slots=True)
class Factor:
    """A part of a tensor's dimension.

    Args:
        length: positions along it.
        axes: of the image, that vary along it.
        cut: whether it is only a part of them, as the rows of one window are.
        step: positions of the axis from one of its own to the next; more than 1 only if cut.
    """

    length: int
    axes: tuple[int, ...] = ()
    cut: bool = False
    step: int = 1


Dimension = tuple[Factor, ...]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a tensor sees of the image.

    Args:
        dims: for each dimension of the tensor its factors, outermost first.
        spans: for each axis of the image; `None` where it is unknown.
    """

    dims: tuple[Dimension, ...]
    spans: tuple[Span | None, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's own, also after an operator in place has changed that of the tensor."""
        return tuple(prod(factor.length for factor in factors) for factors in self.dims)

    def axes(self, dim: int) -> tuple[int, ...]:
        """The image axes that vary along a dimension."""
        return tuple(axis for factor in self.dims[dim] for axis in factor.axes)

    def mixed(self, dims: Iterable[int]) -> Reach:
        """Every position along some dimensions comes to depend on all of them.

        An axis along them is seen as one; of an axis that is cut into windows, only
        one window is seen, and which one depends on the position: unknown.
        """
        chosen = {dim % len(self.dims) for dim in dims}
        outside = {
            axis for dim in range(len(self.dims)) if dim not in chosen for axis in self.axes(dim)
        }
        spans = list(self.spans)
        for dim in chosen:
            for factor in self.dims[dim]:
                for axis in factor.axes:
                    if spans[axis] != WHOLE:
                        spans[axis] = None if factor.cut and axis in outside else WHOLE
        return replace(self, spans=tuple(spans))


def anonymous(shape: Sequence[int]) -> tuple[Dimension, ...]:
    """Dimensions along which no image axis runs."""
    return tuple((Factor(side),) for side in shape)


def merged(reaches: Sequence[Reach], dims: tuple[Dimension, ...]) -> Reach:
    """Several tensors meet in one that has the given dimensions."""
    spans = zip(*(reach.spans for reach in reaches), strict=True)
    return Reach(dims, tuple(union(column) for column in spans))


# Rules. Each takes the reaches of the tensor arguments in order (`None` for a tensor that does not
# depend on the image), the operator's arguments, and the shape of its first result.

Shape = Sequence[int]
Rule = Callable[[list["Reach | None"], Any, Shape], "Reach | None"]


def _known(reaches: Sequence[Reach | None]) -> list[Reach]:
    return [reach for reach in reaches if reach is not None]


def pointwise(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Each position depends on the same position of every operand, after broadcasting."""
    known = _known(reaches)
    dims = list(anonymous(shape))
    for reach in known:
        offset = len(shape) - len(reach.dims)
        for index, factors in enumerate(reach.dims):
            place = offset + index
            fits = place >= 0 and prod(f.length for f in factors) == shape[place]
            if fits and any(f.axes for f in factors) and not any(f.axes for f in dims[place]):
                dims[place] = factors
    return merged(known, tuple(dims)) if known else None


def first_only(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """The result is like the first operand, whatever the others hold."""
    return pointwise(reaches[:1], args, shape)


def _slid(
    reach: Reach, shape: Shape, spatial: int, moved: Callable[[Span, int], Span | None]
) -> Reach:
    """A map whose last `spatial` dimensions are windows over those of another.

    The others are as before, as frames that are images of a batch; an axis along one whose length
    has changed is unknown from here on.
    """
    dims = list(anonymous(shape))
    spans = list(reach.spans)
    for place in range(len(shape) - spatial):
        if reach.shape[place] == shape[place]:
            dims[place] = reach.dims[place]
        else:
            spans = _unknown_along(spans, reach.axes(place))
    for index in range(spatial):
        place = len(shape) - spatial + index
        factors = reach.dims[len(reach.dims) - spatial + index]
        axes = reach.axes(len(reach.dims) - spatial + index)
        whole = len(axes) == 1 and len(factors) == 1 and not factors[0].cut
        for axis in axes:
            span = spans[axis]
            spans[axis] = moved(span, index) if span is not None and whole else None
        dims[place] = (Factor(shape[place], axes),)
    return Reach(tuple(dims), tuple(spans))


def _unknown_along(spans: Sequence[Span | None], axes: Sequence[int]) -> list[Span | None]:
    return [None if axis in axes and span != WHOLE else span for axis, span in enumerate(spans)]


def _each(value: Any, spatial: int) -> list[int]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    return values * spatial if len(values) == 1 else values


def pixel_unshuffle(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Blocks of positions become channels of one: a position sees its block."""
    reach, factor = reaches[0], args[1]
    if reach is None:
        return None
    return _slid(reach, shape, 2, lambda span, _: span.window(factor, factor, 0))


def convolution(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """A kernel slides over the map, or, transposed, over the map spread out by its stride."""
    reach, weight = reaches[0], args[1]
    if reach is None:
        return None
    spatial = weight.dim() - 2
    stride, padding, dilation = (_each(value, spatial) for value in args[3:6])

    def moved(span: Span, index: int) -> Span:
        kernel = weight.shape[2 + index]
        if not args[6]:
            return span.window(kernel, stride[index], padding[index], dilation[index])
        return _transposed(span, dilation[index] * (kernel - 1), stride[index], padding[index])

    channels = len(reach.dims) - spatial - 1
    return _slid(_with_channels(reach, channels, args[8]), shape, spatial, moved)


def _with_channels(reach: Reach, channels: int, groups: int) -> Reach:
    """What a convolution sees of an image whose rows are its channels: all, or those of a group."""
    length = reach.shape[channels]
    if groups == length:
        return reach  # depthwise: each channel by itself
    axes = reach.axes(channels)
    spans = reach.mixed([channels]).spans if groups == 1 else _unknown_along(reach.spans, axes)
    dims = (*reach.dims[:channels], (Factor(length),), *reach.dims[channels + 1 :])
    return Reach(dims, tuple(spans))


def _transposed(span: Span, reach: int, stride: int, padding: int) -> Span:
    """Position q depends on the positions i with i · stride − padding + offset = q."""
    if span.size is None:
        return span
    first = ceil(Fraction(padding - reach, stride))
    return Span(
        span.size + floor(Fraction(reach, stride)) * span.stride,
        simplest(Fraction(span.stride) / stride),
        span.start + first * span.stride,
    )


def simplest(number: Fraction) -> Number:
    """A whole number as an `int`."""
    return number.numerator if number.denominator == 1 else number


def pooling(spatial: int, dilated: bool) -> Rule:
    """A window slides; only the pools that take a maximum can be dilated."""

    def rule(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
        if reaches[0] is None:
            return None
        kernel = _each(args[1], spatial)
        stride = _each(args[2], spatial) if len(args) > 2 and args[2] else kernel
        padding = _each(args[3] if len(args) > 3 else 0, spatial)
        dilation = _each(args[4] if dilated and len(args) > 4 else 1, spatial)
        return _slid(
            reaches[0],
            shape,
            spatial,
            lambda span, i: span.window(kernel[i], stride[i], padding[i], dilation[i]),
        )

    return rule


def adaptive_pooling(spatial: int) -> Rule:
    """Windows of (nearly) equal size cover the map without padding."""

    def rule(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
        if reaches[0] is None:
            return None
        given = args[0].shape[-spatial:]

        def moved(span: Span, index: int) -> Span:
            before, after = given[index], shape[len(shape) - spatial + index]
            if after == 1 and before > 1:
                return WHOLE
            longest = max(
                ceil(Fraction((p + 1) * before, after)) - p * before // after for p in range(after)
            )
            return span.window(longest, simplest(Fraction(before, after)), 0)

        return _slid(reaches[0], shape, spatial, moved)

    return rule


def interpolation(spatial: int, neighbours: int) -> Rule:
    """Each new position reads 1 (nearest), 2 (linear) or 4 (cubic) old ones along each axis."""

    def rule(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
        if reaches[0] is None:
            return None
        given = args[0].shape[-spatial:]

        def moved(span: Span, index: int) -> Span:
            factor = Fraction(given[index], shape[len(shape) - spatial + index])
            # A linear or cubic kernel shrinks to 1 where the size stays.
            count = 1 if factor == 1 else neighbours
            return span.window(count, simplest(factor), count // 2)

        return _slid(reaches[0], shape, spatial, moved)

    return rule


def reduction(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Mean, sum, maximum: dimensions disappear, or stay with one position."""
    reach = reaches[0]
    if reach is None:
        return None
    rank = len(reach.dims)
    given = args[1] if len(args) > 1 else None
    if isinstance(given, bool) or given is None or given == []:
        given = range(rank)
    gone = {dim % rank for dim in ([given] if isinstance(given, int) else given)}
    seen = reach.mixed(gone)
    if len(shape) == rank:
        dims = tuple((Factor(1),) if d in gone else seen.dims[d] for d in range(rank))
    else:
        dims = tuple(seen.dims[d] for d in range(rank) if d not in gone)
    return replace(seen, dims=dims)


def norm(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """A reduction whose order stands before its dimensions."""
    return reduction(reaches, (args[0], *args[2:]), shape)


def along(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Softmax and cumulative sums: positions along one dimension meet, the shape stays."""
    return None if reaches[0] is None else reaches[0].mixed([args[1]])


def layer_norm(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Statistics over the last dimensions."""
    if reaches[0] is None:
        return None
    return reaches[0].mixed(range(-len(args[1]), 0))


def group_norm(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Statistics over the whole map."""
    return None if reaches[0] is None else reaches[0].mixed(range(2, len(shape)))


def batch_norm(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Running statistics leave positions apart; those of the input (instance norm) do not."""
    if reaches[0] is None:
        return None
    return reaches[0].mixed(range(2, len(shape))) if args[5] else reaches[0]


def product(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """A matrix product of the first two operands."""
    a, b = reaches[:2]
    operands = []
    dims = list(anonymous(shape))
    if a is not None:
        operands.append(a.mixed([-1]))
        dims[: len(a.dims) - 1] = a.dims[:-1]
    if b is not None:
        operands.append(b.mixed([-2] if len(b.dims) > 1 else [-1]))
        if len(b.dims) > 1:
            dims[-1] = b.dims[-1]
            if a is None and len(b.dims) == 3:
                dims[0] = b.dims[0]
    return merged(operands, tuple(dims)) if operands else None


def added_product(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """The first operand, and the matrix product of the next two."""
    made = product(reaches[1:], args, shape)
    return made if reaches[0] is None else pointwise([reaches[0], made], args, shape)


def attention(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Every query meets every key and value."""
    query, *sources = reaches[:3]
    met = [source.mixed([-2, -1]) for source in _known(sources)]
    if query is None or not met:
        return None
    return merged([query.mixed([-1]), *met], (*query.dims[:-1], (Factor(shape[-1]),)))


def embedding(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """Each index becomes a vector."""
    indices = reaches[1]
    return indices and replace(indices, dims=(*indices.dims, (Factor(shape[-1]),)))


def unknown(reaches: list[Reach | None], args: Any, shape: Shape) -> Reach | None:
    """An operator without a rule: what its result sees is not claimed."""
    known = _known(reaches)
    if not known:
        return None
    dims = next((r.dims for r in known if len(r.dims) == len(shape)), anonymous(shape))
    spans = (WHOLE if span == WHOLE else None for span in merged(known, dims).spans)
    return Reach(dims, tuple(spans))
