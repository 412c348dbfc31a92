"""Laws that hold for any network."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import archscope
from archscope import archive
from archscope.api.answer import Summary
from archscope.ask.symbols.formula import formula
from archscope.ask.target import network_target
from archscope.records import Layer
from archscope.render.html import table_html
from archscope.render.markdown import markdown
from archscope.render.plain import csv_text
from archscope.render.text import terminal
from archscope.study.summary import COLUMNS, layers_table, summary_report
from archscope.table import Table
from tests.analysis.test_borrow import portrait, same, with_history
from tests.fuzz.networks import CONVOLUTIONS, TRANSPOSED, Calls, Case, cases, few, many, real_run

# PyTorch's own, of even kernels.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

GROUPED = [*CONVOLUTIONS.items(), *TRANSPOSED.items()]


def counted(case: Case, batch: int = 1, backward: bool = False, gradient: bool = True) -> Summary:
    x = torch.zeros(batch, *case.shape, requires_grad=gradient)
    return archscope.summary(case.network, x, backward=backward)


def by_name(summary: Summary) -> dict[str, Calls]:
    """A count as a real run saw it: every module's calls under its first name."""
    found: dict[str, Calls] = {}
    for layer in summary.analysis.calls:
        if layer.called:
            calls = found.setdefault(layer.name, Calls())
            calls.input_shapes.append(layer.input_shapes[0])  # type: ignore[arg-type]
            calls.output_shapes.append(layer.output_shapes[0])  # type: ignore[arg-type]
            calls.macs.append(layer.macs)
            calls.macs_backward.append(layer.macs_backward or 0)
    return found


@many
@given(cases(), st.integers(1, 3), st.booleans())
def test_every_call_has_the_shapes_and_products_of_a_real_run(
    case: Case, batch: int, gradient: bool
) -> None:
    """Forward, and backward with the input's gradient and without."""
    summary = counted(case, batch, backward=True, gradient=gradient)
    real = real_run(case, batch, gradient)
    assert by_name(summary) == real
    assert summary.total.macs == sum(sum(calls.macs) for calls in real.values())
    assert summary.coverage.complete
    assert summary.total.params == sum(p.numel() for p in case.network.parameters())


@many
@given(cases(), st.integers(1, 3))
def test_a_forward_count_is_the_forward_part_of_a_whole_one(case: Case, batch: int) -> None:
    """A forward count alone runs only one of several equal blocks."""
    whole = counted(case, batch, backward=True).analysis.calls
    forward = archscope.summary(case.network, torch.zeros(batch, *case.shape)).analysis.calls
    assert forward == tuple(replace(layer, backward=None) for layer in whole)


@many
@given(cases(), st.integers(2, 5))
def test_cost_is_linear_in_the_batch(case: Case, batch: int) -> None:
    one, many = counted(case, backward=True).total, counted(case, batch, backward=True).total
    assert (many.macs, many.elementwise) == (batch * one.macs, batch * one.elementwise)
    assert many.macs_backward == batch * one.macs_backward  # type: ignore[operator]
    assert many.params == one.params


@many
@given(cases())
def test_backward_is_an_input_and_a_weight_gradient_product(case: Case) -> None:
    for layer in counted(case, backward=True).layers:
        if layer.macs:
            assert layer.backward is not None
            parts = layer.backward.cost.products
            assert [product.value for product in parts] == [layer.macs, layer.macs]
            if layer.kind != "Linear":
                roles = [product.role for product in parts]
                assert sorted(roles) == ["input gradient", "weight gradient"]


@many
@given(st.sampled_from(GROUPED), st.sampled_from([1, 2, 3, 4, 6, 12]), st.booleans())
def test_groups_divide_the_cost(
    kind: tuple[int, type[nn.Module]], groups: int, depthwise_width: bool
) -> None:
    rank, convolution = kind
    width = groups if depthwise_width else 12

    def layer(groups: int) -> Layer:
        network = convolution(width, width, 3, padding=1, groups=groups, bias=False)
        x = torch.zeros(1, width, *[5] * rank, requires_grad=True)
        (found,) = archscope.summary(network, x, backward=True).layers
        return found

    whole, split = layer(1), layer(groups)
    assert (split.macs * groups, split.params * groups) == (whole.macs, whole.params)
    assert split.macs_backward == 2 * split.macs


@many
@given(
    st.sampled_from([1, 2, 4, 7]), st.integers(1, 6), st.integers(1, 2),
    st.sampled_from([32, 64]), st.booleans(),
)  # fmt: skip
def test_the_three_forms_of_a_resnext_block_agree(
    groups: int, width: int, stride: int, channels: int, backward: bool
) -> None:
    """All paths alike in every form, so the 3×3 convolutions cost positions·9·G·d²."""
    totals = set()
    for form in ("split", "concat", "grouped"):
        keywords = {"groups": groups, "width_per_group": width, "stride": stride, "form": form}
        keywords |= {"input_channels": 32, "channels": channels}
        summary = archscope.summary("resnext_block", "32x7x7", backward, **keywords)
        middle = sum(layer.macs for layer in summary.layers if layer.name.endswith("conv2"))
        assert middle == (7 if stride == 1 else 4) ** 2 * 9 * groups * width**2
        total = summary.total
        totals.add((total.macs, total.macs_backward, total.params))
    assert len(totals) == 1


@many
@given(cases(), st.booleans())
def test_a_saved_count_reads_back(case: Case, backward: bool) -> None:
    summary = counted(case, backward=backward)
    analysis = summary.analysis
    for text in (archive.dumps(analysis), archive.compact(analysis)):
        read = archive.loads(text)
        assert read == analysis
        assert archive.dumps(read) == archive.dumps(analysis)  # True is no 1, and 1 no 1.0
        assert read.total == summary.total  # type: ignore[union-attr]


# The formats


def number(text: str) -> tuple[float, float]:
    """What a cell says, and by how much it may be rounded: half of its last digit."""
    digits, _, unit = text.replace(",", "").partition(" ")
    if digits.endswith("%"):
        digits, unit = digits.removesuffix("%"), "%"
    scale = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "%": 0.01}[unit]
    decimals = len(digits.partition(".")[2])
    return float(digits) * scale, 0.5 * 10**-decimals * scale * (unit not in ("", "B"))


def of_markdown(table: Table) -> list[list[str]]:
    """The number cells of each row."""
    text = markdown(table)
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    numeric = [index for index, mark in enumerate(lines[1]) if mark.endswith(":")]
    return [[line[index].strip(" *") for index in numeric] for line in lines[2:]]


def of_html(table: Table) -> list[list[str]]:
    rows = re.findall(r"<tr.*?</tr>", table_html(table), re.S)
    return [re.findall(r'<td class="number">([^<]*)', row) for row in rows[1:]]


def of_terminal(table: Table, count: int) -> list[list[str]]:
    lines = [line for line in terminal(table, 400).splitlines() if "─" not in line]
    body = lines[2 : 2 + len(table.rows)]
    rows = [[cell for cell in re.split(r"[ █▉▊▋▌▍▎▏]{2,}", line) if cell] for line in body]
    return [[cell.strip(" █▉▊▋▌▍▎▏") for cell in row[-count:]] for row in rows]


@many
@given(cases(), st.booleans())
def test_every_format_shows_the_same_numbers(case: Case, backward: bool) -> None:
    summary = counted(case, backward=backward)
    table = summary_report(summary.analysis, unfold=True).tables[0]
    numeric = [column for column in table.columns if column.numeric or column.unit == "bar"]
    shown = of_markdown(table)
    assert of_html(table) == shown
    printed = of_terminal(table, len(numeric))
    assert printed[:-1] == shown[:-1]
    assert printed[-1] == [cell for cell in shown[-1] if cell]  # a total has no bar
    records = list(csv.DictReader(io.StringIO(csv_text(table))))
    for row, record in zip(shown, records, strict=True):
        for column, text in zip(numeric, row, strict=True):
            if text in ("", "–"):
                assert record[column.key] == ""
            else:
                value, rounding = number(text)
                assert abs(value - float(record[column.key])) <= rounding * (1 + 1e-9)
    for key in ("params", "macs", "elementwise", "activation_bytes"):
        assert int(records[-1][key]) == getattr(summary.total, key)


@many
@given(cases(), st.booleans())
def test_the_rows_of_a_csv_are_the_layers(case: Case, backward: bool) -> None:
    if not backward:
        for parameter in list(case.network.parameters())[::2]:
            parameter.requires_grad_(False)
    analysis = counted(case, backward=backward, gradient=False).analysis
    records = list(csv.DictReader(io.StringIO(csv_text(layers_table(analysis)))))
    keys = ("params", "trainable_params", "shared_params", "buffers", "macs", "elementwise",
            "activation_bytes", "call")  # fmt: skip
    for record, layer in zip(records, analysis.layers, strict=True):
        assert record["name"] == layer.name and record["kind"] == layer.kind
        assert {key: int(record[key]) for key in keys} == {key: getattr(layer, key) for key in keys}
        assert int(record["bytes_moved"]) == layer.forward.bytes_moved
        assert record["macs_backward"] == ("" if not backward else str(layer.macs_backward))
        assert record["output_shape"] == "×".join(map(str, layer.output_shapes[0]))
    shown_otherwise = {"bar", "macs_share", "receptive_field", "flops"}
    assert set(records[0]) == {*COLUMNS, "name", "call"} - shown_otherwise


# The network


QUESTIONS: dict[str, Any] = {
    "forward": lambda network, x: archscope.summary(network, x),
    "backward": lambda network, x: archscope.summary(network, x, True),
    "training": lambda network, x: archscope.summary(network, x, True, train=True),
    "frozen": lambda network, x: archscope.summary(network, x, True, train_only="*weight"),
    "memory": lambda network, x: archscope.memory(network, x),
    "explain": lambda network, x: archscope.explain(network, input=x),
}


@many
@given(cases(), st.sampled_from(list(QUESTIONS)))
def test_the_network_is_untouched(case: Case, question: str) -> None:
    network = with_history(case.network)
    before = portrait(network)
    x = torch.zeros(2, *case.shape)
    try:
        QUESTIONS[question](network, x)
    except archscope.ArchscopeError as refused:
        nothing_left = ("needs a gradient", "no trainable parameter")
        if question != "memory" and not any(words in str(refused) for words in nothing_left):
            raise  # the others have nothing left to train, or no batch to normalise
    assert same(before, portrait(network))


@few
@given(cases(any_size=True), st.integers(2, 4), st.data())
def test_a_closed_form_counts_what_the_count_counts(
    case: Case, batch: int, data: st.DataObject
) -> None:
    channels, *sides = case.shape
    symbols = "DHW"[-len(sides) :]
    found = formula(network_target(case.network, input="x".join([str(channels), *symbols])))
    values = {"N": batch}
    for symbol in symbols:
        first, high = found.limits[symbol]
        last = min(high or first + 40, first + 40)
        values[symbol] = data.draw(st.sampled_from([first, last]) | st.integers(first, last))
    direct = archscope.summary(
        case.network, torch.zeros(batch, channels, *(values[symbol] for symbol in symbols))
    )
    assert found.macs.value(values) == direct.total.macs
    assert found.params == direct.total.params
    smallest = {symbol: low for symbol, (low, _) in found.activation_limits.items()}
    if smallest and all(values[symbol] >= low for symbol, low in smallest.items()):
        assert found.activation_bytes.value(values) == direct.total.activation_bytes
    # Where every stride divides its side, the shorter form says the same.
    steps = {symbol: data.draw(st.integers(1, 9)) for symbol in found.multiples}
    whole = {s: factor * steps[s] for s, (factor, _) in found.multiples.items()}
    parts = {name: steps[s] for s, (_, name) in found.multiples.items()}
    assert found.reduced(found.macs).value(values | parts) == found.macs.value(values | whole)
