"""What to measure and how, from single settings: those of `archscope profile` and of Python."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypedDict

from archscope.ask.profile.there import ANY
from archscope.dtypes import full_name
from archscope.engines.local import NAME as LOCAL
from archscope.errors import ArchscopeError
from archscope.measure import device as devices
from archscope.measure.sampling import StoppingRule
from archscope.measure.session import Plan
from archscope.measure.step import Mode, Optimizer, Settings
from archscope.parameters import parameter
from archscope.saved import answers

if TYPE_CHECKING:
    import torch


class PlanSettings(TypedDict, total=False):
    """The settings of `plan_of`, for functions that hand them on."""

    device: str | None
    threads: int | None
    dtype: str | torch.dtype
    amp: bool
    channels_last: bool
    compile: str | None
    cuda_graph: bool
    cold_l2: bool
    optimizer: Optimizer | None
    train: bool
    eval: bool
    precision: float
    max_seconds: float


def plan_of(
    *,
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
    on: str = LOCAL,
) -> Plan:
    """What to measure and how.

    Args:
        device: `cpu`, `cuda`, `cuda:1`, `mps`; the fastest when `None`.
        threads: CPU threads of one operator; PyTorch's when `None`.
        dtype: see `Settings`.
        amp: autocast, to bfloat16 unless `dtype` is `float16`.
        channels_last: NHWC memory format.
        compile: mode of `torch.compile`; eager when `None`.
        cuda_graph: also replay the step as one CUDA graph.
        cold_l2: overwrite the second-level cache before every repetition.
        optimizer: what updates the weights, SGD with momentum when `None`.
        train: measure training alone.
        eval: measure inference alone.
        precision: half width of the median's interval at which to stop, in percent.
        max_seconds: longest time spent on one number.
        on: where it is measured; elsewhere the device is looked for there.

    Raises:
        ArchscopeError: settings that contradict each other, out of range, or not of this device.
    """
    dtype = full_name(dtype)
    if compile is not None:
        _check_mode(compile)
        # It warns of a CUDA compiler without a CUDA device, which is no news to the user.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    _check_phases(train, eval, optimizer)
    _check_range("precision", precision, 0.2, 100)
    _check_range("max_seconds", max_seconds, 0.001, 86400)
    if amp:
        _check_autocast(dtype)
    chosen = device is not None
    if device is None:
        device = devices.best() if on == LOCAL else ANY
    if on == LOCAL:
        _check_cuda(devices.find(device).type, dtype, cuda_graph)
    settings = Settings(
        device=device,
        dtype=dtype,
        amp=amp,
        channels_last=channels_last,
        compile=compile,
        optimizer=optimizer or "momentum",
        threads=threads,
        cuda_graph=cuda_graph,
        cold_l2=cold_l2,
    )
    rule = StoppingRule(precision=precision / 100, max_seconds=max_seconds)
    training: tuple[Mode, ...] = () if eval else ("training",)
    inference: tuple[Mode, ...] = () if train else ("inference",)
    roofs = answers.roofs() if on == LOCAL else None
    return Plan(settings, rule, (*training, *inference), roofs=roofs, chosen=chosen)


def _check_phases(train: bool, eval: bool, optimizer: Optimizer | None) -> None:
    """Refuse two phases that are each asked for alone, and an update where none runs."""
    if train and eval:
        both = f"{parameter('train', True)} {parameter('eval', True)}"
        raise ArchscopeError(both, "exclude each other", "leave out both to measure both")
    if eval and optimizer is not None:
        problem = f"updates nothing with {parameter('eval', True)}"
        raise ArchscopeError(parameter("optimizer"), problem, "leave out one")


def _check_autocast(dtype: str) -> None:
    """Refuse a dtype that autocast does not convert to."""
    if dtype in ("float32", "tf32"):
        problem = "contradict each other: autocast is to bfloat16 or float16"
        both = f"{parameter('amp', True)} {parameter('dtype', dtype)}"
        raise ArchscopeError(both, problem, "leave out one of them")


def _check_mode(mode: str) -> None:
    """Refuse a mode that torch.compile does not have, before anything is measured."""
    from torch._inductor import list_mode_options

    modes = ["default", *(name for name in list_mode_options() if name != "default")]
    if mode not in modes:
        remedy = f"use one of {', '.join(modes)}"
        raise ArchscopeError(parameter("compile", mode), "is not a mode of torch.compile", remedy)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # nan is in no range
        remedy = f"give a number from {least:g} to {most:g}"
        raise ArchscopeError(parameter(name, value), "is out of range", remedy)


def _check_cuda(device: str, dtype: str, cuda_graph: bool) -> None:
    asked = {
        parameter("dtype", "tf32"): dtype == "tf32",
        parameter("cuda_graph", True): cuda_graph,
    }
    for setting, given in asked.items():
        if given and device != "cuda":
            needs = f"needs {parameter('device', 'cuda')}"
            raise ArchscopeError(setting, needs, f"leave it out on {device}")
