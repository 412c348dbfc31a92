"""Networks side by side → tables and charts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from archscope.ask.contenders import Contender
from archscope.table import Report, Table

Layout = Literal["stages", "paper"]


def compare_report(
    chosen: Sequence[Contender],
    *,
    layout: Layout = "stages",
    first: Sequence[Table] = (),
    sort: str | None = None,
    top: int | None = None,
) -> Report:
    """The report of `archscope compare`.

    Args:
        chosen: at least two.
        layout: `stages` for totals and differences by output stride or kind of work, `paper` for
            the table of the ResNet, ResNeXt and DenseNet papers.
        first: tables that stand before (what was solved for).
        sort: order of the rows of one table, a row a network, which more than four networks have
            in any case.
        top: number of its rows.

    Raises:
        ArchscopeError: an unknown key to sort by, or rows to choose in no order.
    """
    from archscope.study.compare.answer import answer
    from archscope.study.compare.charts import charts
    from archscope.study.compare.many import SIDE_BY_SIDE, many_report, plain_table
    from archscope.study.compare.places import divided, stage_tables
    from archscope.study.compare.tables import totals_tables

    if sort is not None or top is not None or (len(chosen) > SIDE_BY_SIDE and layout != "paper"):
        report = many_report(chosen, sort=sort, top=top)
        known = any(c.predictions or c.profile is not None for c in chosen)
        return replace(
            report,
            tables=(*first, *report.tables),
            answer=answer(chosen) if known or sort is None else report.answer,
        )
    quantities = divided(chosen)
    title = " · ".join(contender.label for contender in chosen)
    if layout == "paper":
        from archscope.study.architecture import architecture_table

        tables = [architecture_table([(c.label, c.analysis) for c in chosen])]
        if any(c.predictions or c.profile is not None for c in chosen):
            tables += totals_tables(chosen)
    else:
        from archscope.study.compare.kinds import kinds_table
        from archscope.study.compare.settings import settings_tables

        by_output_stride = stage_tables(chosen, quantities)
        by_kind = kinds_table(chosen)
        tables = [*totals_tables(chosen), *settings_tables(chosen), *by_output_stride]
        tables += [] if by_kind is None else [by_kind]
    return Report(
        title,
        (*first, *tables),
        charts(chosen, quantities),
        data=plain_table(chosen),
        answer=answer(chosen),
    )
