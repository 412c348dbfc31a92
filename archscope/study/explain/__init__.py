"""The arithmetic of every layer, written out with the numbers in place.

Each count printed is one that the record holds: rules are shown where they give the counted number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from archscope import wording
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.patterns import matching, unmatched
from archscope.records import Analysis, Coverage, Elementwise, Layer, totals
from archscope.study.explain import attention, dense, operators, others, windows
from archscope.table import Column, Derivation, Report, Row, Step, Table
from archscope.units import percent, plural
from archscope.wording import CONVENTION, call_title, network_title, shape_text

RULES: dict[str, Callable[[Layer], list[Step]]] = {
    **{f"{lazy}Conv{t}{n}d": windows.convolution
       for lazy in ("", "Lazy") for t in ("", "Transpose") for n in (1, 2, 3)},
    **{f"{k}Pool{n}d": windows.pooling for k in ("Max", "Avg") for n in (1, 2, 3)},
    **{f"Adaptive{k}Pool{n}d": windows.adaptive_pooling for k in ("Max", "Avg") for n in (1, 2, 3)},
    **{f"{k}Norm{n}d": others.normalisation for k in ("Batch", "Instance") for n in (1, 2, 3)},
    "SyncBatchNorm": others.normalisation,
    "LayerNorm": others.normalisation,
    "LayerNorm2d": others.normalisation,
    "RMSNorm": others.normalisation,
    "GroupNorm": others.normalisation,
    "Linear": dense.linear,
    "NonDynamicallyQuantizableLinear": dense.linear,
    "MultiheadAttention": attention.attention,
    "LSTM": dense.recurrent,
    "GRU": dense.recurrent,
    "RNN": dense.recurrent,
    **dict.fromkeys(("LSTMCell", "GRUCell", "RNNCell"), dense.recurrent_cell),
    "Embedding": dense.embedding,
}  # fmt: skip
"""Which rule explains which of PyTorch's modules."""


Runs = Mapping[tuple[str, int], Sequence[Elementwise]]
"""Elementwise operators by the name of a layer and the number of its call."""


def explain_report(
    analysis: Analysis,
    patterns: Sequence[str] = (),
    list_operators: Callable[[], Runs] | None = None,
) -> Report:
    """The report of `archscope explain`.

    Args:
        analysis: what was counted, best with a backward pass.
        patterns: names or globs of layers; every layer with work when empty. A container's name
            stands for the layers in it.
        list_operators: lists the elementwise operators of every call, called where a layer's work
            is that of several; `None` where the network cannot be run again.

    Raises:
        ArchscopeError: a pattern matches no layer, or the input has symbols.
    """
    if analysis.input.symbols:
        raise ArchscopeError(
            parameter("input", analysis.input),
            "has symbols, and explain works with numbers",
            "give numbers, or write it in symbols with archscope formula",
        )
    chosen = _chosen(analysis, patterns)
    derived = [
        (layer, derivation)
        for layer, children in with_children(analysis)
        if id(layer) in chosen
        and (derivation := derivation_of(layer, children, analysis.coverage)) is not None
    ]
    derivations = _by_operator(derived, list_operators)
    title = f"{network_title(analysis.model, analysis.keywords)} on {analysis.input}"
    derivations.append(_totals(analysis))
    return Report(
        f"The arithmetic of {title}",
        (),
        record=analysis,
        data=_rows(title, derivations),
        derivations=tuple(derivations),
        answer=_answer(analysis, [layer for layer in analysis.calls if id(layer) in chosen]),
    )


def _by_operator(
    derived: Sequence[tuple[Layer, Derivation]], list_operators: Callable[[], Runs] | None
) -> list[Derivation]:
    """The derivations, elementwise work of several operators written out; runs at most once."""
    if not any(operators.unexplained(found.steps) for _, found in derived):
        return [found for _, found in derived]
    runs = None if list_operators is None else list_operators()
    derivations = []
    for layer, found in derived:
        if operators.unexplained(found.steps):
            own = None if runs is None else runs.get((layer.name, layer.call), ())
            found = replace(found, steps=tuple(operators.with_operators(layer, found.steps, own)))
        derivations.append(found)
    return derivations


def _answer(analysis: Analysis, chosen: Sequence[Layer]) -> str:
    """What the layers that are explained cost together; of all, what the network does."""
    name = network_title(analysis.model, analysis.keywords)
    own = totals(chosen)
    every = len(chosen) == len(analysis.calls)
    called = [call_title(layer.name, layer.kind, layer.call) for layer in chosen if layer.computes]
    if every:
        subject = f"{name} on {analysis.input}"
    elif len(called) == 1:
        subject = f"{called[0]} of {name}"
    elif len({layer.name for layer in chosen if layer.computes}) == 1:
        subject = f"{len(called)} calls of {called[0]} of {name}"
    else:
        subject = f"{plural(len(called), 'layer')} of {name}"
    verb = "takes" if every or len(called) == 1 else "take"
    least = "" if analysis.coverage.complete else "at least "
    macs, params = f"{least}{own.macs:,} MACs", f"{own.params:,} parameters"
    if every or not analysis.total.macs:
        return f"{subject} {verb} {macs} with {params}."
    share = percent(own.macs / analysis.total.macs)
    return f"{subject} {verb} {macs}, {share} of all, with {params}."


def _chosen(analysis: Analysis, patterns: Sequence[str]) -> set[int]:
    """The calls that the patterns name, by identity."""
    if not patterns:
        return {id(layer) for layer in analysis.calls}
    found: set[int] = set()
    for pattern in patterns:
        if not pattern:
            raise ArchscopeError("layers", "an empty name", "name a layer, or none for all")
        named = [layer for layer in analysis.calls if matching(pattern, layer.name, layer.kind)]
        if not named:
            names = (layer.name for layer in analysis.calls)
            raise unmatched(pattern, pattern, analysis.model, names)
        found |= {id(layer) for layer in named}
    return found


def with_children(analysis: Analysis) -> list[tuple[Layer, list[Layer]]]:
    """Each call with its direct children."""
    nodes = (node for root in analysis.tree() for node in root.walk())
    return [(node.layer, [child.layer for child in node.children]) for node in nodes]


def derivation_of(layer: Layer, children: Sequence[Layer], coverage: Coverage) -> Derivation | None:
    """The steps of one call, `None` for a container that does nothing itself."""
    if not layer.called:
        text = f"{layer.params:,} parameters that no call of this input uses."
        steps = [Step("Not run", text, "prose")]
    elif layer.kind in RULES and layer.settings:
        steps = _by_rule(layer)
    elif children:
        steps = others.container(attention.with_roles(layer), children)
    else:
        steps = others.anything(attention.with_roles(layer))
    if layer.name in coverage.unknown_layers:
        text = f"{', '.join(coverage.unknown)} {wording.UNCOUNTED}"
        steps = [step for step in steps if step.label != "Work"]
        steps.append(Step("Lower bound", text, "prose"))
    return Derivation(_title(layer), tuple(steps)) if steps else None


def _by_rule(layer: Layer) -> list[Step]:
    """The steps of a layer of PyTorch's own.

    Raises:
        ArchscopeError: its settings are none of such a layer, as a changed record's may be.
    """
    try:
        return _with_elementwise(layer, RULES[layer.kind](layer))
    except (AttributeError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        problem = f"has settings that no {layer.kind} has ({type(error).__name__}: {error})"
        raise ArchscopeError(layer.name, problem, "save the record again") from error


def _with_elementwise(layer: Layer, steps: list[Step]) -> list[Step]:
    """The rule's steps and, before the backward pass, elementwise work it leaves out: the bias."""
    if any(step.label == "Elementwise" for step in steps):
        return steps
    backward = (at for at, step in enumerate(steps) if step.label.startswith("Backward"))
    at = next(backward, len(steps))
    what = "bias terms" if layer.setting("bias") and layer.macs else "outputs"
    return [*steps[:at], *others.elementwise(layer, what), *steps[at:]]


def _title(layer: Layer) -> str:
    kind = f" · {layer.kind}" if layer.name else ""
    inputs = ", ".join(filter(None, map(shape_text, layer.input_shapes)))
    outputs = shape_text(layer.output_shape)
    shapes = f" · {inputs} → {outputs}" if inputs and outputs else ""
    return f"{call_title(layer.name, layer.kind, layer.call)}{kind}{shapes}"


TRANSFORMS = (
    "5·N·log₂N real operations for N complex values, half of that for real ones, as FFTW states "
    "its speed (Frigo and Johnson 2005); two operations are one multiply-accumulate."
)


def _totals(analysis: Analysis) -> Derivation:
    """The sums over every layer, explained ones and others."""
    total = analysis.total
    least = "" if analysis.coverage.complete else "≥ "
    steps = [
        Step("Parameters", f"{total.params:,}"),
        Step("MACs", f"{least}{total.macs:,}"),
        Step("flops", f"{least}2·{total.macs:,} = {total.flops:,}"),
    ]
    if total.macs_backward is not None:
        ratio = f" ({total.macs_backward / total.macs:.3f}× forward)" if total.macs else ""
        steps.append(Step("Backward MACs", f"{least}{total.macs_backward:,}{ratio}", "prose"))
    steps.append(Step("Elementwise", f"{least}{total.elementwise:,}"))
    if least:
        text = wording.lower_bound_note(wording.missing_formulas(analysis.coverage))
        steps.append(Step("Lower bound", text, "prose"))
    steps.append(Step("Convention", CONVENTION, "prose"))
    if any(item.role == "transform" for layer in analysis.calls
           for item in layer.forward.cost.products):  # fmt: skip
        steps.append(Step("Transforms", TRANSFORMS, "prose"))
    notes = wording.mask_notes(analysis.coverage.attention_scores)
    steps += [Step("Masks", note, "prose") for note in notes]
    return Derivation(f"Totals of {analysis.model} on {analysis.input}", tuple(steps))


def _rows(title: str, derivations: Sequence[Derivation]) -> Table:
    columns = (
        Column("name", "Layer", "name"),
        Column("quantity", "Quantity"),
        Column("text", "Arithmetic"),
    )
    rows = tuple(
        Row((derivation.title.split(" · ")[0], step.label, step.text))
        for derivation in derivations
        for step in derivation.steps
    )
    return Table(title, columns, rows)
