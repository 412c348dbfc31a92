"""Networks held to a budget: limits on cost, memory and time, absolute or against a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from archscope import wording
from archscope.ask.budget.limits import COUNTED, Budget, Limits
from archscope.ask.count import analyse
from archscope.ask.diff import changes
from archscope.ask.target import Target, network_target, target
from archscope.errors import ArchscopeError
from archscope.parameters import advice_in_toml, in_words, marked, parameter
from archscope.patterns import matching
from archscope.quantities import LATENCY, LIMITED, PREDICTED_LATENCY, TRAINING_MEMORY, Quantity
from archscope.records import Analysis, Dim, Layer, Measurement, Profile
from archscope.resolve.buildable import require_buildable, require_plain
from archscope.saved.record import Saved, is_record, saved
from archscope.table import Unit
from archscope.units import binary_bytes, seconds

MOST_LAYERS = 3
"""How many of the layers behind a figure are named."""

TIMED = "inference"
"""The phase of a Profile that a limit on latency is for."""

Verdict = Literal["ok", "OVER", "UNDECIDED"]

AT_LEAST = "≥ "

TEXTS: Mapping[Unit, Callable[[float, int], str]] = {
    "bytes": binary_bytes,
    "seconds": seconds,
}
"""How values read in a sentence with some digits; whole numbers have all of theirs."""

DIGITS = 3
"""Significant digits of a measured figure in a sentence, more where two would read the same."""


def _exact(value: float, digits: int) -> str:
    return f"{value:,.{digits - DIGITS}f}"


def _apart(value: float, limit: float, quantity: Quantity) -> tuple[str, str]:
    """A figure and its limit with as many digits as tell them apart."""
    write = TEXTS.get(quantity.unit, _exact)
    for digits in range(DIGITS, 16):
        texts = write(value, digits), write(limit, digits)
        if value == limit or texts[0] != texts[1]:
            break
    return texts


@dataclass(frozen=True)
class Outcome:
    """One limit and what was found.

    Args:
        model: as the file names it.
        quantity: one of `LIMITED`.
        value: what the network takes.
        limit: the most that it may take.
        pattern: glob of the layers that the limit is for; empty for the whole network.
        allowance: where the limit comes from, such as `baseline + 2 %`.
        layers: the layers that grew most where growth is limited, or else the largest.
        gap: operators without a formula, which make `value` a lower bound, and where they ran.
        baseline_gap: the same of the baseline, where they make `limit` a lower bound.
        measurement: what a measured value is the median of.
        doubts: what was said against it when it was measured.
        setting: keywords, input and batch of its budget, where another is of the same model.
    """

    model: str
    quantity: Quantity
    value: float
    limit: float
    pattern: str = ""
    allowance: str = ""
    layers: tuple[str, ...] = ()
    gap: str = ""
    baseline_gap: str = ""
    measurement: Measurement | None = None
    doubts: tuple[str, ...] = ()
    setting: str = ""

    @property
    def verdict(self) -> Verdict:
        """`UNDECIDED` where a lower bound leaves room on either side of the limit."""
        if self.value <= self.limit:
            return "UNDECIDED" if self.gap else "ok"
        return "UNDECIDED" if self.baseline_gap else "OVER"

    @property
    def passed(self) -> bool:
        return self.verdict == "ok"

    @property
    def network(self) -> str:
        """`resnet50`, and how it is set: `resnet50 (batch 64)`."""
        return f"{self.model} ({self.setting})" if self.setting else self.model

    @property
    def limited(self) -> str:
        """What the limit is on: `parameters of layer4.*, growth`."""
        layers = f" of {self.pattern}" if self.pattern else ""
        return f"{self.quantity.word}{layers}{', growth' if self.allowance else ''}"

    @property
    def name(self) -> str:
        return f"{self.network}: {self.limited}"

    @property
    def excess(self) -> float:
        """How many times its limit it is."""
        return self.value / self.limit if self.limit else math.inf

    @property
    def figures(self) -> str:
        """`4,089,184,256, limit 4,000,000,000`, with as many digits as tell them apart."""
        value, limit = _apart(self.value, self.limit, self.quantity)
        return (
            f"{AT_LEAST * bool(self.gap)}{value}, limit {AT_LEAST * bool(self.baseline_gap)}{limit}"
        )

    @property
    def sentence(self) -> str:
        """`resnet50: MACs 4,089,184,256, limit 4,000,000,000`, and which layers are behind it."""
        text = f"{self.name} {self.figures}"
        if self.allowance:
            text += f" ({self.allowance})"
        if self.verdict == "UNDECIDED":
            return f"{text}; {self.doubt}"
        return f"{text}; {', '.join(self.layers)}" if self.layers and not self.passed else text

    @property
    def doubt(self) -> str:
        """Why a figure is a lower bound, and what helps."""
        whose = "a lower bound" if self.gap else "the baseline's is a lower bound"
        missing = self.gap or self.baseline_gap
        return f"only {whose}, since {missing} has no formula: {wording.REMEDY}"


def check(budgets: Sequence[Budget], named: Sequence[str] = ()) -> tuple[Outcome, ...]:
    """Hold every network to its limits.

    Args:
        budgets: of one file.
        named: networks that the user names beside the file; a budget of any other builds only
            those of archscope's zoo, torchvision and timm.

    Raises:
        ArchscopeError: a network cannot be counted, or a glob matches none of its layers, or a
            budget is of code that the user did not name.
    """
    for budget in budgets:
        _require_buildable(budget, named)
    for name in named:
        if not any(_same_network(budget.model, name) for budget in budgets):
            raise ArchscopeError(
                parameter("model", name), "is not in any budget of this file", "leave it out"
            )
    times = Counter(budget.model for budget in budgets)
    return tuple(
        replace(outcome, setting=_setting(budget) if times[budget.model] > 1 else "")
        for budget in budgets
        for outcome in _checked(budget)
    )


def _require_buildable(budget: Budget, named: Sequence[str]) -> None:
    keywords = dict(budget.keywords)
    if any(_same_network(budget.model, name) for name in named):
        require_plain(budget.file, keywords)
    elif not is_record(budget.model):
        require_buildable(budget.file, budget.model, keywords)


def _same_network(one: str, other: str) -> bool:
    """Whether two names are the same; a file may be named by several paths."""
    (file, _, attribute), (path, _, name) = one.rpartition(":"), other.rpartition(":")
    if not (file.endswith(".py") and path.endswith(".py")):
        return one == other
    return attribute == name and Path(file).resolve() == Path(path).resolve()


def _checked(budget: Budget) -> tuple[Outcome, ...]:
    try:
        return tuple(_outcomes(budget))
    except ArchscopeError as error:
        raise _in_toml(error, budget) from error


def _setting(budget: Budget) -> str:
    """What the file sets of a network, which tells two budgets of one model apart."""
    keywords = [f"{key}={value}" for key, value in budget.keywords]
    shape = [] if budget.input is None else [budget.input]
    return ", ".join(
        [*keywords, *shape, *([] if budget.batch is None else [f"batch {budget.batch}"])]
    )


def _outcomes(budget: Budget) -> Iterator[Outcome]:
    network = target(
        budget.model, input=budget.input, batch=budget.batch, keywords=dict(budget.keywords)
    )
    analysis = analyse(network)
    baseline = _baseline(budget, analysis.input.batch)
    if baseline is not None and baseline.input != analysis.input:
        raise ArchscopeError(
            str(budget.baseline),
            f"was counted on {baseline.input}, and {budget.model} on {analysis.input}",
            "save it again on the same input",
        )
    for limits in budget.limits:
        yield from _counted(budget, limits, analysis, baseline)
    from archscope.ask.memory.prediction import predict

    most = budget.limits[0].most
    if "memory" in most:
        if isinstance(network, Saved):
            raise ArchscopeError(
                network.name,
                "is a saved record, which says nothing of memory",
                "name the network itself",
            )
        needed = predict(network).peak_bytes
        yield Outcome(budget.model, TRAINING_MEMORY, needed, most["memory"])
    if "latency" in most:
        profile = (
            _recorded(network) if isinstance(network, Saved) else _measured(network, budget.device)
        )
        yield _latency(budget.model, profile, most["latency"])
    if PREDICTED_LATENCY.option in most:
        one = network_target(network) if isinstance(network, Saved) else network
        yield from _predicted(budget, one, most[PREDICTED_LATENCY.option])


def _baseline(budget: Budget, batch: Dim) -> Analysis | None:
    if budget.baseline is None:
        return None
    record = saved(budget.baseline)
    if record is None:
        raise ArchscopeError(
            parameter("baseline", budget.baseline),
            "is not a saved record",
            f"save the count of {budget.baseline} and name its file",
        )
    return record.count(batch)


MODEL_BESIDE = "⟦model="
"""A remedy that names a network beside the file, which no key of it can."""


def _in_toml(error: ArchscopeError, budget: Budget) -> ArchscopeError:
    """The same mistake in the words of a budget, which has keys where others have options."""
    text = error.argument + error.remedy
    if not marked(text) or MODEL_BESIDE in text:
        return error
    whose = f"{budget.model}, " if marked(error.argument) else ""
    argument = f"{budget.file}: {whose}{in_words(error.argument)}"
    return ArchscopeError(argument, error.problem, advice_in_toml(error.remedy))


def _counted(
    budget: Budget, limits: Limits, analysis: Analysis, baseline: Analysis | None
) -> Iterator[Outcome]:
    chosen = _matching(analysis, limits.pattern)
    if not chosen and not (baseline is not None and _matching(baseline, limits.pattern)):
        raise ArchscopeError(
            f'{budget.file}: match = "{limits.pattern}"',
            f"matches no layer of {budget.model}",
            f"archscope summary {budget.model} lists its layers",
        )
    for option in COUNTED:
        quantity = LIMITED[option]
        value = quantity.of(chosen)
        gap = _gap(analysis, limits.pattern, quantity)
        if option in limits.most:
            limit = limits.most[option]
            behind = _largest(analysis, limits.pattern, quantity)
            yield Outcome(budget.model, quantity, value, limit, limits.pattern, "", behind, gap)
        if option in limits.growth and baseline is not None:
            share = limits.growth[option]
            before = quantity.of(_matching(baseline, limits.pattern))
            allowance = f"{_share(share)} over {before:,}"
            most = math.floor(round(before * (1 + share), DIGITS))
            behind = _grown(analysis, baseline, limits.pattern, quantity)
            yield Outcome(
                budget.model, quantity, value, most, limits.pattern,
                allowance, behind, gap, _gap(baseline, limits.pattern, quantity),
            )  # fmt: skip


def _gap(analysis: Analysis, pattern: str, quantity: Quantity) -> str:
    """Operators without a formula in the layers of a pattern, where they matter to a quantity."""
    where = analysis.coverage.unknown_layers
    ran = not pattern or any(matching(pattern, name) for name in where)
    if not quantity.bounded or not ran:
        return ""
    return wording.missing_formulas(analysis.coverage)


def _share(share: float) -> str:
    return f"{100 * share:g} %"


def _matching(analysis: Analysis, pattern: str) -> list[Layer]:
    return [
        layer
        for layer in analysis.layers
        if not pattern or matching(pattern, layer.name, layer.kind)
    ]


def _largest(analysis: Analysis, pattern: str, quantity: Quantity) -> tuple[str, ...]:
    """The layers that take most of a quantity."""
    sizes = [
        (quantity.of((layer,)), layer.name or layer.kind) for layer in _matching(analysis, pattern)
    ]
    return _behind(sizes, "", quantity)


def _grown(
    analysis: Analysis, baseline: Analysis, pattern: str, quantity: Quantity
) -> tuple[str, ...]:
    """The layers that grew most."""
    sizes = [
        (change.difference(quantity), change.name)
        for change in changes(baseline, analysis)
        if change.new is not None
        and (not pattern or matching(pattern, change.new.name, change.new.kind))
    ]
    return _behind(sizes, "+", quantity)


def _behind(sizes: Sequence[tuple[float, str]], sign: str, quantity: Quantity) -> tuple[str, ...]:
    largest = sorted((size for size in sizes if size[0] > 0), key=lambda size: -size[0])
    write = TEXTS.get(quantity.unit, _exact)
    return tuple(f"{name} {sign}{write(size, DIGITS)}" for size, name in largest[:MOST_LAYERS])


def _recorded(record: Saved) -> Profile:
    """The Profile of a file, with an inference in it.

    Raises:
        ArchscopeError: it holds none.
    """
    found = record.record
    if not isinstance(found, Profile) or TIMED not in found.phases:
        raise ArchscopeError(
            record.name, "holds no inference latency", "save one with archscope profile -o"
        )
    return found


def _latency(model: str, profile: Profile, limit: float) -> Outcome:
    from archscope.ask.profile.doubts import doubts

    measurement = profile.phases[TIMED]
    return Outcome(
        model, LATENCY, measurement.median, limit,
        measurement=measurement, doubts=doubts(profile, [TIMED]),
    )  # fmt: skip


def _predicted(budget: Budget, network: Target, limit: float) -> Iterator[Outcome]:
    from archscope.ask.predict import predicted_at
    from archscope.latency.place import read_places

    for time in (found.time for found in predicted_at(network, read_places(budget.gpu, "gpu"))):
        interval = f"80 % interval {seconds(time.low)} to {seconds(time.high)}"
        gap = "an operator" if time.bound else ""
        said = f"{time.place}: predicted, not measured, {interval}"
        yield Outcome(budget.model, PREDICTED_LATENCY, time.seconds, limit, gap=gap, doubts=(said,))


def _measured(network: Target, name: str) -> Profile:
    from archscope.ask.profile.measured import profile
    from archscope.measure import device
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings

    device.find(name)
    plan = Plan(Settings(device=name), modes=("inference",), details=False)
    return profile(network, plan)
