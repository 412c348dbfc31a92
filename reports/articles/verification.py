"""How other tools count torchvision's and timm's networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from string import ascii_lowercase

from archscope.ask.verify.figures import TITLES, Figure, Verification
from archscope.table import Column, Row, Table
from archscope.units import percent
from reports.data import Data
from reports.page import Page

BY_TOOL = (
    Column("tool", "Tool or publication", "name"),
    Column("quantity", "Quantity", "text"),
    Column("networks", "Networks", "exact"),
    Column("equal", "Equal", "exact"),
    Column("over", "Over", "exact"),
    Column("under", "Under", "exact"),
)

EXCEPTIONS = (
    Column("fails", "Fails", "exact"),
    Column("unexplained", "No known reason", "exact"),
)
"""What a sentence says where no tool has any."""

BY_REASON = (
    Column("tool", "Tool or publication", "name"),
    Column("quantity", "Quantity", "text"),
    Column("mark", "Mark", "text"),
    Column("reason", "Why it differs from the count", "text"),
    Column("networks", "Networks", "exact"),
)

LEFT_OUT = (Column("model", "Model", "name"), Column("why", "Why it is not compared", "text"))


def page(data: Data) -> Page:
    """Who agrees with the count, and why not?"""
    found, failures = data.verifications
    marks = _marks(_every(data))
    blocks = _blocks("torchvision's networks", found, failures, marks)
    findings = [*_findings("torchvision's", found, failures), *_quantised(data)]
    if data.timm_verifications is not None:
        title, sample, left_out = data.timm_verifications
        blocks += _blocks(title, sample, left_out, marks)
        findings += _findings("the sample's", sample, left_out)
    return Page(
        slug="verification",
        title="How other tools count",
        summary="torchvision's networks and a sample of timm's as other tools and publications "
        "count them, and why some differ from the count.",
        question="Several tools count multiply-accumulates, and torchvision publishes its own.\n"
        "Do they agree with archscope, and where they do not, why?",
        blocks=blocks,
        findings=(_headline(_every(data)), *findings),
        commands=(
            "archscope verify --all --save reports/data/verify.json",
            "python benchmarks/verify_timm.py",
        ),
    )


def _quantised(data: Data) -> Iterator[str]:
    """Why the page on coverage has more networks of torchvision."""
    names = [str(network["model"]) for network in data.coverage["networks"]]
    several = sum(name.startswith("quantized_") for name in names)
    if several:
        yield (
            f"The page on coverage has {len(names)} of torchvision: {several} quantised ones with "
            f"the layers of another network here are not compared a second time."
        )


def _every(data: Data) -> list[Verification]:
    """Torchvision's networks, and the sample of timm's where it is there."""
    found = list(data.verifications[0])
    return found if data.timm_verifications is None else [*found, *data.timm_verifications[1]]


def _headline(found: Sequence[Verification]) -> str:
    """How far PyTorch's own counter is off in grouped networks."""
    figures = [
        (figure.theirs / figure.ours - 1, verification.model)
        for verification in found
        for figure in verification.figures
        if figure.theirs is not None and GROUPED in figure.reasons
    ]
    worst, model = max(figures)
    return (
        f"PyTorch's own counter (torch.utils.flop_counter) ignores groups in the gradient of a "
        f"convolution's weights: forward and backward together it counts up to "
        f"{percent(worst, digits=0)} too many MACs ({model}), and too many on {len(figures)} of "
        f"{len(found)} networks."
    )


GROUPED = "ignores groups in the weight gradient"
UNTESTED = "depends on proposals, hence on weights"
"""A reason without arithmetic."""


def _marks(found: Iterable[Verification]) -> dict[str, str]:
    """A letter for every reason, the commonest first."""
    reasons = Counter(
        reason for v in found for f in v.figures if not f.agrees for reason in f.reasons
    )
    return dict(zip((reason for reason, _ in reasons.most_common()), ascii_lowercase, strict=False))


def _blocks(
    title: str,
    found: Sequence[Verification],
    failures: Mapping[str, str],
    marks: Mapping[str, str],
) -> tuple[Table, ...]:
    """Tools, their reasons and every network, all under one title."""
    blocks = [_by_tool(found), _by_reason(found, marks), _by_network(found, marks)]
    if failures:
        rows = tuple(Row((name, why)) for name, why in failures.items())
        blocks.append(Table("left out", LEFT_OUT, rows))
    return tuple(replace(block, title=f"{title}: {block.title}") for block in blocks)


def _figures(found: Sequence[Verification]) -> dict[tuple[str, str], list[Figure]]:
    """Every figure by the tool or publication, and the quantity."""
    figures: dict[tuple[str, str], list[Figure]] = {}
    for verification in found:
        for figure in verification.figures:
            figures.setdefault((figure.tool, TITLES[figure.quantity]), []).append(figure)
    return figures


def _over(figure: Figure) -> bool:
    return figure.theirs is not None and not figure.agrees and figure.theirs > figure.ours


def _under(figure: Figure) -> bool:
    return figure.theirs is not None and not figure.agrees and figure.theirs < figure.ours


def _by_tool(found: Sequence[Verification]) -> Table:
    rows = [
        (
            tool,
            quantity,
            len(figures),
            sum(figure.agrees for figure in figures),
            sum(map(_over, figures)),
            sum(map(_under, figures)),
            sum(figure.theirs is None for figure in figures),
            sum(not figure.passed for figure in figures),
        )
        for (tool, quantity), figures in _figures(found).items()
    ]
    title = "on how many a tool agrees with the count"
    if any(row[-1] or row[-2] for row in rows):
        return Table(title, BY_TOOL + EXCEPTIONS, tuple(map(Row, rows)))
    shown = tuple(Row(row[: len(BY_TOOL)]) for row in rows)
    return Table(title, BY_TOOL, shown, ("No tool fails, and every difference has a reason.",))


def _by_reason(found: Sequence[Verification], marks: Mapping[str, str]) -> Table:
    rows = []
    for (tool, quantity), figures in _figures(found).items():
        reasons = Counter(
            reason for figure in figures if not figure.agrees for reason in figure.reasons
        )
        rows += [
            Row((tool, quantity, marks[reason], reason, networks))
            for reason, networks in reasons.most_common()
        ]
    note = (
        "Networks are those on which the tool differs. A reason counts only where it makes up "
        "the whole difference, to the unit; NumPy's estimates, to their four digits."
    )
    if any(UNTESTED in row.cells for row in rows):
        note += f" One has no arithmetic and is not tested: it {UNTESTED}."
    return Table("why they differ", BY_REASON, tuple(rows), (note,))


def _by_network(found: Sequence[Verification], marks: Mapping[str, str]) -> Table:
    """Every network, with the figures of which some tool states another."""
    figures = _figures(found)
    differing = [key for key, own in figures.items() if not all(f.agrees for f in own)]
    equal = [f"{tool} ({quantity})" for tool, quantity in figures.keys() - set(differing)]
    columns = (
        Column("model", "Model", "name"),
        Column("macs", "MACs", "macs"),
        *(
            Column(f"{tool} {quantity}", f"{_unversioned(tool)}: {quantity}", "text")
            for tool, quantity in differing
        ),
    )
    notes = ["A signed share is the difference from archscope's count, its letters the reasons."]
    if equal:
        notes.append(f"Equal on every network, and not shown: {', '.join(sorted(equal))}.")
    return Table(
        "network by network",
        columns,
        tuple(_network_row(verification, differing, marks) for verification in found),
        tuple(notes),
    )


def _unversioned(tool: str) -> str:
    """`fvcore` of `fvcore 0.1.5`."""
    name, _, version = tool.rpartition(" ")
    return name if version[:1].isdigit() else tool


def _network_row(
    verification: Verification, shown: Sequence[tuple[str, str]], marks: Mapping[str, str]
) -> Row:
    figures = {(f.tool, TITLES[f.quantity]): f for f in verification.figures}
    macs = next((f.ours for f in verification.figures if f.quantity == "macs"), None)
    cells = [_short(figures[key], marks) if key in figures else None for key in shown]
    gap = any(figure.gap for figure in verification.figures)
    bound = frozenset({"macs"} if gap else ())
    return Row((verification.model, macs, *cells), lower_bound=bound)


def _short(figure: Figure, marks: Mapping[str, str]) -> str:
    """`equal`, or how far a figure is off and the letters of its reasons."""
    if figure.theirs is None or figure.agrees or not figure.ours:
        return figure.verdict
    off = (figure.theirs - figure.ours) / figure.ours
    return f"{off:+.2%} {' '.join(marks[reason] for reason in figure.reasons)}".rstrip()


def _findings(
    whose: str, found: Sequence[Verification], failures: Mapping[str, str]
) -> Iterator[str]:
    unexplained = [v.model for v in found if not v.passed]
    whole = len(found) + len(failures)
    yield (
        f"{len(found)} of {whose} {whole} networks are compared"
        + (f"; {len(failures)} are not, for the reasons in the table." if failures else ".")
    )
    if unexplained:
        yield (
            f"On {len(unexplained)} of them some tool differs from the count for no reason that is "
            f"known: {', '.join(unexplained)}."
        )
    else:
        reasons = {reason for v in found for figure in v.figures for reason in figure.reasons}
        tested = f"all but one (it {UNTESTED}) make" if UNTESTED in reasons else "all make"
        yield (
            f"Wherever a tool differs from the count on {whose} networks, a reason is known; "
            f"{tested} up the difference to the unit."
        )
    for (tool, quantity), figures in _figures(found).items():
        given = [figure for figure in figures if figure.theirs is not None]
        equal = sum(figure.agrees for figure in given)
        yield (
            f"{tool} agrees on the {quantity} of {equal} of the {len(given)} of {whose} networks "
            "that it counts."
        )
