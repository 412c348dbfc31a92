"""How the options of `archscope profile` become a plan of measuring."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from archscope.cli.options import Decorated
from archscope.dtypes import full_name
from archscope.engines.local import NAME as LOCAL
from archscope.errors import ArchscopeError

if TYPE_CHECKING:
    from archscope.measure.session import Plan


_MEASURING = (
    click.option(
        "--device", metavar="NAME", help="cpu, cuda, cuda:1, mps; the fastest by default."
    ),
    click.option(
        "--threads", metavar="N", type=click.IntRange(min=1), help="CPU threads of one operator."
    ),
    click.option(
        "--dtype",
        default="default",
        metavar="NAME",
        help="float32, tf32, float16 or bfloat16, to convert it; default keeps the network's.",
    ),
    click.option("--amp", is_flag=True, help="Autocast, to bfloat16 unless --dtype float16."),
    click.option("--channels-last", is_flag=True, help="NHWC memory format."),
    click.option(
        "--compile",
        "mode",
        is_flag=False,
        flag_value="default",
        metavar="[MODE]",
        help="torch.compile, such as --compile=max-autotune.",
    ),
    click.option("--cuda-graph", is_flag=True, help="Also replay the step as one CUDA graph."),
    click.option("--cold-l2", is_flag=True, help="Overwrite the cache before every repetition."),
    click.option(
        "--optimizer",
        type=click.Choice(["sgd", "momentum", "adam", "adamw", "none"]),
        default="momentum",
        help="What updates the weights (momentum: SGD with it).",
    ),
    click.option("--train", is_flag=True, help="Training only; both by default."),
    click.option("--eval", "evaluate", is_flag=True, help="Inference only."),
    click.option(
        "--precision",
        type=float,
        default=0.5,
        metavar="PERCENT",
        help="Half width of the median's interval at which to stop (0.5).",
    ),
    click.option(
        "--max-seconds",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="Longest time spent on one number (10).",
    ),
)


def measuring_options(command: Decorated) -> Decorated:
    """How to measure: the device, the arithmetic, and when to stop."""
    for decorate in reversed(_MEASURING):
        command = decorate(command)
    return command


def refuse_measuring_options(remedy: str) -> None:
    """Refuse what decides only how to measure, where nothing is measured.

    Raises:
        ArchscopeError: such an option was given.
    """
    context = click.get_current_context()
    names = {option.name for option in measuring_options(click.Command("")).params}
    for option in context.command.params:
        given = context.get_parameter_source(str(option.name)) == ParameterSource.COMMANDLINE
        if option.name in names and given:
            raise ArchscopeError(option.opts[0], "goes with --time", remedy)


def plan_of(
    device: str | None, threads: int | None, dtype: Any, amp: bool, channels_last: bool,
    mode: str | None, cuda_graph: bool, cold_l2: bool, optimizer: Any, train: bool,
    evaluate: bool, precision: float, max_seconds: float, on: str = LOCAL,
) -> Plan:  # fmt: skip
    """What to measure and how, from the options by their names in Python.

    Where it is measured elsewhere (`on`), the device is looked for there.

    Raises:
        ArchscopeError: options that contradict each other, out of range, or not of this device.
    """
    from archscope.ask.profile.there import ANY
    from archscope.measure import device as devices
    from archscope.measure.sampling import StoppingRule
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.saved import answers

    if mode is not None:
        _check_mode(mode)
        # It warns of a CUDA compiler without a CUDA device, which is no news to the user.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if train and evaluate:
        raise ArchscopeError(
            "--train --eval", "exclude each other", "leave out both to measure both"
        )
    given = click.get_current_context().get_parameter_source("optimizer")
    if evaluate and given == ParameterSource.COMMANDLINE:
        raise ArchscopeError("--optimizer", "updates nothing with --eval", "leave out one")
    _check_range("--precision", precision, 0.2, 100)
    _check_range("--max-seconds", max_seconds, 0.001, 86400)
    if amp and full_name(dtype) in ("float32", "tf32"):
        problem = "contradict each other: autocast is to bfloat16 or float16"
        raise ArchscopeError(f"--amp --dtype {dtype}", problem, "leave out one of them")
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
        compile=mode,
        optimizer=optimizer,
        threads=threads,
        cuda_graph=cuda_graph,
        cold_l2=cold_l2,
    )
    rule = StoppingRule(precision=precision / 100, max_seconds=max_seconds)
    modes: Any = (*(("training",) if not evaluate else ()), *(("inference",) if not train else ()))
    roofs = answers.roofs() if on == LOCAL else None
    return Plan(settings, rule, modes, roofs=roofs, chosen=chosen)


def _check_mode(mode: str) -> None:
    """Refuse a mode that torch.compile does not have, before anything is measured."""
    from torch._inductor import list_mode_options

    modes = ["default", *(name for name in list_mode_options() if name != "default")]
    if mode not in modes:
        remedy = f"use one of {', '.join(modes)}"
        raise ArchscopeError(f"--compile={mode}", "is not a mode of torch.compile", remedy)


def _check_range(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:  # nan is in no range
        remedy = f"give a number from {least:g} to {most:g}"
        raise ArchscopeError(f"{option} {value:g}", "is out of range", remedy)


def _check_cuda(device: str, dtype: str, cuda_graph: bool) -> None:
    asked = {"--dtype tf32": dtype == "tf32", "--cuda-graph": cuda_graph}
    for option, given in asked.items():
        if given and device != "cuda":
            raise ArchscopeError(option, "needs --device cuda", f"leave it out on {device}")
