"""The options that say how to measure; `ask.profile.plan` makes a plan of them."""

from __future__ import annotations

import click
from click.core import ParameterSource

from archscope.cli.options import Decorated
from archscope.errors import ArchscopeError

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
        is_flag=False,
        flag_value="default",
        metavar="[MODE]",
        help="torch.compile, such as --compile=max-autotune.",
    ),
    click.option("--cuda-graph", is_flag=True, help="Also replay the step as one CUDA graph."),
    click.option("--cold-l2", is_flag=True, help="Overwrite the cache before every repetition."),
    click.option(
        "--optimizer",
        type=click.Choice(["sgd", "momentum", "adam", "adamw", "none"], case_sensitive=False),
        help="What updates the weights (momentum: SGD with it).",
    ),
    click.option("--train", is_flag=True, help="Training only; both by default."),
    click.option("--eval", is_flag=True, help="Inference only."),
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
        help="Longest time spent on each number (10).",
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
