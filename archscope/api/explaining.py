"""How a network's costs come about: drawn, written out, in closed form, and what its layers see."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.api.answer import Answer, remembering
from archscope.api.asked import asked
from archscope.api.checked import require_least, require_names
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import target
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.ask.graph import NetworkGraph
    from archscope.ask.network.subject import Source
    from archscope.ask.receptive_field import NetworkFields
    from archscope.ask.symbols.formula import Formula
    from archscope.ask.target import Input, Model
    from archscope.records import Analysis
    from archscope.table import Report


@remembering
@allowing
@spelt
def graph(
    network: Model | None = None,
    /,
    pattern: str = "",
    input: Input | None = None,
    *,
    model: Source | None = None,
    batch: int | None = None,
    depth: int | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[NetworkGraph]:
    """Draw a network: modules, and the tensors between them.

    Args:
        network: as for `summary`.
        pattern: draw the modules that it chooses alone.
        input: as for `summary`.
        model: the network of a saved record, where its name is not one of a library.
        batch: batch size of a specification, 1 by default.
        depth: levels of modules that are opened; as many as read comfortably by default.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run on this input, or no module matches.

    Examples:
        >>> archscope.graph("lenet").save("lenet.svg")
    """
    from archscope.ask.explored import explored
    from archscope.ask.graph import network_graph
    from archscope.study.graph import graph_report
    from archscope.study.page import with_page

    require_least("depth", depth, 0)
    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    followed = network_graph(chosen)

    def made() -> Report:
        report = graph_report(followed, depth=depth, pattern=pattern)
        return with_page(report, lambda: [explored(chosen, followed.analysis)])

    return Answer(followed, made)


@remembering
@allowing
@spelt
def explain(
    model: Model, *layers: str, input: Input | None = None, batch: int | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Analysis]:  # fmt: skip
    """The arithmetic of every layer, or of those named, with the numbers in place.

    Args:
        model: as for `summary`.
        layers: names or patterns.
        input: as for `summary`.
        batch: as for `summary`.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be counted, or no layer has such a name.

    Examples:
        >>> "1·6·28·28·1·5·5 = 117,600" in str(archscope.explain("lenet", "conv1"))
        True
    """
    from archscope.ask.count import analyse_both_passes
    from archscope.ask.elementwise import elementwise_of
    from archscope.study.explain import explain_report

    require_names(layers)
    network = target(model, input=input, batch=batch, keywords=constructor_keywords)
    analysis = analyse_both_passes(network)
    operators = elementwise_of(network, analysis)
    report = explain_report(analysis, layers, operators)
    return Answer(analysis, lambda: report)


@remembering
@allowing
@spelt
def formula(
    network: Model | None = None,
    /,
    input: str | None = None,
    batch: int | str | None = None,
    *,
    layers: bool = False,
    depth: int | None = None,
    model: Source | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Formula]:
    """Totals and layers in closed form.

    Args:
        network: as for `summary`.
        input: a specification with symbols, `"3xHxW"`; all sides that may vary when `None`.
        batch: a number or a symbol; `"N"` when `None`.
        layers: print every layer, equal blocks one by one.
        depth: print sums over modules of so many levels.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network has no closed form in these symbols; `layers` with `depth`.

    Examples:
        >>> "416,520·N" in str(archscope.formula("lenet"))
        True
    """
    require_least("depth", depth, 0)
    if layers and depth is not None:
        raise ArchscopeError("layers", "does not go with depth", "leave one out")
    from archscope.ask.symbols import formula as symbols
    from archscope.study.formula import formula_report

    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    if input is None:  # a record's sides are numbers, of which none is left free
        chosen = replace(chosen, input=None, batch=batch)
    found = symbols.formula(chosen)
    return Answer(found, lambda: formula_report(found, every_layer=layers, depth=depth))


@remembering
@allowing
@spelt
def receptive_field(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    layers: str | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[NetworkFields]:
    """Size, stride and padding, in input pixels, of every layer's receptive field.

    Args:
        network: as for `summary`.
        input: as for `summary`.
        layers: pattern of the layers to list and draw.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: the network cannot be run.

    Examples:
        >>> "conv2  Conv2d     1×16×10×10      14 " in str(archscope.receptive_field("lenet"))
        True
    """
    from archscope.ask.receptive_field import receptive_fields
    from archscope.study.receptive_field import fields_report

    found = receptive_fields(asked(network, model, input=input, keywords=constructor_keywords))
    return Answer(found, lambda: fields_report(found, layers))
