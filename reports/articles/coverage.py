"""Which of torchvision's and timm's networks can be counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archscope.table import Column, Row, Table
from reports.data import Data, timm_sample
from reports.page import Page

COLUMNS = (
    Column("model", "Network", "name"),
    Column("params", "Params", "exact"),
    Column("macs", "MACs", "macs"),
    Column("executed_on", "Run on", "text"),
    Column("remark", "Remark", "text"),
)


def page(data: Data) -> Page:
    """Does archscope count every network of torchvision, and of timm?"""
    versions: dict[str, str] = data.coverage["versions"]
    named = {library: f"{library} {version}" for library, version in versions.items()}
    vision, timm = data.coverage["networks"], data.coverage.get("timm", [])
    blocks = [_table(f"Networks of {named['torch']}, {named['torchvision']}", vision)]
    if timm:
        blocks.append(_table(timm_sample(data.coverage["timm_step"], versions["timm"]), timm))
    return Page(
        slug="coverage",
        title="What can be counted",
        summary="every network of torchvision and a sample of timm's, each with its count or the "
        "reason why there is none.",
        question="Does archscope count every network of torchvision, at its default input?\n"
        "And those of timm, of which a sample is tried?",
        blocks=tuple(blocks),
        findings=(
            *_findings("networks of torchvision", vision),
            *_quantised(vision),
            *(_findings("networks of the sample of timm", timm) if timm else ()),
        ),
        commands=("python benchmarks/coverage.py",),
    )


def _table(title: str, networks: Sequence[dict[str, Any]]) -> Table:
    ordered = sorted(networks, key=lambda network: str(network["model"]))
    return Table(title, COLUMNS, tuple(map(_row, ordered)))


def _row(network: dict[str, Any]) -> Row:
    unknown = ", ".join(network["unknown"])
    remark = network["failure"] or (f"no formula for {unknown}" if unknown else "")
    bound = frozenset({"macs"}) if unknown else frozenset[str]()
    cells = (network["model"], network["params"], network["macs"], network["executed_on"], remark)
    return Row(cells, lower_bound=bound)


def _quantised(networks: Sequence[dict[str, Any]]) -> Iterator[str]:
    several = sum(network["model"].startswith("quantized_") for network in networks)
    if several:
        yield (
            f"{several} of the {len(networks)} are torchvision's quantised networks, built with "
            f"float layers; the page on other tools compares the {len(networks) - several} others."
        )


def _findings(whose: str, networks: Sequence[dict[str, Any]]) -> Iterator[str]:
    counted = [network for network in networks if not network["failure"]]
    failed = [network["model"] for network in networks if network["failure"]]
    real = [network["model"] for network in counted if network["executed_on"] == "cpu"]
    bounds = [network["model"] for network in counted if network["unknown"]]
    yield f"{len(counted)} of {len(networks)} {whose} are counted" + (
        f"; not {', '.join(failed)}." if failed else "."
    )
    if real:
        yield (
            f"{len(real)} of them need the values of tensors, and were counted on a real run with "
            f"random weights: {', '.join(real)}."
        )
    if bounds:
        yield f"For {', '.join(bounds)} the count is a lower bound."
    else:
        yield f"No operator of the {whose} is without a formula."
