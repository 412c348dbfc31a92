"""The cheapest measures that bring a training step into a memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from archscope.ask.memory.prediction import predicted
from archscope.ask.memory.setting import OWN, Setting
from archscope.errors import ArchscopeError
from archscope.parameters import in_words, parameter
from archscope.records import MemoryPrediction

if TYPE_CHECKING:
    from torch import nn

    from archscope.ask.network.call import NetworkCall
    from archscope.ask.network.subject import Subject
    from archscope.ask.target import Target

MOST_PASSES = 64
"""Passes an update beyond which gradients are not accumulated further."""


@dataclass(frozen=True)
class Measure:
    """One thing that makes a step need less.

    Args:
        name: as a user says it.
        option: how to ask for it.
        cost: what it costs besides memory.
        setting: with it.
        divided: by what the batch of one pass is divided.
    """

    name: str
    option: str
    cost: str
    setting: Setting
    divided: int = 1


@dataclass(frozen=True)
class Tried:
    """A measure with all before it, and what the step then needs.

    Args:
        measure: the last one taken.
        prediction: of one pass, whose peak is that of the step.
    """

    measure: Measure
    prediction: MemoryPrediction

    @property
    def peak_bytes(self) -> int:
        return self.prediction.peak_bytes

    @property
    def recomputed_macs(self) -> int:
        """Multiply-accumulates of a step that checkpointing repeats."""
        return self.prediction.recomputed_macs * self.measure.divided


@dataclass(frozen=True)
class MemoryPlan:
    """What was tried, the cheapest measure first, until the step fits.

    Args:
        model: name of the network.
        input: what it is called with.
        budget_bytes: what there is.
        alone: each measure by itself; the first is the step as asked.
        together: each with all before it, up to the first that fits, without those that would
            save nothing there.
    """

    model: str
    input: str
    budget_bytes: int
    alone: tuple[Tried, ...]
    together: tuple[Tried, ...]

    @property
    def fits(self) -> bool:
        return self.together[-1].peak_bytes <= self.budget_bytes


def plan_to_fit(target: Target, budget_bytes: int, setting: Setting) -> MemoryPlan:
    """Take measures, the cheapest first, until a training step fits.

    Args:
        target: the network with its call.
        budget_bytes: what the step may need.
        setting: of the step; measures that it has are not taken again.

    Raises:
        ArchscopeError: of inference, or the network cannot be followed.
    """
    if setting.mode == "inference":
        raise ArchscopeError(
            parameter("plan"), "is of training", f"leave {parameter('inference')} out"
        )
    subject, call = target.called()
    as_asked = Measure("as asked", "", "", setting)
    start = _tried(subject, call, as_asked)
    alone, together = [start], [start]
    for measure in measures(subject.module, call.spec.batch, setting):
        alone.append(_tried(subject, call, measure))
        if together[-1].peak_bytes > budget_bytes:
            joined = _tried(subject, call, _joined(together[-1].measure, measure))
            if joined.peak_bytes < together[-1].peak_bytes:
                together.append(joined)
    batch = call.spec.batch
    divided = together[-1].measure
    while (
        together[-1].peak_bytes > budget_bytes
        and isinstance(batch, int)
        and batch % (2 * divided.divided) == 0
        and 2 * divided.divided <= MOST_PASSES
    ):
        divided = _divided(divided, 2 * divided.divided)
        together.append(_tried(subject, call, divided))
    return MemoryPlan(subject.name, str(call.spec), budget_bytes, tuple(alone), tuple(together))


def measures(module: nn.Module, batch: int | str, setting: Setting) -> Iterator[Measure]:
    """What is not taken yet, the cheapest first."""
    if setting.optimizer in ("adam", "adamw") and setting.form == "foreach":
        yield Measure(
            "fused update", _in_words("form", "fused"), "nothing", replace(setting, form="fused")
        )
    if setting.dtype == "float32" or (setting.dtype == OWN and _is_float32(module)):
        yield Measure(
            "autocast to bfloat16",
            _in_words("dtype", "amp-bfloat16"),
            "products rounded to 8 bits",
            replace(setting, dtype="amp-bfloat16"),
        )  # fmt: skip
    if isinstance(batch, int) and batch % 2 == 0 and setting.accumulate == 1:
        yield _divided(Measure("", "", "", setting), 2)
    if setting.checkpoint is None and (pattern := blocks_pattern(module)):
        yield Measure(
            f"checkpointed {pattern}", _in_words("checkpoint", pattern), "their forward pass again",
            replace(setting, checkpoint=pattern),
        )  # fmt: skip
    if setting.optimizer in ("adam", "adamw"):
        name = f"{setting.optimizer}8bit"
        yield Measure(
            "8-bit state", _in_words("optimizer", name), "moments rounded to 8 bits (bitsandbytes)",
            replace(setting, optimizer=name),
        )  # fmt: skip


def _is_float32(module: nn.Module) -> bool:
    import torch

    from archscope.ask.network.call import floating_dtype

    return floating_dtype(module) is torch.float32


def _in_words(name: str, value: object) -> str:
    return in_words(parameter(name, value))


def _divided(measure: Measure, passes: int) -> Measure:
    return Measure(
        f"{passes} passes per update",
        f"{_in_words('accumulate', passes)}, batch divided by {passes}",
        "batch normalisation sees the smaller batch",
        replace(measure.setting, accumulate=passes),
        passes,
    )


def _joined(before: Measure, measure: Measure) -> Measure:
    """A measure on top of those before it."""
    one, other, plain = before.setting, measure.setting, Setting()
    changed = {
        name: getattr(other, name)
        for name in ("form", "dtype", "accumulate", "checkpoint", "optimizer")
        if getattr(other, name) != getattr(plain, name)
        and getattr(one, name) != getattr(other, name)
    }
    divided = max(before.divided, measure.divided)
    return replace(measure, setting=replace(one, **changed), divided=divided)


def _tried(subject: Subject, call: NetworkCall, measure: Measure) -> Tried:
    from archscope.ask.network.call import network_call, with_batch

    batch = call.spec.batch
    if measure.divided > 1 and isinstance(batch, int):
        call = network_call(subject, with_batch(call.spec, batch // measure.divided), None)
    found = predicted(subject, call, measure.setting)
    return Tried(measure, found)


def blocks_pattern(network: nn.Module) -> str:
    """A glob of the repeated blocks with the most parameters: `layer*.*`, `model.layers.*`.

    Empty where nothing with children of its own repeats.
    """
    from archscope.analysis.borrow import members

    found: dict[str, list[int]] = {}
    for name, module in members(network).items():
        *_, last = name.rpartition(".")
        if last.isdigit() and module._modules:
            pattern = ".".join(_starred(part) for part in name.split("."))
            sizes = found.setdefault(pattern, [])
            sizes.append(sum(p.numel() for p in module.parameters()))
    repeated = {pattern: sum(sizes) for pattern, sizes in found.items() if len(sizes) > 1}
    return max(repeated, key=lambda pattern: repeated[pattern], default="")


def _starred(part: str) -> str:
    """`3` → `*`, `layer3` → `layer*`."""
    stem = part.rstrip("0123456789")
    return part if stem == part else f"{stem}*"
