"""Sentences and names that several tables share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from archscope.records import COMPLEX, Analysis, Coverage, Shape
from archscope.units import percent, plural


def network_title(model: str, keywords: Sequence[tuple[str, str]]) -> str:
    """The name with the constructor keywords behind it: `resnet18 (groups=2)`."""
    given = ", ".join(f"{key}={value}" for key, value in keywords)
    return f"{model} ({given})" if given else model


def call_title(name: str, kind: str, call: int) -> str:
    """The module's name (its class where it is the network itself), and which call of several."""
    return (name or kind) + (f" (call {call + 1})" if call else "")


REMEDY = "give one with archscope.register_formula"
UNCOUNTED = f"runs here and has no formula: {REMEDY}."

MOST_NAMED = 3
"""How many of the layers where such operators ran are named."""


def missing_formulas(coverage: Coverage) -> str:
    """The operators without a formula and where they ran: `ns::op in fc`; empty for none."""
    if coverage.complete:
        return ""
    names = [name or "the network itself" for name in coverage.unknown_layers]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    where = f" in {', '.join(names[:MOST_NAMED])}{more}" if names else ""
    return f"{', '.join(coverage.unknown)}{where}"


def lower_bound_note(missing: str) -> str:
    """The sentence below a table where `≥` stands, for what `missing_formulas` returned."""
    return f"≥ marks a lower bound, since {missing} has no formula: {REMEDY}."


CONVENTION = (
    "MACs: multiply-accumulates of convolutions, linear layers, matrix products and attention "
    "(FLOPs in CNN papers); flops = 2 × MACs. "
    "Bias, normalisation, activation, pooling and adds are elementwise: one operation for each "
    "output element, in pooling for each element of its window."
)


TRAINING_TENSORS_NOTE = (
    "Training tensors: predicted peak of the tensors of a step with plain SGD in float32; "
    "archscope memory adds what a GPU needs in addition."
)

PREDICTED = "Predicted, not measured; the interval should contain 80 % of measurements."


def shape_text(shape: Shape | None) -> str | None:
    """Write a shape as 1×64×56×56; `None` stays unknown, a scalar is `scalar`."""
    if shape is None:
        return None
    return "×".join(map(str, shape)) or "scalar"


def coverage_note(analysis: Analysis) -> str:
    """One sentence on what the count knows and what it does not."""
    coverage = analysis.coverage
    counted = sum(sum(group.values()) for group in (coverage.counted, coverage.elementwise))
    free = sum(coverage.free.values())
    device = "meta, without weights" if analysis.executed_on == "meta" else "the CPU"
    operators = plural(counted, "operator")
    known = f"{operators} counted, {free:,} cost nothing"
    if coverage.complete:
        sentence = f"Coverage: complete ({known}), run on {device}."
    else:
        missing = lower_bound_note(missing_formulas(coverage))
        sentence = f"Coverage: {known}, run on {device}; {missing}"
    assumed = attention_notes(coverage.attention_kernels)
    assumed += mask_notes(coverage.attention_scores)
    assumed += tuple(f"{branch}." for branch in coverage.branches)
    if _has_complex_products(analysis):
        assumed = (*assumed, "A complex product counts as four real ones.")
    return " ".join((sentence, *assumed))


def _has_complex_products(analysis: Analysis) -> bool:
    works = (work for layer in analysis.calls for work in (layer.forward, layer.backward) if work)
    return any(
        factor.name == COMPLEX
        for work in works
        for product in work.cost.products
        for factor in product.factors
    )


_KERNELS = {
    "flash on cpu": "the CPU's flash kernel",
    "math on cpu": "separate products",
    "flash on cuda": "a GPU's flash kernel",
    "memory-efficient on cuda": "a GPU's memory-efficient kernel",
    "math on cuda": "separate products on a GPU",
}


def attention_notes(kernels: Iterable[str]) -> tuple[str, ...]:
    """As which kernels attention was counted, where there was any.

    Args:
        kernels: as `Coverage.attention_kernels` names them.
    """
    names = " and ".join(_KERNELS.get(kernel, kernel) for kernel in kernels)
    return (f"Attention is counted as {names}.",) if names else ()


def mask_notes(scores: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """What masks leave of attention, which is counted as it is computed.

    Args:
        scores: as `Coverage.attention_scores` has them.
    """
    parts = [
        f"{needed:,} of {computed:,} ({percent(needed / computed)})" for computed, needed in scores
    ]
    if not parts:
        return ()
    return (
        "Attention is counted as it is computed, every query with every key; behind causal or "
        f"other masks a head needs {' or '.join(parts)} of these scores.",
    )


OWN_WORK = "[own ops]"
"""Row of a container's own operators, such as a residual add, beside its children."""


def layer_labels(names: Iterable[str]) -> dict[str, str]:
    """What a row of each module is called where rows of modules inside it stand beside it."""
    paths = [name.split(".") for name in names]
    above = {".".join(path[:end]) for path in paths for end in range(1, len(path))} | {""}
    joined = (".".join(path) for path in paths)
    return {name: f"{name} {OWN_WORK}".strip() if name in above else name for name in joined}
