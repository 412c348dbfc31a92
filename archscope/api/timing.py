"""How long it takes: measured here, or read from a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from os import PathLike, fspath
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from archscope.api.answer import Answer, remembering
from archscope.api.asked import asked
from archscope.api.spelling import spelt
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    import torch

    from archscope.ask.network.subject import Source
    from archscope.ask.profile.measured import LargestBatch
    from archscope.ask.profile.plan import PlanSettings
    from archscope.ask.target import Input, Model
    from archscope.measure.session import Plan
    from archscope.measure.step import Optimizer
    from archscope.records import Profile
    from archscope.table import Report


@overload
def profile(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    batch: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str | torch.dtype = "default",
    amp: bool = False,
    channels_last: bool = False,
    compile: str | None = None,
    cuda_graph: bool = False,
    cold_l2: bool = False,
    optimizer: Optimizer | None = None,
    train: bool = False,
    eval: bool = False,
    precision: float = 0.5,
    max_seconds: float = 10.0,
    every_layer: bool = False,
    max_batch: Literal[False] = False,
    plan: Plan | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Profile]: ...


@overload
def profile(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    batch: Sequence[int],
    model: Source | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str | torch.dtype = "default",
    amp: bool = False,
    channels_last: bool = False,
    compile: str | None = None,
    cuda_graph: bool = False,
    cold_l2: bool = False,
    optimizer: Optimizer | None = None,
    train: bool = False,
    eval: bool = False,
    precision: float = 0.5,
    max_seconds: float = 10.0,
    every_layer: bool = False,
    max_batch: Literal[False] = False,
    plan: Plan | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Profile, ...]]: ...


@overload
def profile(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    max_batch: Literal[True],
    model: Source | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str | torch.dtype = "default",
    amp: bool = False,
    channels_last: bool = False,
    compile: str | None = None,
    optimizer: Optimizer | None = None,
    train: bool = False,
    eval: bool = False,
    plan: Plan | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[LargestBatch]: ...


@remembering
@allowing
@spelt
def profile(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    batch: int | Sequence[int] | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str | torch.dtype = "default",
    amp: bool = False,
    channels_last: bool = False,
    compile: str | None = None,
    cuda_graph: bool = False,
    cold_l2: bool = False,
    optimizer: Optimizer | None = None,
    train: bool = False,
    eval: bool = False,
    precision: float = 0.5,
    max_seconds: float = 10.0,
    every_layer: bool = False,
    max_batch: bool = False,
    plan: Plan | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Profile] | Answer[tuple[Profile, ...]] | Answer[LargestBatch]:
    """Measure forward and backward time, of the network and by layer.

    Args:
        network: as for `summary`.
        input: a specification.
        batch: batch size, 8 by default; a list measures each, up to the first that does not fit.
        device: `cpu`, `cuda`, `cuda:1`, `mps`; the fastest when `None`.
        threads: CPU threads of one operator; PyTorch's when `None`.
        dtype: `float32`, `tf32`, `float16` or `bfloat16`, to convert the network.
        amp: autocast, to bfloat16 unless `dtype` is `float16`.
        channels_last: NHWC memory format.
        compile: mode of `torch.compile`, such as `default`; eager when `None`.
        cuda_graph: also replay the step as one CUDA graph.
        cold_l2: overwrite the second-level cache before every repetition.
        optimizer: `sgd`, `momentum`, `adam`, `adamw` or `none`; `momentum` when `None`.
        train: measure training alone.
        eval: measure inference alone.
        precision: half width of the median's interval at which to stop, in percent.
        max_seconds: longest time spent on one number, in seconds.
        every_layer: list every layer, not only the slowest.
        max_batch: find the largest batch that fits, in place of timing; on a CPU this takes
            minutes.
        plan: all of these settings as one object (see `Plan`, `Settings`, `StoppingRule`), in place
            of them.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Returns:
        the profile; of a list of batches all of them; of `max_batch` a `LargestBatch`.

    Raises:
        ArchscopeError: no such device, settings that contradict each other or stand beside a plan,
            or the network fails on it.

    Examples:
        >>> archscope.profile("lenet", batch=8, device="cpu", eval=True)  # doctest: +SKIP
    """
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile import measured
    from archscope.resolve import parse_batch
    from archscope.study.page import with_profile_page
    from archscope.study.profile import profile_report
    from archscope.study.profile.largest import largest_report

    settings: PlanSettings = {
        "device": device, "threads": threads, "dtype": dtype, "amp": amp,
        "channels_last": channels_last, "compile": compile, "cuda_graph": cuda_graph,
        "cold_l2": cold_l2, "optimizer": optimizer, "train": train, "eval": eval,
        "precision": precision, "max_seconds": max_seconds,
    }  # fmt: skip
    sizes = None
    if isinstance(batch, (list, tuple)):
        sizes = [cast(int, parse_batch(size)) for size in batch]
    one = None if isinstance(batch, (list, tuple)) else batch
    target = asked(network, model, input=input, batch=one, keywords=constructor_keywords)
    chosen = _plan(plan, settings)
    if max_batch:
        if batch is not None:
            raise ArchscopeError("max_batch", "finds the batch itself", "leave out one")
        largest = measured.largest_batch(target, chosen)
        return Answer(largest, lambda: largest_report(target.name, chosen, largest))
    if sizes == []:
        raise ArchscopeError("batch", "an empty list", "give a batch size")
    found = measured.sweep(target, chosen, sizes)

    def made() -> Report:
        return with_profile_page(profile_report(found, every_layer=every_layer), found)

    return Answer(found[0], made) if sizes is None else Answer(found, made)


def _plan(plan: Plan | None, settings: PlanSettings) -> Plan:
    """The plan that is given, or one of single settings.

    Raises:
        ArchscopeError: settings that contradict each other, or stand beside a plan.
    """
    from archscope.ask.profile.plan import plan_of
    from archscope.saved import answers

    if plan is None:
        return plan_of(**settings)
    for name, default in signature(plan_of).parameters.items():
        if name in settings and settings[name] != default.default:  # type: ignore[literal-required]
            raise ArchscopeError(
                parameter(name, settings[name]),  # type: ignore[literal-required]
                "is a setting of the plan", "leave out one",
            )  # fmt: skip
    return replace(plan, roofs=answers.roofs())


def _paths(path: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str]:
    """One path or several, as text.

    Raises:
        ArchscopeError: it is neither, or empty.
    """
    given = path if isinstance(path, (list, tuple)) else [path]
    for each in given:
        if not isinstance(each, (str, PathLike)):
            raise ArchscopeError("path", f"{each!r} is not a path", "give the path of a trace")
    if not given:
        raise ArchscopeError("path", "an empty list", "give the path of a trace")
    return [fspath(cast(str, each)) for each in given]


@overload
def trace(
    path: str | PathLike[str],
    model: Model | None = None,
    input: Input | None = None,
    *,
    batch: int | None = None,
    peaks: Mapping[str, float] | None = None,
    every_layer: bool = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Profile]: ...


@overload
def trace(
    path: Sequence[str | PathLike[str]],
    model: Model | None = None,
    input: Input | None = None,
    *,
    batch: int | None = None,
    peaks: Mapping[str, float] | None = None,
    every_layer: bool = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[tuple[Profile, ...]]: ...


@remembering
@allowing
@spelt
def trace(
    path: str | PathLike[str] | Sequence[str | PathLike[str]],
    model: Model | None = None,
    input: Input | None = None,
    *,
    batch: int | None = None,
    peaks: Mapping[str, float] | None = None,
    every_layer: bool = False,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Profile] | Answer[tuple[Profile, ...]]:
    """Where a step's time goes, by layer, from a trace that torch.profiler wrote on any GPU.

    Args:
        path: a `.json` or `.json.gz` of `profile.export_chrome_trace`; a list of two, which are
            compared layer by layer, or of one of each rank of a job, which are shown together.
        model: the network that was traced, as for `summary`: its operators name the layers where
            the file has no modules.
        input: as for `summary`.
        batch: that of the trace when `None`.
        peaks: roofs of the device, in flop/s by dtype (`"float32"`, `"float16"`, …) and in bytes/s
            under `"copy"`.
        every_layer: list every layer, not only the slowest.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: a file is not such a trace, or not one of this network; an empty list.

    Examples:
        >>> archscope.trace("run.pt.trace.json.gz", "resnet50")  # doctest: +SKIP
        >>> archscope.trace(["eager.json", "compiled.json"], "resnet50")  # doctest: +SKIP
    """
    from archscope.ask.trace.profile import traced
    from archscope.measure import silence_profiler
    from archscope.resolve import parse_batch
    from archscope.study.trace.report import report_of

    silence_profiler()
    paths = _paths(path)
    if not isinstance(peaks, (Mapping, NoneType)):
        raise ArchscopeError("peaks", "not a dictionary", 'give one like {"float32": 15.7e12}')
    network = None
    if model is not None:
        network = network_target(model, input=input, batch=batch, keywords=constructor_keywords)
        if batch is not None and not isinstance(parse_batch(batch), int):
            problem = "is not a number, as the batch of a trace is"
            raise ArchscopeError(parameter("batch", batch), problem, "give a number")
    else:
        given = {"input": input, "batch": batch, **constructor_keywords}
        for name, value in given.items():
            if value is not None:
                problem = f"goes with {parameter('model')}"
                raise ArchscopeError(parameter(name), problem, f"add {parameter('model')}")
    found = [traced(each, network, peaks=peaks) for each in paths]
    report = report_of(
        paths, found, every_layer=every_layer
    )  # what does not go together is refused here
    if not isinstance(path, (list, tuple)):
        return Answer(found[0].profile, lambda: report)
    return Answer(tuple(each.profile for each in found), lambda: report)
