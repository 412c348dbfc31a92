"""Distribution → totals beside their closed forms, the collectives by layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope.records import Collective, Distribution, StepTime
from archscope.table import Axis, Cell, Chart, Column, Report, Row, Series, Table
from archscope.units import binary_bytes, percent, plural
from archscope.wording import network_title

KIND_TITLES = {
    "all_gather": "All-gather",
    "all_reduce": "All-reduce",
    "all_to_all": "All-to-all",
    "broadcast": "Broadcast",
    "reduce_scatter": "Reduce-scatter",
    "scatter": "Scatter",
}

PLAN_TITLES = {
    "ddp": "DistributedDataParallel",
    "fsdp": "fully_shard (FSDP2)",
    "hsdp": "fully_shard with replicas (HSDP)",
    "tp": "parallelize_module",
    "ddp+tp": "DistributedDataParallel and parallelize_module",
    "fsdp+tp": "fully_shard and parallelize_module",
    "hsdp+tp": "fully_shard with replicas (HSDP) and parallelize_module",
}

FAKE = (
    "PyTorch's own classes issued these collectives on a fake process group and tensors without "
    "storage: nothing was computed or sent. Bytes are those of the full tensor: what is reduced, "
    "gathered or broadcast."
)
SENT = (
    "Sent: what each GPU sends at least, 2 (n − 1)/n of the bytes of an all-reduce among n GPUs, "
    "(n − 1)/n of a gather's or scatter's."
)
BUCKETS = (
    "Buckets are those of the second step and later: after the first one PyTorch fills them in the "
    "order in which gradients become ready."
)

MOST_ROWS = 24
"""Layers shown; files get every collective."""


def distribute_report(found: Distribution) -> Report:
    """The report of `archscope distribute`."""
    return Report(
        f"What training moves between GPUs: {_name(found)}",
        tuple(_tables(found)),
        charts=tuple(_charts(found)),
        record=found,
        data=_collectives_table(found),
        answer=f"{_answer(found)}.",
    )


def _tables(found: Distribution) -> Iterator[Table]:
    yield _totals_table(found)
    if found.time is not None:
        yield _time_table(found.time)
    if found.memory:
        yield _memory_table(found)
    yield _layers_table(found)


def _time_table(time: StepTime) -> Table:
    low = [time.compute_low, time.communication * (1 - time.most_error)]
    high = [time.compute_high, time.communication * (1 + time.most_error)]
    rows = (
        Row(("A GPU's own work", time.compute, low[0], high[0])),
        Row(("Collectives, one after another", time.communication, low[1], high[1])),
        Row(("Step, all hidden behind the work", time.hidden, max(low), max(high))),
        Row(("Step, none hidden", time.exposed, sum(low), sum(high))),
    )
    notes = [
        OVERLAP,
        f"Collectives: a latency and a bandwidth for each kind and size of group, from "
        f"{time.source} inside a node; half of the held-out measurements are within "
        f"{percent(time.median_error)}, 90 % within {percent(time.most_error)}.",
        f"A GPU's own work: predicted, from {time.fitted_on}; the interval is meant to hold 80 % "
        "of measurements.",
    ]
    if time.across_nodes:
        notes.insert(2, ACROSS_NODES)
    return Table(
        f"Predicted time of a step on {time.device}, {time.dtype}",
        (
            Column("what", "What", "text"),
            Column("predicted_seconds", "Predicted", "seconds"),
            Column("low_seconds", "from", "seconds", 1),
            Column("high_seconds", "to", "seconds", 1),
        ),
        rows,
        tuple(notes),
    )


OVERLAP = (
    "A step takes between the two: PyTorch runs gradients' collectives and prefetched gathers "
    "beside the work, and waits for those of tensor parallelism."
)

ACROSS_NODES = (
    "Groups reach across nodes, where nothing was measured: there the bandwidth is that of each "
    "GPU's own network link in the same source's description of the system, an estimate that no "
    "measurement supports."
)


def _memory_table(found: Distribution) -> Table:
    rows = [
        Row((held.sharing, held.gpus, held.parameters, held.gradients, held.optimizer,
             held.activations, held.peak_bytes))
        for held in found.memory
    ]  # fmt: skip
    return Table(
        f"Memory of a GPU, {found.dtype} with {found.optimizer}",
        (
            Column("sharing", "Shared out", "text"),
            Column("gpus", "GPUs", "exact", 1),
            Column("parameters_bytes", "Parameters", "bytes"),
            Column("gradients_bytes", "Gradients", "bytes"),
            Column("optimizer_bytes", "Optimiser state", "bytes"),
            Column("activations_bytes", "Saved activations", "bytes"),
            Column("peak_bytes", "Peak", "bytes"),
        ),
        tuple(rows),
        tuple(_memory_notes(found)),
    )


def _memory_notes(found: Distribution) -> Iterator[str]:
    yield MEMORY
    if found.computed_in:
        yield MIXED.format(own=found.dtype, computed=found.computed_in)
    if found.gpus > found.divided:
        yield ZERO
    if found.sequence_parallel:
        yield TOKENS


MIXED = (
    "Parameters, gradients and optimiser state are {own}, gathered parameters and activations "
    "{computed}."
)
TOKENS = (
    "Memory, like a predicted time, is that of a GPU that has every token between divided layers: "
    "what is saved there is in fact divided, too."
)
MEMORY = (
    "The largest of each over a step, as archscope memory predicts it; the peak adds what is "
    "temporary."
)
ZERO = (
    "ZeRO stage 0 is what DistributedDataParallel holds; 1 divides the optimiser's state, 2 also "
    "gradients, 3 also parameters, as fully_shard does, with the rows that it pads and gathered "
    "blocks that are temporary."
)


def _name(found: Distribution) -> str:
    return network_title(found.model, found.keywords)


def _answer(found: Distribution) -> str:
    step = found.step
    groups = f", {found.divided:,} a group" if found.divided not in (1, found.gpus) else ""
    if found.replicas > 1:
        groups = f", {found.replicas:,} replicas of {found.gpus // found.replicas:,}"
    if found.replicas > 1 and found.divided > 1:
        groups += f", {found.divided:,} a group"
    if found.sequence_parallel:
        groups += ", tokens divided"
    each = "GPU" if found.divided == 1 else "group"
    return (
        f"{_name(found)} under {PLAN_TITLES[found.plan]} on {found.gpus:,} GPUs{groups}: "
        f"{plural(len(step), 'collective')} a step, {_together(found)}, "
        f"with {found.input} a {each}"
    )


def _together(found: Distribution) -> str:
    """The bytes of a step's collectives, said to be a sum where there are several."""
    together = " together" if len(found.step) > 1 else ""
    return f"{binary_bytes(found.step_bytes)}{together}"


def _totals_table(found: Distribution) -> Table:
    columns = (
        Column("collective", "Collective", "text"),
        Column("content", "Of", "text", 2),
        Column("phase", "Pass", "text"),
        Column("times", "Times", "exact"),
        Column("size_bytes", "Bytes", "bytes"),
        Column("closed_form_bytes", "Closed form", "bytes", 1),
        Column("sent_bytes", "Sent", "bytes", 1),
    )
    rows = []
    for (kind, content, phase), group in _grouped(found.collectives).items():
        promised = [f.expected_bytes for f in found.closed_forms if f.covers(group[0])]
        rows.append(
            Row((
                KIND_TITLES.get(kind, kind), content, phase, len(group), _bytes(group),
                sum(promised) if promised else None, round(_sent(group)),
            ))
        )  # fmt: skip
    step = found.step
    rows.append(Row(("A step", None, None, len(step), _bytes(step), None, round(_sent(step))),
                    "total"))  # fmt: skip
    return Table(f"Collectives of {_name(found)}", columns, tuple(rows), _notes(found))


def _grouped(rows: Sequence[Collective]) -> dict[tuple[str, str, str], list[Collective]]:
    groups: dict[tuple[str, str, str], list[Collective]] = {}
    for row in rows:
        groups.setdefault((row.kind, row.content, row.phase), []).append(row)
    return groups


def _bytes(rows: Sequence[Collective]) -> int:
    return sum(row.size_bytes for row in rows)


def _sent(rows: Sequence[Collective]) -> float:
    return sum(row.sent_bytes for row in rows)


def _notes(found: Distribution) -> tuple[str, ...]:
    buckets = (BUCKETS,) if found.plan == "ddp" else ()
    return (*_reasons(found), *found.notes, *buckets, SENT, FAKE)


def _reasons(found: Distribution) -> list[str]:
    """The closed forms, and for each reason by how much it moves which of them."""
    formulas: dict[str, list[str]] = {}
    moved: dict[tuple[str, int], list[str]] = {}
    exact = []
    for form in found.closed_forms:
        if not (form.expected_bytes or form.issued_bytes):  # a network without buffers
            continue
        name = f"{KIND_TITLES.get(form.kind, form.kind).lower()} {form.phase}"
        if [(other.kind, other.phase) for other in found.closed_forms].count(
            (form.kind, form.phase)
        ) > 1:
            name += f" of {form.content}"
        formulas.setdefault(form.formula, []).append(name)
        for reason in form.reasons:
            moved.setdefault(reason, []).append(name)
        if not form.reasons:
            exact.append(name)
    lines = [
        "Closed form: "
        + "; ".join(f"{', '.join(names)}: {formula}" for formula, names in formulas.items())
        + "."
    ]
    if exact:
        lines.append(f"Issued exactly so: {', '.join(exact)}.")
    for (why, size), names in moved.items():
        more = "more" if size > 0 else "less"
        lines.append(f"{binary_bytes(abs(size))} {more} ({', '.join(names)}): {why}.")
    return lines if found.closed_forms else []


def _layers_table(found: Distribution) -> Table:
    """One row a layer, or run of layers that share a bucket; one column a collective and pass."""
    step = found.step
    kinds = list(dict.fromkeys((row.kind, row.phase) for row in step))
    layers: dict[str, list[Collective]] = {}
    for row in step:
        layers.setdefault(_layer(row), []).append(row)
    columns = (
        Column("layer", "Layer", "name"),
        *(
            Column(f"{kind}_{phase}_bytes", f"{KIND_TITLES.get(kind, kind)}, {phase}", "bytes")
            for kind, phase in kinds
        ),
    )
    rows = [Row((name, *_cells(group, kinds))) for name, group in layers.items()]
    if len(rows) > MOST_ROWS:
        hidden = [row for group in [*layers.values()][MOST_ROWS:] for row in group]
        label = f"{len(rows) - MOST_ROWS} more"
        rows = [*rows[:MOST_ROWS], Row((label, *_cells(hidden, kinds)), "note")]
    rows.append(Row(("Total", *_cells(step, kinds)), "total"))
    return Table("By layer, in the order of issue", columns, tuple(rows))


def _charts(found: Distribution) -> Iterator[Chart]:
    """Where in the network a step communicates, and what a GPU holds of it."""
    step = found.step
    layers = list(dict.fromkeys(_layer(row) for row in step))
    if step:
        kinds = dict.fromkeys((row.kind, row.phase) for row in step)
        yield Chart(
            _answer(found),
            "stacked",
            Axis("layer, in the order of issue"),
            Axis("bytes of the collectives", "bytes"),
            tuple(_series(step, layers, kind) for kind in kinds),
            name="by_layer",
        )
    if found.memory:
        parts = ("parameters", "gradients", "optimizer", "activations")
        sharing = tuple(held.sharing for held in found.memory)
        yield Chart(
            f"Memory of a GPU: {_name(found)}, {found.dtype} with {found.optimizer}",
            "stacked",
            Axis("shared out"),
            Axis("bytes, the largest of each", "bytes"),
            tuple(
                Series(PART_TITLES[part], sharing, tuple(getattr(h, part) for h in found.memory))
                for part in parts
            ),
            name="memory",
        )


PART_TITLES = {
    "parameters": "Parameters",
    "gradients": "Gradients",
    "optimizer": "Optimiser state",
    "activations": "Saved activations",
}


def _series(step: Sequence[Collective], layers: Sequence[str], kind: tuple[str, str]) -> Series:
    """One kind of collective and pass, over runs of neighbouring layers where there are many."""
    of_kind = [row for row in step if (row.kind, row.phase) == kind]
    size = -(-len(layers) // MOST_BARS)
    bars = [layers[start : start + size] for start in range(0, len(layers), size)]
    names = tuple(bar[0] if len(bar) == 1 else f"{bar[0]} …" for bar in bars)
    amounts = tuple(_bytes([row for row in of_kind if _layer(row) in bar]) for bar in bars)
    return Series(f"{KIND_TITLES.get(kind[0], kind[0])}, {kind[1]}", names, amounts)


MOST_BARS = 24


def _cells(rows: Sequence[Collective], kinds: Sequence[tuple[str, str]]) -> list[Cell]:
    return [
        _bytes([row for row in rows if (row.kind, row.phase) == kind]) or None for kind in kinds
    ]


def _layer(row: Collective) -> str:
    name = row.layer or "the network itself"
    return name if row.first in ("", row.layer) else f"{row.first} … {name}"


def _collectives_table(found: Distribution) -> Table:
    columns = (
        Column("phase", "Pass", "text"),
        Column("collective", "Collective", "text"),
        Column("first_layer", "First layer", "name"),
        Column("layer", "Layer", "name"),
        Column("content", "Of", "text"),
        Column("tensors", "Tensors", "exact"),
        Column("dtype", "Dtype", "text"),
        Column("group", "GPUs", "exact"),
        Column("size_bytes", "Bytes", "bytes"),
        Column("sent_bytes", "Sent", "bytes"),
    )
    rows = tuple(
        Row((
            row.phase, row.kind, row.first or row.layer, row.layer, row.content, row.tensors,
            row.dtype, row.group, row.size_bytes, row.sent_bytes,
        ))
        for row in found.collectives
    )  # fmt: skip
    return Table(f"Collectives of {_name(found)}", columns, rows)
