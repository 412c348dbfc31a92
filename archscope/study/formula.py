"""Formula → tables: totals and layers in symbols, the growth law in words, and where all holds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from archscope import wording
from archscope.analysis.closed_form.polynomial import Polynomial, total
from archscope.ask.symbols.domains import Limits
from archscope.ask.symbols.formula import Formula, LayerForm, Verified, sizes_text
from archscope.quantities import ACTIVATIONS, MACS, PARAMS
from archscope.study.folding import folded
from archscope.table import Column, Report, Row, Table
from archscope.units import percent
from archscope.wording import CONVENTION, call_title, network_title, shape_text

_POWERS = {1: "linear", 2: "quadratic", 3: "cubic"}


def formula_report(
    found: Formula, *, every_layer: bool = False, depth: int | None = None
) -> Report:
    """The report of `archscope formula`: totals first, then every layer that computes.

    Args:
        found: the closed forms.
        every_layer: list equal blocks one by one.
        depth: list modules of so many levels, with the sums of their layers.
    """
    title = f"{network_title(found.model, found.keywords)} on {found.input}"
    totals = Table(title, _TOTAL_COLUMNS, _total_rows(found), _notes(found))
    open_layers = frozenset(found.coverage.unknown_layers)
    forms = [form for form in found.layers if form.layer.computes]
    layers = tuple(_layer_row(form, form.layer.name, open_layers, str) for form in forms)
    return Report(
        f"{found.model} in closed form",
        (totals, _layers_table(forms, open_layers, every_layer, depth)),
        data=Table(title, _LAYER_COLUMNS, layers),
        answer=_answer(found),
    )


def _written(form: Polynomial) -> str:
    """A form for people, its numbers with thousands separators; CSV files keep `str` of it."""
    return re.sub(r"(?<!\w)\d{4,}", lambda number: f"{int(number[0]):,}", str(form))


def _answer(found: Formula) -> str:
    """The MACs as a formula, at the sizes where it has no floors."""
    name = network_title(found.model, found.keywords)
    if found.macs is None:
        return f"{name} has {found.params:,} parameters; its MACs have no closed form."
    macs = found.reduced(found.macs) if found.multiples else found.macs
    where = ", ".join(f"{s} = {k}{part}" for s, (k, part) in found.multiples.items())
    least = "" if found.coverage.complete else "at least "
    at = f" where {where}" if where else ""
    return f"{name} takes {least}{_written(macs)} MACs{at}, and has {found.params:,} parameters."


def _layers_table(
    forms: Sequence[LayerForm], open_layers: frozenset[str], every_layer: bool, depth: int | None
) -> Table:
    """The layers, equal blocks once unless every layer is asked for, or sums over modules."""
    if depth is not None:
        return _modules_table(forms, open_layers, depth)
    rows = folded(forms)
    if every_layer or len(rows) == len(forms):
        plain = (_layer_row(form, form.layer.name, open_layers, _written) for form in forms)
        return Table("Layers", _LAYER_COLUMNS, tuple(plain))
    name, *others = _LAYER_COLUMNS
    shown = (_layer_row(row.form, row.name, open_layers, _written, (row.times,)) for row in rows)
    times = Column("times", "Times", "exact")
    return Table("Layers", (name, times, *others), tuple(shown), (FOLDED_NOTE,))


def _modules_table(forms: Sequence[LayerForm], open_layers: frozenset[str], depth: int) -> Table:
    """The layers of each module together, in execution order."""
    modules: dict[str, list[LayerForm]] = {}
    for form in forms:
        modules.setdefault(".".join(form.layer.name.split(".")[:depth]), []).append(form)
    rows = []
    for name, inside in modules.items():
        bounded = any(form.layer.name in open_layers for form in inside)
        created = [form.activation_bytes for form in inside]
        known = [form for form in created if form is not None]
        activations = _written(total(known)) if len(known) == len(created) else None
        cells = (
            name or "(the network itself)", sum(form.layer.params for form in inside),
            _written(total(form.macs for form in inside)), activations,
        )  # fmt: skip
        rows.append(Row(cells, lower_bound=frozenset({"macs"} if bounded else ())))
    columns = tuple(c for c in _LAYER_COLUMNS if c.key not in ("kind", "output_shape"))
    return Table(f"Modules to depth {depth}", columns, tuple(rows))


FOLDED_NOTE = (
    "Equal blocks that follow each other are shown once, each row with the costs of one layer; a "
    "CSV file lists all layers."
)


_TOTAL_COLUMNS = (Column("quantity", "Quantity", "name"), Column("formula", "Closed form", "text"))
_LAYER_COLUMNS = (
    Column("name", "Layer", "name"),
    Column("kind", "Kind", "text", 3),
    Column("output_shape", "Output", "text", 1),
    PARAMS.column(),
    Column(MACS.key, MACS.heading, "text"),
    Column(ACTIVATIONS.key, ACTIVATIONS.heading, "text", 4),
)


def _total_rows(found: Formula) -> tuple[Row, ...]:
    multiples = ", ".join(f"{s} = {k}{part}" for s, (k, part) in found.multiples.items())
    rows = [Row(("Parameters", f"{found.params:,}"))]
    whole = (("MACs", found.macs), ("Activation bytes", found.activation_bytes))
    for name, form in whole:
        bounded = name == "MACs" and not found.coverage.complete
        bound = frozenset({"formula"} if bounded else ())
        rows.append(
            Row((name, "no closed form" if form is None else _written(form)), lower_bound=bound)
        )
        if form is not None and multiples:
            reduced = _written(found.reduced(form))
            rows.append(Row((f"{name}, {multiples}", reduced), lower_bound=bound))
    return tuple(rows)


def _layer_row(
    form: LayerForm,
    name: str,
    open_layers: frozenset[str],
    write: Callable[[Polynomial], str],
    times: tuple[int, ...] = (),
) -> Row:
    layer = form.layer
    activations = None if form.activation_bytes is None else write(form.activation_bytes)
    return Row(
        (
            call_title(name, layer.kind, layer.call),
            *times,
            layer.kind,
            shape_text(layer.output_shape),
            layer.params,
            write(form.macs),
            activations,
        ),
        lower_bound=frozenset({"macs"} if layer.name in open_layers else ()),
    )


def _notes(found: Formula) -> tuple[str, ...]:
    strides = [f"{k} along {s}" for s, k in found.strides.items()]
    notes = [*found.notes, *growth(found)]
    if not found.coverage.complete:
        notes.insert(0, wording.lower_bound_note(wording.missing_formulas(found.coverage)))
    if strides:
        notes.append(
            f"Stride of the network: {', '.join(strides)}; "
            "for multiples of the stride the ⌊ ⌋ cancel."
        )
    notes.append(_holds(found))
    notes += [
        f"{item.symbol} is fixed: {item.place} allows {item.sizes} ({item.reason})."
        for item in found.fixed
    ]
    checks = "; ".join(map(_check, found.verified))
    notes.append(f"Checked against counts at sizes that the formulas were not fitted to: {checks}.")
    return (*notes, CONVENTION)


def _check(check: Verified) -> str:
    created = check.activation_bytes
    activations = "" if created is None else f", {created:,} activation bytes"
    return f"{sizes_text(check.values)}: {check.macs:,} MACs{activations}"


def _holds(found: Formula) -> str:
    """Where the forms hold, distinguished where a copy at one size is a view at another."""
    macs, own = _domain(found, found.limits), found.activation_limits
    activations = _domain(found, own) if own else macs
    if activations == macs:
        return f"Holds for {macs}."
    return (
        f"MACs hold for {macs}, activation bytes for {activations}: at smaller sizes "
        "PyTorch copies different tensors or fuses different operators."
    )


def _domain(found: Formula, limits: Limits) -> str:
    parts = []
    for domain in found.domains:
        low, high = limits[domain.symbol]
        text = f"{domain.symbol} ≥ {low}"
        if high is not None:
            text = f"{low} ≤ {domain.symbol} ≤ {high}"
        if domain.unit > 1:
            text += f" in multiples of {domain.unit}"
        parts.append(text)
    return ", ".join(parts)


# The growth law


def growth(found: Formula) -> list[str]:
    """Sentences: how the MACs grow with the batch and with the sides."""
    return [*_batch_law(found), *_side_law(found)]


def _batch_law(found: Formula) -> list[str]:
    batch = found.input.batch
    if not isinstance(batch, str):
        return []
    free = Polynomial(
        {m: c for m, c in found.macs.terms.items() if all(a.symbol != batch for a in m)}
    )
    degree = _POWERS.get(found.macs.degree([batch]), "constant")
    text = f"MACs are {degree} in the batch {batch}"
    if free.terms and degree != "constant":
        text += f", except for {free} MACs a call, which are the same for every batch"
    return [f"{text}."]


def _side_law(found: Formula) -> list[str]:
    """Degree in pixels or positions; the part that grows faster; what doubling costs."""
    if not found.sides:
        return []
    sides = tuple(s for s in found.sides if s in found.macs.symbols)
    if not sides:
        return [f"MACs do not depend on {' and '.join(found.sides)}."]
    axes = _axes(found, sides)
    positions = " and ".join(sides)
    area = {2: "pixels", 3: "voxels"}.get(len(axes))
    named = f"{area} ({'·'.join(axes)})" if area else positions
    degree = -(-found.macs.degree(sides) // len(axes))
    usual = found.usual
    whole = found.macs.value(usual)
    ratio = found.macs.value({**usual, **{s: 2 * usual[s] for s in sides}}) / whole
    sentences = [
        f"MACs are {_POWERS.get(degree, f'of degree {degree}')} in {named}; doubling {positions} "
        f"costs {ratio:.1f}× at {sizes_text(usual)}."
    ]
    if degree > 1:
        sentences.append(_fast_part(found, len(axes), named, whole))
    return sentences


def _axes(found: Formula, sides: tuple[str, ...]) -> list[str]:
    """These sides of the input that has most of them, S·S where one symbol stands for two."""
    return max(([s for s in t.shape if s in sides] for t in found.input.tensors), key=len)


def _fast_part(found: Formula, linear: int, named: str, whole: int) -> str:
    """The terms that grow faster than positions, as attention's do, and who brings them."""
    fast = found.macs.above(linear, found.sides)
    brought = [form.layer for form in found.layers if form.macs.above(linear, found.sides).terms]
    share = percent(fast.value(found.usual) / whole)
    rest = f" and {len(brought) - 1} more" if len(brought) > 1 else ""
    return (
        f"The term that grows faster than {named} is {fast}, {share} of the MACs there: "
        f"products of all positions with all, in {brought[0].name or brought[0].kind} "
        f"({brought[0].kind}){rest}."
    )
