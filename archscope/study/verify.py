"""Verifications → tables: totals, layers where tools differ from them, and all networks at once."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from archscope import wording
from archscope.ask.verify.figures import TITLES, UNKNOWN, Disagreement, Figure, Verification
from archscope.table import Column, Report, Row, Table

TOTALS = (
    Column("source", "Source", "name"),
    Column("quantity", "Quantity", "text"),
    Column("theirs", "Stated", "exact"),
    Column("ours", "archscope", "exact"),
    Column("difference", "Difference", "exact", 1),
    Column("verdict", "Verdict", "text"),
)

LAYERS = (
    Column("source", "Source", "name"),
    Column("layers", "Layers", "text"),
    Column("kind", "Kind", "text", 2),
    Column("count", "Number", "exact", 3),
    Column("difference", "Difference", "exact"),
    Column("reason", "What the tool does", "text"),
)

DATA = (
    Column("model", "Model", "name"),
    Column("quantity", "Quantity", "text"),
    Column("source", "Source", "name"),
    Column("layer", "Layer", "name"),
    Column("kind", "Kind", "text"),
    Column("theirs", "Stated", "exact"),
    Column("ours", "archscope", "exact"),
    Column("verdict", "Verdict", "text"),
)


EXPLAINED = "differs"
"""Of a figure whose reasons stand beside its layers, in a table below."""


def verify_report(found: Sequence[Verification]) -> Report:
    """The report of `archscope verify`: totals, and the layers where tools differ from them."""
    tables = [table for verification in found for table in _tables(verification)]
    title = " · ".join(verification.model for verification in found)
    failed = not all(verification.passed for verification in found)
    return Report(title, tuple(tables), data=_data(found), answer=_answer(found), failed=failed)


def _answer(found: Sequence[Verification]) -> str:
    """How many tools agree."""
    figures = [figure for verification in found for figure in verification.figures]
    equal = sum(figure.agrees for figure in figures)
    count = f"{equal} of {len(figures)} figures of other tools are equal"
    return (
        f"{count}; the table says why the others differ." if equal < len(figures) else f"{count}."
    )


def _tables(verification: Verification) -> Iterator[Table]:
    title = f"{verification.model} on {verification.input}"
    rows = tuple(
        Row(
            (
                figure.source,
                TITLES[figure.quantity],
                figure.theirs,
                figure.ours,
                None if figure.theirs is None else figure.theirs - figure.ours,
                EXPLAINED if _by_layer(figure) else figure.verdict,
            ),
            lower_bound=frozenset({"ours"} if figure.gap else ()),
            failed=not figure.passed,
        )
        for figure in verification.figures
    )
    gaps = dict.fromkeys(figure.gap for figure in verification.figures if figure.gap)
    notes = (
        "Tools that state FLOPs are halved; MACs are multiply-accumulates.",
        *verification.notes,
        *map(wording.lower_bound_note, gaps),
    )
    yield Table(title, TOTALS, rows, notes)
    explained = tuple(row for figure in verification.figures for row in _layer_rows(figure))
    if explained:
        yield Table(f"Why the tools disagree on {verification.model}", LAYERS, explained)


def _by_layer(figure: Figure) -> bool:
    """Whether its layers give every reason why it differs."""
    reasons = {disagreement.reason for disagreement in figure.disagreements}
    return not figure.agrees and bool(reasons) and set(figure.reasons) <= reasons


def _layer_rows(figure: Figure) -> Iterator[Row]:
    """Layers of one kind that differ for one reason share a row."""
    name = figure.source.partition(" ")[0]  # its version is in the table above
    groups: dict[tuple[str, str], list[Disagreement]] = defaultdict(list)
    for disagreement in figure.disagreements:
        groups[disagreement.kind, disagreement.reason].append(disagreement)
    for (kind, reason), members in groups.items():
        first, last = (member.name or "the network itself" for member in (members[0], members[-1]))
        names = first if len(members) == 1 else f"{first} … {last}"
        difference = sum(member.theirs - member.ours for member in members)
        yield Row(
            (name, names, kind, len(members), difference, reason or UNKNOWN), failed=not reason
        )


def _data(found: Iterable[Verification]) -> Table:
    rows: list[Row] = []
    for verification in found:
        for figure in verification.figures:
            shared = (verification.model, figure.quantity, figure.source)
            bound = frozenset({"ours"} if figure.gap else ())
            cells = (*shared, None, None, figure.theirs, figure.ours, figure.verdict)
            rows.append(Row(cells, lower_bound=bound))
            rows += [
                Row((*shared, p.name, p.kind, p.theirs, p.ours, p.reason or UNKNOWN))
                for p in figure.disagreements
            ]
    return Table("Verification", DATA, tuple(rows))


def overview_report(found: Sequence[Verification], failures: Mapping[str, str]) -> Report:
    """The report of `archscope verify --all`: one row a network, one column a tool.

    Args:
        found: every network that archscope counts.
        failures: why the others cannot be counted, by name.
    """
    sources = list(dict.fromkeys(_column(figure) for v in found for figure in v.figures))
    columns = (
        Column("model", "Model", "name"),
        Column("macs", "MACs", "macs"),
        *(Column(_key(source), source, "text") for source in sources),
    )
    rows = [_overview_row(verification, sources) for verification in found]
    rows += [Row((name, None, *(why for _ in sources))) for name, why in failures.items()]
    unknown = sum(not v.passed for v in found)
    notes = (
        f"{len(found)} networks counted, {len(failures)} not; "
        f"{unknown} with an unexplained disagreement.",
        "A signed share is the difference from archscope's count, with its reason.",
    )
    return Report("Verification", (Table("Verification", columns, tuple(rows), notes),))


def _column(figure: Figure) -> str:
    return f"{TITLES[figure.quantity]}: {figure.tool}"


def _key(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")


def _overview_row(verification: Verification, sources: Sequence[str]) -> Row:
    figures = {_column(figure): figure for figure in verification.figures}
    macs = next((f.ours for f in verification.figures if f.quantity == "macs"), None)
    cells = [_short(figures[source]) if source in figures else None for source in sources]
    bound = any(f.gap for f in verification.figures)
    return Row((verification.model, macs, *cells), lower_bound=frozenset({"macs"} if bound else ()))


def _short(figure: Figure) -> str:
    if figure.theirs is None or figure.agrees:
        return figure.verdict
    share = (figure.theirs - figure.ours) / figure.ours if figure.ours else math.inf
    return f"{share:+.2%}: {figure.verdict}"
