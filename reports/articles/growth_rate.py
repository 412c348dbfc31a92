"""DenseNet's growth rate."""

from __future__ import annotations

import math
from collections.abc import Iterator

from archscope.ask.sweep.grid import Outcome
from archscope.records import Analysis
from archscope.study.sweep import sweep_report
from archscope.units import binary_bytes, ratio, si
from reports.data import Data
from reports.page import Figure, Page

RATES = (12, 24, 32, 40, 48)


def name(rate: int) -> str:
    """Of the count."""
    return f"densenet-k{rate}"


def page(data: Data) -> Page:
    """How do the costs of DenseNet-121 rise with the growth rate?"""
    analyses = [data.analysis(name(rate)) for rate in RATES]
    outcomes = [
        Outcome.of((("growth_rate", str(rate)),), analysis, ())
        for rate, analysis in zip(RATES, analyses, strict=True)
    ]
    report = sweep_report("DenseNet-121 over its growth rate", outcomes)
    return Page(
        slug="densenet-growth-rate",
        title="DenseNet's growth rate",
        summary="how parameters, MACs and activations of DenseNet-121 rise with k.",
        question="Each layer of a dense block adds k feature maps, the growth rate.\n"
        "How does what DenseNet-121 costs rise with k?",
        blocks=(*report.tables,
                Figure("densenet-growth-rate", "Costs over the growth rate", report.charts)),
        findings=tuple(_findings(analyses, data.analysis("densenet121"))),
        commands=(f"archscope sweep densenet growth_rate={','.join(map(str, RATES))}",),
    )  # fmt: skip


def _findings(analyses: list[Analysis], published: Analysis) -> Iterator[str]:
    first, last = analyses[0].total, analyses[-1].total
    times = RATES[-1] / RATES[0]
    yield (
        f"A growth rate {times:g} times as large, {RATES[-1]} after {RATES[0]}, makes "
        f"{ratio(last.params / first.params, 2)} the parameters and "
        f"{ratio(last.macs / first.macs, 2)} the MACs, but only "
        f"{ratio(last.activation_bytes / first.activation_bytes, 2)} the activations."
    )
    powers = [
        math.log(after / before) / math.log(times)
        for before, after in (
            (first.params, last.params),
            (first.macs, last.macs),
            (first.activation_bytes, last.activation_bytes),
        )
    ]
    yield (
        f"Over this range parameters rise like k to the power {powers[0]:.2f}, MACs like "
        f"{powers[1]:.2f} and activations like {powers[2]:.2f}: both sides of each weight matrix "
        f"widen with k, but only one side of each feature map."
    )
    usual = analyses[RATES.index(32)].total
    created = sum(
        layer.activation_bytes for layer in analyses[RATES.index(32)].layers if layer.kind == "ReLU"
    )
    yield (
        f"Of the {binary_bytes(usual.activation_bytes)} at k = 32 the ReLUs create "
        f"{binary_bytes(created)}; torchvision's DenseNet-121, the one of the family tree, works "
        f"in place there and creates {binary_bytes(published.total.activation_bytes)} in all."
    )
    yield (
        f"At the paper's k = 32 a DenseNet-121 has {si(usual.params)} parameters and moves a byte "
        f"for {usual.intensity:.1f} flops; at k = {RATES[-1]} for {last.intensity:.1f}."
    )
