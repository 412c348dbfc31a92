"""Networks held to a budget: limits on cost, memory and time, absolute or against a baseline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Literal

from archscope.errors import ArchscopeError
from archscope.records import Analysis, Dim, Layer, Measurement, Profile
from archscope.study import lower_bound
from archscope.study.analyse import analyse
from archscope.study.budget_file import Budget, Limits, Quantity
from archscope.study.diff import changes
from archscope.study.recall import Saved, saved
from archscope.table import Cell, Column, Report, Row, Table, Unit
from archscope.units import binary_bytes, percent, seconds

MOST_LAYERS = 3
"""How many of the layers behind a figure are named."""

LATENCY = "inference"
"""The phase of a Profile that a limit on latency is for."""

Verdict = Literal["ok", "OVER", "UNDECIDED"]

READ: Mapping[str, Callable[[Layer], int]] = {
    "params": lambda layer: layer.params,
    "macs": lambda layer: layer.macs,
    "activations": lambda layer: layer.activation_bytes,
}

AT_LEAST = "≥ "

TITLES: Mapping[str, tuple[str, Unit, Callable[[float, int], str]]] = {
    "params": ("parameters", "exact", lambda value, digits: f"{value:,.{digits - DIGITS}f}"),
    "macs": ("MACs", "exact", lambda value, digits: f"{value:,.{digits - DIGITS}f}"),
    "activations": ("activations", "bytes", binary_bytes),
    "memory": ("training memory", "bytes", binary_bytes),
    "latency": ("inference latency", "seconds", seconds),
}
"""How each quantity is called, what its cells are, and how it reads in a sentence."""

DIGITS = 3
"""Significant digits of a measured figure in a sentence, more where two would read the same."""


def _apart(value: float, limit: float, quantity: Quantity) -> tuple[str, str]:
    """A figure and its limit with as many digits as tell them apart."""
    write = TITLES[quantity][2]
    for digits in range(DIGITS, 16):
        texts = write(value, digits), write(limit, digits)
        if value == limit or texts[0] != texts[1]:
            break
    return texts


@dataclass(frozen=True)
class Outcome:
    """One limit and what was found.

    Args:
        model: as the file names it.
        quantity: `params`, `macs`, `activations`, `memory` or `latency`.
        value: what the network takes.
        limit: the most that it may take.
        pattern: glob of the layers that the limit is for; empty for the whole network.
        allowance: where the limit comes from, such as `baseline + 2 %`.
        layers: the layers that grew most, or the largest where there is no baseline.
        gap: operators without a formula, which make `value` a lower bound, and where they ran.
        baseline_gap: the same of the baseline, where they make `limit` a lower bound.
        measurement: what a measured value is the median of.
        doubts: what was said against it when it was measured.
    """

    model: str
    quantity: Quantity
    value: float
    limit: float
    pattern: str = ""
    allowance: str = ""
    layers: tuple[str, ...] = ()
    gap: str = ""
    baseline_gap: str = ""
    measurement: Measurement | None = None
    doubts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """`UNDECIDED` where a lower bound leaves room on either side of the limit."""
        if self.value <= self.limit:
            return "UNDECIDED" if self.gap else "ok"
        return "UNDECIDED" if self.baseline_gap else "OVER"

    @property
    def passed(self) -> bool:
        return self.verdict == "ok"

    @property
    def name(self) -> str:
        where = f"{self.model} {self.pattern}".strip()
        return f"{where}: {TITLES[self.quantity][0]}"

    @property
    def sentence(self) -> str:
        """`resnet50: MACs 4,089,184,256, limit 4,000,000,000`, and which layers are behind it."""
        value, limit = _apart(self.value, self.limit, self.quantity)
        text = (
            f"{self.name} {AT_LEAST * bool(self.gap)}{value}, "
            f"limit {AT_LEAST * bool(self.baseline_gap)}{limit}"
        )
        if self.allowance:
            text += f" ({self.allowance})"
        if self.verdict == "UNDECIDED":
            return f"{text}; {self.doubt}"
        return f"{text}; {', '.join(self.layers)}" if self.layers and not self.passed else text

    @property
    def doubt(self) -> str:
        """Why a figure is a lower bound, and what helps."""
        whose = "a lower bound" if self.gap else "the baseline's is a lower bound"
        missing = self.gap or self.baseline_gap
        return f"only {whose}, since {missing} has no formula: {lower_bound.REMEDY}"


def check(budgets: Sequence[Budget]) -> tuple[Outcome, ...]:
    """Hold every network to its limits.

    Raises:
        ArchscopeError: a network cannot be counted, or a glob matches none of its layers.
    """
    return tuple(outcome for budget in budgets for outcome in _checked(budget))


def _checked(budget: Budget) -> tuple[Outcome, ...]:
    try:
        return tuple(_outcomes(budget))
    except ArchscopeError as error:
        raise _in_toml(error, budget) from error


def _outcomes(budget: Budget) -> Iterator[Outcome]:
    keywords = dict(budget.keywords)
    record = saved(budget.model)
    analysis = analyse(
        record or budget.model, input=budget.input, batch=budget.batch, keywords=keywords
    )
    baseline = _baseline(budget, analysis.input.batch)
    if baseline is not None and baseline.input != analysis.input:
        raise ArchscopeError(
            str(budget.baseline),
            f"was counted on {baseline.input}, and {budget.model} on {analysis.input}",
            "save it again on the same input",
        )
    for limits in budget.limits:
        yield from _counted(budget, limits, analysis, baseline)
    most = budget.limits[0].most
    if "memory" in most:
        if record is not None:
            raise ArchscopeError(
                record.name, "is a record, which has no memory predicted", "name the network itself"
            )
        yield Outcome(budget.model, "memory", _peak_bytes(budget, keywords), most["memory"])
    if "latency" in most:
        profile = _measured(budget, keywords) if record is None else _recorded(record, budget.batch)
        yield _latency(budget.model, profile, most["latency"])


def _baseline(budget: Budget, batch: Dim) -> Analysis | None:
    if budget.baseline is None:
        return None
    record = saved(budget.baseline)
    if record is None:
        raise ArchscopeError(
            f"--baseline {budget.baseline}",
            "is no saved record",
            f"save one with archscope summary {budget.baseline} -o baseline.json",
        )
    return record.count(batch)


def _in_toml(error: ArchscopeError, budget: Budget) -> ArchscopeError:
    """The same mistake in the words of a budget, which has keys where others have options."""
    argument, remedy = error.argument, error.remedy
    if argument.startswith("--"):
        argument = f"{budget.model}, {argument.removeprefix('--')}"
    elif not error.example:
        return error
    if error.example:
        key, value = error.example.removeprefix("--").split(" ")
        remedy = f"write {key} = " + (value if value.isdecimal() else f'"{value}"')
    return ArchscopeError(f"{budget.file}: {argument}", error.problem, remedy)


def _counted(
    budget: Budget, limits: Limits, analysis: Analysis, baseline: Analysis | None
) -> Iterator[Outcome]:
    chosen = _matching(analysis, limits.pattern)
    if not chosen and not (baseline is not None and _matching(baseline, limits.pattern)):
        raise ArchscopeError(
            f'{budget.file}: match = "{limits.pattern}"',
            f"matches no layer of {budget.model}",
            f"see archscope summary {budget.model} --all",
        )
    for quantity, read in READ.items():
        value = sum(map(read, chosen))
        behind = _behind(analysis, baseline, limits.pattern, read)
        gap = _gap(analysis, limits.pattern, quantity)
        if quantity in limits.most:
            limit = limits.most[quantity]  # type: ignore[index]
            yield Outcome(
                budget.model, quantity, value, limit, limits.pattern, "", behind, gap  # type: ignore[arg-type]
            )  # fmt: skip
        if quantity in limits.growth and baseline is not None:
            share = limits.growth[quantity]  # type: ignore[index]
            before = sum(map(read, _matching(baseline, limits.pattern)))
            allowance = f"{_share(share)} over {before:,}"
            most = math.floor(round(before * (1 + share), DIGITS))
            yield Outcome(
                budget.model, quantity, value, most, limits.pattern,  # type: ignore[arg-type]
                allowance, behind, gap, _gap(baseline, limits.pattern, quantity),
            )  # fmt: skip


def _gap(analysis: Analysis, pattern: str, quantity: str) -> str:
    """Operators without a formula in the layers of a pattern, where they matter to a quantity."""
    where = analysis.coverage.unknown_layers
    ran = not pattern or any(fnmatchcase(name, pattern) for name in where)
    if quantity not in lower_bound.BOUNDED or not ran:
        return ""
    return lower_bound.gap(analysis.coverage)


def _share(share: float) -> str:
    return f"{100 * share:g} %"


def _matching(analysis: Analysis, pattern: str) -> list[Layer]:
    return [layer for layer in analysis.layers if not pattern or fnmatchcase(layer.name, pattern)]


def _behind(
    analysis: Analysis, baseline: Analysis | None, pattern: str, read: Callable[[Layer], int]
) -> tuple[str, ...]:
    """The layers that grew most, or the largest ones where nothing is known of before."""
    if baseline is None:
        sizes = [(read(layer), layer.name or layer.kind) for layer in _matching(analysis, pattern)]
        sign = ""
    else:
        sizes = [
            (change.difference(read), change.name)
            for change in changes(baseline, analysis)
            if change.new is not None and (not pattern or fnmatchcase(change.new.name, pattern))
        ]
        sign = "+"
    largest = sorted((size for size in sizes if size[0] > 0), key=lambda size: -size[0])
    return tuple(f"{name} {sign}{size:,}" for size, name in largest[:MOST_LAYERS])


def _peak_bytes(budget: Budget, keywords: Mapping[str, Any]) -> int:
    from archscope.study.memory import predict

    prediction = predict(budget.model, input=budget.input, batch=budget.batch, keywords=keywords)
    return prediction.peak_bytes


def _recorded(record: Saved, batch: int | None) -> Profile:
    """The Profile of a file, with an inference in it.

    Raises:
        ArchscopeError: it holds none.
    """
    found = record.at(batch)
    if not isinstance(found, Profile) or LATENCY not in found.phases:
        raise ArchscopeError(
            record.name, "holds no inference latency", "save one with archscope profile -o"
        )
    return found


def _latency(model: str, profile: Profile, limit: float) -> Outcome:
    from archscope.study.profile import doubts

    measurement = profile.phases[LATENCY]
    return Outcome(
        model, "latency", measurement.median, limit,
        measurement=measurement, doubts=doubts(profile, [LATENCY]),
    )  # fmt: skip


def _measured(budget: Budget, keywords: Mapping[str, Any]) -> Profile:
    from archscope.measure import device
    from archscope.measure.session import Plan
    from archscope.measure.step import Settings
    from archscope.study.measured import profile

    device.find(budget.device)
    plan = Plan(Settings(device=budget.device), modes=("inference",), details=False)
    return profile(budget.model, plan, input=budget.input, batch=budget.batch, keywords=keywords)


# Tables

COLUMNS = (
    Column("result", "", "text"),
    Column("model", "Model", "name"),
    Column("layers", "Layers", "name", 1),
    Column("quantity", "Quantity", "text"),
    Column("value", "Value", "decimal"),
    Column("limit", "Limit", "decimal"),
    Column("left", "Left", "decimal", 2),
)

DATA = (*COLUMNS, Column("behind", "Largest, or grown by", "text"))


def budget_report(outcomes: Sequence[Outcome]) -> Report:
    """The report of `archscope check`: each limit with what was found, the failed ones marked."""
    rows = []
    for outcome in outcomes:
        title, unit, _ = TITLES[outcome.quantity]
        cells: tuple[Cell, ...] = (
            outcome.verdict,
            outcome.model,
            outcome.pattern or "all",
            title,
            outcome.value,
            outcome.limit,
            None if outcome.verdict == "UNDECIDED" else outcome.limit - outcome.value,
            ", ".join(outcome.layers) or None,
        )
        bounds = {"value": outcome.gap, "limit": outcome.baseline_gap}
        rows.append(
            Row(cells, unit=unit, lower_bound=frozenset(key for key, gap in bounds.items() if gap))
        )
    data = Table("Budget", DATA, tuple(rows))
    shown = data.select([column.key for column in COLUMNS])
    return Report("Budget", (replace(shown, notes=_notes(outcomes)),), data=data)


def _notes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """How many limits are kept, and why others cannot be told to be."""
    verdicts = [outcome.verdict for outcome in outcomes]
    number = "1 limit" if len(outcomes) == 1 else f"{len(outcomes)} limits"
    measured = [
        f"{o.name}: {text}" for o in outcomes if o.measurement for text in _measured_notes(o)
    ]
    if all(verdict == "ok" for verdict in verdicts):
        kept = "The limit is kept." if len(outcomes) == 1 else f"All {number} are kept."
        return (kept, *measured)
    over, undecided = verdicts.count("OVER"), verdicts.count("UNDECIDED")
    notes = [f"{over} of {number} exceeded."] if over else []
    if undecided:
        notes.append(f"{undecided} of {number} undecided: a lower bound keeps no limit.")
    for outcome in outcomes:
        if outcome.verdict == "UNDECIDED":
            notes.append(f"{outcome.name}: {outcome.doubt}.")
        elif outcome.verdict == "OVER" and outcome.layers:
            how = "grown by" if outcome.allowance else "largest"
            notes.append(f"{outcome.name}: {how} {', '.join(outcome.layers)}.")
    return tuple(dict.fromkeys([*notes, *measured]))


def _measured_notes(outcome: Outcome) -> tuple[str, ...]:
    """How well a measured value is known."""
    assert outcome.measurement is not None
    half = outcome.measurement.known_half_width
    known = "too few runs for a 95 % interval" if half is None else f"±{percent(half)} (95 %)"
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
    return "".join(signs.get(sign, sign) for sign in text)


def junit(outcomes: Sequence[Outcome]) -> str:
    """All limits as one JUnit test suite, as continuous-integration servers read it."""
    from xml.etree import ElementTree

    over = sum(not outcome.passed for outcome in outcomes)
    suite = ElementTree.Element(
        "testsuite", name="archscope check", tests=str(len(outcomes)), failures=str(over)
    )
    seen: Counter[str] = Counter()
    for outcome in outcomes:
        name = f"{outcome.name}, growth" if outcome.allowance else outcome.name
        seen[name] += 1
        name = name if seen[name] == 1 else f"{name} ({seen[name]})"  # such as another batch
        case = ElementTree.SubElement(
            suite, "testcase", classname=_xml(outcome.model), name=_xml(name)
        )
        if not outcome.passed:
            ElementTree.SubElement(case, "failure", message=_xml(outcome.sentence))
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    """Control characters and lone surrogates, which XML 1.0 cannot hold, as escapes."""
    return "".join(
        sign if sign >= " " and not "\ud800" <= sign <= "\udfff" else repr(sign)[1:-1]
        for sign in text
    )


def plain(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """All limits as plain values, for JSON."""
    return [
        {
            "model": outcome.model,
            "layers": outcome.pattern,
            "quantity": outcome.quantity,
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
