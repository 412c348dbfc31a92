"""Lookups that a run on meta would let pass: an index that the table does not have."""

from __future__ import annotations

from torch import Tensor

from archscope.analysis.values.draws import Chance
from archscope.analysis.values.known import chance_of, contents_of, value_of

MOST_INDICES = 2**16
"""Of a lookup whose indices are computed to see whether its table has them."""


def require_rows(table: Tensor, indices: Tensor) -> None:
    """Fail as the kernel does on an index that the table lacks, where indices are certain.

    Positions are, which a network makes itself: a sequence longer than their table fails.

    Raises:
        IndexError: the table has too few rows.
    """
    certain = chance_of(indices) is Chance.NONE and contents_of(indices) is not None
    if certain and 0 < indices.numel() <= MOST_INDICES:
        rows = table.shape[0]
        for index in map(int, value_of(indices).aminmax()):
            if not 0 <= index < rows:
                raise IndexError(f"index {index} is out of range for a table of {rows} rows")
