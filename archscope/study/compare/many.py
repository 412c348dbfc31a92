"""Many networks as one table: a row a network, in the order that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from archscope import quantities
from archscope.errors import ArchscopeError
from archscope.parameters import parameter
from archscope.quantities import LOWER_BOUNDS, Quantity
from archscope.study.compare.answer import least
from archscope.study.compare.charts import many_charts
from archscope.study.compare.tables import recipes
from archscope.table import Cell, Column, Report, Row, Table
from archscope.units import binary_bytes, percent, plural, seconds, si
from archscope.wording import CONVENTION, PREDICTED, TRAINING_TENSORS_NOTE, coverage_note

if TYPE_CHECKING:
    from archscope.ask.contenders import Contender

SIDE_BY_SIDE = 4
"""More networks than these are rows of one table."""


@dataclass(frozen=True)
class _Fact:
    """A column, and how a network's cell is read."""

    column: Column
    read: Callable[[Contender], Cell]


def _counted(quantity: Quantity, priority: int) -> _Fact:
    assert quantity.read is not None
    read = quantity.read
    unit = quantity.overview or quantity.unit
    column = Column(quantity.key, quantity.heading, unit, priority)
    return _Fact(column, lambda network: read(network.analysis.total))


def _seconds(phase: str) -> Callable[[Contender], Cell]:
    def read(network: Contender) -> Cell:
        measured = network.measured(phase)
        return None if measured is None else measured.median

    return read


FACTS = (
    _Fact(Column("input", "Input", "text", 4), lambda network: str(network.analysis.input)),
    _counted(quantities.PARAMS, 0),
    _counted(quantities.PARAM_BYTES, 8),
    _counted(quantities.MACS, 0),
    _counted(quantities.MACS_TRAINING, 5),
    _counted(quantities.ELEMENTWISE, 7),
    _counted(quantities.ACTIVATIONS, 2),
    _counted(quantities.BYTES_MOVED, 6),
    _counted(quantities.INTENSITY, 8),
    _counted(quantities.OPERATORS, 9),
    _Fact(quantities.TRAINING_TENSORS.column(1), lambda network: network.training_tensors),
    _Fact(Column("inference_seconds", "Inference", "seconds", 1), _seconds("inference")),
    _Fact(Column("step_seconds", "Training step", "seconds", 1), _seconds("step")),
    _Fact(quantities.TOP1.column(1), lambda network: network.top1),
    _Fact(quantities.TOP5.column(8), lambda network: network.top5),
    _Fact(Column("recipe", "Weights", "text", 9), lambda network: network.recipe or None),
)
NAME = Column("name", "Network", "name")


def many_report(
    networks: Sequence[Contender],
    *,
    sort: str | None = None,
    top: int | None = None,
    problems: Sequence[str] = (),
) -> Report:
    """One table of networks, one row each.

    Args:
        networks: at least one.
        sort: key of the column to sort by, largest first, or `-key` for the smallest first; the
            order given when `None`.
        top: how many rows; all when `None`.
        problems: what is wrong with others that were asked for.

    Raises:
        ArchscopeError: an unknown key, or rows to choose in no order.
    """
    if top is not None and sort is None:
        remedy = f"add {parameter('sort', 'macs')}"
        raise ArchscopeError(parameter("top"), "takes the first of sorted networks", remedy)
    facts = [_always(fact) if sort and fact.column.key == sort.removeprefix("-") else fact
             for fact in _facts(networks)]  # fmt: skip
    chosen = networks if sort is None else _sorted(networks, facts, sort)
    shown = chosen[:top]
    title = plural(len(networks), "network")
    title = title if len(shown) == len(networks) else f"{len(shown)} of {title}"
    left_out = [f"Left out: {problem}." for problem in problems]
    table = _table(title, shown, facts, [*_notes(networks), *left_out, CONVENTION])
    return Report(
        title,
        (table,),
        many_charts(networks),
        data=_table(title, shown, facts),
        answer=_failures(problems, networks) + (_in_order(chosen, facts, sort) or least(networks)),
    )


def _failures(problems: Sequence[str], networks: Sequence[Contender]) -> str:
    """How many networks are missing, and why the first is; empty where all are there."""
    if not problems:
        return ""
    asked = plural(len(networks) + len(problems), "network")
    such = "such as " if len(problems) > 1 else ""
    return f"{len(problems)} of {asked} could not be counted: {such}{problems[0].rstrip('.')}. "


WRITTEN = {"bytes": binary_bytes, "seconds": seconds, "percent": percent}
"""How an amount of a unit reads in a sentence; others take an SI prefix."""


def _in_order(chosen: Sequence[Contender], facts: Sequence[_Fact], sort: str | None) -> str:
    """The first and the last network of those that are sorted; empty for those that are not."""
    key = (sort or "").removeprefix("-")
    by_name = _Fact(NAME, lambda network: network.label)
    fact = next((fact for fact in (by_name, *facts) if fact.column.key == key), None)
    if fact is None:
        return ""
    if not fact.column.numeric:
        what = "name" if fact is by_name else fact.column.title.lower()
        ends = f"from {chosen[0].label} to {chosen[-1].label}"
        return f"{plural(len(chosen), 'network')} by {what}, {ends}."
    write = WRITTEN.get(fact.column.unit, si)
    known = [
        f"{network.label} ({write(float(amount))})"
        for network in chosen
        if isinstance(amount := fact.read(network), (int, float))
    ]
    if len(known) < 2:
        return ""
    return f"{fact.column.title}, {len(known)} networks: from {known[0]} to {known[-1]}."


def plain_table(networks: Sequence[Contender]) -> Table:
    """The same rows for CSV and frames, in the order given."""
    return _table(" · ".join(network.label for network in networks), networks, _facts(networks))


def _table(
    title: str, networks: Sequence[Contender], facts: Sequence[_Fact], notes: Sequence[str] = ()
) -> Table:
    rows = tuple(
        Row(
            (network.label, *(fact.read(network) for fact in facts)),
            lower_bound=frozenset() if network.analysis.coverage.complete else LOWER_BOUNDS,
        )
        for network in networks
    )
    return Table(title, (NAME, *(fact.column for fact in facts)), rows, tuple(notes))


def _facts(networks: Sequence[Contender]) -> list[_Fact]:
    """What at least one network has."""
    predicted = list(_predicted(networks[0]))
    known = [*(map(_later, FACTS) if predicted else FACTS), *predicted]
    return [fact for fact in known if any(fact.read(network) is not None for network in networks)]


def _always(fact: _Fact) -> _Fact:
    """The same column, which no narrow terminal leaves out."""
    return replace(fact, column=replace(fact.column, priority=0))


def _later(fact: _Fact) -> _Fact:
    """The same column, which leaves a narrow terminal before those of predicted times."""
    return replace(fact, column=replace(fact.column, priority=fact.column.priority + 1))


def _predicted(first: Contender) -> Iterator[_Fact]:
    from archscope.study.sweep import predicted_columns

    columns = predicted_columns([one.time for one in first.predictions])
    readers = ("seconds", "low", "high")
    for index in range(len(first.predictions)):
        for offset, name in enumerate(readers):

            def read(network: Contender, index: int = index, name: str = name) -> Cell:
                value: float = getattr(network.predictions[index].time, name)
                return value

            yield _Fact(columns[4 * index + offset], read)


def _sorted(networks: Sequence[Contender], facts: Sequence[_Fact], sort: str) -> list[Contender]:
    key, rising = sort.removeprefix("-"), sort.startswith("-")
    known = {NAME.key: _Fact(NAME, lambda network: network.label)}
    known |= {fact.column.key: fact for fact in facts}
    if key not in known:
        near = get_close_matches(key, known, n=1)
        remedy = f"did you mean {near[0]}?" if near else f"use one of {', '.join(known)}"
        raise ArchscopeError(parameter("sort", sort), "unknown order", remedy)
    fact = known[key]
    have = [network for network in networks if fact.read(network) is not None]
    rest = [network for network in networks if fact.read(network) is None]
    falling = not rising and fact.column.numeric

    def value(network: Contender) -> tuple[float, str]:
        cell = fact.read(network)
        return (0.0, cell) if isinstance(cell, str) else (float(cell or 0), "")

    return [*sorted(have, key=value, reverse=falling), *rest]


def _notes(networks: Sequence[Contender]) -> Iterator[str]:
    for network in networks:
        yield from (f"{network.label}: {note}" for note in network.analysis.notes)
        if not network.analysis.coverage.complete:
            yield f"{network.label}: {coverage_note(network.analysis)}"
        if network.training_failure:
            yield f"{network.label}: no training tensors predicted ({network.training_failure})."
    if networks[0].predictions:
        sources = dict.fromkeys(one.fitted_on for each in networks for one in each.predictions)
        yield f"{PREDICTED} From {'; '.join(sources)}."
    if any(network.training_tensors for network in networks):
        yield TRAINING_TENSORS_NOTE
    if any(network.top1 for network in networks):
        yield recipes(networks)
