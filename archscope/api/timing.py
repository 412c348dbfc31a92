"""How long it takes: measured here, or read from a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from inspect import signature
from os import fspath
from typing import TYPE_CHECKING, Any, cast, overload

from archscope.api.answer import Answer
from archscope.api.asked import asked
from archscope.ask.network.allowance import allowing
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.parameters import parameter

if TYPE_CHECKING:
    from os import PathLike

    from archscope.ask.network.subject import Source
    from archscope.ask.target import Input, Model
    from archscope.measure.session import Plan
    from archscope.measure.step import Optimizer
    from archscope.records import Profile


@allowing
def profile(
    network: Model | None = None,
    /,
    input: Input | None = None,
    *,
    model: Source | None = None,
    batch: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    dtype: str = "default",
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
    plan: Plan | None = None,
    allow_memory: int | str | None = None,
    **constructor_keywords: Any,
) -> Answer[Profile]:
    """Measure forward and backward time, of the network and by layer.

    Args:
        network: as for `summary`.
        input: a specification.
        batch: batch size, 8 by default.
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
        every_layer: list every layer, not the slowest.
        plan: all of these settings as one object (see `Plan`, `Settings`, `StoppingRule`), in place
            of them.
        model: the network of a saved record, where its name is not one of a library.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: no such device, settings that contradict each other or stand beside a plan,
            or the network fails on it.

    Example:
        >>> archscope.profile("lenet", batch=8, device="cpu", eval=True)  # doctest: +SKIP
    """
    from archscope.measure import silence_profiler

    silence_profiler()
    from archscope.ask.profile import measured
    from archscope.ask.profile.plan import plan_of
    from archscope.saved import answers
    from archscope.study.page import with_profile_page
    from archscope.study.profile import profile_report

    target = asked(network, model, input=input, batch=batch, keywords=constructor_keywords)
    settings = {
        "device": device, "threads": threads, "dtype": dtype, "amp": amp,
        "channels_last": channels_last, "compile": compile, "cuda_graph": cuda_graph,
        "cold_l2": cold_l2, "optimizer": optimizer, "train": train, "eval": eval,
        "precision": precision, "max_seconds": max_seconds,
    }  # fmt: skip
    if plan is None:
        chosen = plan_of(**cast(Any, settings))
    else:
        for name, default in signature(plan_of).parameters.items():
            if name in settings and settings[name] != default.default:
                raise ArchscopeError(
                    parameter(name, settings[name]), "is a setting of the plan", "leave out one"
                )
        chosen = replace(plan, roofs=answers.roofs())
    measurement = measured.profile(target, chosen)
    return Answer(
        measurement,
        lambda: with_profile_page(
            profile_report([measurement], every_layer=every_layer), [measurement]
        ),
    )


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


@allowing
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
        peaks: roofs of the device, in flop/s by dtype (`"fp32"`, `"fp16"`, …) and in bytes/s under
            `"copy"`.
        every_layer: list every layer, not the slowest.
        allow_memory: bytes that a run on the CPU may take, or `"40GiB"`; half of the free ones
            by default.
        constructor_keywords: passed to the constructor.

    Raises:
        ArchscopeError: a file is not such a trace, or not one of this network; an empty list.

    Example:
        >>> archscope.trace("run.pt.trace.json.gz", "resnet50")  # doctest: +SKIP
        >>> archscope.trace(["eager.json", "compiled.json"], "resnet50")  # doctest: +SKIP
    """
    from archscope.ask.trace.profile import traced
    from archscope.measure import silence_profiler
    from archscope.study.trace.report import report_of

    silence_profiler()
    paths = [*map(fspath, path)] if isinstance(path, (list, tuple)) else [fspath(cast(str, path))]
    if not paths:
        raise ArchscopeError("path", "an empty list", "give the path of a trace")
    network = None
    if model is not None:
        network = network_target(model, input=input, batch=batch, keywords=constructor_keywords)
    found = [traced(each, network, peaks=dict(peaks or {})) for each in paths]
    report = report_of(
        paths, found, every_layer=every_layer
    )  # what does not go together is refused here
    if not isinstance(path, (list, tuple)):
        return Answer(found[0].profile, lambda: report)
    return Answer(tuple(each.profile for each in found), lambda: report)
