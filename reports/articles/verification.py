"""How other tools count torchvision's and timm's networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from archscope.ask.verify.figures import TITLES, Figure, Verification
from archscope.study.verify import overview_report
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
    Column("fails", "Fails", "exact"),
    Column("unexplained", "No known reason", "exact"),
)

BY_REASON = (
    Column("tool", "Tool or publication", "name"),
    Column("quantity", "Quantity", "text"),
    Column("reason", "Why it differs from the count", "text"),
    Column("networks", "Networks", "exact"),
)


def page(data: Data) -> Page:
    """Who agrees with the count, and why not?"""
    found, failures = data.verifications
    blocks = _blocks("torchvision's networks", found, failures)
    findings = [*_findings("torchvision's", found, failures)]
    if data.timm_verifications is not None:
        title, sample, left_out = data.timm_verifications
        blocks += _blocks(title, sample, left_out)
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


def _blocks(
    title: str, found: Sequence[Verification], failures: Mapping[str, str]
) -> tuple[Table, ...]:
    """Tools, their reasons and every network, all under one title."""
    (overview,) = overview_report(found, failures).tables
    blocks = _by_tool(found), _by_reason(found), replace(overview, title="network by network")
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
        Row(
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
        )
        for (tool, quantity), figures in _figures(found).items()
    ]
    return Table("on how many a tool agrees with the count", BY_TOOL, tuple(rows))


def _by_reason(found: Sequence[Verification]) -> Table:
    rows = []
    for (tool, quantity), figures in _figures(found).items():
        reasons = Counter(
            reason for figure in figures if not figure.agrees for reason in figure.reasons
        )
        rows += [Row((tool, quantity, *pair)) for pair in reasons.most_common()]
    return Table(
        "why they differ",
        BY_REASON,
        tuple(rows),
        (
            "Networks are those on which the tool differs. A reason counts only where it makes up "
            "the whole difference, to the unit; NumPy's estimates, to their four digits. "
            f"One has no arithmetic and is not tested: it {UNTESTED}.",
        ),
    )


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
        yield (
            f"Wherever a tool differs from the count on {whose} networks, a reason is known; all "
            f"but one, it {UNTESTED}, make up the difference to the unit."
        )
    for (tool, quantity), figures in _figures(found).items():
        given = [figure for figure in figures if figure.theirs is not None]
        equal = sum(figure.agrees for figure in given)
        yield (
            f"{tool} agrees on the {quantity} of {equal} of the {len(given)} of {whose} networks "
            "that it counts."
        )
