"""The totals of a comparison, with their ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archscope.ask.profile.doubts import doubts
from archscope.quantities import (
    ACTIVATIONS,
    BYTES_MOVED,
    ELEMENTWISE,
    INTENSITY,
    MACS,
    MACS_TRAINING,
    OPERATORS,
    PARAMS,
    TOP1,
    TOP5,
    TRAINING_TENSORS,
    Difference,
    Quantity,
)
from archscope.records import Measurement
from archscope.records.measured import FEWEST_RUNS, PairedRatio
from archscope.study.predict.answer import device_title
from archscope.study.profile.headings import device_name, throughput
from archscope.table import Cell, Column, Row, Table
from archscope.units import ratio
from archscope.wording import CONVENTION, PREDICTED, TRAINING_TENSORS_NOTE, coverage_note

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender


MODELS_A_TABLE = 4
"""More models get further tables of totals, each beside the first model again."""

PHASES = {
    "inference": "Inference latency",
    "forward": "Forward time",
    "backward": "Backward time",
    "step": "Training step",
}
LAYER_PHASES = ("inference", "forward", "backward")

NONE = "none"
"""What a measured difference is called that the intervals leave open."""

EQUAL_COST = 0.05
"""Totals within this share of each other count as equal in the sentence below the totals."""

NONE_NOTE = (
    f"{NONE}: the 95 % intervals of the two medians overlap, or that of their ratio contains 1, so "
    "no difference is shown."
)

PAIRED_NOTE = (
    "Measured in turns: ratios of inference and of a training step are medians over rounds, in "
    "which both networks ran under the same load."
)

NO_INTERVAL_NOTE = (
    f"–: a median of fewer than {FEWEST_RUNS} runs has no known interval, and an interval wider "
    "than its median says nothing, so no ratio is shown."
)

FEW_ROUNDS_NOTE = f"–: a ratio of fewer than {FEWEST_RUNS} rounds has no interval and is not shown."

PROFILED_NOTE = (
    "Layer times are from separate profiled steps, so these totals differ from the medians of the "
    "timed steps."
)

# Totals


@dataclass(frozen=True)
class _Compared:
    """A row of the totals: a quantity, and where a network has it."""

    quantity: Quantity
    read: Callable[[Contender], float | None]


def _counted(quantity: Quantity) -> _Compared:
    assert quantity.read is not None
    read = quantity.read
    return _Compared(quantity, lambda contender: read(contender.analysis.total))


QUANTITIES = (
    *map(_counted, (PARAMS, MACS, MACS_TRAINING, ELEMENTWISE, ACTIVATIONS, BYTES_MOVED, OPERATORS,
                    INTENSITY)),
    _Compared(TRAINING_TENSORS, lambda contender: contender.training_tensors),
)  # fmt: skip
ACCURACIES = (
    _Compared(TOP1, lambda contender: contender.top1),
    _Compared(TOP5, lambda contender: contender.top5),
)


def totals_tables(chosen: Sequence[Contender]) -> list[Table]:
    """Every quantity of every model, with its ratio to the first; the best of all is marked."""
    first, others = chosen[0], list(chosen[1:])
    size = MODELS_A_TABLE - 1
    blocks = [[first, *others[i : i + size]] for i in range(0, len(others), size)]
    tables = []
    for index, block in enumerate(blocks):
        title = _totals_title(chosen) + (f" ({index + 1} of {len(blocks)})" if index else "")
        last = index == len(blocks) - 1
        notes = _totals_notes(chosen) if last else ()
        rows = _totals_rows(block, chosen)
        if last and any(m.known_half_width is None for c in chosen for m in _shown_times(c)):
            notes = (NO_INTERVAL_NOTE, *notes)
        if last and any(not ratio.known for ratio in _paired_ratios(chosen)):
            notes = (FEW_ROUNDS_NOTE, *notes)
        if any(NONE in row.cells for row in rows):
            notes = (NONE_NOTE, *notes)
        tables.append(Table(title, _totals_columns(block), rows, notes))
    return tables


def _paired_ratios(chosen: Sequence[Contender]) -> list[PairedRatio]:
    """Those to the first network, where they were measured in turns."""
    pairs = [other.ratio_to(chosen[0], phase) for other in chosen[1:] for phase in PHASES]
    return [ratio for ratio in pairs if ratio is not None]


def _shown_times(contender: Contender) -> list[Measurement]:
    return [m for phase in PHASES if (m := contender.measured(phase)) is not None]


def _totals_columns(block: Sequence[Contender]) -> tuple[Column, ...]:
    columns = [
        Column("quantity", "Total", "name"),
        Column(block[0].label, block[0].label, "decimal"),
    ]
    for index, contender in enumerate(block[1:], 1):
        columns.append(Column(contender.label, contender.label, "decimal"))
        columns.append(
            Column(f"{contender.label} ratio", f"÷ {block[0].label}", "ratio", priority=index)
        )
    return tuple(columns)


def _totals_rows(block: Sequence[Contender], chosen: Sequence[Contender]) -> tuple[Row, ...]:
    rows = [_quantity_row(quantity, block, chosen) for quantity in QUANTITIES]
    for phase, title in PHASES.items():
        rows += _measured_rows(phase, title, block, chosen)
    rows += _predicted_rows(block, chosen)
    rows += [_quantity_row(quantity, block, chosen) for quantity in ACCURACIES]
    return tuple(row for row in rows if row is not None)


def _quantity_row(
    compared: _Compared, block: Sequence[Contender], chosen: Sequence[Contender]
) -> Row | None:
    quantity, read = compared.quantity, compared.read
    everywhere = [value for c in chosen if (value := read(c)) is not None]
    if not everywhere:
        return None
    values = [read(contender) for contender in block]
    best = quantity.best(everywhere)
    differ = len(set(everywhere)) > 1
    accuracy = compared in ACCURACIES
    compare = _points if accuracy else _ratio
    return Row(
        _with_ratios(quantity.title, values, [compare(value, values[0]) for value in values]),
        best=frozenset(
            c.label for c, value in zip(block, values, strict=True) if differ and value == best
        ),
        lower_bound=frozenset(
            c.label for c in block if quantity.bounded and not c.analysis.coverage.complete
        ),
        unit=quantity.overview or quantity.unit,
    )


def _predicted_rows(block: Sequence[Contender], chosen: Sequence[Contender]) -> list[Row]:
    """Predicted steps, each with the interval that should contain 80 % of measurements."""
    rows = []
    for index, one in enumerate(chosen[0].predictions):
        found = [contender.predictions[index].time for contender in block]
        middle: list[float | None] = [time.seconds for time in found]
        fastest = min(c.predictions[index].seconds for c in chosen)
        title = f"Predicted on {device_title(one)}, {one.how}"
        bound = frozenset(
            c.label for c, time in zip(block, found, strict=True) if time.bound
        )  # fmt: skip
        best = frozenset(
            c.label for c, time in zip(block, found, strict=True)
            if time.seconds == fastest and not bound and len(chosen) > 1
        )  # fmt: skip
        ratios = [_ratio(value, middle[0]) for value in middle]
        rows.append(
            Row(_with_ratios(title, middle, ratios), best=best, lower_bound=bound, unit="seconds")
        )
        nothing = [None] * len(block)
        for name, ends in (
            ("80 % from", [t.low for t in found]), ("to", [t.high for t in found]),
        ):  # fmt: skip
            rows.append(Row(_with_ratios(name, ends, nothing), depth=1, unit="seconds"))
    return rows


def _measured_rows(
    phase: str, title: str, block: Sequence[Contender], chosen: Sequence[Contender]
) -> list[Row]:
    """Median, interval and throughput of a phase; no winner where the intervals overlap."""
    everywhere = [m for c in chosen if (m := c.measured(phase)) is not None]
    if not everywhere:
        return []
    found = [c.measured(phase) for c in block]
    medians = [None if m is None else m.median for m in found]
    ratios = [_ratio_of(c, block[0], phase) for c in block]
    winner = _winner([c for c in chosen if c.measured(phase) is not None], phase)
    best = frozenset(c.label for c in block if c is winner)
    spread = [None if m is None else m.known_half_width for m in found]
    rows = [
        Row(_with_ratios(title, medians, ratios), best=best, unit="seconds"),
        Row(_with_ratios("± of it (95 %)", spread, [None] * len(block)), depth=1, unit="percent"),
    ]
    if phase in ("inference", "step"):
        rates = [_throughput(c, phase) for c in block]
        rate_ratios: list[Cell] = [
            _ratio(rate, rates[0]) if isinstance(cell, float) else cell
            for cell, rate in zip(ratios, rates, strict=True)
        ]
        rows.append(
            Row(_with_ratios("Samples a second", rates, rate_ratios), depth=1, unit="decimal")
        )
    return rows


def _winner(timed: Sequence[Contender], phase: str) -> Contender | None:
    """The network that takes least, `None` where that of another may be as little."""
    medians = {id(c): m.median for c in timed if (m := c.measured(phase)) is not None}
    fastest = min(timed, key=lambda c: medians[id(c)])
    ratios = [_ratio_of(c, fastest, phase) for c in timed if c is not fastest]
    apart = all(isinstance(ratio, float) and ratio > 1 for ratio in ratios)
    return fastest if ratios and apart else None


def _ratio_of(own: Contender, base: Contender, phase: str) -> float | str | None:
    """Of the times of a phase: from the rounds where both were measured in turns."""
    paired = own.ratio_to(base, phase)
    if paired is None or own is base:
        return time_ratio(own.measured(phase), base.measured(phase))
    if not paired.known:
        return None
    return NONE if paired.is_one else paired.value


def time_ratio(own: Measurement | None, base: Measurement | None) -> float | str | None:
    """One median over another: `none` where the intervals overlap, `None` if one is unknown."""
    if own is None or base is None:
        return None
    if own is base:
        return 1.0
    overlap = own.overlaps(base)
    if overlap is None:
        return None
    return NONE if overlap else own.median / base.median


def _throughput(contender: Contender, phase: str) -> float | None:
    if contender.profile is None or phase not in contender.profile.phases:
        return None
    return throughput(contender.profile, phase)


def _with_ratios(
    title: str, values: Sequence[float | None], ratios: Sequence[Cell]
) -> tuple[Cell, ...]:
    """Cells of a row: the first model alone, every other one with its ratio behind it."""
    pairs = [cell for pair in zip(values[1:], ratios[1:], strict=True) for cell in pair]
    return (title, values[0], *pairs)


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or base is None else Difference(value, base).ratio


def _points(value: float | None, base: float | None) -> str | None:
    """A difference of two accuracies: a ratio of theirs means nothing."""
    return None if value is None or base is None else f"{100 * (value - base):+.1f} points"


def _totals_title(chosen: Sequence[Contender]) -> str:
    inputs = {str(contender.analysis.input) for contender in chosen}
    names = " · ".join(contender.label for contender in chosen)
    return f"{names} on {inputs.pop()}" if len(inputs) == 1 else names


def _totals_notes(chosen: Sequence[Contender]) -> tuple[str, ...]:
    notes = [verdict(chosen[0], other) for other in chosen[1:]]
    inputs = {str(c.analysis.input) for c in chosen}
    if len(inputs) > 1:
        each = "; ".join(f"{c.label} {c.analysis.input}" for c in chosen)
        notes.append(f"The inputs differ: {each}.")
    devices = {device_name(c.profile) for c in chosen if c.profile is not None}
    if len(devices) > 1:
        notes.append(f"Measured on different devices: {', '.join(sorted(devices))}.")
    notes += [
        f"{c.label}: {' '.join(doubtful)}"
        for c in chosen
        if c.profile is not None and (doubtful := doubts(c.profile, PHASES))
    ]
    notes += [f"{c.label}: {note}" for c in chosen for note in c.analysis.notes]
    notes += [
        f"{c.label}: {coverage_note(c.analysis)}"
        for c in chosen
        if not c.analysis.coverage.complete
    ]
    notes += [
        f"{c.label}: no training tensors predicted ({c.training_failure})."
        for c in chosen
        if c.training_failure
    ]
    if any(c.rounds for c in chosen):
        notes.append(PAIRED_NOTE)
    if len({c.analysis.total.operators for c in chosen}) > 1:
        notes.append("Operators: all that run forward; views are left out.")
    if chosen[0].predictions:
        sources = dict.fromkeys(p.fitted_on for c in chosen for p in c.predictions)
        notes.append(f"{PREDICTED} From {'; '.join(sources)}.")
    if any(c.training_tensors for c in chosen):
        notes.append(TRAINING_TENSORS_NOTE)
    if any(c.top1 for c in chosen):
        notes.append(recipes(chosen))
    return (*filter(None, notes), CONVENTION)


def recipes(chosen: Sequence[Contender]) -> str:
    """The note on whose accuracy it is, network by network where they differ."""
    known = {c.label: c.recipe for c in chosen if c.top1 is not None and c.recipe}
    alike = len(set(known.values())) == 1
    each = next(iter(known.values())) if alike else ", ".join(f"{n} {r}" for n, r in known.items())
    recipe = f" {each}" if known else ""
    return f"Accuracy: metadata of torchvision's weights{recipe}, not measured here."


def verdict(first: Contender, other: Contender) -> str:
    """What differs at nearly equal MACs, in a sentence; empty where these differ, or nothing."""
    one, two = first.analysis.total, other.analysis.total
    if not one.macs or not one.bytes_moved or abs(two.macs / one.macs - 1) > EQUAL_COST:
        return ""
    if not one.intensity or abs(two.intensity / one.intensity - 1) <= EQUAL_COST:
        return ""  # nearly equal in both
    sentence = (
        f"At nearly equal MACs ({ratio(two.macs / one.macs)}), {other.label} moves "
        f"{ratio(two.bytes_moved / one.bytes_moved)} the bytes of {first.label}"
    )
    change = two.intensity / one.intensity
    effect = "slower" if change < 1 else "faster"
    return (
        f"{sentence}, so {ratio(change)} the flops per byte: {effect} wherever memory, "
        f"not arithmetic, is the limit."
    )
