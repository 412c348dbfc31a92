"""What training or inference will hold in memory, predicted without a device."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.records import MemoryPrediction
from archscope.units import binary_bytes
from archscope.wording import attention_notes

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from archscope.analysis.calls import Arguments
    from archscope.analysis.memory import Step
    from archscope.analysis.replica import StandIn
    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target


OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
DTYPES = ("float32", "bfloat16", "float16")
Mode = Literal["training", "inference"]

LARGEST_BATCH = 2**24
"""The search for a batch that fits stops here: the memory does not depend on the batch."""


@dataclass(frozen=True)
class Setting:
    """What decides the memory of a step besides network and input.

    Args:
        mode: `training` (forward, backward, update) or `inference`.
        optimizer: one of `OPTIMIZERS`; not looked at for inference.
        dtype: one of `DTYPES`: that of the weights, activations and gradients.
        master_weights: keep float32 weights and optimiser state beside those of the network.
        train_only: glob of the parameter or module names that stay trainable.
    """

    mode: Mode = "training"
    optimizer: str = "sgd"
    dtype: str = "float32"
    master_weights: bool = False
    train_only: str | None = None

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ArchscopeError(
                parameter("optimizer", self.optimizer),
                "is unknown",
                f"use one of {', '.join(OPTIMIZERS)}",
            )
        if self.dtype not in DTYPES:
            raise ArchscopeError(
                parameter("dtype", self.dtype), "is unknown", f"use one of {', '.join(DTYPES)}"
            )
        if self.master_weights and self.dtype == "float32":
            raise ArchscopeError(
                parameter("master_weights", True),
                "keeps what float32 weights are",
                f"add {parameter('dtype', 'bfloat16')}",
            )


TRAINING = Setting()
"""A step of training with plain SGD in float32."""


def predict(
    target: Target,
    setting: Setting = TRAINING,
) -> MemoryPrediction:
    """Predict the memory of one step of training or inference.

    Args:
        target: the network with its call.
        setting: of the step.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input.
    """
    from archscope.saved import answers

    return answers.record(
        "memory",
        target.model,
        {**asdict(setting), **target.question},
        lambda: _predicted(*target.called(), setting),
    )


def largest_batch(
    target: Target,
    budget_bytes: int,
    setting: Setting = TRAINING,
) -> MemoryPrediction:
    """Predict the step with the largest batch whose peak stays within a budget.

    The peak is predicted for every batch that is tried, the answer and its successor included.

    Args:
        target: the network with its call, whose batch is what varies.
        budget_bytes: what the tensors may take.
        setting: of the step.

    Raises:
        ArchscopeError: not even the smallest batch fits, or the memory does not grow.
    """
    from archscope.ask.network.call import network_call

    subject = target.subject()
    seen: dict[int, MemoryPrediction] = {}

    def peak(batch: int) -> int:
        if batch not in seen:
            call = network_call(subject, target.input, batch)
            seen[batch] = _predicted(subject, call, setting)
        return seen[batch].peak_bytes

    first = _smallest(peak)
    if peak(first) > budget_bytes:
        raise ArchscopeError(
            parameter("fit", binary_bytes(budget_bytes)),
            f"batch {first} of {subject.name} needs {binary_bytes(peak(first))}",
            f"give more, or a smaller {parameter('input')} or {parameter('dtype')}",
        )
    return seen[_search(peak, first, budget_bytes)]


def _smallest(peak: Callable[[int], int]) -> int:
    """1, or 2 where one sample is too few: batch normalisation trains on no single value."""
    try:
        peak(1)
    except ArchscopeError:
        with suppress(ArchscopeError):
            peak(2)
            return 2
        raise
    return 1


def _search(peak: Callable[[int], int], fits: int, budget: int) -> int:
    """The largest batch within the budget, by straight lines through the last two points tried.

    Memory is nearly affine in the batch, so few steps are needed; each halves the doubt at worst.
    """
    exceeds: int | None = None
    slope = peak(fits + 1) - peak(fits)
    while exceeds is None or exceeds - fits > 1:
        guess = fits + max(1, (budget - peak(fits)) // max(1, slope))
        if exceeds is not None:
            guess = min(guess, exceeds - 1)
        if guess > LARGEST_BATCH:
            raise ArchscopeError(
                parameter("fit"), "the memory does not grow with the batch", "leave it out"
            )
        if peak(guess) <= budget:
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits))
            fits = guess
            if exceeds is None and peak(fits + 1) > budget:
                return fits
        else:
            exceeds = guess
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits) + 1)
    return fits


def _predicted(subject: Subject, call: NetworkCall, setting: Setting) -> MemoryPrediction:
    step, notes = _followed(subject, call, setting)
    training = setting.mode == "training"
    return MemoryPrediction(
        model=subject.name,
        input=call.spec,
        mode=setting.mode,
        dtype=setting.dtype,
        timeline=step.timeline,
        saved=step.saved,
        optimizer=setting.optimizer if training else "",
        master_weights=setting.master_weights and training,
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(*subject.notes, *notes, *attention_notes(step.attention_kernels)),
    )


def _followed(
    subject: Subject, call: NetworkCall, setting: Setting
) -> tuple[Step, tuple[str, ...]]:
    """Follow one step on meta; on the CPU where values decide the way."""
    import torch

    from archscope.analysis import borrow, memory
    from archscope.ask.network.call import floating_dtype
    from archscope.ask.network.failure import training_of
    from archscope.ask.network.runs import executed, freeze
    from archscope.measure.step import Loss

    dtype = getattr(torch, setting.dtype)
    bytes_kept = memory.optimizer_bytes(setting.optimizer, dtype.itemsize, setting.master_weights)

    own = floating_dtype(subject.module)  # an input of another is the network's own affair

    def lend(module: nn.Module, arguments: Arguments, stand_in: StandIn) -> Any:
        return borrow.copied(module, arguments, lambda tensor: _cast(stand_in(tensor), dtype, own))

    def run(network: nn.Module, arguments: Arguments, on_meta: bool) -> Step:
        args, kwargs = arguments
        network.train(setting.mode == "training")
        torch.manual_seed(0)
        if setting.mode == "inference":
            return memory.inference(network, args, kwargs)
        freeze(network, setting.train_only)
        return memory.training_step(network, args, kwargs, Loss(), bytes_kept)

    alone = f"predict a forward pass alone with {parameter('inference', True)}"
    with training_of(subject.name, alone):
        step, _, notes = executed(subject, call, run, lend)
    return step, notes


def _cast(tensor: Tensor, dtype: torch.dtype, own: torch.dtype) -> Tensor:
    """A floating tensor in another dtype, where it is a parameter or has the parameters' dtype."""
    from torch import nn
    from torch.nn.parameter import is_lazy

    if tensor.dtype is dtype or not tensor.is_floating_point() or is_lazy(tensor):
        return tensor
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(tensor.detach().to(dtype), tensor.requires_grad)
    if tensor.dtype is not own:
        return tensor
    return tensor.detach().to(dtype).requires_grad_(tensor.requires_grad)
