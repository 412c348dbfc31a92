"""What compiled graphs tell of the network in them: layers that they call as they are, and inputs.

torch.compile makes kernels of its own from most operators.
Convolutions and matrix products mostly stay calls of a library, and autograd's event of a graph has
the shapes of all that goes into it, parameters among them.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from archscope.traces.events import Event, Shapes, Trace
from archscope.traces.families import base, family
from archscope.traces.forward import is_compiled, is_operator
from archscope.traces.nesting import is_graph
from archscope.traces.network import NetworkOperator, alike, has_weights_of, shape_text, weight_at

WEIGHT_OF_PRODUCT = {"mm": 1, "addmm": 2}
"""Which input of a matrix product is the transposed weight of a layer."""

ALIGNMENTS = (4, 8)
"""Multiples to which the compiler pads the sides of a matrix product, of float32 and of halves."""

TEMPLATE = "triton_tem"
"""In the names of kernels that the compiler makes from templates of matrix products."""

BATCHED = frozenset({"bmm", "baddbmm"})
"""Matrix products of many matrices, as those of attention's samples and heads."""

PRODUCTS = frozenset({"matmul", "mm", "addmm", "einsum", "tensordot"})
"""Operators of a network that may become matrix products and are no layer's."""


@dataclass(slots=True)
class Graph:
    """One compiled graph of a forward pass.

    Args:
        convolutions: that it calls.
        products: matrix products that it calls, as the linear layers that they may be.
        attention: its fused attention and batched matrix products.
        inputs: shapes of its inputs; empty where the trace does not have them.
        templates: whether some matrix products are kernels of the compiler's, made from templates.
    """

    convolutions: list[Event] = field(default_factory=list)
    products: list[Event] = field(default_factory=list)
    attention: list[Event] = field(default_factory=list)
    inputs: Shapes = ()
    templates: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """Where graphs are not of the network's operators.

    Args:
        place: among the operators.
        event: of the trace, `None` for nothing.
        texts: what the trace has there and what the network; where empty, the events say it.
    """

    place: int
    event: Event | None = None
    texts: tuple[str, str] | None = None


def graphs(trace: Trace) -> dict[Event, Graph]:
    """The compiled graphs of the forward pass by their outermost event.

    Args:
        trace: nested.
    """
    found: dict[Event, Graph] = defaultdict(Graph)
    for event in trace.host:
        if event.phase != "forward":
            continue
        if is_graph(event) and event.shapes and not (event.parent and is_graph(event.parent)):
            found[event].inputs = event.shapes
        kind = family(event.name)
        is_attention = kind == "attention" or base(event.name) in BATCHED
        is_product = base(event.name) in ("linear", *WEIGHT_OF_PRODUCT)
        if kind != "convolution" and not is_attention and not is_product:
            continue
        around = _graph_around(event)
        if around is None:
            continue
        if is_attention and event.shapes:
            found[around].attention.append(event)
        elif kind == "convolution":
            found[around].convolutions.append(event)
        elif (layer := _as_layer(event)) is not None:
            found[around].products.append(layer)
    if any(TEMPLATE in kernel.name for kernel in trace.device):
        for graph in found.values():
            graph.templates = True
    return dict(found)


def _graph_around(event: Event) -> Event | None:
    """The outermost event of the graph that calls an operator itself."""
    above = event.parent
    while above is not None and not (is_operator(above) or is_compiled(above)):
        above = above.parent
    if above is None or is_operator(above):
        return None
    while above.parent is not None and is_graph(above.parent):
        above = above.parent
    return above


def _as_layer(event: Event) -> Event | None:
    """A matrix product as the linear layer that it may be; `None` without shapes."""
    at = WEIGHT_OF_PRODUCT.get(base(event.name))
    if at is None:
        return event if len(event.shapes) > 1 else None
    if len(event.shapes) <= at or len(event.shapes[at]) != 2:
        return None
    shapes = event.shapes[at - 1], event.shapes[at][::-1]
    return replace(event, name="aten::linear", shapes=shapes)


def difference(
    group: Sequence[Graph], operators: Sequence[NetworkOperator], free: int, sized: bool
) -> Difference | None:
    """The first operator of the network that graphs cannot stand for; `None` where they can.

    Args:
        group: graphs that follow one another.
        operators: those with weights that the graphs stand for.
        free: the network's matrix products beside them.
        sized: whether the inputs must have the network's sizes too.
    """
    return (
        _of_convolutions(group, operators, sized)
        or _of_inputs(group, operators, sized)
        or _of_products(group, operators, free, sized)
    )


def _of_convolutions(
    group: Sequence[Graph], operators: Sequence[NetworkOperator], sized: bool
) -> Difference | None:
    """The network has all convolutions of the graphs, in this order, and no more of a size."""
    like = alike if sized else has_weights_of
    ours = [k for k, op in enumerate(operators) if family(op.name) == "convolution"]
    left, matched = list(ours), set()
    events = [event for graph in group for event in graph.convolutions]
    for event in events:
        found = [k for k in left if like(event, operators[k])]
        if not found:
            return Difference(left[0] if left else 0, event)
        matched.add(found[0])
        left = [k for k in left if k > found[0]]
    if any(graph.templates for graph in group):
        return None
    called = {event.shapes[1] for event in events if len(event.shapes) > 1}
    lacking = (k for k in ours if k not in matched and operators[k].shapes[1] in called)
    return next(map(Difference, lacking), None)


def _of_inputs(
    group: Sequence[Graph], operators: Sequence[NetworkOperator], sized: bool
) -> Difference | None:
    """All weights of the network go into the graphs, and what an embedding looks up."""
    if not group or not all(graph.inputs for graph in group):
        return None
    inputs = Counter(shape for graph in group for shape in graph.inputs)
    needed: dict[tuple[int, ...], set[str]] = defaultdict(set)
    for place, operator in enumerate(operators):
        shape = operator.shapes[weight_at(operator.name) :][:1]
        if operator.holder is None or not shape or not shape[0]:
            continue
        needed[shape[0]].add(operator.holder)
        if len(needed[shape[0]]) > inputs[shape[0]]:
            text = shape_text(shape[0])
            more = "more " if inputs[shape[0]] else ""
            theirs = f"no {more}weight of {text} in its compiled graphs"
            return Difference(place, texts=(theirs, f"{base(operator.name)} {text}"))
    first = operators[0] if operators else None
    if sized and first is not None and first.number == 1 and family(first.name) == "embedding":
        looked_up = first.shapes[1]
        if looked_up and not inputs[looked_up]:
            text = shape_text(looked_up)
            return Difference(0, texts=(f"no input of {text}", f"embedding on {text}"))
    return None


def _of_products(
    group: Sequence[Graph], operators: Sequence[NetworkOperator], free: int, sized: bool
) -> Difference | None:
    """Matrix products with the weight of a layer are as many as the layers with such a weight.

    The compiler makes all matrix products of one size by its own kernels, or none.
    """
    layers = [
        k for k, op in enumerate(operators) if family(op.name) == "linear" and len(op.shapes) > 1
    ]
    products = [event for graph in group for event in graph.products]
    left, known = list(layers), False
    for event in products:
        alikes = [k for k in layers if _pads(operators[k].shapes[1], event.shapes[1])]
        if not alikes:
            continue
        known = True
        open_ = [k for k in left if k in alikes]
        fitting = [k for k in open_ if not sized or _rows_fit(event, operators[k])]
        if fitting:
            left.remove(fitting[0])
        elif open_:
            return Difference(open_[0], event)
        elif free:
            free -= 1
        else:
            return Difference(alikes[-1], texts=_too_many(products, event, len(alikes)))
    if products and layers and not known:
        return Difference(layers[0], products[0])
    if any(graph.templates for graph in group):
        return None
    called = [event.shapes[1] for event in products]
    lacking = (k for k in left if any(_pads(operators[k].shapes[1], shape) for shape in called))
    return next(map(Difference, lacking), None)


def unlike_attention(
    group: Sequence[Graph], operators: Sequence[NetworkOperator]
) -> tuple[Event, NetworkOperator] | None:
    """Attention on other samples, heads or tokens than the network's; `None` where it fits.

    Layers run on all tokens of all samples at once, so that attention alone shows how tokens are
    divided into samples.

    Args:
        group: graphs that follow one another.
        operators: that they stand for.
    """
    ours = [
        operator
        for operator in operators
        if (family(operator.name) == "attention" or base(operator.name) == "matmul")
        and operator.shapes
        and len(operator.shapes[0]) == ATTENTION_DIMS
    ]
    theirs = [event for graph in group for event in graph.attention]
    sizes = {_matrices(operator.shapes[0]) for operator in ours}
    if not ours or not theirs or any(_matrices(event.shapes[0]) in sizes for event in theirs):
        return None
    return theirs[0], ours[0]


ATTENTION_DIMS = 4
"""Of queries: samples, heads, tokens, channels."""


def _matrices(shape: Sequence[int]) -> tuple[int, int]:
    """How many matrices of how many rows; channels may be padded."""
    return math.prod(shape[:-2]), shape[-2]


def _too_many(products: Iterable[Event], event: Event, ours: int) -> tuple[str, str]:
    theirs = sum(each.shapes[1] == event.shapes[1] for each in products)
    text = shape_text(event.shapes[1])
    return f"{theirs} matrix products with a weight of {text} in its compiled graphs", str(ours)


def _rows_fit(event: Event, operator: NetworkOperator) -> bool:
    rows = [math.prod(shapes[0][:-1]) for shapes in (operator.shapes, event.shapes)]
    return _pads(rows[:1], rows[1:])


def _pads(ours: Sequence[int], theirs: Sequence[int]) -> bool:
    """Whether sides are equal, or padded from odd ones."""
    return len(ours) == len(theirs) and all(
        a == b or (b % ALIGNMENTS[0] and a in (-(-b // side) * side for side in ALIGNMENTS))
        for a, b in zip(theirs, ours, strict=True)
    )
