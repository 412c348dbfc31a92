"""What the schema of an operator says of its values: what it draws, writes to and looks at."""

from __future__ import annotations

from typing import Any

import torch

from archscope.analysis.formulas import sparse

aten = torch.ops.aten


class Facts:
    """What an operator's schema says, looked up once.

    Args:
        overload: the operator.
    """

    __slots__ = (
        "by_shape", "draws", "fills", "makes_on_a_device", "makes_sparse", "multiplies_sparse",
        "overload", "takes_device", "written",
    )  # fmt: skip

    def __init__(self, overload: Any) -> None:
        arguments = overload._schema.arguments
        self.overload = overload
        self.written: tuple[int | str, ...] = tuple(
            argument.name if argument.kwarg_only else place
            for place, argument in enumerate(arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        )
        self.takes_device = any(argument.name == "device" for argument in arguments)
        self.makes_on_a_device = self.takes_device and overload is not aten._to_copy.default
        self.makes_sparse = overload._schema.name in sparse.MADE
        self.multiplies_sparse = overload._schema.name in sparse.PRODUCTS
        self.draws = torch.Tag.nondeterministic_seeded in overload.tags
        self.by_shape = overload in BY_SHAPE
        self.fills = overload in FILLING


BY_SHAPE = frozenset(
    (
        aten.zeros_like.default, aten.ones_like.default, aten.full_like.default,
        aten.empty_like.default, aten.rand_like.default, aten.randn_like.default,
        aten.new_zeros.default, aten.new_ones.default, aten.new_full.default,
        aten.new_empty.default, aten.new_empty_strided.default,
    )
)  # fmt: skip
"""What looks at nothing of its tensor but the shape."""

FILLING = frozenset(
    (
        aten.zero_.default, aten.fill_.Scalar, aten.fill_.Tensor, aten.copy_.default,
        aten.normal_.default, aten.uniform_.default, aten.bernoulli_.float, aten.random_.default,
    )
)  # fmt: skip
"""What overwrites every element, whatever was there."""
