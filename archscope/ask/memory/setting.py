"""What decides the memory of a step besides network and input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from archscope.dtypes import full_name
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    import torch

    from archscope.analysis.memory import Manner
    from archscope.analysis.optimizers import Optimizer

STEPPED = (
    "adadelta", "adafactor", "adagrad", "adamax", "asgd", "muon", "nadam", "radam", "rmsprop",
    "rprop",
)  # fmt: skip
"""Optimisers of PyTorch without a fused kernel on a GPU, whose own step is run on meta."""

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw", "adam8bit", "adamw8bit", *STEPPED)
FORMS = ("foreach", "fused", "for-loop")
WEIGHTS = ("float32", "bfloat16", "float16")
AUTOCAST = {"amp": "float16", "amp-bfloat16": "bfloat16"}
"""Half precision of each setting with float32 weights under autocast."""

OWN = "own"
"""The dtype, or dtypes, that the network has."""

DTYPES = (OWN, *WEIGHTS, *AUTOCAST)
DEVICES = ("cuda", "cpu")
LAYOUTS = ("nchw", "nhwc")
ATTENTION = ("sdpa", "eager")
"""PyTorch's kernels of scaled dot-product attention, or two products and a softmax."""

Mode = Literal["training", "inference"]


@dataclass(frozen=True)
class Setting:
    """How a step runs.

    Args:
        mode: `training` (forward, backward, update) or `inference`.
        optimizer: one of `OPTIMIZERS`; not looked at for inference.
        dtype: one of `WEIGHTS`, of weights, activations and gradients; one of `AUTOCAST`; or `OWN`.
        master_weights: keep float32 weights and optimiser state beside those of the network.
        train_only: glob of the parameter or module names that stay trainable.
        form: one of `FORMS`: how the optimiser updates.
        accumulate: passes whose gradients one update adds up.
        checkpoint: glob of modules that keep their input alone and compute the rest again.
        lora: rank of the low-rank matrices that are trained in place of the weights; 0 for none.
        lora_on: glob of the linear layers that get them.
        zero: stage of ZeRO (Rajbhandari et al. 2020): 1 shares out the optimiser's state, 2 the
            gradients too, 3 the weights too; 0 for none.
        gpus: among how many.
        device: `cuda` or `cpu`: whose kernels and allocator are meant.
        attention: one of `ATTENTION`: `sdpa` takes the kernel that the device would choose,
            `eager` writes every attention out, as before PyTorch 2.0.
        layout: one of `LAYOUTS`: `nhwc` orders images and kernels channels last.
    """

    mode: Mode = "training"
    optimizer: str = "sgd"
    dtype: str = OWN
    master_weights: bool = False
    train_only: str | None = None
    form: str = "foreach"
    accumulate: int = 1
    checkpoint: str | None = None
    lora: int = 0
    lora_on: str = "*"
    zero: int = 0
    gpus: int = 1
    device: str = "cuda"
    attention: str = "sdpa"
    layout: str = "nchw"

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", full_name(self.dtype))
        object.__setattr__(self, "optimizer", self.optimizer.lower())  # `Adam`, as in torch.optim
        for name, known in (
            ("optimizer", OPTIMIZERS), ("dtype", DTYPES), ("form", FORMS), ("device", DEVICES),
            ("attention", ATTENTION), ("layout", LAYOUTS),
        ):  # fmt: skip
            value = getattr(self, name)
            if value not in known:
                remedy = f"use one of {', '.join(known)}"
                if name == "device":
                    remedy += f"; the memory of a GPU is {parameter('fit', '24GiB')}"
                raise ArchscopeError(parameter(name, value), "is unknown", remedy)
        if self.form == "fused" and self.optimizer in STEPPED:
            raise ArchscopeError(
                parameter("form", self.form),
                f"{self.optimizer} has no fused kernel on a GPU",
                "use foreach or for-loop",
            )
        if self.master_weights and self.dtype not in (OWN, "bfloat16", "float16"):
            raise ArchscopeError(
                parameter("master_weights", True),
                "has no effect on float32 weights",
                f"add {parameter('dtype', 'bfloat16')}",
            )
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, least in (("accumulate", 1), ("lora", 0), ("gpus", 1)):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ArchscopeError(
                    parameter(name, value), "is out of range", f"give a whole number from {least}"
                )
        if self.zero not in (0, 1, 2, 3):
            raise ArchscopeError(parameter("zero", self.zero), "is not a stage", "use 1, 2 or 3")
        if self.zero and self.gpus < 2:
            raise ArchscopeError(
                parameter("zero", self.zero),
                "divides memory among several GPUs",
                f"add {parameter('gpus', 8)}",
            )
        if self.gpus > 1 and not self.zero:
            raise ArchscopeError(
                parameter("gpus", self.gpus),
                f"has no effect without {parameter('zero')}",
                f"add {parameter('zero', 2)}",
            )

    @property
    def weights(self) -> torch.dtype | None:
        """The dtype that the weights are put in, `None` where they stay as they are."""
        import torch

        if self.dtype == OWN:
            return None

        name = "float32" if self.dtype in AUTOCAST else self.dtype
        dtype: torch.dtype = getattr(torch, name)
        return dtype

    @property
    def manner(self) -> Manner:
        """How the step is followed."""
        import torch

        from archscope.analysis.memory import Manner

        half = AUTOCAST.get(self.dtype)
        return Manner(
            self.device,
            None if half is None else getattr(torch, half),
            self.accumulate > 1,
            self.attention == "eager",
        )

    @property
    def optimiser(self) -> Optimizer:
        """What is kept beside the network."""
        from archscope.analysis.optimizers import Optimizer

        return Optimizer(self.optimizer, self.form, self.master_weights)

    @property
    def measures(self) -> tuple[str, ...]:
        """What the step does to need less, in words."""
        found = []
        if self.form != "foreach" and self.mode == "training":
            found.append(f"{self.form} update")
        if self.attention == "eager":
            found.append("eager attention")
        if self.layout == "nhwc":
            found.append("channels last")
        if self.accumulate > 1:
            found.append(f"{self.accumulate} passes per update")
        if self.checkpoint is not None:
            found.append(f"checkpointed {self.checkpoint}")
        if self.lora:
            found.append(f"LoRA of rank {self.lora} on {self.lora_on}")
        if self.zero:
            found.append(f"ZeRO stage {self.zero} on {self.gpus} GPUs")
        return tuple(found)


TRAINING = Setting()
"""A step of training with plain SGD in float32."""
