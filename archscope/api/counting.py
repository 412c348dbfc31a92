"""What is known without running: costs, differences, closed forms, fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast, overload

from archscope.api.answer import Answer, Summary, remembering
from archscope.api.checked import require_least
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
    from archscope.ask.many import Counted
    from archscope.ask.target import Input, Model
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
    columns: str | Sequence[str] | None = None,
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


@remembering
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
    columns: str | Sequence[str] | None = None,
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
        columns: keys of the printed columns, such as `["params", "macs"]`, or `"params,macs"`.
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
        ArchscopeError: the network, or every one of several, cannot be built or run on this input;
            one that nothing has the name of, or an empty list; an unknown column; what is of one
            network, such as `depth`, beside several;
            an operator without a formula, if `strict`.

    Examples:
        >>> archscope.summary("resnet50").total.macs
        4089184256
        >>> archscope.summary("lenet", "1x28x28").total.params
        61706
        >>> [one.analysis.total.params for one in archscope.summary(["alexnet", "vgg16"]).record]
        [61100840, 138357544]
    """
    from archscope.ask.count import analyse, require_complete
    from archscope.ask.many import counted_each

    require_least("depth", depth, 0)
    require_least("top", top, 1)
    chosen = columns.split(",") if isinstance(columns, str) else columns
    given = _one_input(input, input_size)
    named = {**(keywords or {}), **constructor_keywords}
    if isinstance(model, (list, tuple)):
        _refuse_for_several(
            train_only=train_only, device=device, depth=depth, unfold=unfold or None,
            columns=chosen,
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
    if chosen and "receptive_field" in chosen:
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
            analysis, depth=depth, unfold=unfold, columns=chosen, sort=sort, top=top,
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
        ArchscopeError: both are given, or a size is below 0, as in the tables of other tools.
    """
    if input_size is None:
        return input
    if input is not None:
        raise ArchscopeError("input_size", "is another way to write input", "give one of the two")
    if any(isinstance(side, int) and side < 0 for side in input_size):
        raise ArchscopeError(
            parameter("input_size", input_size), "has a size below 0", "give the batch, such as 1"
        )
    return tuple(tuple(part) if isinstance(part, Sequence) else part for part in input_size)


def models(pattern: str = "") -> Answer[tuple[str, ...]]:
    """The networks that have a name, or the card of one.

    Args:
        pattern: part of a name, a glob (`"resne*50"`), `"timm:…"` or `"hf:…"`; the exact name of
            one network gives its card.

    Raises:
        ArchscopeError: no name matches.

    Examples:
        >>> archscope.models("alexnet").record
        ('alexnet',)
    """
    from archscope.study.models import models_report

    report = models_report(pattern)
    table = report.tables[0]
    names = tuple(str(row.cells[0]) for row in table.rows)
    return Answer(names if table.columns[0].key == "name" else (pattern,), lambda: report)


@remembering
def load(path: str | PathLike[str]) -> Answer[Record]:
    """Read what `save` or `-o run.json` wrote. A file is data: nothing of it is run.

    Args:
        path: of a `.json` file.

    Raises:
        ArchscopeError: the file cannot be read, or holds no record.

    Examples:
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
