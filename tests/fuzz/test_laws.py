"""Laws that hold for any network."""

from __future__ import annotations

import csv
import io
import re

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import archscope
from archscope import archive
from archscope.api import Summary
from archscope.records import Layer
from archscope.render.html import html_fragment
from archscope.render.markdown import markdown
from archscope.render.plain import csv_text
from archscope.render.text import terminal
from archscope.study.formula import formula
from archscope.study.summary import summary_report
from tests.analysis.test_borrow import portrait, same
from tests.fuzz.networks import CASES, CONVOLUTIONS, Case, cases, many, real_run

MULTIPLIES = ("Conv", "Linear")


def counted(case: Case, batch: int = 1, backward: bool = False) -> Summary:
    x = torch.zeros(batch, *case.shape, requires_grad=backward)
    return archscope.summary(case.network, x, backward=backward)


@many
@given(cases(), st.integers(1, 3))
def test_shapes_and_products_are_those_of_a_real_run(case: Case, batch: int) -> None:
    summary, real = counted(case, batch), real_run(case, batch)
    calls = summary.analysis.calls
    assert sorted(layer.output_shapes[0] for layer in calls) == sorted(real.shapes)
    assert summary.total.macs == real.macs
    assert summary.coverage.complete


@many
@given(cases(), st.integers(2, 5))
def test_cost_is_linear_in_the_batch(case: Case, batch: int) -> None:
    one, many = counted(case, backward=True).total, counted(case, batch, backward=True).total
    assert (many.macs, many.elementwise) == (batch * one.macs, batch * one.elementwise)
    assert many.macs_backward == batch * one.macs_backward
    assert many.activation_bytes == batch * one.activation_bytes


@many
@given(cases())
def test_backward_is_an_input_and_a_weight_gradient_product(case: Case) -> None:
    for layer in counted(case, backward=True).layers:
        if layer.kind.startswith(MULTIPLIES):
            assert layer.backward is not None
            roles = [product.role for product in layer.backward.cost.products]
            if layer.kind.startswith("Conv"):
                assert sorted(roles) == ["input gradient", "weight gradient"]
            assert layer.macs_backward == 2 * layer.macs


@many
@given(st.integers(1, 3), st.sampled_from([1, 2, 3, 4, 6, 12]), st.booleans())
def test_groups_divide_the_cost(rank: int, groups: int, depthwise_width: bool) -> None:
    width = groups if depthwise_width else 12

    def layer(groups: int) -> Layer:
        convolution = CONVOLUTIONS[rank](width, width, 3, padding=1, groups=groups, bias=False)
        x = torch.zeros(1, width, *[5] * rank, requires_grad=True)
        (found,) = archscope.summary(convolution, x, backward=True).layers
        return found

    whole, split = layer(1), layer(groups)
    assert (split.macs * groups, split.params * groups) == (whole.macs, whole.params)
    assert split.macs_backward == 2 * split.macs


@many
@given(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 6))
def test_the_three_forms_of_a_resnext_block_agree(groups: int, width: int) -> None:
    totals = [
        archscope.summary(
            "resnext_block", "256x7x7", groups=groups, width_per_group=width, form=form
        ).total
        for form in ("split", "concat", "grouped")
    ]
    assert len({(total.macs, total.params) for total in totals}) == 1


@many
@given(cases())
def test_a_saved_count_reads_back(case: Case) -> None:
    analysis = counted(case, backward=True).analysis
    assert archive.loads(archive.dumps(analysis)) == analysis


@many
@given(cases())
def test_every_format_shows_the_same_numbers(case: Case) -> None:
    summary = counted(case)
    table = summary_report(summary.analysis, unfold=True).tables[0]
    rows = [line.split("|")[4:-1] for line in markdown(table).splitlines() if line[:1] == "|"][2:]
    shown = [[cell.strip(" *") for cell in row] for row in rows]
    page = html_fragment(table)
    for row, of_html in zip(shown, re.findall(r"<tr.*?</tr>", page, re.S)[1:], strict=True):
        assert row == re.findall(r'<td class="number">([^<]*)', of_html)
    lines = [line.split("  ") for line in terminal(table, 400).splitlines() if "─" not in line]
    screen = [[cell.strip(" █▉▊▋▌▍▎▏") for cell in line if cell.strip()] for line in lines]
    for row in shown:
        assert any(line[-len(row) :] == row for line in screen), row
    records = list(csv.DictReader(io.StringIO(csv_text(table))))
    for record in records:
        assert f"{int(record['macs']):,}" in {row[1] for row in shown}
    assert sum(int(record["macs"]) for record in records) >= summary.total.macs


@many
@given(cases(), st.booleans())
def test_the_network_is_untouched(case: Case, train: bool) -> None:
    before = portrait(case.network)
    archscope.summary(case.network, torch.zeros(2, *case.shape), backward=True, train=train)
    assert same(before, portrait(case.network))


@settings(many, max_examples=max(1, CASES // 10))
@given(st.integers(1, 3), st.integers(1, 2), st.integers(0, 1), st.integers(12, 40))
def test_a_closed_form_counts_what_the_count_counts(
    kernel: int, stride: int, padding: int, side: int
) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, kernel, stride, padding), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 2)
    )
    form = formula(network, input="3xHxW").macs
    direct = archscope.summary(network, f"3x{side}x{side + 1}", batch=2).total.macs
    assert form.value({"N": 2, "H": side, "W": side + 1}) == direct
