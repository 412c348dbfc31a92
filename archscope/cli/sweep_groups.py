"""`archscope sweep-groups`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from archscope.cli.options import network_options, output_option

if TYPE_CHECKING:
    from archscope.records import Profile
    from archscope.study.groups import GroupSweep


@click.command()
@click.argument("groups")
@click.option("--base", default="resnet50", metavar="MODEL", help="resnet50 by default.")
@click.option("--by", metavar="KEYWORD", help="The width that is solved for equal cost.")
@click.option(
    "--equal",
    type=click.Choice(["none", "macs", "params"]),
    multiple=True,
    help="What is held equal (none: the width); may repeat; all three by default.",
)
@network_options
@click.option(
    "--profile", "profiles", multiple=True, metavar="FILE", help="Measured times; may repeat."
)
@output_option
def command(
    groups: str, base: str, by: str | None, equal: tuple[str, ...], input_text: str | None,
    batch: int | str | None, settings: tuple[str, ...], profiles: tuple[str, ...],
    outputs: tuple[str, ...],
) -> None:  # fmt: skip
    """Count a network for each number of GROUPS, such as 1,2,4,8,32.

    At equal width, then with the width solved anew for equal MACs and for equal parameters.
    Rows are in ascending order, and a repeated count is one row.
    """
    from archscope.cli.output import check_outputs, emit

    check_outputs(outputs)
    from archscope.resolve import parse_settings
    from archscope.study.group_tables import group_report
    from archscope.study.groups import EQUALS, parse_groups, sweep_groups
    from archscope.study.recall import recalled

    counts = parse_groups(groups)
    asked = recalled(base, parse_settings(settings), input_text, batch)
    measured = [_profile(path, asked.batch) for path in profiles]
    sweep = sweep_groups(
        counts,
        base=asked.model,
        by=by,
        equal=[view for view in EQUALS if view in equal or not equal],
        keywords=asked.keywords,
        input=asked.input,
        batch=asked.batch,
    )
    emit(group_report(sweep, measured, _unused_notes(sweep, profiles, measured)), outputs)


def _unused_notes(
    sweep: GroupSweep, paths: Sequence[str], profiles: Sequence[Profile]
) -> list[str]:
    """A sentence for each file whose times stand in no row.

    Raises:
        ArchscopeError: one is of another network.
    """
    from archscope.errors import ArchscopeError
    from archscope.study.group_tables import unused

    swept = sweep.base.analysis.model
    notes = []
    for path, profile, reason in zip(paths, profiles, unused(sweep, profiles), strict=True):
        if reason and profile.model != swept:
            raise ArchscopeError(
                f"--profile {path}",
                f"measured {profile.model}, which is no row of {swept}'s ({reason})",
                "leave it out",
            )
        if reason:
            notes.append(f"Times of {path} are not used: {reason}.")
    return notes


def _profile(path: str, batch: int | str | None) -> Profile:
    from archscope import archive
    from archscope.errors import ArchscopeError
    from archscope.records import BatchSweep, Profile
    from archscope.study.recall import at_batch

    record = archive.load(path)
    if isinstance(record, BatchSweep):
        return at_batch(record, batch, path)
    if not isinstance(record, Profile):
        raise ArchscopeError(f"--profile {path}", "holds no times", "save one with profile -o")
    return record
