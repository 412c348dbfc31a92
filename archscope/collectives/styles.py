"""Which linear layers tensor parallelism divides, by columns or by rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from archscope.analysis.borrow import members
from archscope.collectives.heads import Heads
from archscope.collectives.transposed import Conv1D
from archscope.errors import NetworkError
from archscope.parameters import parameter
from archscope.patterns import matching
from archscope.units import percent, plural

Style = Literal["colwise", "rowwise", "colwise_gather_output"]

DIVISIBLE = (nn.Linear, nn.Embedding)
"""What parallelize_module divides by columns or rows."""

FUSED = frozenset({"Wqkv", "c_attn", "qkv", "qkv_proj", "query_key_value"})
"""What transformers and timm call queries, keys and values as one layer."""

COLUMNS = FUSED | {
    "c_fc", "dense_h_to_4h", "fc1", "ffn", "gate", "gate_proj", "gate_up_proj", "k", "k_lin",
    "k_proj", "key", "lin1", "linear1", "q", "q_attn", "q_lin", "q_proj", "query", "to_k", "to_q",
    "to_v", "up", "up_proj", "v", "v_lin", "v_proj", "value", "w1", "w3", "wi", "wi_0", "wi_1",
    "wk", "wq", "wv",
}  # fmt: skip
ROWS = frozenset({
    "c_proj", "dense_4h_to_h", "down", "down_proj", "fc2", "ffn_output", "lin2", "linear2", "o",
    "o_proj", "out", "out_lin", "out_proj", "w2", "wo",
})  # fmt: skip
"""What transformers call the layers before and after heads, and before and after an activation."""

ATTENTION = FUSED | {
    "in_proj", "k", "k_lin", "k_proj", "key", "q", "q_attn", "q_lin", "q_proj", "query", "to_k",
    "to_q", "to_v", "v", "v_lin", "v_proj", "value", "wk", "wq", "wv",
}  # fmt: skip

ROWS_OF_HEADS = frozenset({"dense", "proj"})
"""Names of the layer behind heads that other modules give to other layers."""


@dataclass(frozen=True)
class Styles:
    """How layers are divided.

    Args:
        by_layer: dotted path of a linear layer, and its style.
        chosen: whether the user chose them.
        notes: sentences about what stays undivided.
    """

    by_layer: dict[str, Style]
    chosen: bool = False
    notes: tuple[str, ...] = ()

    def without_attention(self, why: str) -> Styles:
        """The same with whole attention modules, whose code failed."""
        parents = {
            name.rpartition(".")[0]
            for name in self.by_layer
            if name.rpartition(".")[2] in ATTENTION
        }
        remaining = {
            name: style
            for name, style in self.by_layer.items()
            if name.rpartition(".")[0] not in parents
        }
        note = f"Attention stays undivided, as its code does not run on a part of its heads: {why}."
        others = (note for note in self.notes if note != AS_LAYERS)
        return Styles(remaining, notes=(*others, note))


def styles_of(network: nn.Module, given: Sequence[tuple[str, Style]]) -> Styles:
    """The styles that the user gives, else those of its configuration, else those of its names.

    Args:
        network: whose layers.
        given: patterns and styles.

    Raises:
        NetworkError: nothing can be divided, or a pattern chooses no layer that can be.
    """
    if given:
        chosen = _given(network, given)
        return Styles(chosen, chosen=True, notes=tuple(_notes(network, chosen)))
    planned = _configured(network)
    if planned is not None:
        return planned
    pairs = dict(_pairs(network))
    if not pairs:
        others = undivided(network, {})
        others = "" if "Linear" in others else others
        because = f": parallelize_module divides nn.Linear, and this has {others}" if others else ""
        raise NetworkError(
            f"has no pair of linear layers that tensor parallelism is known to divide{because}",
            f"name them, as {parameter('style', '*.up=colwise')} and "
            f"{parameter('style', '*.down=rowwise')}",
        )
    return Styles(pairs, notes=tuple(_notes(network, pairs)))


def _notes(network: nn.Module, by_layer: Mapping[str, Style]) -> Iterator[str]:
    """What every GPU computes all of."""
    modules = members(network).values()
    if any(isinstance(module, nn.MultiheadAttention) for module in modules):
        yield MULTIHEAD
    if any(isinstance(module, Heads) for module in modules):
        yield AS_LAYERS
    if any(isinstance(module, Conv1D) for module in modules):
        yield TRANSPOSED
    others = undivided(network, by_layer)
    for one, other in _tied(network, by_layer):
        yield f"{one} and {other} have one weight, which parallelize_module makes two."
    if others:
        yield f"Every GPU holds and computes all of {others}."


def _tied(network: nn.Module, by_layer: Mapping[str, Style]) -> Iterator[tuple[str, str]]:
    """Layers that share a weight of which one is divided."""
    first: dict[int, str] = {}
    for name, module in members(network).items():
        for own in module.parameters(recurse=False):
            other = first.setdefault(id(own), name)
            if other != name and (other in by_layer or name in by_layer):
                yield other, name


LEAST_SHARE = 0.01
"""Of all parameters, below which undivided layers are not worth a word."""


def undivided(network: nn.Module, by_layer: Mapping[str, Style]) -> str:
    """The layers that keep a large part of the parameters, by class: `Conv1D (4 layers, 31 %)`."""
    sizes: dict[str, list[int]] = {}
    seen: set[int] = set()
    modules = members(network)
    for name, module in modules.items():
        parent = modules.get(name.rpartition(".")[0])
        owner = parent if isinstance(parent, nn.MultiheadAttention) else module
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen]
        seen |= {id(p) for p in own}
        if own and name not in by_layer:
            sizes.setdefault(type(owner).__name__, []).append(sum(p.numel() for p in own))
    every = sum(p.numel() for p in network.parameters()) or 1
    large = {kind: held for kind, held in sizes.items() if sum(held) >= LEAST_SHARE * every}
    ordered = sorted(large.items(), key=lambda item: -sum(item[1]))
    return ", ".join(
        f"{kind} ({plural(len(held), 'layer')}, {percent(sum(held) / every)} of the parameters)"
        for kind, held in ordered
    )


AS_LAYERS = (
    "nn.MultiheadAttention is divided by heads, as two linear layers, in_proj and out_proj: "
    "parallelize_module has no style for it."
)

TRANSPOSED = (
    "Conv1D is divided as nn.Linear with its weight transposed: parallelize_module has no style "
    "for it."
)

MULTIHEAD = (
    "nn.MultiheadAttention stays undivided: parallelize_module has no style for it, so every GPU "
    "computes all of its heads."
)


def _given(network: nn.Module, given: Sequence[tuple[str, Style]]) -> dict[str, Style]:
    found: dict[str, Style] = {}
    layers = {name: m for name, m in members(network).items() if isinstance(m, DIVISIBLE)}
    for pattern, style in given:
        chosen = [n for n, module in layers.items() if matching(pattern, n, type(module).__name__)]
        if not chosen:
            raise NetworkError(
                f"has no linear layer or embedding {pattern}", "archscope summary lists them"
            )
        for name in chosen:
            if isinstance(layers[name], nn.Embedding) and style == "colwise":
                raise NetworkError(
                    f"{name} is an embedding, whose divided features no layer behind it expects",
                    f"use {parameter('style', f'{pattern}=colwise_gather_output')} or "
                    f"{parameter('style', f'{pattern}=rowwise')}",
                )
            found[name] = style
    return found


def _configured(network: nn.Module) -> Styles | None:
    """The plan that a configuration of transformers publishes for its layers."""
    plan = getattr(getattr(network, "config", None), "base_model_tp_plan", None)
    if not plan:
        return None
    base = getattr(network, "base_model_prefix", "")
    prefix = f"{base}." if hasattr(network, base) else ""
    found: dict[str, Style] = {}
    others: dict[str, None] = {}
    fused: dict[str, None] = {}
    for name, module in members(network).items():
        style = next((s for p, s in plan.items() if fnmatchcase(name, prefix + p)), None)
        if style is not None and style in BESIDE_FUSED and _has_fused(members(network), name):
            fused.setdefault(f"{name.rpartition('.')[2]} ({style})")
            style = BESIDE_FUSED[style]
        if style in ("colwise", "rowwise") and isinstance(module, nn.Linear):
            found[name] = style
        elif style is not None:
            others.setdefault(f"{name.rpartition('.')[2]} ({style})")
    notes = ["Layers are divided as the configuration's base_model_tp_plan says; embeddings and "
             "head, which it leaves out, are computed on every GPU."]  # fmt: skip
    if fused:
        notes.append(
            "Divided as Megatron stores fused layers, so that nothing is gathered between them and "
            f"the next: {', '.join(fused)}."
        )
    if others:
        notes.append(f"Undivided, as parallelize_module has no such style: {', '.join(others)}.")
    return Styles(found, notes=(*notes, *_notes(network, found))) if found else None


BESIDE_FUSED: Mapping[str, Style] = {
    "packed_colwise": "colwise", "colwise_gather_output": "colwise",
    "rowwise_split_input": "rowwise",
}  # fmt: skip
"""What a plan says of fused layers and those behind them, and how Megatron divides these.

transformers gathers what leaves such a layer and splits what enters the next, since its weights are
not stored by GPU; stored so, nothing has to be moved between the two.
"""


def _has_fused(modules: Mapping[str, nn.Module], name: str) -> bool:
    """Whether a layer is fused, or beside one."""
    beside = dict(modules[name.rpartition(".")[0]].named_children())
    return not beside.keys().isdisjoint(FUSED | {"gate_up_proj"})


def _pairs(network: nn.Module) -> Iterator[tuple[str, Style]]:
    """Layers of the usual names beside each other, and the two linear layers of a sequence."""
    for prefix, module in members(network).items():
        if isinstance(module, nn.MultiheadAttention):
            continue
        if isinstance(module, Heads):
            yield f"{prefix}.in_proj", "colwise"
            yield f"{prefix}.out_proj", "rowwise"
            continue
        linear = [n for n, child in module.named_children() if isinstance(child, nn.Linear)]
        columns = [name for name in linear if name in COLUMNS]
        behind = ROWS | ROWS_OF_HEADS if ATTENTION & {*columns} else ROWS
        rows = [name for name in linear if name in behind]
        if not (columns and rows) and _is_perceptron(module, linear):
            columns, rows = linear[:1], linear[1:]
        if isinstance(getattr(getattr(module, "output", None), "dense", None), nn.Linear):
            columns += _before_output(module)
            rows += ["output.dense"] if columns else []
        if columns and rows:
            joint = f"{prefix}." if prefix else ""
            yield from ((joint + name, "colwise") for name in columns)
            yield from ((joint + name, "rowwise") for name in rows)


def _before_output(module: nn.Module) -> list[str]:
    """The layers before the `output.dense` of BERT, and of what is built as it is."""
    names = [f"{heads}.{name}" for heads in ("self", "attention") for name in sorted(ATTENTION)]
    modules = members(module)
    return [n for n in (*names, "intermediate.dense") if isinstance(modules.get(n), nn.Linear)]


def _is_perceptron(module: nn.Module, linear: Sequence[str]) -> bool:
    """Two linear layers in a sequence with nothing but activations and dropout beside them."""
    others = [child for name, child in module.named_children() if name not in linear]
    plain = not any(True for child in others for _ in child.parameters())
    return isinstance(module, nn.Sequential) and len(linear) == 2 and plain
