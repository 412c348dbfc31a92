"""How a network runs, besides network, input and device."""

from __future__ import annotations

from dataclasses import dataclass

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.latency.precision import DTYPES
from archscope.parameters import parameter

MODES = ("inference", "training")
LAYOUTS = ("nchw", "nhwc")


@dataclass(frozen=True)
class Setting:
    """How a network runs.

    Args:
        mode: `inference`, or `training` with SGD and momentum.
        dtype: `amp` (autocast to float16), `float16`, `bfloat16`, `float32`, or `tf32`: float32
            whose products tensor cores may round, as PyTorch lets convolutions do.
        layout: `nchw`, or `nhwc` for channels last.
        compiled: whether `torch.compile` fuses its operators.

    Raises:
        ArchscopeError: one of them is unknown.
    """

    mode: str = "inference"
    dtype: str = "amp"
    layout: str = "nchw"
    compiled: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", full_name(self.dtype))
        for name, value, known in (
            ("mode", self.mode, MODES),
            ("dtype", self.dtype, DTYPES),
            ("layout", self.layout, LAYOUTS),
        ):
            if value not in known:
                remedy = f"use one of {', '.join(known)}"
                raise ArchscopeError(parameter(name), f"unknown {value!r}", remedy)
