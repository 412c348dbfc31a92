"""The tables that the renderers are tried on."""

import pytest

from archscope.table import Column, Row, Table

HOSTILE = (
    "<script>alert(1)</script>",
    "a|b",
    "[bold]b[/bold]",
    "line\nfeed\r\n\ttab",
    "\x1b[31mred\x1b[0m\x07",
    "`tick` *star* _under_ $x^2$",
    "=cmd|' /C calc'!A0",
    "\\input{/etc/passwd} 100% #1 & ~",
    "emoji 😀 日本語 👨‍👩‍👧",
    "\u202eright-to-left\u202c\u2028",
    '"><img src=x onerror=alert(1)>',
    "lone \ud800 surrogate",
    "nul \x00",
    "",
    " " * 3,
    "x" * 300,
)


@pytest.fixture
def resnet() -> Table:
    """ResNet-50 by stage: parameters of He et al.'s network as torchvision builds it."""
    columns = (
        Column("name", "Layer", "name"),
        Column("kind", "Kind", "text", priority=3),
        Column("output", "Output", "text", priority=4),
        Column("params", "Parameters", "exact", priority=1),
        Column("macs", "MACs forward", "macs"),
        Column("share", "Share of MACs", "bar", priority=2),
        Column("activation_bytes", "Activations", "bytes", priority=5),
        Column("seconds", "Forward time", "seconds", priority=6),
        Column("intensity", "Arithmetic intensity", "decimal", priority=7),
    )
    rows = (
        Row(("conv1", "Conv2d", "64×112×112", 9408, 118013952, 0.02886, 3211264, 0.0011, 57.93)),
        Row(
            ("layer1 ×3", "Sequential", "256×56×56", 215808, 680394752, 0.16639, None, 0.0031, 9.5),
            kind="group",
            lower_bound=frozenset({"macs"}),
        ),
        Row(
            ("conv1", "Conv2d", "64×56×56", 4096, 12845056, 0.00314, 802816, 4.2e-05, 8.25),
            depth=1,
            best=frozenset({"activation_bytes"}),
        ),
        Row(("bn1", "BatchNorm2d", "64×56×56", 128, 0, 0.0, 802816, 0.0, 0.25), depth=1),
        Row(("fc", "Linear", "1000", 2049000, 2048000, 0.0005, 4000, 1.5e-06, 0.4998)),
        Row(("aten.foo has no formula", *[None] * 8), kind="note"),
        Row(
            ("total", None, None, 25557032, 4089184256, 1.0, 44500000, 0.0123, 23.5),
            kind="total",
            lower_bound=frozenset({"macs"}),
        ),
    )
    notes = (
        "macs = multiply-accumulates of convolutions, linear layers, matrix products and"
        " attention; flops = 2 × macs. Elementwise work stands in its own column.",
    )
    return Table("resnet50 on 1×3×224×224", columns, rows, notes)


@pytest.fixture
def hostile() -> Table:
    columns = (
        Column("name", "<b>Layer</b>|\n", "name"),
        Column("kind", "`Kind`\x1b[2J", "text", priority=1),
        Column("macs", "MACs", "macs"),
    )
    rows = tuple(Row((name, name, 1000 + i), depth=i % 3) for i, name in enumerate(HOSTILE))
    return Table("<script>|\ntitle\x1b[1m", columns, rows, HOSTILE)
