"""The cheapest measures that bring a training step into a memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

from archscope.ask.memory.prediction import predicted
from archscope.ask.memory.setting import OWN, Setting
from archscope.errors import ArchscopeError
from archscope.parameters import in_words, parameter
from archscope.records import MemoryPrediction
from archscope.units import binary_bytes

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
    """The fewest measures with which a step fits, and what each saves by itself.

    Args:
        model: name of the network.
        input: what it is called with.
        budget_bytes: what there is.
        alone: each measure by itself; the first is the step as asked.
        together: the step as asked, then each measure of the plan with all before it; where
            nothing fits, all measures that save anything.
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
    """Find the fewest measures with which a training step fits, and of as many the cheapest.

    Args:
        target: the network with its call.
        budget_bytes: what the step may need.
        setting: of the step; measures that it has are not taken again.

    Raises:
        ArchscopeError: of inference, the budget is below what a GPU's context takes, or the
            network cannot be followed.
    """
    from archscope.analysis.memory import CONTEXT_BYTES

    if setting.mode == "inference":
        raise ArchscopeError(
            parameter("plan"), "is of training", f"leave {parameter('inference')} out"
        )
    if setting.device == "cuda" and budget_bytes <= CONTEXT_BYTES:
        raise ArchscopeError(
            parameter("plan", binary_bytes(budget_bytes)),
            f"nothing can fit: {binary_bytes(CONTEXT_BYTES)} is allowed for the driver and the "
            f"context of a GPU alone",
            f"give more, or {parameter('device', 'cpu')}",
        )
    subject, call = target.called()
    start = _tried(subject, call, Measure("as asked", "", "", setting))
    possible = tuple(measures(subject.module, call.spec.batch, setting))
    alone = (start, *(_tried(subject, call, measure) for measure in possible))
    search = _Search(subject, call, budget_bytes, alone)
    return MemoryPlan(subject.name, str(call.spec), budget_bytes, alone, search.cheapest())


class _Search:
    """The fewest measures that fit, and of as many the cheapest.

    Args:
        subject: the network.
        call: the step's, as asked.
        budget_bytes: what there is.
        alone: the step as asked, then with each measure by itself, the cheapest first.
    """

    def __init__(
        self, subject: Subject, call: NetworkCall, budget_bytes: int, alone: tuple[Tried, ...]
    ) -> None:
        self.subject, self.call, self.budget_bytes = subject, call, budget_bytes
        self.start, self.singles = alone[0], alone[1:]

    def cheapest(self) -> tuple[Tried, ...]:
        """The step as asked, then each measure on top of those before it."""
        if self.fits(self.start):
            return (self.start,)
        for single in self.singles:
            if self.fits(single):
                return (self.start, single)
        everything = self.everything()
        if not self.fits(everything[-1]):
            return everything
        possible = self.possible(everything[-1].measure.divided)
        for number in range(1, len(possible)):
            for some in combinations(possible, number):
                if self.fits((taken := self.joined(some))[-1]):
                    return taken
        return everything

    def possible(self, passes: int) -> tuple[Measure, ...]:
        """The measures, with as many passes as all of them together need."""
        return tuple(
            _divided(replace(single.measure, setting=self.start.measure.setting), passes)
            if single.measure.divided > 1
            else single.measure
            for single in self.singles
        )

    def fits(self, tried: Tried) -> bool:
        return tried.peak_bytes <= self.budget_bytes

    def joined(self, measures: Sequence[Measure]) -> tuple[Tried, ...]:
        found = [self.start]
        for measure in measures:
            found.append(self.tried(_joined(found[-1].measure, measure)))
        return tuple(found)

    def everything(self) -> tuple[Tried, ...]:
        """All that save anything, and then more passes, until the step fits."""
        taken = [self.start]
        for single in self.singles:
            joined = self.tried(_joined(taken[-1].measure, single.measure))
            if joined.peak_bytes < taken[-1].peak_bytes:
                taken.append(joined)
        batch, divided = self.call.spec.batch, taken[-1].measure
        while (
            not self.fits(taken[-1])
            and isinstance(batch, int)
            and batch % (2 * divided.divided) == 0
            and 2 * divided.divided <= MOST_PASSES
        ):
            divided = _divided(divided, 2 * divided.divided)
            taken.append(self.tried(divided))
        return tuple(taken)

    def tried(self, measure: Measure) -> Tried:
        return _tried(self.subject, self.call, measure)


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
