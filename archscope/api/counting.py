"""What is known without running: costs, differences, closed forms, fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, overload

from archscope.api.answer import Answer, Summary
from archscope.api.asked import asked
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.resolve.names import is_glob, known

if TYPE_CHECKING:
    from os import PathLike

    import torch

    from archscope.archive import Record
    from archscope.ask.contenders import Contender
    from archscope.ask.graph import NetworkGraph
    from archscope.ask.many import Counted
    from archscope.ask.network.subject import Source
    from archscope.ask.receptive_field import NetworkFields
    from archscope.ask.symbols.formula import Formula
    from archscope.ask.target import Input, Model
    from archscope.records import Analysis
    from archscope.table import Report


@overload
def summary(
    model: Model,
    input: Input | None = None,
    backward: bool = False,
    *,
    input_size: Sequence[int] | Sequence[Sequence[int]] | None = None,
    batch: int | None = None,
    train: bool = False,
    train_only: str | None = None,
    device: str | torch.device | None = None,
    depth: int | None = None,
    unfold: bool = False,
    columns: Sequence[str] | None = None,
    sort: str = "execution",
    top: int | None = None,
    strict: bool = False,
    keywords: Mapping[str, Any] | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Summary: ...


@overload
def summary(
    model: Sequence[Model],
    input: Input | None = None,
    backward: bool = False,
    *,
    input_size: Sequence[int] | Sequence[Sequence[int]] | None = None,
    batch: int | None = None,
    train: bool = False,
    sort: str = "execution",
    top: int | None = None,
    strict: bool = False,
    keywords: Mapping[str, Any] | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Contender, ...]]: ...


@allowing
@spelt
def summary(
    model: Model | Sequence[Model],
    input: Input | None = None,
    backward: bool = False,
    *,
    input_size: Sequence[int] | Sequence[Sequence[int]] | None = None,
    batch: int | None = None,
    train: bool = False,
    train_only: str | None = None,
    device: str | torch.device | None = None,
    depth: int | None = None,
    unfold: bool = False,
    columns: Sequence[str] | None = None,
    sort: str = "execution",
    top: int | None = None,
    strict: bool = False,
    keywords: Mapping[str, Any] | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Summary | Answer[tuple[Contender, ...]]:
    """Count what a network costs, layer by layer, or several networks, a row each.

    Args:
        model: a name (`"resnet50"`, `"timm:convnext_tiny"`, `"nets.py:Net"`), an `nn.Module`, a
            class or function that makes one, or a saved record (`"run.json"`); a list of them, or
            of patterns (`["resnet*"]`), for several networks.
        input: a specification without the batch (`"3x224x224"`, `"ids=128:int64"`), a shape with
            it (`(1, 3, 224, 224)`), a tensor, a tuple of positional arguments, or a dictionary of
            keyword arguments.
        backward: also count the backward pass.
        input_size: a shape with the batch, or several of them: another way to write `input`.
        batch: batch size of a specification, 1 by default.
        train: run in training mode instead of evaluation mode.
        train_only: pattern of the parameter or module names that stay trainable.
        device: `cpu` or `cuda`, where tensors say that they are, and whose attention kernel is
            assumed; that of the input when `None`.
        depth: levels of the printed tree; as many as read comfortably by default.
        unfold: print every one of several equal blocks.
        columns: keys of the printed columns, such as `["params", "macs"]`.
        sort: print single layers, or the networks of a list, the largest in this key (`"macs"`)
            first.
        top: print so many of them.
        strict: raise where an operator has no formula and the count is a lower bound.
        keywords: passed to the constructor, where they have the name of an argument above.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor of a named network or a class.

    Returns:
        the count; for a list of networks the counts of all that can be counted, in its order.

    Raises:
        ArchscopeError: the network, or every one of several, cannot be found, built, or run on
            this input; an unknown column; what is of one network, such as `depth`, beside several;
            an operator without a formula, if `strict`.

    Example:
        >>> archscope.summary("resnet50").total.macs
        4089184256
        >>> archscope.summary("lenet", "1x28x28").total.params
        61706
        >>> [one.analysis.total.params for one in archscope.summary(["alexnet", "vgg16"]).record]
        [61100840, 138357544]
    """
    from archscope.ask.count import analyse, require_complete
    from archscope.ask.many import counted_each

    given = _one_input(input, input_size)
    named = {**(keywords or {}), **constructor_keywords}
    if isinstance(model, (list, tuple)):
        _refuse_for_several(
            train_only=train_only, device=device, depth=depth, unfold=unfold or None,
            columns=columns,
        )  # fmt: skip
        found = counted_each(
            model, input=given, batch=batch, keywords=named, backward=backward, train=train
        )
        return _several(found, sort=sort, top=top, strict=strict)
    network = target(
        _one_network(cast("Model", model), given), input=given, batch=batch, keywords=named
    )
    analysis = analyse(
        network, backward=backward, train=train, train_only=train_only, device=device
    )
    if strict:
        require_complete(analysis)
    if columns and "receptive_field" in columns:
        from archscope.study.receptive_field import add_fields

        analysis = add_fields(analysis, network)

    def made() -> Report:
        from archscope.ask.explored import explored
        from archscope.study.node_data import node_data
        from archscope.study.page import with_page
        from archscope.study.summary import summary_report

        frozen = train_only is not None and backward
        unfrozen = analyse(network, backward=True, train=train) if frozen else None
        report = summary_report(
            analysis, depth=depth, unfold=unfold, columns=columns, sort=sort, top=top,
            unfrozen=unfrozen,
        )  # fmt: skip
        report = replace(report, exports=node_data(network))
        return with_page(report, lambda: [explored(network, analysis)])

    return Summary(analysis, made)


def _several(
    found: Counted, *, sort: str, top: int | None, strict: bool
) -> Answer[tuple[Contender, ...]]:
    """The answer of several networks.

    Raises:
        ArchscopeError: an operator without a formula, if `strict`.
    """
    from archscope.ask.count import require_complete
    from archscope.study.compare.many import many_report

    for each in found.networks if strict else ():
        require_complete(each.analysis)
    order = None if sort == "execution" else sort
    report = many_report(found.networks, sort=order, top=top, problems=found.problems)
    return Answer(found.networks, lambda: report)


def _refuse_for_several(**given: object) -> None:
    """Refuse what decides nothing where several networks are counted.

    Raises:
        ArchscopeError: one is given.
    """
    for name, value in given.items():
        if value is not None:
            problem = "does not go with several networks"
            raise ArchscopeError(name, problem, "name one network")


def _one_network(model: Model, input: Input | None) -> Model:
    """The network, where no other one is named: a pattern is of several, and so is a second name.

    Raises:
        ArchscopeError: several are named.
    """
    if isinstance(model, str) and is_glob(model):
        raise ArchscopeError(model, "is a pattern of several networks", f"write [{model!r}]")
    if isinstance(input, str) and input.isidentifier() and input in known(""):
        several = f"[{str(model)!r}, {input!r}]"
        raise ArchscopeError(
            parameter("input", input), "is the name of a network", f"for several write {several}"
        )
    return model


def _one_input(
    input: Input | None, input_size: Sequence[int] | Sequence[Sequence[int]] | None
) -> Input | None:
    """The input, which may have been given as a size.

    Raises:
        ArchscopeError: both are given.
    """
    if input_size is None:
        return input
    if input is not None:
        raise ArchscopeError("input_size", "is another way to write input", "give one of the two")
    return tuple(tuple(part) if isinstance(part, Sequence) else part for part in input_size)


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

    Example:
        >>> archscope.graph("lenet").save("lenet.svg")
    """
    from archscope.ask.explored import explored
    from archscope.ask.graph import network_graph
    from archscope.study.graph import graph_report
    from archscope.study.page import with_page

    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    followed = network_graph(chosen)

    def made() -> Report:
        report = graph_report(followed, depth=depth, pattern=pattern)
        return with_page(report, lambda: [explored(chosen, followed.analysis)])

    return Answer(followed, made)


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

    Example:
        >>> "1·6·28·28·1·5·5 = 117,600" in str(archscope.explain("lenet", "conv1"))
        True
    """
    from archscope.ask.count import analyse_both_passes
    from archscope.study.explain import explain_report

    network = target(model, input=input, batch=batch, keywords=constructor_keywords)
    analysis = analyse_both_passes(network)
    report = explain_report(analysis, layers)
    return Answer(analysis, lambda: report)


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

    Example:
        >>> "416,520·N" in str(archscope.formula("lenet"))
        True
    """
    if layers and depth is not None:
        raise ArchscopeError("layers", "does not go with depth", "leave one out")
    from archscope.ask.symbols import formula as symbols
    from archscope.study.formula import formula_report

    chosen = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    if input is None:  # a record's sides are numbers, of which none is left free
        chosen = replace(chosen, input=None, batch=batch)
    found = symbols.formula(chosen)
    return Answer(found, lambda: formula_report(found, every_layer=layers, depth=depth))


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

    Example:
        >>> "conv2  Conv2d     1×16×10×10      14 " in str(archscope.receptive_field("lenet"))
        True
    """
    from archscope.ask.receptive_field import receptive_fields
    from archscope.study.receptive_field import fields_report

    found = receptive_fields(asked(network, model, input=input, keywords=constructor_keywords))
    return Answer(found, lambda: fields_report(found, layers))


def models(pattern: str = "") -> Answer[tuple[str, ...]]:
    """The networks that have a name, or the card of one.

    Args:
        pattern: part of a name, a glob (`"resne*50"`), `"timm:…"` or `"hf:…"`; the exact name of
            one network gives its card.

    Raises:
        ArchscopeError: no name matches.

    Example:
        >>> archscope.models("alexnet").record
        ('alexnet',)
    """
    from archscope.study.models import models_report

    report = models_report(pattern)
    table = report.tables[0]
    names = tuple(str(row.cells[0]) for row in table.rows)
    return Answer(names if table.columns[0].key == "name" else (pattern,), lambda: report)


def load(path: str | PathLike[str]) -> Answer[Record]:
    """Read what `save` or `-o run.json` wrote. A file is data: nothing of it is run.

    Args:
        path: of a `.json` file.

    Raises:
        ArchscopeError: the file cannot be read, or holds no record.

    Example:
        >>> archscope.summary("lenet").save("lenet.json")
        >>> archscope.load("lenet.json").record.total.params
        61706
    """
    from archscope import archive
    from archscope.records import Analysis
    from archscope.study.loaded import record_report

    record = archive.load(str(path))
    if isinstance(record, Analysis):
        return Summary(record, lambda: record_report(record))
    return Answer(record, lambda: record_report(record))
