"""`archscope check`."""

from __future__ import annotations

import io
import json

import click

from archscope.cli.help import Command
from archscope.cli.options import memory_option, output_option


@click.command(cls=Command)
@click.argument("file", metavar="BUDGET.TOML")
@click.option(
    "--model",
    "named",
    multiple=True,
    metavar="NAME",
    help="Network of a budget that is code, such as nets.py:Net; may repeat.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
@click.option("--github", "annotate", is_flag=True, help="Also print GitHub annotations.")
@click.option("--junit", "junit_file", metavar="FILE", help="Also write a JUnit XML file.")
@memory_option
@output_option
def command(
    file: str, named: tuple[str, ...], as_json: bool, annotate: bool, junit_file: str | None,
    outputs: tuple[str, ...],
) -> int:  # fmt: skip
    """Hold networks to the limits in BUDGET.TOML; exit 1 when one is over.

    \b
        [[budget]]
        model = "resnet50"
        max_params = "26M"
        max_macs = "4.2G"
        max_memory = "1.5GiB"
        baseline = "resnet50.json"
        max_growth = "2%"

    \b
        [[budget.layers]]
        match = "layer4.*"
        max_params = "15M"

    A file runs no code: where a budget is of nets.py:Net, add --model nets.py:Net.
    """  # noqa: D301 - \b is a backspace, which tells click to leave lines as they are
    from archscope.ask.budget import check, limits
    from archscope.errors import ArchscopeError
    from archscope.files import replace_file
    from archscope.output import Outputs, check_file, check_outputs, emit
    from archscope.parameters import parameter
    from archscope.study import budget

    if as_json and isinstance(outputs, Outputs) and outputs.piped:
        raise ArchscopeError("--json", "is another format of standard output", "leave out --format")
    check_outputs(outputs, figures=False)
    if junit_file is not None:
        check_file(junit_file, parameter("junit", junit_file))
    outcomes = check.check(limits.load(file), named)
    report = budget.budget_report(outcomes)
    if junit_file is not None:
        replace_file(junit_file, budget.junit(outcomes).encode(), parameter("junit", junit_file))
    emit(report, outputs, io.StringIO() if as_json else None)
    if as_json:
        click.echo(json.dumps({"outcomes": budget.plain(outcomes)}, indent=1))
    if annotate:
        click.echo(budget.github(outcomes, file), nl=False, err=as_json)
    return 0 if all(outcome.passed for outcome in outcomes) else 1
