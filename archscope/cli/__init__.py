"""argv → one short function per subcommand → exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from archscope import interruption
from archscope._version import __version__
from archscope.cli import help, streams
from archscope.cli.fault import of_others
from archscope.cli.stderr import say
from archscope.errors import ArchscopeError, UnknownCostError, first_line, with_remedy
from archscope.parameters import on_command_line

COMMANDS = [name for group in help.COMMANDS.values() for name in group]
"""Each is a module that is imported when it runs."""


COMPLETION = "_ARCHSCOPE_COMPLETE"
"""Environment variable by which a shell asks what Tab completes."""


COMMANDS_ELSEWHERE = {
    "count": "summary",
    "flops": "summary",
    "macs": "summary",
    "params": "summary",
    "rf": "receptive-field",
}
"""What users type for a command."""

OPTIONS_ELSEWHERE = {
    ("predict", "--training"): "write --mode training",
    ("explain", "--backward"): "leave it out: the backward pass is always explained",
}
"""By command: what to write for an option that others have."""


class LazyGroup(click.Group):
    """Lists commands without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return COMMANDS

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"archscope.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        command.name = cmd_name  # each is called `command` in its file
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        help.write_commands(formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            remedy = f"write archscope summary {args[0]}"
            if command := COMMANDS_ELSEWHERE.get(args[0]):
                remedy = f"write archscope {command}"
            elif not _is_network(args[0]):
                near = _near(args[0], COMMANDS)[:1]
                remedy = f"did you mean {near[0]}?" if near else "see archscope --help"
            raise ArchscopeError(args[0], "unknown command", remedy)
        return super().resolve_command(ctx, args)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="archscope")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--no-cache", is_flag=True, help="Count again, and save nothing for the next run.")
def cli(debug: bool, no_cache: bool) -> None:
    """What a PyTorch network costs, and why.

    A MODEL is a name (resnet50, timm:convnext_tiny, hf:llama, nets.py:Net) or a record saved with
    `-o run.json`.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and leave with its exit code.

    0 is success, 1 a failed check, 2 a mistake of the user, 130 Ctrl-C, 143 SIGTERM on a cluster.
    """
    if COMPLETION in os.environ:
        from archscope.cli import shells

        shells.answer(cli, COMPLETION)
    from archscope.saved import answers

    streams.make_usable()
    given = list(sys.argv[1:] if arguments is None else arguments)
    answers.use("never" if "--no-cache" in given else "always")
    with interruption.raised():
        code = run(given)
    if interruption.happened() and code != interruption.EXIT_CODE:
        say("archscope: interrupted")  # a library caught it without saying so
        code = interruption.EXIT_CODE
    sys.exit(code)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; mistakes are one line on stderr.

    `--debug` shows the traceback above that line and leaves the code as it is.
    """
    given = [argument for argument in arguments if argument not in ("--debug", "--no-cache")]
    try:
        result: Any = cli.main(given or ["--help"], prog_name="archscope", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except BaseException as error:  # a network's code may raise what is no Exception
        interruption.at_once()
        if "--debug" in arguments:
            from traceback import format_exc

            for line in format_exc().splitlines():
                say(line)
        problem, code = _judged(error, given)
        say(f"archscope: {problem}")
        return code


def _judged(error: BaseException, arguments: Sequence[str]) -> tuple[str, int]:
    """What to tell of an exception that ended a command, and the exit code."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)) or interruption.happened():
        return "interrupted", interruption.EXIT_CODE
    if isinstance(error, interruption.Terminated) or interruption.terminated():
        return "terminated", interruption.TERMINATED
    if isinstance(error, ArchscopeError):
        line = error.worded(on_command_line)
        return line, 1 if isinstance(error, UnknownCostError) else 2
    if isinstance(error, click.ClickException):
        return _one_line(error), 2
    if isinstance(error, SystemExit):  # click's own exits are exceptions of click
        return (
            f"the network's code ends the program (SystemExit: {error.code}); "
            f"remove the call of sys.exit"
        ), 2
    if isinstance(error, OSError):
        from archscope.output import check_flushed

        try:
            check_flushed(sys.stdout)
        except ArchscopeError as refused:
            return refused.worded(on_command_line), 2
    others = of_others(error)
    if others:
        return others, 2
    return _whose_fault(f"{type(error).__name__}: {first_line(error)}", arguments), 2


def _whose_fault(reason: str, arguments: Sequence[str]) -> str:
    """What to do about an exception that nobody expected; a record may have been changed by hand.

    Each value of a record is checked when it is read, but not whether they suit each other.
    """
    records = [argument for argument in arguments if argument.endswith(".json")]
    if records and all(Path(record).is_file() for record in records):
        return (
            f"{', '.join(records)}: cannot be shown ({reason}); save it again, and if that does "
            f"not help, please report it with --debug"
        )
    return f"internal error ({reason}); this is archscope's fault, please report it with --debug"


def _is_network(word: str) -> bool:
    """Whether a word in the place of a command names a network or a saved record."""
    from archscope.resolve.names import known

    if Path(word.partition(":")[0]).suffix in (".py", ".json"):
        return Path(word.partition(":")[0]).is_file()
    return word.startswith(("timm:", "hf:", "diffusers:")) or word in known("")


def _near(word: str, known: Iterable[str]) -> list[str]:
    """Those that `word` may have been meant for, whose dashes alone make none alike."""
    from difflib import get_close_matches

    plain = {name.lstrip("-"): name for name in known}
    return [plain[name] for name in get_close_matches(word.lstrip("-"), plain)]


def _one_line(error: click.ClickException) -> str:
    """Click's message with the help to read, in one line."""
    if isinstance(error, click.NoSuchOption):
        near = _near(error.option_name, error.possibilities or ())
        error = click.NoSuchOption(error.option_name, possibilities=near, ctx=error.ctx)
    text = " ".join(error.format_message().split())
    context = getattr(error, "ctx", None)
    if isinstance(error, click.UsageError) and context is not None:
        option = (context.info_name or "", getattr(error, "option_name", ""))
        if remedy := OPTIONS_ELSEWHERE.get(option):
            return with_remedy(f"No such option {option[1]!r}", remedy)
        text = with_remedy(text, f"see {context.command_path} --help")
    return text
