"""Tables of predictions: side by side, by stage, by kind of layer, by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope.records import LayerPrediction, Pass, Prediction
from archscope.study.predict.answer import chance_faster, device_title, name, time_ratio
from archscope.table import Column, Row, Table
from archscope.units import percent, seconds
from archscope.wording import PREDICTED, call_title

MOST_LAYERS = 20
"""Rows of the table of layers."""

MOST_REASONS = 4
"""Steps of which each has a sentence on what it takes besides its kernels."""

BOUND = (
    "Bound: what takes most of the time, arithmetic (compute), moving bytes (memory) or starting "
    "kernels (launches)."
)

FASTER = "Faster: the probability of taking less time than the first."


def comparison_table(title: str, predictions: Sequence[Prediction]) -> Table:
    """One row a network and device; beside the first the ratio and the chance to be faster."""
    several = len(predictions) > 1
    columns = [
        Column("model", "Model", "name"),
        Column("device", "Device", "text"),
        Column("predicted_seconds", "Predicted", "seconds"),
        Column("low_seconds", "80 % from", "seconds"),
        Column("high_seconds", "to", "seconds"),
        Column("samples_per_second", "Samples/s", "decimal", 2),
    ]
    if several:
        columns += [
            Column("ratio", "× first", "ratio"),
            Column("ratio_low", "× from", "ratio", 3),
            Column("ratio_high", "× to", "ratio", 3),
            Column("chance_faster", "Faster", "percent", 1, note=FASTER),
        ]
    first = predictions[0]
    rows = []
    for place, prediction in enumerate(predictions):
        cells: list[str | float | None] = [
            name(prediction), prediction.device, prediction.seconds, prediction.low,
            prediction.high, prediction.samples_per_second,
        ]  # fmt: skip
        if several and place:
            low, ratio, high = time_ratio(first, prediction)
            cells += [ratio, low, high, chance_faster(prediction, first)]
        elif several:
            cells += [1.0, None, None, None]
        bound = frozenset({"predicted_seconds"}) if prediction.unknown else frozenset[str]()
        rows.append(Row(tuple(cells), lower_bound=bound))
    return Table(title, tuple(columns), tuple(rows), _notes(predictions))


def _notes(predictions: Sequence[Prediction]) -> tuple[str, ...]:
    sources = dict.fromkeys(
        f"{prediction.device}: from {prediction.fitted_on}." for prediction in predictions
    )
    constant = dict.fromkeys(
        f"{p.device}: {seconds(p.constant_seconds)} of each step is constant: what the "
        f"published steps take in addition to their kernels."
        for p in predictions
        if p.constant_seconds
    )
    return (PREDICTED, *sources, *constant, *_lower_bound(predictions), *_given(predictions))


def _given(predictions: Sequence[Prediction]) -> Iterator[str]:
    """What was noted of the steps, behind those that it is about where others lack it."""
    for note in dict.fromkeys(note for p in predictions for note in p.notes):
        steps = [_step(p) for p in predictions if note in p.notes]
        if len(steps) == len(predictions):
            yield note
        elif len(steps) > MOST_REASONS:
            yield f"{len(steps)} of {len(predictions)} steps: {note}"
        else:
            yield f"{', '.join(steps)}: {note}"


def _lower_bound(predictions: Sequence[Prediction]) -> Iterator[str]:
    """Which operators make a time a lower bound, and how much of it they are at least."""
    unknown = dict.fromkeys(name for p in predictions for name in p.unknown)
    if unknown:
        most = max(p.unknown_seconds / p.seconds for p in predictions)
        step, up = ("a step", "up to ") if predictions[1:] else ("the step", "")
        yield (
            f"≥ marks a lower bound: no kind of work is known for {', '.join(unknown)}. Moving "
            f"their bytes takes {up}{percent(most)} of {step}, and they may take longer."
        )


def stage_sums(prediction: Prediction) -> dict[str, list[float]]:
    """Seconds of each of the network's own children: all, arithmetic, traffic and launches."""
    sums: dict[str, list[float]] = {}
    for layer in prediction.layers:
        stage = "update of the weights" if layer.phase == "update" else layer.name.partition(".")[0]
        row = sums.setdefault(stage or "the network itself", [0.0] * 4)
        for place, part in enumerate((layer.seconds, layer.compute, layer.memory, layer.launch)):
            row[place] += part
    return sums


def stages_table(prediction: Prediction) -> Table:
    """Time by the network's own children, in order."""
    sums = stage_sums(prediction)
    total = sum(row[0] for row in sums.values())
    rows = [Row((stage, row[0], row[0] / total, _bound(row))) for stage, row in sums.items()]
    columns = (
        Column("stage", "Stage", "name"),
        Column("predicted_seconds", "Predicted", "seconds"),
        Column("time_share", "of time", "bar"),
        Column("bound", "Bound", "text"),
    )
    return Table("Where the time goes", columns, tuple(rows), (BOUND, *_longer(prediction)))


def _longer(prediction: Prediction) -> Iterator[str]:
    """Why a step takes longer than the sum of its kernels."""
    kernels, host = prediction.kernel_seconds, prediction.host_seconds
    if prediction.launch_bound:
        yield (
            f"{_step(prediction)}: its kernels take {seconds(kernels)}, and the host needs "
            f"{seconds(host)} to start them, so the step takes longer than its kernels."
        )
    elif prediction.seconds - prediction.constant_seconds > 1.02 * kernels:
        yield (
            f"{_step(prediction)}: the host needs {seconds(host)} to start its kernels, nearly as "
            f"long as they take ({seconds(kernels)}), so the step takes longer than either."
        )


def _step(prediction: Prediction) -> str:
    return f"{name(prediction)} on {device_title(prediction)}"


def _bound(parts: Sequence[float]) -> str:
    _, compute, memory, launch = parts
    if launch >= max(compute, memory):
        return "launches"
    return "compute" if compute >= memory else "memory"


def kinds_table(predictions: Sequence[Prediction]) -> Table:
    """Time by class of layer, a column a prediction, the longest of the first on top."""
    by_kind: dict[str, list[float]] = {}
    for place, prediction in enumerate(predictions):
        for layer in prediction.layers:
            kind = "update of the weights" if layer.phase == "update" else layer.kind
            row = by_kind.setdefault(kind, [0.0] * len(predictions))
            row[place] += layer.seconds
    ordered = sorted(by_kind.items(), key=lambda item: -max(item[1]))
    same_device = len({prediction.device for prediction in predictions}) == 1
    columns = [Column("kind", "Kind of layer", "name")]
    for place, prediction in enumerate(predictions):
        title = name(prediction) if same_device else f"{name(prediction)}, {prediction.device}"
        columns.append(Column(f"predicted_seconds_{place + 1}", title, "seconds"))
    rows = tuple(Row((kind, *times)) for kind, times in ordered)
    notes = [note for prediction in predictions for note in _longer(prediction)]
    if len(notes) > MOST_REASONS:
        notes = [
            f"{len(notes)} of {len(predictions)} steps take longer than their kernels, since the "
            f"host needs about as long as these, or longer, to start them."
        ]
    return Table("Predicted time by kind of layer", tuple(columns), rows, tuple(notes))


LAYER_COLUMNS = (
    Column("layer", "Layer", "name"),
    Column("kind", "Kind", "text", 3),
    Column("phase", "Pass", "text", 2),
    Column("predicted_seconds", "Predicted", "seconds"),
    Column("time_share", "Share", "percent", 1),
    Column("bound", "Bound", "text"),
    Column("flops_per_second", "Flop/s", "flops_per_second", 1),
    Column("bytes_per_second", "Bytes/s", "bytes_per_second", 1),
    Column("launches", "Kernels", "count", 4),
)


def layers_table(prediction: Prediction) -> Table:
    """The slowest layers, each with what holds it back and the rates that it reaches."""
    slowest = sorted(prediction.layers, key=lambda layer: -layer.seconds)[:MOST_LAYERS]
    few = len(slowest) == len(prediction.layers)
    shown = "" if few else f"The {len(slowest)} slowest of {len(prediction.layers)}. "
    note = f"{shown}Rates: work over predicted time, so a product padded to tiles seems slower."
    total = sum(layer.seconds for layer in prediction.layers)
    rows = tuple(Row(_cells(layer, total)) for layer in slowest)
    return Table("Slowest layers", LAYER_COLUMNS, rows, (note,))


def layers_data(prediction: Prediction) -> Table:
    """Every layer in order, for files."""
    total = sum(layer.seconds for layer in prediction.layers)
    rows = tuple(Row(_cells(layer, total)) for layer in prediction.layers)
    return Table("Layers", LAYER_COLUMNS, rows)


def _cells(layer: LayerPrediction, total: float) -> tuple[str | float | None, ...]:
    title = "update of the weights" if layer.phase == "update" else None
    return (
        title or call_title(layer.name, layer.kind, layer.call),
        layer.kind,
        layer.phase,
        layer.seconds,
        layer.seconds / total,
        layer.bound,
        layer.flops / layer.seconds if layer.flops else None,
        layer.bytes_moved / layer.seconds,
        round(layer.launches),
    )


PASSES: tuple[Pass, ...] = ("forward", "input gradient", "weight gradient", "backward", "update")

PASS_TITLES = {
    "forward": "Forward",
    "input gradient": "Gradients of inputs, of products",
    "weight gradient": "Gradients of weights",
    "backward": "Backward of everything else",
    "update": "Update of the weights",
}


def passes_table(prediction: Prediction) -> Table:
    """Time by pass of a training step."""
    sums = dict.fromkeys(PASSES, 0.0)
    for layer in prediction.layers:
        sums[layer.phase] += layer.seconds
    total = sum(sums.values())
    rows = tuple(Row((PASS_TITLES[name], sums[name], sums[name] / total)) for name in PASSES)
    columns = (
        Column("pass", "Pass", "name"),
        Column("predicted_seconds", "Predicted", "seconds"),
        Column("time_share", "of time", "bar"),
    )
    return Table("By pass", columns, rows)
