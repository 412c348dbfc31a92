"""Operator and shapes → Cost: what each of PyTorch's operators multiplies and accumulates.

Rules are keyed on operator names (`aten::convolution`) and look only at `.shape` and `.numel()`
of tensor arguments, so they can be read, tested and reused without torch.
A rule takes the operator's own arguments and `out`, its result, and returns a `Tally`.

What counts as a multiply-accumulate is what the papers count: every kernel weight times every
output position, padding included (He et al. 2016, Table 1; Xie et al. 2017, Table 1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, wraps
from math import prod
from typing import Any, Protocol

from archscope.records import COMPLEX, FREE, Cost, Factor, Product


class Sized(Protocol):
    """All that a rule may know of a tensor."""

    @property
    def shape(self) -> Sequence[int]: ...

    def numel(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Tally:
    """What one run of one operator does: multiply-accumulates and elementwise operations."""

    cost: Cost = FREE
    elementwise: int = 0


Rule = Callable[..., Tally]

NOTHING = Tally()

SPATIAL = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
"""Names of the spatial axes by their number."""


def product(role: str = "", **factors: int) -> Product:
    """A product of named factors, `product(rows=2, D_in=3)`."""
    return Product(tuple(Factor(name, value) for name, value in factors.items()), role)


def named(names: Sequence[str], values: Sequence[int], role: str = "") -> Product:
    """A product whose factors have names that no keyword can have."""
    return Product(tuple(map(Factor, names, values)), role)


# Convolution


@lru_cache(maxsize=4096)
def _convolution_product(
    positions: tuple[int, ...],
    weight: tuple[int, ...],
    batch: int,
    transposed: bool,
    role: str = "",
) -> Product:
    """N · C · positions · C/G · kernel.

    Args:
        positions: spatial sizes of the output, of the input for a transposed convolution:
            wherever the kernel is applied once.
        weight: (C_out, C_in/G, *kernel), transposed (C_in, C_out/G, *kernel).
        batch: N, 1 for an unbatched input.
        transposed: whether the kernel is spread from input positions.
        role: see Product.
    """
    axes = SPATIAL[len(positions)]
    place, many, few = ("in", "C_in", "C_out/G") if transposed else ("out", "C_out", "C_in/G")
    kernel = ("K",) if len(axes) == 1 else tuple(f"K_{axis.lower()}" for axis in axes)
    names = ("N", many, *(f"{axis}_{place}" for axis in axes), few, *kernel)
    return named(names, (batch, weight[0], *positions, *weight[1:]), role)


def convolution(
    x: Sized, weight: Sized, bias: Sized | None, stride: Any, padding: Any, dilation: Any,
    transposed: bool, output_padding: Any, groups: int, *, out: Sized,
) -> Tally:  # fmt: skip
    """Convolution of x (N, C_in, *spatial) by weight (C_out, C_in/G, *kernel), 1-d to 3-d.

    Stride, padding and dilation act through the output's shape, groups through the weight's.
    """
    spatial = len(weight.shape) - 2
    applied = x if transposed else out
    batch = x.shape[0] if len(x.shape) == spatial + 2 else 1
    positions, kernel = tuple(applied.shape[-spatial:]), tuple(weight.shape)
    cost = Cost((_convolution_product(positions, kernel, batch, transposed),))
    return Tally(cost, out.numel() if bias is not None else 0)


def convolution_backward(
    gradient: Sized, x: Sized, weight: Sized, bias_sizes: Any, stride: Any, padding: Any,
    dilation: Any, transposed: bool, output_padding: Any, groups: int,
    output_mask: Sequence[bool], *, out: object,
) -> Tally:  # fmt: skip
    """Each gradient asked for costs what the forward convolution did, groups included.

    The weight gradient of a group only meets that group's channels, so it has the forward
    product; `torch.utils.flop_counter` multiplies it by G.
    """
    spatial = len(weight.shape) - 2
    positions = tuple((x if transposed else gradient).shape[-spatial:])
    kernel = tuple(weight.shape)
    roles = [
        role
        for role, wanted in zip(("input gradient", "weight gradient"), output_mask, strict=False)
        if wanted
    ]
    products = tuple(
        _convolution_product(positions, kernel, x.shape[0], transposed, role) for role in roles
    )
    return Tally(Cost(products), gradient.numel() if output_mask[2] else 0)


def deformable_convolution(x: Sized, weight: Sized, *rest: Any, out: Sized) -> Tally:
    """Deformable convolution (Dai et al. 2017): the product of the plain one at sampled places.

    Bilinear sampling of every kernel position is elementwise work.
    """
    sampled = _sampled_product(x, weight, out)
    return Tally(Cost((sampled,)), _samples(x, weight, out) + out.numel())


def deformable_convolution_backward(
    gradient: Sized, x: Sized, weight: Sized, *rest: Any, out: object
) -> Tally:
    """Both gradients of the product, whichever is asked for.

    The places are sampled once more, spread over the input, and met along both axes of the offsets.
    """
    products = tuple(
        _sampled_product(x, weight, gradient, role)
        for role in ("input gradient", "weight gradient")
    )
    return Tally(Cost(products), 4 * _samples(x, weight, gradient) + gradient.numel())


def _sampled_product(x: Sized, weight: Sized, result: Sized, role: str = "") -> Product:
    positions, kernel = tuple(result.shape[2:]), tuple(weight.shape)
    return _convolution_product(positions, kernel, x.shape[0], transposed=False, role=role)


def _samples(x: Sized, weight: Sized, result: Sized) -> int:
    """Every kernel position in every channel of x, for every position of the result."""
    return prod((*x.shape[:2], *result.shape[2:], *weight.shape[2:]))


# Matrix products


def mm(a: Sized, b: Sized, *, out: Sized) -> Tally:
    """(rows, D_in) by (D_in, D_out)."""
    rows, inner = a.shape
    return Tally(Cost((product(rows=rows, D_in=inner, D_out=b.shape[1]),)))


def addmm(bias: Sized, a: Sized, b: Sized, *, out: Sized, **scales: object) -> Tally:
    """(rows, D_in) by (D_in, D_out), plus a bias."""
    return Tally(mm(a, b, out=out).cost, out.numel())


def linear(x: Sized, weight: Sized, bias: Sized | None = None, *, out: Sized) -> Tally:
    """Input (…, D_in) by weight (D_out, D_in)."""
    inner = weight.shape[-1]
    columns = weight.shape[0] if len(weight.shape) == 2 else 1
    rows = x.numel() // inner if inner else 0
    cost = Cost((product(rows=rows, D_in=inner, D_out=columns),))
    return Tally(cost, out.numel() if bias is not None else 0)


def bmm(a: Sized, b: Sized, *, out: Sized, **options: object) -> Tally:
    """(B, rows, D_in) by (B, D_in, D_out)."""
    batch, rows, inner = a.shape
    return Tally(Cost((product(B=batch, rows=rows, D_in=inner, D_out=b.shape[2]),)))


def baddbmm(bias: Sized, a: Sized, b: Sized, *, out: Sized, **scales: object) -> Tally:
    """(B, rows, D_in) by (B, D_in, D_out), plus a bias."""
    return Tally(bmm(a, b, out=out).cost, out.numel())


def addbmm(bias: Sized, a: Sized, b: Sized, *, out: Sized, **scales: object) -> Tally:
    """(B, rows, D_in) by (B, D_in, D_out), summed over B, plus a bias."""
    return Tally(bmm(a, b, out=out).cost, out.numel())


def grouped_mm(a: Sized, b: Sized, *rest: object, out: Sized, **options: object) -> Tally:
    """One product a group, as of experts; a 2-d operand holds the groups' rows or columns.

    Rows of groups (rows, D_in) by (B, D_in, D_out); (B, rows, D_in) by columns of groups
    (D_in, D_out); 2-d by 2-d sums over the groups' inner positions.
    How many rows a group has does not matter: together they have all.
    """
    if len(a.shape) == 3 and len(b.shape) == 3:
        return bmm(a, b, out=out)
    rows, inner = a.shape[-2], a.shape[-1]
    return Tally(Cost((product(rows=rows, D_in=inner, D_out=b.shape[-1]),)))


def segment_mm(a: Sized, pointers: Sized, b: Sized, *, out: Sized) -> Tally:
    """Rows (rows, D_in), in segments, each by its own matrix of (B, D_in, D_out)."""
    return grouped_mm(a, b, out=out)


def listed_mm(first: Sequence[Sized], second: Sequence[Sized], *rest: object, out: object) -> Tally:
    """Each matrix of one list by its own of another."""
    pairs = zip(first, second, strict=True)
    products = (product(rows=a.shape[0], D_in=a.shape[1], D_out=b.shape[1]) for a, b in pairs)
    return Tally(Cost(tuple(products)))


def mv(a: Sized, b: Sized, *, out: Sized) -> Tally:
    """(rows, D_in) by (D_in,)."""
    rows, inner = a.shape
    return Tally(Cost((product(rows=rows, D_in=inner),)))


def addmv(bias: Sized, a: Sized, b: Sized, *, out: Sized, **scales: object) -> Tally:
    """(rows, D_in) by (D_in,), plus a bias."""
    return Tally(mv(a, b, out=out).cost, out.numel())


def conv_tbc(x: Sized, weight: Sized, bias: Sized, pad: int = 0, *, out: Sized) -> Tally:
    """Convolution of x (L, N, C_in) by weight (K, C_in, C_out)."""
    length, batch, channels = out.shape
    names = ("N", "C_out", "L_out", "C_in", "K")
    sides = (batch, channels, length, x.shape[2], weight.shape[0])
    return Tally(Cost((named(names, sides),)), out.numel())


def direct_convolution(x: Sized, weight: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """A library's own kernel of `convolution`: its arguments after the weight differ."""
    batch, positions = x.shape[0], tuple(out.shape[2:])
    return Tally(Cost((_convolution_product(positions, tuple(weight.shape), batch, False),)))


def direct_transposed_convolution(
    x: Sized, weight: Sized, *rest: Any, out: Any, **options: Any
) -> Tally:
    """As `direct_convolution`, the kernel spread from input positions."""
    batch, positions = x.shape[0], tuple(x.shape[2:])
    return Tally(Cost((_convolution_product(positions, tuple(weight.shape), batch, True),)))


def dot(a: Sized, b: Sized, *, out: Sized) -> Tally:
    """Inner product of two vectors."""
    return Tally(Cost((product(D_in=a.numel()),)))


def addr(bias: Sized, a: Sized, b: Sized, *, out: Sized, **scales: object) -> Tally:
    """Outer product of two vectors, plus a matrix."""
    return Tally(Cost((product(rows=a.numel(), D_out=b.numel()),)), out.numel())


def trilinear(
    a: Sized, b: Sized, c: Sized, expand_a: Sequence[int], expand_b: Sequence[int],
    expand_c: Sequence[int], sum_over: Sequence[int], unroll: int = 1, *, out: Sized,
) -> Tally:  # fmt: skip
    """Sum of a · b · c over some axes, as in `nn.Bilinear`: N · D_out · D_in1 · D_in2."""
    dims = len(a.shape) + len(expand_a)
    sizes = [1] * dims
    for tensor, expanded in ((a, expand_a), (b, expand_b), (c, expand_c)):
        own = [axis for axis in range(dims) if axis not in expanded]
        for axis, size in zip(own, tensor.shape, strict=True):
            sizes[axis] = max(sizes[axis], size)
    return Tally(Cost((named([f"D_{axis}" for axis in range(dims)], sizes),)))


def euclidean_distances(a: Sized, b: Sized, *, out: Sized) -> Tally:
    """Between rows of a (…, P, D) and b (…, R, D): one product of rows that hold their norms too.

    (−2a, |a|², 1) · (b, 1, |b|²) = |a − b|², then its root.
    """
    *leading, rows, columns = out.shape
    cost = Cost((product(B=prod(leading), rows=rows, D_in=a.shape[-1] + 2, D_out=columns),))
    return Tally(cost, 3 * a.numel() + 2 * b.numel() + 2 * out.numel())


def affine_grid(theta: Sized, size: Sequence[int], align_corners: bool, *, out: Sized) -> Tally:
    """Every position in homogeneous coordinates by theta (N, D, D + 1) (Jaderberg et al. 2015)."""
    batch, after, before = theta.shape
    return Tally(Cost((product(N=batch, rows=prod(size[2:]), D_in=before, D_out=after),)))


# Elementwise work: one operation an element


def in_real_numbers(rule: Rule) -> Rule:
    """The same formula, in which a product of two complex numbers counts as four real ones.

    (a + bi)(c + di) = (ac − bd) + (ad + bc)i.
    """

    @wraps(rule)
    def counted(*args: Any, out: Any, **options: Any) -> Tally:
        tally = rule(*args, out=out, **options)
        dtype = getattr(args[0], "dtype", None)
        if dtype is None or not dtype.is_complex:
            return tally
        four = Factor(COMPLEX, 4)
        products = (Product((*p.factors, four), p.role) for p in tally.cost.products)
        return Tally(Cost(tuple(products)), tally.elementwise)

    return counted


def _first(out: Any) -> Any:
    return out[0] if isinstance(out, (tuple, list)) else out


def elements_written(*args: Any, out: Any, **kwargs: Any) -> Tally:
    """Activations, adds, normalisation: one operation for each element of the result."""
    result = _first(out)
    return Tally(elementwise=result.numel() if hasattr(result, "numel") else 0)


def elements_of_list(first: Any, *args: Any, out: Any, **kwargs: Any) -> Tally:
    """One operation for each element of each tensor of the first list, as of an optimiser."""
    return Tally(elementwise=sum(x.numel() for x in first if hasattr(x, "numel")))


def elements_read(x: Any, *args: Any, out: Any, **kwargs: Any) -> Tally:
    """Reductions: one operation for each element of the first input."""
    return Tally(elementwise=_first(x).numel() if hasattr(_first(x), "numel") else 0)


def window(x: Sized, kernel: Sequence[int], *args: Any, out: Any, **kwargs: Any) -> Tally:
    """Pooling: one operation for each window element of each output element."""
    spatial = len(_first(out).shape) - 2 if len(_first(out).shape) > 2 else len(kernel)
    sides = tuple(kernel) if len(kernel) > 1 else tuple(kernel) * spatial
    return Tally(elementwise=_first(out).numel() * prod(sides))


def along_rows(x: Sized, *args: Any, out: Sized, **kwargs: Any) -> Tally:
    """Distances and inner products of rows: for each result, one operation an element of x's."""
    return Tally(elementwise=out.numel() * x.shape[-1])


def along_rows_backward(gradient: Sized, x: Sized, *args: Any, out: object, **kwargs: Any) -> Tally:
    """For each incoming gradient, one operation an element of a row of x."""
    return Tally(elementwise=gradient.numel() * x.shape[-1])


def embedding_bag(weight: Sized, indices: Sized, *args: Any, out: object, **kwargs: Any) -> Tally:
    """Every row that is looked up joins its bag."""
    return Tally(elementwise=indices.numel() * weight.shape[-1])


def ctc_loss(*args: Any, out: Sequence[Sized], **kwargs: Any) -> Tally:
    """One operation for each label and blank at each time step (Graves et al. 2006, eq. 6, 7)."""
    return Tally(elementwise=out[1].numel())


def free(*args: Any, out: Any, **kwargs: Any) -> Tally:
    """Views, copies and bookkeeping: bytes may move, nothing is computed."""
    return NOTHING


# Elements of a table that are read where it is looked up, the whole of it at most


def looked_up(table: Sized, *args: Any, out: Sized, **kwargs: Any) -> int:
    """Every element of the result comes from the table."""
    return min(table.numel(), out.numel())


def looked_up_in_bags(table: Sized, indices: Sized, *args: Any, out: object, **kwargs: Any) -> int:
    """Every index reads a row; the result holds one row a bag."""
    return min(table.numel(), indices.numel() * table.shape[-1])
