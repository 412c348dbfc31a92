"""A count that an operator without a formula makes a lower bound is called one everywhere."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from torch import Tensor, nn

from archscope import archive, wording
from archscope.ask.budget.check import check
from archscope.ask.budget.limits import Budget, Limits
from archscope.ask.count import analyse
from archscope.ask.symbols.formula import formula
from archscope.ask.target import network_target, target
from archscope.ask.verify.figures import AS_FAR
from archscope.ask.verify.verify import verify
from archscope.records import Analysis
from archscope.study.budget import budget_report, github, junit, plain
from archscope.study.diff import diff_report
from archscope.study.explain import explain_report
from archscope.study.formula import formula_report
from archscope.study.verify import overview_report, verify_report
from archscope.table import Table

OPERATOR = "lower_bound_tests::doubled"
LINEAR_MACS = 4 * 4


@torch.library.custom_op(OPERATOR, mutates_args=())
def doubled(x: Tensor) -> Tensor:
    return x * 2


@doubled.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


doubled.register_autograd(lambda context, gradient: gradient * 2)


class Doubling(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return doubled(x)


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), Doubling())


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyse(target(network(), input="4"), backward=True)


def marked(table: Table, first: str) -> frozenset[str]:
    (row,) = [row for row in table.rows if row.cells[0] == first]
    return row.lower_bound


def named(text: str) -> bool:
    return OPERATOR in text and "register_formula" in text


@pytest.fixture(scope="module")
def saved(analysis: Analysis, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("saved") / "doubling.json"
    path.write_text(archive.dumps(analysis))
    return str(path)


def budget(model: str, limit: int, pattern: str = "") -> Budget:
    return Budget(model, (Limits(pattern, {"macs": limit, "params": 20}, {}),))


def test_a_lower_bound_below_its_limit_is_no_kept_limit(saved: str) -> None:
    found = check([budget(saved, 1000)])
    params, macs = found
    assert params.passed and not macs.passed and macs.verdict == "UNDECIDED"
    assert named(macs.sentence) and "in 1 has no formula" in macs.sentence
    (table,) = budget_report(found).tables
    assert table.rows[1].lower_bound >= {"value"} and not table.rows[0].lower_bound
    assert named(" ".join(table.notes)) and "met" not in " ".join(table.notes).split()
    assert named(github(found, "b.toml")) and "≥ 16" in github(found, "b.toml")
    (failure,) = ElementTree.fromstring(junit(found)).iter("failure")
    assert named(failure.attrib["message"])
    assert plain(found)[1]["passed"] is False and OPERATOR in plain(found)[1]["no_formula"]


def test_a_lower_bound_above_its_limit_is_over(saved: str) -> None:
    macs = check([budget(saved, LINEAR_MACS - 1)])[1]
    assert macs.verdict == "OVER"


def test_a_limit_on_layers_without_the_operator_is_kept(saved: str) -> None:
    assert check([budget(saved, LINEAR_MACS, "0")])[1].passed
    assert check([budget(saved, LINEAR_MACS, "*")])[1].verdict == "UNDECIDED"


@pytest.mark.parametrize(("share", "verdict"), [(0.0, "UNDECIDED"), (1.0, "ok")])
def test_growth_over_a_baseline_that_is_a_lower_bound(
    saved: str, tmp_path: Path, share: float, verdict: str
) -> None:
    """20 MACs against at least 16: nobody knows whether they grew; at twice 16 they are met."""
    grown = analyse(target(nn.Sequential(nn.Linear(4, 5)), input="4"))
    (tmp_path / "grown.json").write_text(archive.dumps(grown))
    limits = Limits("", {}, {"macs": share})
    (macs,) = check([Budget(str(tmp_path / "grown.json"), (limits,), baseline=saved)])
    assert macs.verdict == verdict
    assert macs.passed or named(macs.sentence)


def test_diff(analysis: Analysis) -> None:
    exact = analyse(target(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), input="4"), backward=True)
    (totals, *_) = diff_report(exact, analysis).tables
    for quantity in ("MACs forward", "MACs backward", "Elementwise"):
        assert marked(totals, quantity) == {"new"}
    assert not marked(totals, "Parameters")
    assert named(" ".join(totals.notes))
    (same,) = diff_report(analysis, analysis).tables
    assert marked(same, "MACs forward") == {"old", "new"}
    assert "No counted total changed." in same.notes


def test_verify_does_not_say_equal() -> None:
    found = verify(network_target(network(), input="4"))
    (table, *_) = verify_report([found]).tables
    for row, figure in zip(table.rows, found.figures, strict=True):
        assert row.lower_bound == {"ours"}
        assert figure.verdict != "equal"
    assert AS_FAR in [figure.verdict for figure in found.figures]
    assert named(" ".join(table.notes))
    assert overview_report([found], {}).tables[0].rows[0].lower_bound == {"macs"}


def test_explain(analysis: Analysis) -> None:
    *layers, totals = explain_report(analysis).derivations
    steps = {step.label: step.text for step in totals.steps}
    assert steps["MACs"] == "≥ 16" and steps["Elementwise"].startswith("≥")
    assert steps["Backward MACs"].startswith("≥") and named(steps["Lower bound"])
    (own,) = [layer for layer in layers if layer.title.startswith("1 ")]
    assert named(" ".join(step.text for step in own.steps))
    assert "no MACs" not in " ".join(step.text for step in own.steps)


def test_formula() -> None:
    totals, layers = formula_report(formula(network_target(network(), input="4"))).tables
    assert marked(totals, "MACs") == {"formula"} and not marked(totals, "Parameters")
    assert named(" ".join(totals.notes))
    assert marked(layers, "1") == {"macs"} and not marked(layers, "0")


def test_few_layers_are_named_and_the_others_numbered() -> None:
    many = analyse(target(nn.Sequential(*[Doubling() for _ in range(5)]), input="4"))
    assert wording.missing_formulas(many.coverage) == f"{OPERATOR} in 0, 1, 2 and 2 more"
    assert not wording.missing_formulas(analyse(target("lenet")).coverage)
