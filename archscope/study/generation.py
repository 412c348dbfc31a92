"""Generation → its costs side by side, the cache by layer, closed forms, and what fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from archscope.records.generation import (
    CacheLayer,
    Duration,
    ExpertMacs,
    Generation,
    GenerationTime,
    Piece,
)
from archscope.table import Cell, Column, Report, Row, Table
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
EXPECTED = (
    "Which experts a token meets is decided by values: MACs are the same for any choice; the bytes "
    "of experts are those expected of uniform, independent routing, E·(1 − (1 − k/E)ⁿ) of E "
    "experts for n tokens of k choices."
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
        _forms_table(found),
        _cache_table(found),
    ]
    if found.experts:
        tables.append(_mixture_table(found))
    if budget_bytes is not None:
        tables.append(_fit_table(found, budget_bytes))
    title = f"Generation by {network_title(found.model, found.keywords)}"
    return Report(
        title, tuple(tables), record=found, data=_layers_table(found), answer=_answer(found)
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


QUANTITIES = (
    ("macs", "MACs"),
    ("weight_bytes", "Weights read"),
    ("cache_bytes", "Cache read"),
    ("bytes_moved", "Bytes moved"),
    ("flops_per_byte_read", "Flops per byte read"),
)


def _costs_table(found: Generation) -> Table:
    """Prefill, first and last step, and everything together; one row a quantity."""
    calls = [("prefill", "Prefill", found.prefill)]
    if found.pieces:
        calls.append(("first", "First step", found.pieces[0].first))
        calls.append(("last", "Last step", found.pieces[-1].last))
    columns = (
        Column("quantity", "Quantity", "text"),
        *(Column(key, title, "text") for key, title, _ in calls),
        Column("total", "Total", "text"),
    )
    rows = []
    for key, title in QUANTITIES:
        cells: list[Cell] = [title]
        cells += [_shown(key, getattr(cost, key)) for _, _, cost in calls]
        rows.append(Row((*cells, _shown(key, _total(found, key)))))
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
    ends = {layer.window for layer in found.cache if layer.token_bytes}
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


def _shown(key: str, value: float) -> str:
    if key == "flops_per_byte_read":
        return f"{value:,.1f}"
    return si(value) if key == "macs" else binary_bytes(int(value))


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
        *(Column(key, title, "text") for key, title, _ in calls),
    )
    rows = (
        Row(("predicted", *(seconds(call.seconds) for _, _, call in calls))),
        Row(("80 % interval", *(_interval(call) for _, _, call in calls))),
        Row(("at least", *(seconds(call.least) for _, _, call in calls))),
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


# Closed forms


def _forms_table(found: Generation) -> Table:
    rows = [Row(("MACs of the prefill", _prefill_text(found)))]
    for piece in found.pieces:
        bends = any(layer.window is not None for layer in found.cache)
        where = _range(piece) if bends or len(found.pieces) > 1 else ""
        rows.append(Row((f"MACs of a step{where}", _line(piece.macs_at_zero, piece.macs_slope))))
    if total := _total_text(found):
        rows.append(Row(("MACs of all", total)))
    rows.append(Row(("Bytes of the cache", _cache_text(found.cache))))
    columns = (Column("quantity", "Quantity", "text"), Column("form", "Closed form", "text"))
    note = (
        "P: tokens of the prompt, T: tokens generated, t: tokens in the context of a step, itself "
        f"included; batch {found.batch}."
    )
    return Table("In closed form", columns, tuple(rows), (note,))


def _range(piece: Piece) -> str:
    return f", t from {piece.first.context:,} to {piece.last.context:,}"


def _prefill_text(found: Generation) -> str:
    if not found.prefill_form:
        return f"{found.prefill.macs:,} at P = {found.prompt:,}; no polynomial in P"
    constant, linear, square = found.prefill_form
    return _sum([(square, "P²"), (linear, "P"), (constant, "")])


def _line(constant: int, slope: int) -> str:
    return _sum([(slope, "t"), (constant, "")])


def _sum(terms: Sequence[tuple[int, str]]) -> str:
    parts = [f"{value:,}·{symbol}" if symbol else f"{value:,}" for value, symbol in terms if value]
    return (" + ".join(parts) or "0").replace("+ -", "− ")


def _total_text(found: Generation) -> str:
    """The sum over prefill and steps, where the steps lie on one straight line.

    The contexts of the steps are P + 1 to P + T − 1: their sum is (T − 1)·P + T·(T − 1)/2.
    """
    if not found.prefill_form or len(found.pieces) != 1 or found.prefill.context != found.prompt:
        return ""
    piece = found.pieces[0]
    text = f"{_prefill_text(found)} + (T − 1)·{piece.macs_at_zero:,}"
    if piece.macs_slope:
        text += f" + {piece.macs_slope:,}·((T − 1)·P + T·(T − 1)/2)"
    return text


def _cache_text(layers: Sequence[CacheLayer]) -> str:
    fixed = sum(layer.fixed_bytes for layer in layers)
    slopes: dict[int | None, int] = {}
    for layer in layers:
        if layer.token_bytes:
            slopes[layer.window] = slopes.get(layer.window, 0) + layer.token_bytes
    terms = [
        (slope, "t" if window is None else f"min(t, {window:,})")
        for window, slope in slopes.items()
    ]
    return _sum([*terms, (fixed, "")])


# The cache


CACHE = (
    Column("layers", "Layers", "text"),
    Column("kind", "Kind", "text"),
    Column("shapes", "Tensors after the prompt", "text", priority=1),
    Column("token_bytes", "Each token", "bytes"),
    Column("window", "Up to", "exact"),
    Column("fixed_bytes", "Fixed", "bytes", priority=1),
    Column("prompt_bytes", "After the prompt", "bytes"),
    Column("final_bytes", "At the end", "bytes"),
)


def _cache_table(found: Generation) -> Table:
    """Equal layers together."""
    groups: dict[tuple[object, ...], list[CacheLayer]] = {}
    for layer in found.cache:
        alike = (layer.kind, layer.shapes, layer.token_bytes, layer.window, layer.fixed_bytes)
        groups.setdefault(alike, []).append(layer)
    rows = [
        Row(
            (
                f"{len(alike)}×" if len(alike) > 1 else alike[0].name,
                alike[0].kind,
                _shapes_text(alike[0].shapes),
                sum(layer.token_bytes for layer in alike),
                alike[0].window,
                sum(layer.fixed_bytes for layer in alike),
                sum(layer.prompt_bytes for layer in alike),
                sum(layer.final_bytes for layer in alike),
            )
        )
        for alike in groups.values()
    ]
    rows.append(
        Row(
            (
                "Total", None, None, sum(layer.token_bytes for layer in found.cache), None,
                sum(layer.fixed_bytes for layer in found.cache),
                found.prompt_cache_bytes, found.cache_bytes,
            ),
            "total",
        )
    )  # fmt: skip
    return Table("Cache by layer", CACHE, tuple(rows), _cache_notes(found))


def _cache_notes(found: Generation) -> tuple[str, ...]:
    notes = [
        "As the network returns it. Up to: tokens that a layer keeps at most; bytes are of the "
        f"batch of {found.batch}."
    ]
    usual = found.textbook_cache_bytes
    if usual and found.cache_bytes and abs(usual / found.cache_bytes - 1) > 0.01:
        notes.append(
            f"The usual formula, 2·layers·KV heads·head width·tokens, gives {binary_bytes(usual)}: "
            f"{usual / found.cache_bytes:.2f} times as much."
        )
    return tuple(notes)


def _shapes_text(shapes: Sequence[tuple[int, ...]]) -> str:
    texts = ["×".join(map(str, shape)) for shape in shapes]
    counts = {text: texts.count(text) for text in texts}
    return ", ".join(f"{count}× {text}" if count > 1 else text for text, count in counts.items())


def _layers_table(found: Generation) -> Table:
    """Every layer of the cache in a row of its own, for files."""
    rows = (
        Row((layer.name, layer.kind, _shapes_text(layer.shapes), layer.token_bytes, layer.window,
             layer.fixed_bytes, layer.prompt_bytes, layer.final_bytes))
        for layer in found.cache
    )  # fmt: skip
    return Table(_title(found), CACHE, tuple(rows))


# Mixtures and memory


def _mixture_table(found: Generation) -> Table:
    rows = [
        Row(("Parameters", f"{found.params:,}", None)),
        Row(("Parameters that a token meets", f"{found.active_params:,}", None)),
    ]
    for title, key in (
        ("MACs of routed experts", "routed"),
        ("MACs of shared experts", "shared"),
        ("MACs of routers", "router"),
        ("MACs of all else", "others"),
    ):
        cells = [_part(found.prefill_macs, key), _part(found.step_macs, key)]
        if any(cells):
            rows.append(Row((title, *cells)))
    one = found.experts[0]
    tokens = [found.batch * found.prompt, found.batch]
    distinct = [f"{one.distinct(n):.1f} of {one.count}" for n in tokens]
    rows.append(Row((f"Distinct experts of {one.name}", *distinct)))
    step = found.pieces[0].first.weight_bytes if found.pieces else None
    rows.append(
        Row(
            (
                "Weights read",
                binary_bytes(found.prefill.weight_bytes),
                None if step is None else binary_bytes(step),
            )
        )
    )
    columns = (
        Column("quantity", "Quantity", "text"),
        Column("prefill", "Prefill", "text"),
        Column("step", "A step", "text"),
    )
    layers, each = len(found.experts), f"{one.per_token} of {one.count}"
    title = f"Mixture of experts: {layers} layers, {each} experts a token"
    return Table(title, columns, tuple(rows), (*_active_note(found), EXPECTED))


def _active_note(found: Generation) -> Iterator[str]:
    """What published counts of active parameters include or leave out."""
    if found.table_params:
        others = found.active_params - found.table_params
        yield (
            f"Parameters that a token meets: all but those of other experts. "
            f"{found.table_params:,} of them are in embedding tables, of which it reads a row; "
            f"without these {others:,}."
        )


def _part(macs: ExpertMacs | None, key: str) -> str | None:
    value = 0 if macs is None else int(getattr(macs, key))
    return f"{value:,}" if value else None


def _fit_table(found: Generation, budget_bytes: int) -> Table:
    length = found.prompt + found.tokens - 1
    batch = found.largest_batch(budget_bytes)
    context = found.largest_context(budget_bytes)
    rows = (
        Row(("Weights", binary_bytes(found.weight_bytes))),
        Row((f"Largest batch at {length:,} tokens each", f"{batch:,}")),
        Row(
            (
                f"Largest context at batch {found.batch}",
                "unlimited: the cache stops growing" if context is None else f"{context:,}",
            )
        ),
    )
    columns = (Column("quantity", "Quantity", "text"), Column("value", "Value", "text"))
    note = (
        "Weights and cache only, without the activations of a step and the workspaces of "
        "libraries; archscope memory predicts those of a prompt."
    )
    return Table(f"What fits into {binary_bytes(budget_bytes)}", columns, rows, (note,))
