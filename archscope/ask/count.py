"""A network, or the saved record in its place → Analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archscope import wording
from archscope.ask.network.runs import count
from archscope.ask.network.subject import Subject, find
from archscope.errors import ArchscopeError, BackwardError, UnknownCostError
from archscope.records import Analysis, Dim, InputSpec
from archscope.saved.record import saved


def analyse(
    model: Any,
    *,
    input: Any = None,
    batch: Dim | None = None,
    backward: bool = False,
    train: bool = False,
    train_only: str | None = None,
    keywords: Mapping[str, Any] | None = None,
) -> Analysis:
    """Count one network on one input.

    Args:
        model: a name (`resnet50`, `timm:convnext_tiny`, `nets.py:Net`), a saved record
            (`run.json`), an `nn.Module`, or a class or function that makes one.
        input: a specification (`3x224x224`), a tensor, a tuple of positional arguments or a
            dictionary of keyword arguments; the network's default when `None`.
        batch: size of the batch dimension of a specification; 1 when `None`.
        backward: also count the backward pass.
        train: run in training mode (auxiliary heads, dropout) instead of evaluation mode.
        train_only: glob of parameter or module names that stay trainable; the rest is frozen.
        keywords: passed to the constructor.

    Raises:
        ArchscopeError: the model cannot be found, built, or run on this input.
    """
    record = saved(model)
    if record is not None:
        rebatched = batch is not None and batch != record.at(batch).input.batch
        if input is not None or keywords or train or train_only or rebatched:
            raise ArchscopeError(
                record.name,
                "a saved record cannot be counted anew",
                "name the network itself to change it",
            )
        return record.count(batch, backward)
    from archscope.resolve.storage import collector_paused
    from archscope.saved import answers

    arguments: dict[str, Any] = {
        "input": input, "batch": batch, "backward": backward, "train": train,
        "train_only": train_only, "keywords": dict(keywords or {}),
    }  # fmt: skip

    def compute() -> Analysis:
        with collector_paused():
            return _analysed(model, **arguments)

    return answers.record("analysis", model, arguments, compute)


def analyse_both_passes(model: Any, **options: Any) -> Analysis:
    """Count a network forward and, where it has a backward pass, backward; else a note says why.

    Args:
        model: as for `analyse`; a saved record is taken as it is.
        options: of `analyse`.

    Raises:
        ArchscopeError: as `analyse`.
    """
    record = saved(model)
    if record is not None:
        return analyse(record, **options)
    try:
        return analyse(model, backward=True, **options)
    except BackwardError as error:
        note = f"No backward pass is counted: it {error.problem}."
    analysis = analyse(model, **options)
    return replace(analysis, notes=(*analysis.notes, note))


def _analysed(
    model: Any,
    *,
    input: Any,
    batch: Dim | None,
    backward: bool,
    train: bool,
    train_only: str | None,
    keywords: Mapping[str, Any],
) -> Analysis:
    from archscope.ask.network.call import network_call

    subject = find(model, keywords)
    call = network_call(subject, input, batch)
    if call.spec.symbols:
        return symbolic_analysis(subject, call.spec, backward, train, train_only)
    counted, executed_on, note = count(subject, call, backward, train, train_only)
    layers, coverage = counted
    return Analysis(
        model=subject.name,
        input=call.spec,
        calls=layers,
        coverage=coverage,
        keywords=subject.keywords,
        executed_on=executed_on,
        versions=subject.versions,
        notes=(*subject.notes, *note),
    )


def require_complete(analysis: Analysis) -> None:
    """Refuse a count that is only a lower bound.

    Raises:
        UnknownCostError: naming the operators without a formula and where they ran.
    """
    missing = wording.missing_formulas(analysis.coverage)
    if missing:
        raise UnknownCostError(
            analysis.model, f"no formula for {missing}", f"{wording.REMEDY} or drop --strict"
        )


def symbolic_analysis(
    subject: Subject, spec: InputSpec, backward: bool, train: bool, train_only: str | None
) -> Analysis:
    """A network's layers with symbols in their shapes, counted at the usual sizes.

    Raises:
        ArchscopeError: symbols that clash, or that the network cannot take.
    """
    from archscope.ask.symbols.formula import formula_of, sizes_text
    from archscope.ask.symbols.trial import at

    found = formula_of(subject, spec, asked=True, train=train)
    counted = analyse(
        subject.module,
        input=at(spec, found.usual),
        backward=backward,
        train=train,
        train_only=train_only,
    )
    forms = {(form.layer.name, form.layer.call): form.layer for form in found.layers}
    note = (
        f"Counts are those at {sizes_text(found.usual)}; archscope formula writes them in symbols."
    )
    return replace(
        counted,
        model=subject.name,
        input=found.input,
        calls=tuple(
            replace(
                layer,
                input_shapes=forms[layer.name, layer.call].input_shapes,
                output_shapes=forms[layer.name, layer.call].output_shapes,
            )
            for layer in counted.calls
        ),
        keywords=subject.keywords,
        versions=subject.versions,
        notes=(note, *subject.notes),
    )
