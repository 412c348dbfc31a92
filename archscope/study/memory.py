"""MemoryPrediction → the peak by kind, the largest saved activations, the timeline."""

from __future__ import annotations

from archscope.ask.memory.plan import MemoryPlan, Tried
from archscope.parameters import parameter
from archscope.records import LiveBytes, MemoryPrediction
from archscope.table import Axis, Chart, Column, Mark, Report, Row, Series, Table
from archscope.units import binary_bytes, percent, si
from archscope.wording import call_title, network_title

KIND_TITLES = {
    "parameters": "Parameters",
    "buffers": "Buffers",
    "optimizer": "Optimiser state",
    "input": "Input",
    "gradients": "Gradients",
    "activations": "Saved activations",
    "temporary": "Temporary",
    "rounding": "Rounding of each tensor",
    "allowance": "Allowance",
}

TENSOR_TITLES = {k: t for k, t in KIND_TITLES.items() if k not in ("rounding", "allowance")}
"""What a figure stacks: the allowance of a GPU would flatten the tensors of a small network."""

ALLOWANCE = (
    "Allowance: 1 GiB for the driver, the GPU's context and libraries, and a twelfth of the "
    "tensors for workspaces and fragmentation; not measured here. Rounding: to 512 bytes."
)

ON_A_CPU = "Bytes of tensors as the kernels of a CPU save them; its workspaces are added to them."

ON_A_GPU = (
    "Predicted for a GPU, whose kernels save different tensors from a CPU's; "
    f"{parameter('device', 'cpu')} predicts for a CPU."
)

RECURRENT = ("LSTM", "GRU", "RNN")
RECURRENT_NOTES = {
    "cuda": (
        "Recurrent layers are predicted as PyTorch's own cells save tensors, step by step; cuDNN, "
        "which runs them on a GPU, allocates a reserve whose size it does not publish."
    ),
    "cpu": (
        "Recurrent layers are predicted as on a CPU: all steps projected at once, and an LSTM in "
        "float32 with the workspace that oneDNN saves of each layer."
    ),
}

ADAM_ON_A_CPU = (
    "A GPU updates all weights at once, with the root of every second moment in memory; a CPU "
    "updates one tensor after another, so that its peak is lower where the peak is in the update."
)
"""What decides the temporaries of Adam: PyTorch's default is `foreach` on a GPU alone."""

OTHER_FORMS = {"fused update", "for-loop update"}
"""Measures after which the update is that of every device."""


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
        answer=_answer(prediction, budget_bytes),
    )


def _answer(prediction: MemoryPrediction, budget_bytes: int | None) -> str:
    """The peak, and what takes most of it."""
    peak = prediction.peak
    name = network_title(prediction.model, prediction.keywords)
    tensors = [kind for kind in KIND_TITLES if kind not in ("rounding", "allowance")]
    kind = max(tensors, key=lambda kind: getattr(peak, kind))
    share = getattr(peak, kind) / (sum(getattr(peak, each) for each in tensors) or 1)
    what = (
        f"{prediction.mode.capitalize()} of {name} needs {binary_bytes(peak.total)}; the peak is "
        f"{_place(peak)}, where {percent(share, digits=0)} of the tensors' bytes are "
        f"{KIND_TITLES[kind].lower()}."
    )
    if budget_bytes is None:
        return what
    fits = f"Batch {prediction.input.batch} is the largest that fits into "
    return f"{fits}{binary_bytes(budget_bytes)}. {what}"


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
    notes = _measure_notes(prediction)
    notes += [*prediction.notes]
    if any(row.kind in RECURRENT for row in prediction.saved):
        notes.append(RECURRENT_NOTES[prediction.device])
    notes += [ON_A_GPU, ALLOWANCE] if prediction.device == "cuda" else [ON_A_CPU]
    if prediction.optimizer in ("adam", "adamw") and OTHER_FORMS.isdisjoint(prediction.measures):
        notes.append(ADAM_ON_A_CPU)
    return Table(memory_title(prediction), columns, tuple(rows), tuple(notes))


def _measure_notes(prediction: MemoryPrediction) -> list[str]:
    """What the measures that were taken cost."""
    notes = []
    if prediction.recomputed_macs:
        notes.append(
            f"Checkpointed modules run twice: {prediction.recomputed_macs:,} multiply-accumulates "
            "more."
        )
    passes = next((m for m in prediction.measures if m.endswith(" passes per update")), "")
    if passes:
        notes.append(
            f"Each of {passes} takes {prediction.input.batch} samples; the one shown is later, and "
            "finds the gradients of those before it in memory."
        )
    if any("ZeRO" in measure for measure in prediction.measures):
        notes.append(
            "Of one GPU: its share of what is divided is rounded up, and stage 3 gathers the "
            "weights of one block at a time; buckets of communication are not included."
        )
    return notes


def _place(moment: LiveBytes) -> str:
    if moment.phase == "update":
        return "in the update of the weights"
    return f"in the {moment.phase} pass at {moment.layer or 'the network itself'}"


def memory_title(prediction: MemoryPrediction) -> str:
    """What was predicted, of which network, on what."""
    how = [prediction.dtype]
    if prediction.master_weights:
        how.append("float32 master weights")
    if prediction.optimizer:
        how.insert(0, prediction.optimizer)
    how += prediction.measures
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
    all_saved = prediction.saved_bytes or 1
    largest = sorted(prediction.saved, key=lambda row: -row.saved_bytes)
    rows = [
        Row((call_title(row.name, row.kind, row.call), row.kind, row.saved_bytes,
             row.saved_bytes / all_saved))
        for row in largest[:LARGEST_SHOWN]
    ]  # fmt: skip
    rest = sum(row.saved_bytes for row in largest[LARGEST_SHOWN:])
    if rest:
        label = f"{len(largest) - LARGEST_SHOWN} more"
        rows.append(Row((label, None, rest, rest / all_saved), "note"))
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
         "network's input are not among them. A CSV file lists all layers.",),
    )  # fmt: skip


def _saved_table(prediction: MemoryPrediction) -> Table:
    rows = (Row((row.name, row.call, row.kind, row.saved_bytes)) for row in prediction.saved)
    return Table(memory_title(prediction), SAVED_COLUMNS, tuple(rows))


def tensor_bytes(moment: LiveBytes) -> int:
    """What the tensors alone take, without rounding and allowance."""
    return sum(getattr(moment, kind) for kind in TENSOR_TITLES)


def beside_tensors(prediction: MemoryPrediction) -> str:
    """How much the step needs with what a figure of its tensors leaves out; empty for nothing."""
    peak = prediction.peak
    if peak.total == tensor_bytes(peak):
        return ""
    return f"With rounding and the allowance for a GPU the step needs {binary_bytes(peak.total)}."


def timeline_chart(prediction: MemoryPrediction) -> Chart:
    """Live bytes of tensors over the operators of the step, one area a kind."""
    moments = prediction.timeline
    places = tuple(range(1, len(moments) + 1))
    series = tuple(
        Series(title, places, tuple(getattr(moment, kind) for moment in moments))
        for kind, title in TENSOR_TITLES.items()
        if any(getattr(moment, kind) for moment in moments)
    )
    peak = max(moments, key=tensor_bytes)
    starts: dict[str, int] = {}
    for place, moment in zip(places, moments, strict=True):
        starts.setdefault(moment.phase, place)
    highest, note = tensor_bytes(peak), beside_tensors(prediction)
    named = f"peak {binary_bytes(highest)}, {peak.layer or peak.phase}"
    return Chart(
        memory_title(prediction),
        "area",
        Axis("operators that allocate, in order", "count"),
        Axis("live bytes of tensors", "bytes"),
        series,
        name="memory",
        notes=(note,) if note else (),
        marks=(
            *(Mark(phase, place) for phase, place in starts.items()),
            Mark(named, moments.index(peak) + 1, highest),
        ),
    )


# Measures that fit


def plan_report(plan: MemoryPlan) -> Report:
    """The report of `archscope memory --plan`: what fits first, then each measure alone."""
    last = plan.together[-1]
    title = _plan_title(plan)
    together = Table(
        title,
        PLAN,
        tuple(_tried_row(tried, plan) for tried in plan.together),
        (_plan_note(plan, last),),
    )
    if len(plan.together) == 1:  # without a measure there is nothing to pay or to ask for
        together = together.select(["measure", "peak_bytes", "fits"])
    alone = Table("Each measure alone", PLAN, tuple(_tried_row(t, plan) for t in plan.alone), ())
    return Report(title, (together, alone), data=alone)


PLAN = (
    Column("measure", "Measure", "name"),
    Column("peak_bytes", "Peak", "bytes"),
    Column("fits", "Fits", "text"),
    Column("cost", "What it costs", "text"),
    Column("option", "Asked for by", "text", priority=1),
)


def _plan_title(plan: MemoryPlan) -> str:
    budget = binary_bytes(plan.budget_bytes)
    if len(plan.together) == 1 and plan.fits:
        return f"{plan.model} on {plan.input} fits into {budget} as it is"
    if not plan.fits:
        return f"{plan.model} on {plan.input} does not fit into {budget} with these measures"
    named = " and ".join(tried.measure.name for tried in _latest(plan.together))
    return f"{plan.model} on {plan.input} fits into {budget} with {named}"


def _latest(together: tuple[Tried, ...]) -> list[Tried]:
    """The measures of a plan, without passes that more passes replace."""
    passes = max(tried.measure.divided for tried in together)
    return [
        tried for tried in together[1:]
        if "passes" not in tried.measure.name or tried.measure.name.startswith(f"{passes} ")
    ]  # fmt: skip


def _plan_note(plan: MemoryPlan, last: Tried) -> str:
    if plan.fits:
        return f"The cheapest first; each row includes those above it. {ALLOWANCE}"
    over = binary_bytes(last.peak_bytes - plan.budget_bytes)
    return f"{over} too many. Left: ZeRO 2 or 3 on several GPUs, LoRA, a smaller input. {ALLOWANCE}"


def _tried_row(tried: Tried, plan: MemoryPlan) -> Row:
    cost = tried.measure.cost
    if tried.recomputed_macs and "again" in cost:
        cost = f"{cost}: {si(tried.recomputed_macs)} MACs a step"
    fits = "yes" if tried.peak_bytes <= plan.budget_bytes else "no"
    return Row((tried.measure.name, tried.peak_bytes, fits, cost, tried.measure.option))
