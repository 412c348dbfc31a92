"""Generation → its costs side by side, the cache by layer, closed forms, and what fits."""

from __future__ import annotations

from archscope.records.generation import Duration, Generation, GenerationTime
from archscope.study.generation.cache import cache_table, layers_table
from archscope.study.generation.forms import forms_table
from archscope.study.generation.mixture import mixture_table
from archscope.table import Cell, Column, Report, Row, Table, Unit
from archscope.units import binary_bytes, percent, seconds, si
from archscope.wording import network_title

CONVENTION = (
    "MACs: multiply-accumulates of linear layers and attention; flops = 2 × MACs. Attention is "
    "counted as it is computed: every query of a call with every key, masked or not."
)
READ = (
    "Weights and cache read: what a step must read whatever is fused. Bytes moved: inputs and "
    "outputs of every operator of this code."
)


def generation_report(found: Generation, *, budget_bytes: int | None = None) -> Report:
    """The report of `archscope generate`.

    Args:
        found: what was counted.
        budget_bytes: of a memory, for the largest batch and context.
    """
    tables = [
        _costs_table(found),
        *map(_time_table, found.times),
        forms_table(found),
        cache_table(found),
    ]
    if found.experts:
        tables.append(mixture_table(found))
    if budget_bytes is not None:
        tables.append(_fit_table(found, budget_bytes))
    title = f"Generation by {network_title(found.model, found.keywords)}"
    return Report(
        title,
        tuple(tables),
        record=found,
        data=layers_table(found, _title(found)),
        answer=_answer(found),
    )


def _answer(found: Generation) -> str:
    """What one more token costs, and how large the cache grows."""
    last = found.pieces[-1].last if found.pieces else found.prefill
    answer = (
        f"The last token takes {si(last.macs)} MACs and reads {binary_bytes(last.weight_bytes)} of "
        f"weights and {binary_bytes(last.cache_bytes)} of cache"
    )
    if not found.times:
        return f"{answer}."
    fastest = min(found.times, key=lambda time: time.total.seconds)
    return (
        f"{answer}; all {found.tokens:,} take {seconds(fastest.total.seconds)} on "
        f"{fastest.device}, predicted."
    )


def _title(found: Generation) -> str:
    name = network_title(found.model, found.keywords)
    sequences = f"{found.batch} × " if found.batch > 1 else ""
    return (
        f"{name}: {sequences}{found.prompt:,} tokens read, {found.tokens:,} generated, "
        f"{found.dtype}"
    )


QUANTITIES: tuple[tuple[str, str, Unit], ...] = (
    ("macs", "MACs", "macs"),
    ("weight_bytes", "Weights read", "bytes"),
    ("cache_bytes", "Cache read", "bytes"),
    ("bytes_moved", "Bytes moved", "bytes"),
    ("flops_per_byte_read", "Flops per byte read", "decimal"),
)


def _costs_table(found: Generation) -> Table:
    """Prefill, first and last step, and everything together; one row a quantity."""
    calls = [("prefill", "Prefill", found.prefill)]
    if found.pieces:
        calls.append(("first", "First step", found.pieces[0].first))
        calls.append(("last", "Last step", found.pieces[-1].last))
    columns = (
        Column("quantity", "Quantity", "text"),
        *(Column(key, title, "decimal") for key, title, _ in calls),
        Column("total", "Total", "decimal"),
    )
    rows = []
    for key, title, unit in QUANTITIES:
        cells: list[Cell] = [title, *(getattr(cost, key) for _, _, cost in calls)]
        rows.append(Row((*cells, _total(found, key)), unit=unit))
    return Table(_title(found), columns, tuple(rows), _cost_notes(found))


def _cost_notes(found: Generation) -> tuple[str, ...]:
    made = (
        f"One prefill makes the first token, {found.steps:,} steps the others: each reads one "
        "token and the cache."
        if found.steps
        else "The prefill makes the one token."
    )
    return (made, *found.notes, CONVENTION, *_needed(found), READ)


def _needed(found: Generation) -> tuple[str, ...]:
    """What a causal prefill needs of the scores that it computes: i of the i-th query, or those
    of its window.
    """
    read = found.prefill.context
    ends = {layer.window for layer in found.cache if layer.token_bytes and not layer.every}
    if not ends or read < 2:
        return ()
    parts = []
    for end in sorted(ends, key=lambda end: (end is not None, end)):
        seen = read if end is None else min(read, end + 1)
        needed = seen * (seen + 1) // 2 + (read - seen) * seen
        where = "" if end is None else f" in layers with a window of {end + 1:,}"
        parts.append(f"{needed:,} ({percent(needed / read**2)}){where}")
    return (
        f"Of the {read:,}² = {read**2:,} scores of a head in the prefill, causal attention needs "
        f"{' and '.join(parts)}.",
    )


def _total(found: Generation, key: str) -> float:
    if key == "flops_per_byte_read":
        read = found.total("weight_bytes") + found.total("cache_bytes")
        return 2 * found.macs / read if read else 0.0
    return found.total(key)


def _time_table(time: GenerationTime) -> Table:
    """How long a device takes, in columns like those of the costs."""
    calls = [("prefill", "Prefill", time.prefill)]
    if time.first is not None and time.last is not None:
        calls += [("first", "First step", time.first), ("last", "Last step", time.last)]
    calls.append(("total", "Total", time.total))
    columns = (
        Column("quantity", "Time", "text"),
        *(Column(key, title, "seconds") for key, title, _ in calls),
    )
    rows = (
        Row(("predicted", *(call.seconds for _, _, call in calls))),
        Row(("80 % interval", *(_interval(call) for _, _, call in calls))),
        Row(("at least", *(call.least for _, _, call in calls))),
    )
    return Table(f"On {time.device}, {time.dtype}", columns, rows, _time_notes(time))


def _interval(duration: Duration) -> str:
    low, high = seconds(duration.low), seconds(duration.high)
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(' ' + unit) else low} – {high}"


def _time_notes(time: GenerationTime) -> tuple[str, ...]:
    return (
        f"Predicted: the kernels of a step one after the other; fitted on {time.fitted_on}. Steps "
        "in between take the mean of those at either end.",
        "At least: flops at the peak, or weights and cache at the bandwidth, whichever is longer; "
        "no kernel reaches it.",
        *time.notes,
    )


def _fit_table(found: Generation, budget_bytes: int) -> Table:
    length = found.prompt + found.tokens - 1
    batch = found.largest_batch(budget_bytes)
    context = found.largest_context(budget_bytes)
    rows = (
        Row(("Weights", found.weight_bytes), unit="bytes"),
        Row((f"Largest batch at {length:,} tokens each", batch)),
        Row(
            (
                f"Largest context at batch {found.batch}",
                "unlimited: the cache stops growing" if context is None else context,
            )
        ),
    )
    columns = (Column("quantity", "Quantity", "text"), Column("value", "Value", "decimal"))
    note = (
        "Weights and cache only, without the activations of a step and the workspaces of "
        "libraries; archscope memory predicts those of a prompt."
    )
    return Table(f"What fits into {binary_bytes(budget_bytes)}", columns, rows, (note,))
