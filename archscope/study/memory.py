"""What training or inference will hold in memory, predicted without a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from archscope.errors import ArchscopeError
from archscope.records import Dim, LiveBytes, MemoryPrediction
from archscope.study.titles import call_title, network_title
from archscope.table import Axis, Chart, Column, Report, Row, Series, Table
from archscope.units import binary_bytes

if TYPE_CHECKING:
    import torch
    from torch import nn

    from archscope.analysis import borrow
    from archscope.analysis.memory import Step
    from archscope.study.call import Arguments, NetworkCall
    from archscope.study.subject import Subject

OPTIMIZERS = ("sgd", "momentum", "adam", "adamw")
DTYPES = ("float32", "bfloat16", "float16")
Mode = Literal["training", "inference"]

KIND_TITLES = {
    "parameters": "Parameters",
    "buffers": "Buffers",
    "optimizer": "Optimiser state",
    "input": "Input",
    "gradients": "Gradients",
    "activations": "Saved activations",
    "temporary": "Temporary",
}

LOWER_BOUND = (
    "Bytes of tensors, a lower bound of what a GPU allocates: it adds its context, the "
    "workspaces of its libraries, and the rounding of its allocator."
)

ADAM_ON_A_CPU = (
    "A GPU updates all weights at once, with the root of every second moment in memory; a CPU "
    "updates one tensor after another, so that its peak is lower where it lies in the update."
)
"""What decides the temporaries of Adam: PyTorch's default is `foreach` on a GPU alone."""

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
                f"--optimizer {self.optimizer}", "is unknown", f"use one of {', '.join(OPTIMIZERS)}"
            )
        if self.dtype not in DTYPES:
            raise ArchscopeError(
                f"--dtype {self.dtype}", "is unknown", f"use one of {', '.join(DTYPES)}"
            )
        if self.master_weights and self.dtype == "float32":
            raise ArchscopeError(
                "--master-weights", "keeps what float32 weights are", "add --dtype bfloat16"
            )


TRAINING = Setting()
"""A step of training with plain SGD in float32."""


def predict(
    model: Any,
    setting: Setting = TRAINING,
    *,
    input: Any = None,
    batch: Dim | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> MemoryPrediction:
    """Predict the memory of one step of training or inference.

    Args:
        model: as for `analyse`: a name, an `nn.Module`, or what makes one.
        setting: of the step.
        input: a specification, or tensors; the network's default when `None`.
        batch: size of the batch dimension of a specification; 1 when `None`.
        keywords: passed to the constructor.

    Raises:
        ArchscopeError: the model cannot be found, built, or run on this input.
    """
    from archscope.study import kept
    from archscope.study.subject import find

    arguments = {**asdict(setting), "input": input, "batch": batch, "keywords": keywords or {}}
    return kept.record(
        "memory",
        model,
        arguments,
        lambda: _predicted(find(model, keywords or {}), input, batch, setting),
    )


def largest_batch(
    model: Any,
    budget_bytes: int,
    setting: Setting = TRAINING,
    *,
    input: Any = None,
    keywords: Mapping[str, Any] | None = None,
) -> MemoryPrediction:
    """Predict the step with the largest batch whose peak stays within a budget.

    The peak is predicted for every batch that is tried, the answer and its successor included.

    Args:
        model: as for `predict`.
        budget_bytes: what the tensors may take.
        setting: of the step.
        input: a specification, without tensors, since its batch is what varies.
        keywords: passed to the constructor.

    Raises:
        ArchscopeError: not even the smallest batch fits, or the memory does not grow.
    """
    from archscope.study.subject import find

    subject = find(model, keywords or {})
    seen: dict[int, MemoryPrediction] = {}

    def peak(batch: int) -> int:
        if batch not in seen:
            seen[batch] = _predicted(subject, input, batch, setting)
        return seen[batch].peak_bytes

    first = _smallest(peak)
    if peak(first) > budget_bytes:
        raise ArchscopeError(
            f"--fit {binary_bytes(budget_bytes)}",
            f"batch {first} of {subject.name} needs {binary_bytes(peak(first))}",
            "give more, or a smaller --input or --dtype",
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
            raise ArchscopeError("--fit", "the memory does not grow with the batch", "leave it out")
        if peak(guess) <= budget:
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits))
            fits = guess
            if exceeds is None and peak(fits + 1) > budget:
                return fits
        else:
            exceeds = guess
            slope = max(1, (peak(guess) - peak(fits)) // (guess - fits) + 1)
    return fits


def _predicted(
    subject: Subject, input: Any, batch: Dim | None, setting: Setting
) -> MemoryPrediction:
    from archscope.study.call import network_call

    call = network_call(subject, input, batch)
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
        notes=(*subject.notes, *notes),
    )


def _followed(
    subject: Subject, call: NetworkCall, setting: Setting
) -> tuple[Step, tuple[str, ...]]:
    """Follow one step on meta; on the CPU where values decide the way."""
    import torch

    from archscope.analysis import borrow, memory
    from archscope.measure.step import Loss
    from archscope.study.analyse import executed, freeze
    from archscope.study.call import floating_dtype
    from archscope.study.failure import training_of

    dtype = getattr(torch, setting.dtype)
    bytes_kept = memory.optimizer_bytes(setting.optimizer, dtype.itemsize, setting.master_weights)

    def run(module: nn.Module, arguments: Arguments, stand_in: borrow.StandIn) -> Step:
        own = floating_dtype(module)  # an input of another is the network's own affair
        args, kwargs = (_cast(part, dtype, only=own) for part in arguments)
        with borrow.borrowed(module, lambda tensor: _cast(stand_in(tensor), dtype)) as network:
            network.train(setting.mode == "training")
            torch.manual_seed(0)
            if setting.mode == "inference":
                return memory.inference(network, args, kwargs)
            freeze(network, setting.train_only)
            return memory.training_step(network, args, kwargs, Loss(), bytes_kept)

    with training_of(subject.name, "predict a forward pass alone with --inference"):
        step, _, notes = executed(subject, call, run)
    return step, notes


def _cast(value: Any, dtype: torch.dtype, only: torch.dtype | None = None) -> Any:
    """The same nesting with floating tensors in another dtype; parameters stay parameters.

    Args:
        value: tensors, nested.
        dtype: what they become.
        only: what they are now; any floating one when `None`.
    """
    import torch
    from torch import nn
    from torch.nn.parameter import is_lazy
    from torch.utils._pytree import tree_map_only

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dtype is dtype or not tensor.is_floating_point() or is_lazy(tensor):
            return tensor
        if only is not None and tensor.dtype is not only:
            return tensor
        changed = tensor.detach().to(dtype)
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(changed, tensor.requires_grad)
        return changed.requires_grad_(tensor.requires_grad)

    return tree_map_only(torch.Tensor, cast, value)


# What is shown


def memory_report(prediction: MemoryPrediction, *, budget_bytes: int | None = None) -> Report:
    """The report of `archscope memory`: by kind, by layer, and the timeline as a figure.

    Args:
        prediction: what was predicted.
        budget_bytes: what the batch of the prediction was chosen to fit, if it was.
    """
    tables = [_kinds_table(prediction, budget_bytes)]
    if prediction.saved:
        tables.append(_largest_table(prediction))
    return Report(
        f"Memory of {prediction.model}",
        tuple(tables),
        (timeline_chart(prediction),),
        record=prediction,
        data=_saved_table(prediction) if prediction.saved else _kinds_table(prediction, None),
    )


def _kinds_table(prediction: MemoryPrediction, budget_bytes: int | None) -> Table:
    peak = prediction.peak
    rows = [
        Row((title, max(getattr(m, kind) for m in prediction.timeline), getattr(peak, kind)))
        for kind, title in KIND_TITLES.items()
    ]
    rows = [row for row in rows if row.cells[1]]
    columns = (
        Column("kind", "Kind", "text"),
        Column("largest_bytes", "Largest", "bytes"),
        Column("at_peak_bytes", "At the peak", "bytes"),
    )
    rows.append(Row(("Peak", None, peak.total), "total"))
    notes = [f"The peak is {_place(peak)}."]
    if budget_bytes is not None:
        notes.insert(
            0,
            f"Batch {prediction.input.batch} is the largest that fits into "
            f"{binary_bytes(budget_bytes)}.",
        )
    notes += [*prediction.notes, LOWER_BOUND]
    if prediction.optimizer.startswith("adam"):
        notes.append(ADAM_ON_A_CPU)
    return Table(_title(prediction), columns, tuple(rows), tuple(notes))


def _place(moment: LiveBytes) -> str:
    if moment.phase == "update":
        return "in the update of the weights"
    return f"in the {moment.phase} pass at {moment.layer or 'the network itself'}"


def _title(prediction: MemoryPrediction) -> str:
    how = [prediction.dtype]
    if prediction.master_weights:
        how.append("float32 master weights")
    if prediction.optimizer:
        how.insert(0, prediction.optimizer)
    name = network_title(prediction.model, prediction.keywords)
    return f"Memory of {prediction.mode}: {name} on {prediction.input}, {', '.join(how)}"


SAVED_COLUMNS = (
    Column("name", "Layer", "name"),
    Column("call", "Call", "exact", 3),
    Column("kind", "Kind", "text", 1),
    Column("saved_bytes", "Saved", "bytes"),
)

LARGEST_SHOWN = 12
"""Layers in the second table; files get all of them."""


def _largest_table(prediction: MemoryPrediction) -> Table:
    whole = prediction.saved_bytes or 1
    largest = sorted(prediction.saved, key=lambda row: -row.saved_bytes)
    rows = [
        Row((call_title(row.name, row.kind, row.call), row.kind, row.saved_bytes,
             row.saved_bytes / whole))
        for row in largest[:LARGEST_SHOWN]
    ]  # fmt: skip
    rest = sum(row.saved_bytes for row in largest[LARGEST_SHOWN:])
    if rest:
        label = f"{len(largest) - LARGEST_SHOWN} more"
        rows.append(Row((label, None, rest, rest / whole), "note"))
    rows.append(Row(("Total", None, prediction.saved_bytes, 1.0), "total"))
    return Table(
        "Activations saved for the backward pass",
        (
            SAVED_COLUMNS[0],
            SAVED_COLUMNS[2],
            SAVED_COLUMNS[3],
            Column("saved_share", "Share", "percent", 2),
        ),
        tuple(rows),
        ("A storage counts once, for the layer that saves it first; parameters, buffers and the "
         "network's input are not among them. All layers: -o FILE.csv.",),
    )  # fmt: skip


def _saved_table(prediction: MemoryPrediction) -> Table:
    rows = (Row((row.name, row.call, row.kind, row.saved_bytes)) for row in prediction.saved)
    return Table(_title(prediction), SAVED_COLUMNS, tuple(rows))


def timeline_chart(prediction: MemoryPrediction) -> Chart:
    """Live bytes over the operators of the step, one area a kind."""
    moments = prediction.timeline
    places = tuple(range(1, len(moments) + 1))
    series = tuple(
        Series(title, places, tuple(getattr(moment, kind) for moment in moments))
        for kind, title in KIND_TITLES.items()
        if any(getattr(moment, kind) for moment in moments)
    )
    peak = prediction.peak
    starts = {moment.phase: place for place, moment in reversed(list(enumerate(moments, 1)))}
    phases = ", ".join(f"{phase} from {place}" for phase, place in sorted(
        starts.items(), key=lambda item: item[1]))  # fmt: skip
    return Chart(
        _title(prediction),
        "area",
        Axis("operators that allocate, in order", "count"),
        Axis("live bytes", "bytes"),
        series,
        notes=(
            f"Peak of {binary_bytes(peak.total)} at {moments.index(peak) + 1}, {_place(peak)}; "
            f"{phases}.",
        ),
    )
