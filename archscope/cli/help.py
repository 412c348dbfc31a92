"""Help of commands: what they are for, examples that work, options in groups."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import click

from archscope.errors import ArchscopeError
from archscope.files import at_home, noting_reads

COMMANDS = {
    "Count": {
        "summary": "Shapes, parameters and multiply-accumulates by layer.",
        "models": "Networks that have a name, or one network's card.",
        "compare": "Networks side by side: cost, and where they differ.",
        "sweep": "One network over values of its keywords, input or batch.",
        "merge": "Join the shards of a sweep that ran as several jobs.",
        "sweep-groups": "Group counts at equal width, MACs or parameters.",
        "formula": "Totals and layers as formulas in batch, height and width.",
        "generate": "Prefill, decoding and cache of a language model.",
        "memory": "Memory of training or inference, without a device.",
        "distribute": "What a training step moves between GPUs.",
    },
    "Explain": {
        "explain": "The arithmetic of every layer, written out.",
        "graph": "Modules and the tensors between them, as a drawing.",
        "receptive-field": "Size, stride and padding of receptive fields.",
        "signal": "Activations and gradients by depth at initialisation.",
    },
    "Measure": {
        "profile": "Time of forward and backward, by network and by layer.",
        "trace": "Time by layer from a trace of any GPU.",
        "recorder": "A file that records such a trace without archscope.",
        "predict": "Time of a step on a GPU that is not here.",
        "devices": "GPUs that predict knows, with their rates.",
    },
    "Guard": {
        "check": "Hold networks to a budget; exit 1 when one is over.",
        "diff": "What changed between two versions of a network.",
        "verify": "Count with several tools; explain where they disagree.",
        "cache": "Counts, roofs and journals saved by earlier runs.",
    },
}
"""Each command's one-line help by what it is for; its module is named like it."""

EXAMPLES = {
    "summary": (
        "summary resnet50",
        "summary lenet --input 1x28x28 --columns kind,params,macs,flops",
        "summary nets.py:Net --input 3x64x64 -o page.html --open",
        "summary resnet18 --train-only fc",
        "summary 'resnet*' vgg16 --sort macs --top 10",
    ),
    "models": ("models", "models resnet50"),
    "devices": ("devices", "devices rtx"),
    "compare": (
        "compare resnet50 resnext50_32x4d",
        "compare resnet50 resnext50_32x4d --time --device cpu",
        "compare resnet50 densenet --match macs --by growth_rate",
    ),
    "sweep": (
        "sweep densenet growth_rate=12,24,32,40",
        "sweep resnet50 input=3x160x160,3x224x224 norm_layer=batch,group",
    ),
    "sweep-groups": ("sweep-groups 1,2,4,8,32",),
    "formula": ("formula vit_b_16", "formula resnet50 --input 3xHxW --batch N"),
    "generate": ("generate hf:gpt2",),
    "memory": ("memory resnet50 --batch 32 --optimizer adamw",),
    "distribute": ("distribute resnet50",),
    "explain": ("explain resnet50", "explain lenet conv2 --input 1x28x28"),
    "graph": ("graph resnet50 -o resnet50.svg",),
    "receptive-field": ("receptive-field resnet50",),
    "signal": ("signal vgg16 vgg16_bn",),
    "profile": (
        "profile resnet50 --batch 8 --device cpu --max-seconds 5",
        "profile resnet50 --batch 1,8,32 -o resnet50.json",
    ),
    "trace": ("trace trace.json", "trace trace.json --model resnet50 -o page.html"),
    "recorder": ("recorder",),
    "predict": ("predict resnet50 --on h100 --batch 64",),
    "check": ("check budget.toml",),
    "diff": ("diff before.json resnet50 --exit-code", "diff resnet18 resnet34"),
    "verify": ("verify resnet50",),
}
"""Command lines that work, the shortest first."""

NETWORK = "Network"
MEASURING = "Measuring"
FILES = "Files"
SECTIONS = {
    **dict.fromkeys(("timed", "on", "gpu", "device", "threads", "dtype", "amp"), MEASURING),
    **dict.fromkeys(("channels_last", "mode", "cuda_graph", "cold_l2", "optimizer"), MEASURING),
    **dict.fromkeys(("evaluate", "precision", "max_seconds"), MEASURING),
    **dict.fromkeys(("input_text", "batch", "batches", "settings", "beside"), NETWORK),
    **dict.fromkeys(("task", "seq", "image", "allow_memory"), NETWORK),
    **dict.fromkeys(("outputs", "chart", "size", "format", "open"), FILES),
}
"""The heading of an option that many commands have; the others are the command's own."""


NETWORKS = ("model", "old", "new")
"""Arguments of which each is one network."""


WRITTEN = ("outputs", "junit_file", "save")
"""Arguments that are files to write."""


def _paths(given: object) -> Iterator[Path]:
    """Every file that an argument may name: `run.json`, `nets.py:Net`, `config=folder/a.json`."""
    if isinstance(given, (list, tuple)):
        for one in given:
            yield from _paths(one)
    elif isinstance(given, str) and given:
        for text in {given, *given.partition(":"), given.partition("=")[2]} - {""}:
            yield at_home(text)


class Command(click.Command):
    """A command whose help shows examples, then its own options, then those that all have."""

    allow_extra_args = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; of one too many, say which command takes it.

        An option that takes several values by commas is refused where it is given twice: only its
        last would count. Of any other the last counts, as in other programs, so that a script's own
        settings can be overridden.
        """
        given = list(args)  # which Click empties
        rest = super().parse_args(ctx, args)
        if not ctx.resilient_parsing:
            _check_repeated(ctx, given)
            if rest:
                raise _too_many(ctx, rest)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, which replaces no file that it was given to read."""
        given = [value for name, value in ctx.params.items() if name not in WRITTEN]
        with noting_reads({path.absolute() for path in _paths(given)}):
            return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _examples(EXAMPLES.get(str(ctx.info_name), ()), formatter)
        titles = ("Options", NETWORK, MEASURING, FILES)
        sections: dict[str, list[tuple[str, str]]] = {title: [] for title in titles}
        measures = any(option.name == "max_seconds" for option in ctx.command.params)
        for option in self.get_params(ctx):
            record = option.get_help_record(ctx)
            if record is not None and isinstance(option, click.Option):
                title = SECTIONS.get(str(option.name), "Options")
                measuring = measures and (title == MEASURING or option.name == "train")
                sections[MEASURING if measuring else _own(title)].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _check_repeated(context: click.Context, given: list[str]) -> None:
    """Refuse an option that takes several values by commas and is given several times.

    Raises:
        ArchscopeError: there is one.
    """
    lists = [
        option
        for option in context.command.params
        if isinstance(option, click.Option)
        and not option.multiple
        and "," in (option.metavar or "")
    ]
    several = [copy(option) for option in lists]
    for option in several:
        option.multiple = True
    others = [option for option in context.command.params if option not in lists]
    every = click.Command(context.command.name, params=[*several, *others])
    values, _, _ = every.make_parser(context).parse_args(given)
    for option in lists:
        found = values.get(str(option.name), [])
        if len(found) > 1:
            name = option.opts[-1]
            remedy = f"write {name} {','.join(map(str, found))}"
            raise ArchscopeError(name, f"given {len(found)} times", remedy)


def _too_many(context: click.Context, rest: list[str]) -> ArchscopeError:
    """What to say of more arguments than a command takes: most are further networks."""
    taken = [text for name in NETWORKS if (text := context.params.get(name))]
    if taken:
        several = " ".join((*taken, *rest, *(["--time"] if context.info_name == "profile" else [])))
        problem = f"{context.command_path} takes {('one network', 'two networks')[len(taken) - 1]}"
        remedy = f"ask about one after the other, or archscope compare {several}"
        return ArchscopeError(rest[0], problem, remedy)
    names = " ".join(context.command.collect_usage_pieces(context)[1:])
    problem = f"{context.command_path} takes {names or 'no argument'}"
    return ArchscopeError(rest[0], problem, f"see {context.command_path} --help")


def _own(title: str) -> str:
    """The heading in a command that only counts: an option of measuring is one of its own."""
    return "Options" if title == MEASURING else title


def _examples(lines: tuple[str, ...], formatter: click.HelpFormatter) -> None:
    if not lines:
        return
    with formatter.section("Examples"):
        for line in lines:
            formatter.write(f"{'':{formatter.current_indent}}archscope {line}\n")


def write_commands(formatter: click.HelpFormatter) -> None:
    """All commands, by what they are for."""
    width = max(len(name) for group in COMMANDS.values() for name in group)
    for title, group in COMMANDS.items():
        with formatter.section(title):
            formatter.write_dl([(f"{name:{width}}", text) for name, text in group.items()])
