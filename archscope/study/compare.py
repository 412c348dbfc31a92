"""Networks side by side: totals with ratios, and at which output stride the difference lies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from archscope.errors import ArchscopeError
from archscope.records import Analysis, Dim, Measurement, Profile, Totals
from archscope.study.analyse import analyse, saved_record
from archscope.study.match import READ, Quantity, match_table, meter, solve, width_keyword
from archscope.study.stages import in_order, stage_seconds, stages
from archscope.study.summary import CONVENTION, coverage_note
from archscope.table import Cell, Column, Report, Row, Table, Unit
from archscope.units import percent, ratio

Layout = Literal["stages", "paper"]
LAYOUTS: tuple[Layout, ...] = ("stages", "paper")

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

STRIDE_NOTE = (
    "Output stride: side of the input over side of a layer's output, to the nearest power of two; "
    "a layer whose output is one place counts where the block around it does, or in the head. "
    "Shares are of the total difference and add up to 100 %; a negative one works against it."
)


@dataclass(frozen=True)
class Contender:
    """One network of a comparison.

    Args:
        label: unlike every other one's.
        analysis: what was counted.
        profile: what was measured, when it was.
        top1, top5: published ImageNet accuracy, as fractions.
        training_bytes: predicted peak of a training step with plain SGD.
    """

    label: str
    analysis: Analysis
    profile: Profile | None = None
    top1: float | None = None
    top5: float | None = None
    training_bytes: int | None = None

    def measured(self, phase: str) -> Measurement | None:
        """A whole-step Measurement of the profile."""
        return None if self.profile is None else self.profile.phases.get(phase)


def contenders(
    models: Sequence[Any],
    *,
    input: Any = None,
    batch: Dim | None = None,
    keywords: Sequence[Mapping[str, Any]] | None = None,
) -> tuple[Contender, ...]:
    """Count every model, forward and backward; saved records are taken as they are.

    Args:
        models: names, modules, classes, or saved records (a Profile brings its measured times).
        input: for all that are counted now; each network's own default when `None`.
        batch: for all that are counted now.
        keywords: constructor keywords of each model.

    Raises:
        ArchscopeError: fewer than two models, or one cannot be counted.
    """
    if len(models) < 2:
        raise ArchscopeError("compare", "needs at least two models", "name another one")
    given = keywords or [{} for _ in models]
    found = [
        _contender(model, input, batch, options)
        for model, options in zip(models, given, strict=True)
    ]
    labels = _distinct([_name(contender.analysis) for contender in found])
    return tuple(
        Contender(label, c.analysis, c.profile, c.top1, c.top5, c.training_bytes)
        for label, c in zip(labels, found, strict=True)
    )


def _contender(model: Any, input: Any, batch: Dim | None, keywords: Mapping[str, Any]) -> Contender:
    record = saved_record(model)
    if record is not None:
        # Input and batch are for the networks counted now: a record keeps its own.
        analysis = analyse(record, keywords=keywords)
        profile = record if isinstance(record, Profile) else None
        return Contender("", analysis, profile, *_accuracy(analysis))
    from archscope.study.memory import predict

    analysis = analyse(model, input=input, batch=batch, keywords=keywords, backward=True)
    size = batch if isinstance(batch, int) else None
    try:
        memory = predict(model, input=input, batch=size, keywords=keywords).peak_bytes
    except ArchscopeError:  # what can be counted can still resist being followed
        memory = None
    return Contender("", analysis, None, *_accuracy(analysis), training_bytes=memory)


def _accuracy(analysis: Analysis) -> tuple[float | None, float | None]:
    """Published top-1 and top-5 of torchvision's network on this input, as fractions."""
    if analysis.keywords or "torchvision" not in dict(analysis.versions):
        return None, None
    from archscope.resolve import published

    facts = published(analysis.model)
    shapes = [
        [tensor.shape[1:] for tensor in spec.tensors] for spec in (facts["input"], analysis.input)
    ]
    if shapes[0] != shapes[1] or facts["acc@1"] is None:
        return None, None
    return facts["acc@1"] / 100, facts["acc@5"] / 100


def _name(analysis: Analysis) -> str:
    keywords = ", ".join(f"{key}={value}" for key, value in analysis.keywords)
    return f"{analysis.model} ({keywords})" if keywords else analysis.model


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where one stands twice."""
    seen: dict[str, int] = {}
    labels = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        labels.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return labels


def matched(
    models: Sequence[Any],
    quantity: Quantity,
    keyword: str | None,
    keywords: Sequence[Mapping[str, Any]],
    *,
    input: Any = None,
    batch: Dim | None = None,
) -> tuple[list[dict[str, Any]], Table]:
    """Solve a keyword of every later model for the first one's total.

    Args:
        models: names, classes or, the first, a saved record.
        quantity: what is to be equal.
        keyword: constructor keyword; each model's width when `None`.
        keywords: the other constructor keywords of each model.
        input: as for `contenders`.
        batch: as for `contenders`.

    Returns:
        constructor keywords of each model with the solution, and a table of the solutions.

    Raises:
        ArchscopeError: a later model is a saved record, or has no such keyword.
    """
    reference = saved_record(models[0])
    if reference is None:
        reference = analyse(models[0], input=input, batch=batch, keywords=keywords[0])
    analysis = analyse(reference)
    target = READ[quantity](analysis)
    complete, solutions = [dict(keywords[0])], []
    for model, others in zip(models[1:], keywords[1:], strict=True):
        if saved_record(model) is not None:
            raise ArchscopeError(
                str(model), "a saved record cannot be built anew", "name the network itself"
            )
        by = keyword or width_keyword(model)
        given = {key: value for key, value in others.items() if key != by}
        total = meter(model, by, quantity, keywords=given, input=input, batch=batch)
        solution = solve(target, total)
        complete.append({**given, by: solution.value})
        solutions.append((str(model), by, solution))
    return complete, match_table(_name(analysis), quantity, solutions)


def compare_report(
    chosen: Sequence[Contender], *, layout: Layout = "stages", first: Sequence[Table] = ()
) -> Report:
    """The report of `archscope compare`.

    Args:
        chosen: at least two.
        layout: `stages` for totals and differences by output stride, `paper` for the table of the
            ResNet, ResNeXt and DenseNet papers.
        first: tables that stand before (what was solved for).
    """
    from archscope.study.compare_charts import charts

    title = " · ".join(contender.label for contender in chosen)
    if layout == "paper":
        from archscope.study.architecture import architecture_table

        tables = [architecture_table([(c.label, c.analysis) for c in chosen])]
    else:
        tables = [*totals_tables(chosen), *stage_tables(chosen)]
    return Report(title, (*first, *tables), charts(chosen))


# Totals


@dataclass(frozen=True)
class _Quantity:
    """A row of the totals: how it is read, written, and which value is the best."""

    title: str
    unit: Unit
    read: Callable[[Contender], float | None]
    best: Callable[[Sequence[float]], float]
    bounded: bool = False


def _both(total: Totals) -> int | None:
    return None if total.macs_backward is None else total.macs + total.macs_backward


def _intensity(total: Totals) -> float | None:
    return total.intensity if total.bytes_moved else None


QUANTITIES = (
    _Quantity("Parameters", "exact", lambda c: c.analysis.total.params, min),
    _Quantity("MACs forward", "macs", lambda c: c.analysis.total.macs, min, bounded=True),
    _Quantity(
        "MACs forward + backward", "macs", lambda c: _both(c.analysis.total), min, bounded=True
    ),
    _Quantity("Elementwise", "count", lambda c: c.analysis.total.elementwise, min, bounded=True),
    _Quantity("Activations", "bytes", lambda c: c.analysis.total.activation_bytes, min),
    _Quantity("Bytes moved", "bytes", lambda c: c.analysis.total.bytes_moved, min),
    _Quantity("flops per byte moved", "decimal", lambda c: _intensity(c.analysis.total), max),
    _Quantity("Training memory", "bytes", lambda c: c.training_bytes, min),
)
ACCURACIES = (
    _Quantity("ImageNet top-1", "percent", lambda c: c.top1, max),
    _Quantity("ImageNet top-5", "percent", lambda c: c.top5, max),
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
        tables.append(Table(title, _totals_columns(block), _totals_rows(block, chosen), notes))
    return tables


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
    rows += [_quantity_row(quantity, block, chosen) for quantity in ACCURACIES]
    return tuple(row for row in rows if row is not None)


def _quantity_row(
    quantity: _Quantity, block: Sequence[Contender], chosen: Sequence[Contender]
) -> Row | None:
    everywhere = [value for c in chosen if (value := quantity.read(c)) is not None]
    if not everywhere:
        return None
    values = [quantity.read(contender) for contender in block]
    best = quantity.best(everywhere)
    differ = len(set(everywhere)) > 1
    return Row(
        _with_ratios(quantity.title, values, [_ratio(value, values[0]) for value in values]),
        best=frozenset(
            c.label for c, value in zip(block, values, strict=True) if differ and value == best
        ),
        lower_bound=frozenset(
            c.label for c in block if quantity.bounded and not c.analysis.coverage.complete
        ),
        unit=quantity.unit,
    )


def _measured_rows(
    phase: str, title: str, block: Sequence[Contender], chosen: Sequence[Contender]
) -> list[Row]:
    """Median, interval and throughput of a phase; no winner where the intervals overlap."""
    everywhere = [m for c in chosen if (m := c.measured(phase)) is not None]
    if not everywhere:
        return []
    fastest = min(everywhere, key=lambda m: m.median)
    found = [c.measured(phase) for c in block]
    medians = [None if m is None else m.median for m in found]
    ratios: list[Cell] = [
        NONE if m and found[0] and m is not found[0] and overlap(m, found[0])
        else _ratio(None if m is None else m.median, medians[0])
        for m in found
    ]  # fmt: skip
    alone = not any(m is not fastest and overlap(m, fastest) for m in everywhere)
    best = frozenset(
        c.label for c, m in zip(block, found, strict=True)
        if m is fastest and alone and len(everywhere) > 1
    )  # fmt: skip
    spread = [None if m is None else m.relative_half_width for m in found]
    rows = [
        Row(_with_ratios(title, medians, ratios), best=best, unit="seconds"),
        Row(_with_ratios("± of it (95 %)", spread, [None] * len(block)), depth=1, unit="percent"),
    ]
    if phase in ("inference", "step"):
        rates = [_throughput(c, phase) for c in block]
        rate_ratios: list[Cell] = [
            NONE if cell == NONE else _ratio(rate, rates[0])
            for cell, rate in zip(ratios, rates, strict=True)
        ]
        rows.append(
            Row(_with_ratios("Samples a second", rates, rate_ratios), depth=1, unit="decimal")
        )
    return rows


def overlap(one: Measurement, other: Measurement) -> bool:
    """Whether two medians may be the same: their 95 % intervals share a point."""
    low, high = zip(_interval(one), _interval(other), strict=True)
    return max(low) <= min(high)


def _interval(measurement: Measurement) -> tuple[float, float]:
    half = measurement.relative_half_width * measurement.median
    return (
        min(measurement.median_low, measurement.median - half),
        max(measurement.median_high, measurement.median + half),
    )


def _throughput(contender: Contender, phase: str) -> float | None:
    if contender.profile is None or phase not in contender.profile.phases:
        return None
    return contender.profile.throughput(phase)


def _with_ratios(
    title: str, values: Sequence[float | None], ratios: Sequence[Cell]
) -> tuple[Cell, ...]:
    """Cells of a row: the first model alone, every other one with its ratio behind it."""
    pairs = [cell for pair in zip(values[1:], ratios[1:], strict=True) for cell in pair]
    return (title, values[0], *pairs)


def _ratio(value: float | None, base: float | None) -> float | None:
    return None if value is None or not base else value / base


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
    devices = {c.profile.environment.device for c in chosen if c.profile is not None}
    if len(devices) > 1:
        notes.append(f"Measured on different devices: {', '.join(sorted(devices))}.")
    notes += [f"{c.label}: {note}" for c in chosen for note in c.analysis.notes]
    notes += [
        f"{c.label}: {coverage_note(c.analysis)}"
        for c in chosen
        if not c.analysis.coverage.complete
    ]
    if any(c.training_bytes for c in chosen):
        notes.append("Training memory: predicted peak of a step with plain SGD in float32.")
    if any(c.top1 for c in chosen):
        notes.append("Accuracy: metadata of torchvision's weights, not measured here.")
    return (*filter(None, notes), CONVENTION)


def verdict(first: Contender, other: Contender) -> str:
    """What differs at nearly equal MACs, in a sentence; empty where the MACs differ themselves."""
    one, two = first.analysis.total, other.analysis.total
    if not one.macs or not one.bytes_moved or abs(two.macs / one.macs - 1) > EQUAL_COST:
        return ""
    sentence = (
        f"At nearly equal MACs ({ratio(two.macs / one.macs)}), {other.label} moves "
        f"{ratio(two.bytes_moved / one.bytes_moved)} the bytes of {first.label}"
    )
    change = two.intensity / one.intensity
    if abs(change - 1) <= EQUAL_COST:
        return f"{sentence}."
    effect = "slower" if change < 1 else "faster"
    return (
        f"{sentence}, so {ratio(change)} the flops per byte: {effect} wherever memory, "
        f"not arithmetic, is the limit."
    )


# Where the difference lies


def stage_tables(chosen: Sequence[Contender]) -> list[Table]:
    """Parameters, MACs, activations and measured time of every model by output stride."""
    kinds: list[tuple[str, Unit, Callable[[Totals], int]]] = [
        ("MACs", "macs", lambda total: total.macs),
        ("Parameters", "count", lambda total: total.params),
        ("Activations", "bytes", lambda total: total.activation_bytes),
    ]
    found = [stages(contender.analysis) for contender in chosen]
    tables = [
        _stage_table(
            f"{title} by output stride",
            unit,
            chosen,
            [{stage.label: read(stage.total) for stage in rows} for rows in found],
        )
        for title, unit, read in kinds
    ]
    for phase in LAYER_PHASES:
        times = [stage_seconds(c.profile, phase) if c.profile else {} for c in chosen]
        if any(times):
            title = f"Measured {phase} time by output stride"
            tables.append(_stage_table(title, "seconds", chosen, times))
    last = tables.pop()
    return [*tables, Table(last.title, last.columns, last.rows, (STRIDE_NOTE,))]


def _stage_table(
    title: str,
    unit: Unit,
    chosen: Sequence[Contender],
    values: Sequence[Mapping[str, float]],
) -> Table:
    columns = [Column("output_stride", "Output stride", "name")]
    columns += [Column(contender.label, contender.label, unit) for contender in chosen]
    for index, contender in enumerate(chosen[1:]):
        name = "Difference" if len(chosen) == 2 else f"{contender.label} − {chosen[0].label}"
        columns += [
            Column(f"{contender.label} difference", name, unit, 1 + 2 * index),
            Column(f"{contender.label} share", "Share of it", "percent", 2 + 2 * index),
        ]
    sums = [sum(each.values()) if each else None for each in values]
    rows = [
        Row((label, *_differences([each.get(label) for each in values], sums)))
        for label in in_order(key for each in values for key in each)
    ]
    rows.append(Row(("Total", *_differences(sums, sums)), "total"))
    return Table(title, tuple(columns), tuple(rows), _where(chosen, values))


def _differences(
    values: Sequence[float | None], sums: Sequence[float | None]
) -> tuple[float | None, ...]:
    """The values, then of each later model the difference to the first and its share."""
    cells: list[float | None] = list(values)
    for value, total in zip(values[1:], sums[1:], strict=True):
        if total is None or sums[0] is None:
            cells += [None, None]
            continue
        difference, whole = (value or 0) - (values[0] or 0), total - sums[0]
        cells += [difference, difference / whole + 0.0 if whole else None]  # no -0.0
    return tuple(cells)


def _where(chosen: Sequence[Contender], values: Sequence[Mapping[str, float]]) -> tuple[str, ...]:
    """Where the largest part of the difference between two models lies, in a sentence."""
    if len(chosen) != 2 or not all(values):
        return ()
    whole = sum(values[1].values()) - sum(values[0].values())
    gaps = {
        label: values[1].get(label, 0) - values[0].get(label, 0)
        for each in values
        for label in each
    }
    if not whole:
        return ()
    label = max(gaps, key=lambda label: gaps[label] / whole)
    place = f"at output stride {label}" if label[0].isdigit() else f"in: {label}"
    share = percent(gaps[label] / whole, digits=0)
    return (f"The largest part of the difference lies {place} ({share} of it).",)
