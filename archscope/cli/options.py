"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from archscope.cli import completion

if TYPE_CHECKING:
    from archscope.latency.place import Place
    from archscope.records import Dim

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

model_argument = click.argument("model", shell_complete=completion.networks)


def _inputs(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Several `--input` are the inputs of one call, as those of one by commas."""
    return ",".join(given) or None


input_option = click.option(
    "--input",
    "input_text",
    metavar="SPEC",
    multiple=True,
    callback=_inputs,
    help="Input without the batch: 3x224x224, ids=128:int64, several by commas.",
)
beside_option = click.option(
    "--model",
    "beside",
    metavar="NAME",
    help="The network of a saved record, where that is code: nets.py:Net.",
)
_SHORTHANDS = "archscope.shorthands"


def _shorthand(context: click.Context, option: click.Parameter, value: str | None) -> None:
    """Keep `--seq 4096` for `--set`, whose `seq=4096` it is another way to write."""
    if value is not None:
        context.meta.setdefault(_SHORTHANDS, []).append(f"{option.name}={value}")


def _settings(
    context: click.Context, option: click.Parameter, given: tuple[str, ...]
) -> tuple[str, ...]:
    return (*given, *context.meta.get(_SHORTHANDS, ()))


def _allowed(context: click.Context, option: click.Parameter, text: str | None) -> None:
    if text is not None:
        from archscope.ask.network.allowance import allowed

        context.with_resource(allowed(text))


built_dtype_option = click.option(
    "--dtype", metavar="NAME", callback=_shorthand, expose_value=False, is_eager=True,
    help="Dtype of an hf: network's weights and cache, such as bfloat16.",
)  # fmt: skip
memory_option = click.option(
    "--allow-memory", metavar="BYTES", callback=_allowed, expose_value=False,
    help="What a run on the CPU may take, such as 40GiB (half of the free memory by default).",
)  # fmt: skip


def set_option(command: Decorated) -> Decorated:
    """`--set`, the settings that have an option of their own, and what counting may take."""
    decorators = [
        click.option(
            "--set", "settings", multiple=True, metavar="KEY=VALUE", callback=_settings,
            help="Constructor keyword, such as num_classes=2; may repeat.",
            shell_complete=completion.settings,
        )
    ]  # fmt: skip
    decorators += [
        click.option(
            f"--{name}", metavar=metavar, help=text, callback=_shorthand, expose_value=False,
            is_eager=True,
        )
        for name, metavar, text in (
            ("task", "NAME", "Head of an hf: network, such as causal-lm."),
            ("seq", "L", "Length of the default input, in tokens."),
            ("image", "SIDE", "Height and width of the default input's images."),
        )
    ]  # fmt: skip
    for decorate in reversed((*decorators, memory_option)):
        command = decorate(command)
    return command


def _noted(context: click.Context, option: click.Parameter, value: Any) -> None:
    """Remember what an option says until `-o` is read."""
    context.meta[f"archscope.{option.name}"] = value


def _inches(context: click.Context, option: click.Parameter, text: str | None) -> None:
    from archscope.errors import ArchscopeError
    from archscope.formats import is_size
    from archscope.parameters import parameter

    if text is None:
        return
    sides: tuple[float, ...] = ()
    with suppress(ValueError):
        sides = tuple(map(float, text.lower().replace("×", "x").split("x")))
    if not is_size(sides):
        problem = "is not a width and height from 1 to 60 inches"
        raise ArchscopeError(parameter("size", text), problem, "write it like 6.8x4")
    _noted(context, option, sides)


def _outputs(
    context: click.Context, option: click.Parameter, paths: tuple[str, ...]
) -> tuple[str, ...]:
    from archscope.formats import Drawn
    from archscope.output import Outputs

    def said(name: str) -> Any:
        return context.meta.get(f"archscope.{name}")

    return Outputs.of(paths, Drawn(said("chart"), said("size")), said("format"), bool(said("open")))


def output_option(command: Decorated) -> Decorated:
    """`-o`, with what is said of its files: `--format`, `--chart`, `--size` and `--open`."""
    aside: Any = {"is_eager": True, "expose_value": False}
    decorators = (
        click.option(
            "-o", "--output", "outputs", multiple=True, metavar="FILE", callback=_outputs,
            help="Also write a file: .csv .json .md .html .tex .png .svg .pdf; may repeat; "
            "- is standard output.",
            shell_complete=completion.files,
        ),
        click.option(
            "--format", metavar="NAME", callback=_noted,
            help="Print this instead of tables: csv, json, md, html, tex, svg ….",
            shell_complete=completion.formats, **aside,
        ),
        click.option(
            "--chart", metavar="NAME", callback=_noted,
            help="Draw this figure alone; a wrong name lists them.", **aside,
        ),
        click.option(
            "--size", metavar="WxH", callback=_inches,
            help="Inches of each figure, such as 3.3x2.4.", **aside,
        ),
        click.option(
            "--open", is_flag=True, callback=_noted, help="Show the page in a browser.", **aside
        ),
    )  # fmt: skip
    for decorate in reversed(decorators):
        command = decorate(command)
    return command


strict_option = click.option(
    "--strict", is_flag=True, help="Exit 1 when an operator has no formula."
)


FILES = ("format", "chart", "size", "open")
"""Options about files, of every command that writes some."""


def check_used(used: Collection[str], beside: str, remedy: str) -> None:
    """Refuse every option that was given and would decide nothing.

    Args:
        used: names of the options and arguments that decide something.
        beside: what they were given with.
        remedy: what to do instead.
    """
    from archscope.errors import ArchscopeError

    context = click.get_current_context()
    for option in context.command.params:
        name = str(option.name)
        given = context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and name not in used and name not in FILES:
            raise ArchscopeError(option.opts[0], f"does not go with {beside}", remedy)


def _size(context: click.Context, option: click.Parameter, text: str | None) -> Dim | None:
    if text is None:
        return None
    from archscope.resolve import parse_batch

    return parse_batch(text)


def _number(context: click.Context, option: click.Parameter, text: str | None) -> int | None:
    size = _size(context, option, text)
    if isinstance(size, str):
        from archscope.errors import ArchscopeError

        raise ArchscopeError(
            f"--batch {size}",
            "is a symbol where a number is needed",
            "give a number, or ask archscope formula",
        )
    return size


def _letter(context: click.Context, option: click.Parameter, text: str | None) -> Dim | None:
    """A number, or the one letter of a symbol: a word is a number written out, or a slip."""
    size = _size(context, option, text)
    if isinstance(size, str) and len(size) > 1:
        from archscope.errors import ArchscopeError

        raise ArchscopeError(
            f"--batch {size}",
            "is not a batch size",
            "give a whole number from 1, or a symbol of one letter such as N",
        )
    return size


def batch_option(default: str = "1 by default") -> Callable[[Decorated], Decorated]:
    """`--batch`: a number, or a symbol of one letter that shapes are written with."""
    return click.option("--batch", metavar="N", callback=_letter, help=f"Batch size ({default}).")


batch_symbol_option = click.option(
    "--batch", metavar="N", callback=_size, help="Batch size, or a symbol for it."
)
"""`--batch` of a command that answers in symbols, which may be words."""


def batch_number_option(default: str = "1 by default") -> Callable[[Decorated], Decorated]:
    """`--batch` of a command that needs a number; a symbol is refused before any work."""
    return click.option("--batch", metavar="N", callback=_number, help=f"Batch size ({default}).")


def network_options(command: Decorated) -> Decorated:
    """`--input`, `--batch` and `--set`: which network, on what."""
    return input_option(batch_option()(set_option(command)))


def network_number_options(command: Decorated) -> Decorated:
    """The same for a command that needs a number for the batch."""
    return input_option(batch_number_option()(set_option(command)))


predict_option = click.option(
    "--predict",
    "predicted",
    metavar="GPU,…",
    shell_complete=completion.devices,
    help="Also the time of a step on GPUs that need not be here: rtx4090, a100:training:nhwc.",
)


def places(text: str | None) -> tuple[Place, ...]:
    """The GPUs of `--predict`, and how networks run there."""
    if text is None:
        return ()
    from archscope.latency.place import read_places

    return read_places(text)
