"""`archscope verify`."""

from __future__ import annotations

import click

from archscope.cli.options import batch_size, network_options, output_option


@click.command()
@click.argument("models", nargs=-1)
@network_options
@click.option("--all", "every", is_flag=True, help="Every network of torchvision and timm.")
@click.option("--save", metavar="FILE", help="Keep every figure as JSON for archscope report.")
@output_option
def command(
    models: tuple[str, ...], input_text: str | None, batch: str | None, settings: tuple[str, ...],
    every: bool, save: str | None, outputs: tuple[str, ...],
) -> int:  # fmt: skip
    """Count MODELS with several tools, and explain where they part.

    fvcore, torch.utils.flop_counter and published figures; torchinfo, ptflops, thop, calflops and
    torchprofile where they are installed.
    Exits with 1 when a figure differs from archscope's for no known reason.
    """
    from archscope.cli.output import check_outputs, emit, replace_file
    from archscope.errors import ArchscopeError

    check_outputs(outputs)
    if save is not None and not save.endswith(".json"):
        raise ArchscopeError(f"--save {save}", "is no JSON file", "name one like verify.json")
    check_outputs(() if save is None else (save,))
    if every == bool(models):
        raise ArchscopeError("verify", "needs networks or --all", "name networks, or give --all")
    from archscope.resolve import parse_settings
    from archscope.study import verify
    from archscope.study.recall import recalled
    from archscope.study.verify_tables import overview_report, verify_report

    if every:
        if input_text is not None or batch is not None or settings:
            raise ArchscopeError("--all", "takes every network as it comes", "name one to set it")
        found, failures = verify.verify_all(lambda line: click.echo(line, err=True))
        report = overview_report(found, failures)
    else:
        keywords, size = parse_settings(settings), batch_size(batch)
        asked = [recalled(model, keywords, input_text, size) for model in models]
        found = [
            verify.verify(ask.model, input=ask.input, batch=ask.batch, keywords=ask.keywords)
            for ask in asked
        ]
        failures = {}
        report = verify_report(found)
    if save is not None:
        replace_file(save, verify.dumps(found, failures).encode(), "--save")
    emit(report, outputs)
    return 0 if all(verification.passed for verification in found) else 1
