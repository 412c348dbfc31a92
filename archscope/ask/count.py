"""A network, or the saved record in its place → Analysis."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archscope import wording
from archscope.ask.network.runs import count
from archscope.ask.network.subject import Subject
from archscope.ask.target import Target, counted_already
from archscope.errors import ArchscopeError, BackwardError, UnknownCostError
from archscope.parameters import parameter
from archscope.process import collector_paused
from archscope.records import Analysis, InputSpec
from archscope.saved.record import Saved

if TYPE_CHECKING:
    import torch


def analyse(
    target: Target | Saved,
    *,
    backward: bool = False,
    train: bool = False,
    train_only: str | None = None,
    device: str | torch.device | None = None,
) -> Analysis:
    """Count one network on one input.

    Args:
        target: a network with its call, or a saved record of one, which is taken as it is.
        backward: also count the backward pass.
        train: run in training mode (auxiliary heads, dropout) instead of evaluation mode.
        train_only: glob of parameter or module names that stay trainable; the rest is frozen.
        device: `cpu` or `cuda`, where its tensors say that they are, and whose attention kernel is
            assumed; that of the input when `None`.

    Raises:
        ArchscopeError: the network cannot be found, built, or run on this input, or a record is
            to be counted in another way.
    """
    if isinstance(target, Saved):
        if train or train_only or device:
            raise counted_already(target)
        return target.count(backward=backward)
    users = _kind(device)
    from archscope.saved import answers

    how: dict[str, object] = {
        "backward": backward, "train": train, "train_only": train_only, "device": users
    }  # fmt: skip

    def compute() -> Analysis:
        # Imports torch here, which takes seconds; Ctrl-C would have to wait for it below.
        from archscope.analysis.dispatch import asking_about

        with collector_paused(), asking_about(users):
            return _analysed(target, backward, train, train_only)

    return answers.record("analysis", target.model, {**target.question, **how}, compute)


def _kind(device: object) -> str | None:
    """`cpu` or `cuda`, whatever number the device has.

    Raises:
        ArchscopeError: it is neither.
    """
    kind = str(device).partition(":")[0]
    if device is not None and kind not in ("cpu", "cuda"):
        raise ArchscopeError(parameter("device", str(device)), "unknown device", "use cpu or cuda")
    return None if device is None else kind


def analyse_both_passes(target: Target | Saved) -> Analysis:
    """Count a network forward and, where it has a backward pass, backward; else a note says why.

    Args:
        target: as for `analyse`.

    Raises:
        ArchscopeError: as `analyse`.
    """
    if isinstance(target, Saved):
        return analyse(target)
    try:
        return analyse(target, backward=True)
    except BackwardError as error:
        note = f"No backward pass is counted: it {error.problem}."
    analysis = analyse(target)
    return replace(analysis, notes=(*analysis.notes, note))


def _analysed(target: Target, backward: bool, train: bool, train_only: str | None) -> Analysis:
    subject, call = target.called()
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
            analysis.model,
            f"no formula for {missing}",
            f"{wording.REMEDY} or drop {parameter('strict')}",
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
    usual = Target(subject.module, input=at(spec, found.usual))
    counted = analyse(usual, backward=backward, train=train, train_only=train_only)
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
