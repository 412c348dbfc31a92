"""A network, or the saved record in its place → Analysis."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from archscope.errors import ArchscopeError, BackwardError, UnknownCostError
from archscope.records import Analysis, Coverage, Dim, Layer
from archscope.study import lower_bound
from archscope.study.failure import (
    depends_on_values,
    failure,
    place_of,
    without_torch_s_advice,
)
from archscope.study.recall import saved
from archscope.study.subject import Subject, find

if TYPE_CHECKING:
    from torch import nn

    from archscope.analysis import borrow
    from archscope.study.call import NetworkCall

Ran = TypeVar("Ran")


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
    from archscope.study import kept

    arguments: dict[str, Any] = {
        "input": input, "batch": batch, "backward": backward, "train": train,
        "train_only": train_only, "keywords": dict(keywords or {}),
    }  # fmt: skip

    def compute() -> Analysis:
        with collector_paused():
            return _analysed(model, **arguments)

    return kept.record("analysis", model, arguments, compute)


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
    from archscope.study.call import network_call

    subject = find(model, keywords)
    call = network_call(subject, input, batch)
    if call.spec.symbols:
        from archscope.study.formula import symbolic_analysis

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
    missing = lower_bound.gap(analysis.coverage)
    if missing:
        raise UnknownCostError(
            analysis.model, f"no formula for {missing}", f"{lower_bound.REMEDY} or drop --strict"
        )


def count(
    subject: Subject,
    call: NetworkCall,
    backward: bool = False,
    train: bool = False,
    train_only: str | None = None,
) -> tuple[tuple[tuple[Layer, ...], Coverage], Any, tuple[str, ...]]:
    """Layers and coverage of a network that was found, where it ran, and notes; see `analyse`."""
    from archscope.analysis import borrow

    changes_parameters = backward or train_only is not None

    def counted(module: nn.Module, arguments: Any, stand_in: borrow.StandIn) -> Any:
        on_meta = stand_in is borrow.weightless
        if subject.private and on_meta and not changes_parameters:
            lent = borrow.owned(module)
        else:
            lent = borrow.borrowed(module, stand_in)
        with lent as network:
            network.train(train)
            freeze(network, train_only)
            return run_once(network, arguments, backward, on_meta)

    return executed(subject, call, counted)


MOVES_ITSELF = "This network names a device itself; it was counted as if all ran on one."


@without_torch_s_advice()
def executed(
    subject: Subject, call: NetworkCall, run: Callable[[nn.Module, Any, Any], Ran]
) -> tuple[Ran, Any, tuple[str, ...]]:
    """Run a network on meta; where values decide the way, on the CPU.

    Args:
        subject: the network.
        call: what it is called with.
        run: takes a module, the arguments of its call, and what makes stand-ins for its tensors
            (see `borrow`).

    Returns:
        what `run` returned, where it ran (`meta` or `cpu`), and notes for the reader.

    Raises:
        ArchscopeError: the network fails on this input.
    """
    from archscope.analysis import borrow
    from archscope.analysis.one_device import OneDevice, asks_for_a_device

    def run_on_meta() -> Ran:
        return run(subject.module, call.on_meta(), borrow.weightless)

    try:
        try:
            return run_on_meta(), "meta", ()
        except Exception as error:
            if not asks_for_a_device(error):
                raise
        with OneDevice("meta"):
            return run_on_meta(), "meta", (MOVES_ITSELF,)
    except Exception as error:
        if isinstance(error, ArchscopeError):
            raise
        if not depends_on_values(error):
            raise failure(subject.name, call.spec, subject.default_input, error) from error
        where = place_of(error)
        if subject.rebuild is None:
            raise ArchscopeError(
                subject.name,
                f"{where} needs the values of tensors, and this network has none",
                "give it with its weights",
            ) from error
    note = (
        f"Counted on a real CPU run: {where} needs the values of tensors, so another input "
        f"(or other weights) may cost something else."
    )
    try:
        module = subject.rebuild()
        with OneDevice("cpu"):
            return run(module, call.with_values(), borrow.with_storage), "cpu", (note,)
    except Exception as error:
        raise failure(subject.name, call.spec, subject.default_input, error) from error


def run_once(
    network: nn.Module,
    arguments: tuple[tuple[Any, ...], dict[str, Any]],
    backward: bool,
    on_meta: bool,
) -> tuple[tuple[Layer, ...], Coverage]:
    """Count one run of a lent network; see `analyse` for the options.

    Raises:
        Exception: whatever the network raises; `place_of` tells where.
    """
    import torch

    from archscope.analysis import calls, trace

    args, kwargs = arguments
    torch.default_generator.manual_seed(0)  # `torch.manual_seed` wakes every device
    log, coverage = trace.run(network, args, kwargs, backward=backward, on_meta=on_meta)
    return calls.layers(log, backward), coverage


def freeze(network: nn.Module, train_only: str | None) -> None:
    """Leave trainable what matches a glob of parameter or module names; everything when `None`.

    Raises:
        ArchscopeError: nothing matches.
    """
    from archscope.analysis.trace import freeze_all_but

    if train_only is not None and not freeze_all_but(network, train_only):
        names = [name for name, _ in network.named_children()]
        raise ArchscopeError(
            f"--train-only {train_only}",
            "matches no trainable parameter",
            f"name a parameter or module, such as {names[-1] if names else 'weight'}*",
        )
