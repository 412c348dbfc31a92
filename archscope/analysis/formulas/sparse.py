"""Products of sparse tensors: only what is stored meets the other operand.

A block that is stored counts in full, zeros inside it included, as its kernel multiplies them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any

from archscope.analysis.ops import Rule, Sized, Tally, product
from archscope.records import Cost

if TYPE_CHECKING:
    from torch import Tensor


@cache
def _layouts() -> tuple[Any, ...]:
    """Pairs, rows first, columns first; PyTorch is imported when the first tensor is looked at."""
    import torch

    rows, columns = (torch.sparse_csr, torch.sparse_bsr), (torch.sparse_csc, torch.sparse_bsc)
    return torch.sparse_coo, *rows, *columns


def is_sparse(value: object) -> bool:
    """Whether a tensor stores some of its elements only."""
    layout = getattr(value, "layout", None)
    return layout is not None and layout in _layouts()


def components(tensor: Tensor) -> tuple[Tensor, ...]:
    """The dense tensors that a sparse one is made of: its values last."""
    pairs, csr, bsr, *_ = _layouts()
    if tensor.layout is pairs:
        return tensor._indices(), tensor._values()
    if tensor.layout in (csr, bsr):
        return tensor.crow_indices(), tensor.col_indices(), tensor.values()
    return tensor.ccol_indices(), tensor.row_indices(), tensor.values()


def stored(tensor: Tensor) -> int:
    """How many elements are stored, whatever they are."""
    return components(tensor)[-1].numel()


def stored_bytes(tensor: Tensor) -> int:
    """Bytes of the indices and the values; of another layout, of all elements."""
    if not is_sparse(tensor):
        return tensor.numel() * tensor.itemsize
    return sum(part.nbytes for part in components(tensor))


MADE = frozenset(
    {
        "aten::_sparse_coo_tensor_with_dims_and_tensors",
        "aten::_to_sparse",
        "aten::_to_sparse_bsc",
        "aten::_to_sparse_bsr",
        "aten::_to_sparse_csc",
        "aten::_to_sparse_csr",
    }
)
"""What makes sparse tensors: on the meta device they store nothing."""

PRODUCTS: Mapping[str, int] = {
    "aten::_sparse_addmm": 1,
    "aten::addmm": 1,
    "aten::addmv": 1,
    "aten::bmm": 0,
    "aten::mm": 0,
    "aten::mv": 0,
}
"""Products with a sparse operand, and the place of the first operand among the arguments."""


def result_on_meta(operator: str, args: Sequence[Any]) -> Tensor:
    """The dense result of a product, of which the sparse operand is real and the other on meta.

    Raises:
        RuntimeError: the shapes cannot be multiplied; PyTorch's own message.
    """
    place = PRODUCTS[operator]
    import torch

    a, b = (torch.empty(x.shape, dtype=args[place].dtype, device="meta") for x in args[place:][:2])
    if operator == "aten::bmm":
        return torch.bmm(a, b)
    return torch.mv(a, b) if operator.endswith("mv") else torch.mm(a, b)


def operands(place: int) -> Callable[[Rule], Rule]:
    """Let a formula of dense operands also answer for sparse ones.

    Args:
        place: of the first of the two operands among the arguments.
    """

    def extended(dense: Rule) -> Rule:
        @wraps(dense)
        def rule(*args: Any, out: Any, **options: Any) -> Tally:
            a, b = args[place : place + 2]
            if not (is_sparse(a) or is_sparse(b)):
                return dense(*args, out=out, **options)
            added = out.numel() if place and not is_sparse(out) else 0
            return Tally(_met(a, b), added)

        return rule

    return extended


def _met(a: Tensor, b: Tensor) -> Cost:
    """Each stored element of one operand by what it meets of the other."""
    if is_sparse(a) and is_sparse(b):
        return Cost((product(pairs=_pairs(a, b)),))
    if is_sparse(a):
        columns = b.shape[-1] if b.dim() > 1 else 1
        return Cost((product(stored=stored(a), D_out=columns),))
    return Cost((product(stored=stored(b), rows=a.shape[-2] if a.dim() > 1 else 1),))


def _pairs(a: Tensor, b: Tensor) -> int:
    """How many stored elements of a row of b each stored element of a meets: Σ over the inner axis.

    Of tensors without values, as if every row of b held the same number.
    """
    inner = a.shape[-1]
    if a.is_meta or b.is_meta or a.dim() != 2:
        return stored(a) * stored(b) // max(1, inner)
    import torch

    in_columns = torch.bincount(_places(a)[1], minlength=inner)
    in_rows = torch.bincount(_places(b)[0], minlength=inner)
    return int((in_columns * in_rows).sum())


def _places(tensor: Tensor) -> Tensor:
    """Row and column of each stored element."""
    as_pairs: Tensor = tensor.detach().to_sparse_coo()  # type: ignore[no-untyped-call]
    return as_pairs._indices()


def products(a: Tensor, b: Tensor, *rest: Any, out: Any, **options: Any) -> Tally:
    """`_sparse_mm` and its like."""
    return Tally(_met(a, b) if is_sparse(a) or is_sparse(b) else Cost())


def sampled_addmm(pattern: Tensor, a: Sized, b: Sized, *rest: Any, out: Any, **scale: Any) -> Tally:
    """(rows, D_in) by (D_in, D_out) at the stored places of a pattern alone, which is added."""
    places = stored(pattern)
    return Tally(Cost((product(stored=places, D_in=a.shape[-1]),)), places)


def reduced(a: Tensor, b: Sized, *rest: Any, out: Any, **options: Any) -> Tally:
    """A sparse matrix by a dense one, the products of a row reduced: sum, mean, amax or amin."""
    return Tally(Cost((product(stored=stored(a), D_out=b.shape[-1]),)))


def elements_stored(x: Any, *args: Any, out: Any, **options: Any) -> Tally:
    """One operation for each stored element."""
    return Tally(elementwise=stored(x) if is_sparse(x) else x.numel())


def spmm(
    row: Any, pointers: Any, columns: Sized, values: Any, *rest: Any, out: Any, **options: Any
) -> Tally:
    """torch-sparse: a matrix of `columns.numel()` stored elements by a dense one."""
    result = out[0] if isinstance(out, (tuple, list)) else out
    return Tally(Cost((product(stored=columns.numel(), D_out=result.shape[-1]),)))
