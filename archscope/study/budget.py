"""Outcomes of a budget → a table, JUnit XML, annotations for GitHub."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from archscope.ask.budget.check import Outcome
from archscope.inert import printable
from archscope.table import Cell, Column, Report, Row, Table, Unit
from archscope.units import percent

# Tables

COLUMNS = (
    Column("result", "", "text"),
    Column("model", "Model", "text"),
    Column("limited", "Limit on", "text"),
    Column("value", "Value", "decimal"),
    Column("limit", "Limit", "decimal"),
    Column("left", "Left", "decimal", 1),
)

DATA = (
    *COLUMNS,
    Column("layers", "Layers", "name"),
    Column("quantity", "Quantity", "text"),
    Column("behind", "Largest, or grown by", "text"),
)

MOST_NAMED = 3
"""How many of the failures the first line names."""


def budget_report(outcomes: Sequence[Outcome]) -> Report:
    """The report of `archscope check`: each limit with what was found, the failed ones marked."""
    rows = []
    for outcome in outcomes:
        quantity = outcome.quantity
        unit: Unit = "exact" if quantity.unit == "macs" else quantity.unit
        cells: tuple[Cell, ...] = (
            outcome.verdict,
            outcome.network,
            outcome.limited,
            outcome.value,
            outcome.limit,
            None if outcome.verdict == "UNDECIDED" else outcome.limit - outcome.value,
            outcome.pattern or "all",
            quantity.word,
            ", ".join(outcome.layers) or None,
        )
        bounds = {"value": outcome.gap, "limit": outcome.baseline_gap}
        lower = frozenset(key for key, gap in bounds.items() if gap)
        rows.append(Row(cells, unit=unit, lower_bound=lower, failed=not outcome.passed))
    data = Table("Budget", DATA, tuple(rows))
    shown = data.select([column.key for column in COLUMNS])
    answer, *notes = _notes(outcomes)
    table = replace(shown, notes=tuple(notes))
    failed = not all(outcome.passed for outcome in outcomes)
    return Report("Budget", (table,), data=data, answer=answer, failed=failed)


def _notes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """How many limits are met, and why others cannot be checked."""
    verdicts = [outcome.verdict for outcome in outcomes]
    number = "1 limit" if len(outcomes) == 1 else f"{len(outcomes)} limits"
    measured = [
        f"{o.name}: {text}"
        for o in outcomes
        if o.doubts or o.measurement
        for text in _measured_notes(o)
    ]
    if all(verdict == "ok" for verdict in verdicts):
        met = "The limit is met." if len(outcomes) == 1 else f"All {number} are met."
        return (met, *measured)
    over, undecided = verdicts.count("OVER"), verdicts.count("UNDECIDED")
    notes = [f"{over} of {number} exceeded: {_worst(outcomes)}."] if over else []
    if undecided:
        notes.append(f"{undecided} of {number} undecided: a lower bound cannot meet a limit.")
    for outcome in outcomes:
        if outcome.verdict == "UNDECIDED":
            notes.append(f"{outcome.name}: {outcome.doubt}.")
        elif outcome.verdict == "OVER" and outcome.layers:
            how = "grown by" if outcome.allowance else "largest"
            notes.append(f"{outcome.name}: {how} {', '.join(outcome.layers)}.")
    return tuple(dict.fromkeys([*notes, *measured]))


def _worst(outcomes: Sequence[Outcome]) -> str:
    """The limits that are exceeded by the largest factors, with their figures."""
    over = [outcome for outcome in outcomes if outcome.verdict == "OVER"]
    worst = sorted(over, key=lambda outcome: outcome.excess, reverse=True)[:MOST_NAMED]
    named = [f"{o.network} {o.limited} {o.figures}" for o in worst]
    more = len(over) - len(worst)
    return "; ".join([*named, f"and {more} more"] if more else named)


def _measured_notes(outcome: Outcome) -> tuple[str, ...]:
    """How well a measured or predicted value is known."""
    if outcome.measurement is None:
        return tuple(f"{doubt}." for doubt in outcome.doubts)
    half = outcome.measurement.known_half_width
    known = outcome.measurement.no_interval if half is None else f"±{percent(half)} (95 %)"
    return (f"{known}.", *outcome.doubts)


def github(outcomes: Sequence[Outcome], path: str) -> str:
    """Failed limits as annotations of GitHub Actions, one line each."""
    return "".join(
        f"::error file={_escaped(path, PROPERTY)},title=archscope check::"
        f"{_escaped(outcome.sentence, MESSAGE)}\n"
        for outcome in outcomes
        if not outcome.passed
    )


MESSAGE = {"%": "%25", "\r": "%0D", "\n": "%0A"}
PROPERTY = {**MESSAGE, ":": "%3A", ",": "%2C"}
"""Escapes of workflow commands, as actions/toolkit writes them (packages/core/src/command.ts)."""


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return printable("".join(signs.get(sign, sign) for sign in text))


def junit(outcomes: Sequence[Outcome]) -> str:
    """All limits as one JUnit test suite, as continuous-integration servers read it."""
    from xml.etree import ElementTree

    over = sum(not outcome.passed for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite", name="archscope check", tests=str(len(outcomes)), failures=str(over)
    )
    seen: Counter[str] = Counter()
    for outcome in outcomes:
        name = outcome.name
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name} ({seen[name]})"  # such as another batch
        case = ElementTree.SubElement(
            suite, "testcase", classname=printable(outcome.model), name=printable(name)
        )
        if not outcome.passed:
            ElementTree.SubElement(case, "failure", message=printable(outcome.sentence))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """All limits as plain values, for JSON."""
    return [
        {
            "model": outcome.model,
            "setting": outcome.setting,
            "layers": outcome.pattern,
            "quantity": outcome.quantity.option,
            "value": outcome.value,
            "limit": outcome.limit,
            "passed": outcome.passed,
            "allowance": outcome.allowance,
            "behind": list(outcome.layers),
            "half_width": outcome.measurement and outcome.measurement.known_half_width,
            "verdict": outcome.verdict,
            "no_formula": outcome.gap,
            "baseline_no_formula": outcome.baseline_gap,
        }
        for outcome in outcomes
    ]
