"""What the formulas of parallel training promise, beside what PyTorch issues."""

from __future__ import annotations

from collections.abc import Sequence

from archscope.records import ClosedForm, Collective


def of_ddp(
    issued: Sequence[Collective], trainable_bytes: int, buffer_bytes: int
) -> tuple[ClosedForm, ...]:
    """Every gradient is all-reduced once (Li et al. 2020, section 3.2), every buffer broadcast."""
    return (
        ClosedForm(
            "all_reduce", "backward", "bytes of the trainable parameters", trainable_bytes,
            total(issued, "all_reduce", "backward"),
        ),
        ClosedForm(
            "broadcast", "forward", "bytes of the buffers", buffer_bytes,
            total(issued, "broadcast", "forward"),
        ),
    )  # fmt: skip


def total(issued: Sequence[Collective], kind: str, phase: str) -> int:
    """Bytes of one kind of collective in one pass."""
    return sum(row.size_bytes for row in issued if (row.kind, row.phase) == (kind, phase))
