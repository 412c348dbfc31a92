"""Which of torchvision's networks can be counted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from archscope.report.data import Data
from archscope.report.page import Page
from archscope.table import Column, Row, Table

COLUMNS = (
    Column("model", "Network", "name"),
    Column("params", "Params", "exact"),
    Column("macs", "MACs", "macs"),
    Column("executed_on", "Run on", "text"),
    Column("remark", "Remark", "text"),
)


def page(data: Data) -> Page:
    """Does archscope count every network of torchvision?"""
    networks = data.coverage["networks"]
    versions = ", ".join(f"{name} {text}" for name, text in data.coverage["versions"].items())
    rows = tuple(map(_row, sorted(networks, key=lambda network: str(network["model"]))))
    return Page(
        slug="coverage",
        title="What can be counted",
        summary="every network of torchvision, with its count or the reason why there is none.",
        question="Does archscope count every network of torchvision, at its default input?",
        blocks=(Table(f"Networks of {versions}", COLUMNS, rows),),
        findings=tuple(_findings(networks)),
        commands=("python benchmarks/coverage.py",),
    )


def _row(network: dict[str, Any]) -> Row:
    unknown = ", ".join(network["unknown"])
    remark = network["failure"] or (f"no formula for {unknown}" if unknown else "")
    bound = frozenset({"macs"}) if unknown else frozenset[str]()
    cells = (network["model"], network["params"], network["macs"], network["executed_on"], remark)
    return Row(cells, lower_bound=bound)


def _findings(networks: Sequence[dict[str, Any]]) -> Iterator[str]:
    counted = [network for network in networks if not network["failure"]]
    real = [network["model"] for network in counted if network["executed_on"] == "cpu"]
    bounds = [network["model"] for network in counted if network["unknown"]]
    yield f"{len(counted)} of {len(networks)} networks are counted."
    if real:
        yield (
            f"{len(real)} of them need the values of tensors, and were counted on a real run with "
            f"random weights: {', '.join(real)}."
        )
    if bounds:
        yield f"For {', '.join(bounds)} the count is a lower bound."
    else:
        yield "No operator of theirs is without a formula."
