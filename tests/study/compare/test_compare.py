"""Networks side by side: totals, ratios, differences by output stride, intervals, charts."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

import pytest
from torch import nn

import archscope
from archscope.ask.contenders import Contender, contenders, matched
from archscope.ask.count import analyse
from archscope.ask.target import network_target, target
from archscope.errors import ArchscopeError
from archscope.records import Environment, LayerTime, Measurement, Profile
from archscope.records.measured import INTERRUPTED
from archscope.render.markdown import markdown
from archscope.render.plain import csv_text
from archscope.study.compare import compare_report
from archscope.study.compare.answer import answer
from archscope.study.compare.charts import pareto_front
from archscope.study.compare.match import match_tables
from archscope.study.compare.places import by_stride, stage_tables
from archscope.study.compare.settings import settings_tables
from archscope.study.compare.tables import FEW_ROUNDS_NOTE, NO_INTERVAL_NOTE, recipes, totals_tables
from archscope.table import Table


@pytest.fixture(scope="module")
def pair() -> tuple[Contender, ...]:
    return contenders([target("resnet50"), target("resnext50_32x4d")])


def stride_tables(chosen: Sequence[Contender]) -> list[Table]:
    return stage_tables(chosen, by_stride(chosen))


def cell(table: Table, row: str, column: str) -> object:
    return dict(zip(table.column("quantity"), table.column(column), strict=True))[row]


def best(table: Table, row: str) -> frozenset[str]:
    return next(r.best for r in table.rows if r.cells[0] == row)


def test_totals_are_the_published_ones_with_their_ratio(pair: tuple[Contender, ...]) -> None:
    """Parameters and MACs: Xie et al. 2017, Table 1, exact; accuracy: torchvision's metadata."""
    (table,) = totals_tables(pair)
    assert cell(table, "Parameters", "resnet50") == 25557032
    assert cell(table, "Parameters", "resnext50_32x4d") == 25028904
    assert cell(table, "Parameters", "resnext50_32x4d ratio") == pytest.approx(0.979, abs=5e-4)
    assert cell(table, "MACs forward", "resnext50_32x4d") == 4230479872
    first_conv = 112 * 112 * 7 * 7 * 3 * 64  # has no input gradient
    assert cell(table, "MACs with backward", "resnet50") == 3 * 4089184256 - first_conv
    assert cell(table, "ImageNet top-1", "resnet50") == pytest.approx(0.7613)
    assert cell(table, "ImageNet top-5", "resnext50_32x4d") == pytest.approx(0.93698)
    assert best(table, "Parameters") == {"resnext50_32x4d"}
    assert best(table, "MACs forward") == {"resnet50"}
    assert best(table, "ImageNet top-1") == {"resnext50_32x4d"}
    assert best(table, "Flops per byte") == {"resnet50"}
    assert any("At nearly equal MACs (1.035×)" in note for note in table.notes)


def test_equal_networks_have_no_verdict() -> None:
    (table,) = totals_tables(contenders([target("lenet"), target("lenet")]))
    assert not any("At nearly equal" in note for note in table.notes)
    (nearly,) = totals_tables(contenders([target("lenet"), target("lenet5")]))
    assert not any("At nearly equal" in note for note in nearly.notes)


def test_the_three_forms_of_a_block_differ_in_activations_and_operators_alone() -> None:
    """Xie et al. 2017, Fig. 3: 32 paths, the same joined early (b), and one grouped convolution.

    A normalisation is two operators (it allocates what it keeps for backward), an activation one.
    """
    names = ("resnext_block", "resnext_block_concat", "resnext_block_split")
    (table,) = totals_tables(contenders([target(model) for model in names]))
    for row in ("Parameters", "MACs forward"):
        assert {cell(table, row, f"{name} ratio") for name in names[1:]} == {1.0}
    convolved = 1 + 2 + 1  # with normalisation and activation
    paths = 2 * 32 * convolved
    joined, added = 1 + convolved, 32 + 31 + (convolved - 1)  # a concatenation, or a sum of paths
    assert [cell(table, "Operators", name) for name in names] == [
        3 * convolved + 1,
        paths + joined + 1,
        paths + added + 1,
    ]
    assert best(table, "Operators") == best(table, "Activations") == {"resnext_block"}


def test_every_stage_table_adds_up_to_the_totals_in_every_format(
    pair: tuple[Contender, ...],
) -> None:
    whole = {"MACs": "macs", "Parameters": "params", "Activations": "activation_bytes"}
    for table in stride_tables(pair):
        figure = whole[table.title.split()[0]]
        *rows, total = csv.DictReader(io.StringIO(csv_text(table)))
        for contender in pair:
            expected = getattr(contender.analysis.total, figure)
            assert sum(int(row[contender.label]) for row in rows) == expected
            assert int(total[contender.label]) == expected
        difference = [int(row["resnext50_32x4d difference"]) for row in rows]
        assert sum(difference) == int(total["resnext50_32x4d difference"])
        shares = [float(row["resnext50_32x4d share"]) for row in rows]
        assert sum(shares) == pytest.approx(1.0)
        assert markdown(table).count("\n| ") == len(rows) + 2


def test_networks_of_different_families_line_up() -> None:
    table = stride_tables(contenders([target("vit_b_16"), target("lenet"), target("resnet18")]))[0]
    assert table.column("output_stride") == ["1", "2", "4", "8", "16", "32", "head", "Total"]
    assert table.column("vit_b_16")[0] is None
    tokens, width = 14 * 14 + 1, 768  # Dosovitskiy et al. 2021, Table 1
    attention = tokens * width * 4 * width + 2 * tokens * tokens * width
    block = attention + 2 * tokens * width * 4 * width
    assert table.column("vit_b_16")[4] == 14 * 14 * 16 * 16 * 3 * width + 12 * block


def test_a_model_against_itself_differs_in_nothing() -> None:
    same = contenders([target("lenet"), target("lenet")])
    assert [contender.label for contender in same] == ["lenet", "lenet #2"]
    (table,) = totals_tables(same)
    ratios = [value for value in table.column("lenet #2 ratio") if value is not None]
    assert set(ratios) == {1.0}
    assert not any(row.best for row in table.rows)
    assert set(stride_tables(same)[0].column("lenet #2 share")) == {None}


def test_a_repeated_name_is_counted_once_and_other_keywords_again() -> None:
    narrowed = target("resnet18", keywords={"num_classes": 10})
    plain, again, narrow = contenders([target("resnet18"), target("resnet18"), narrowed])
    assert again.analysis is plain.analysis
    assert [each.label for each in (plain, again)] == ["resnet18", "resnet18 #2"]
    assert narrow.analysis.total.params == plain.analysis.total.params - 990 * 513


def test_one_model_is_no_comparison() -> None:
    with pytest.raises(ArchscopeError, match="at least two"):
        contenders([target("lenet")])


def test_a_symbol_is_refused() -> None:
    with pytest.raises(ArchscopeError, match="is a symbol"):
        contenders([target(model, batch="N") for model in ["lenet", "lenet"]])


def test_accuracy_is_left_out_where_it_is_not_this_networks() -> None:
    options: list[dict[str, int]] = [{}, {"num_classes": 10}, {"groups": 1}]
    published, smaller, changed = contenders(
        [target("resnet18", keywords=keywords) for keywords in options]
    )
    assert published.top1 is not None
    assert smaller.top1 is changed.top1 is None
    assert (
        contenders([target(model, input="3x96x96") for model in ["resnet18", "resnet34"]])[0].top1
        is None
    )


def test_many_models_get_several_tables_and_one_best() -> None:
    names = ["lenet"] * 6
    tables = totals_tables(contenders([target(model) for model in names]))
    assert len(tables) == 2
    assert [len(table.columns) for table in tables] == [2 + 3 * 2, 2 + 2 * 2]
    assert all(table.columns[1].title == "lenet" for table in tables)
    assert tables[0].notes == ()


def timed(contender: Contender, median: float, half: float, runs: int = 6) -> Contender:
    """The contender with a forward pass of this median and half interval."""
    measurement = Measurement((median,) * runs, median - half, median + half)
    analysis = contender.analysis
    layers = tuple(
        LayerTime(layer.name, layer.kind, layer.call, {"inference": median / len(analysis.calls)})
        for layer in analysis.calls
    )
    profile = Profile(
        analysis.model, analysis.input, Environment("cpu"),
        phases={"inference": measurement}, layers=layers, analysis=analysis,
    )  # fmt: skip
    return replace(contender, profile=profile)


def test_a_measured_difference_inside_the_intervals_is_none(pair: tuple[Contender, ...]) -> None:
    close = [timed(pair[0], 10e-3, 0.5e-3), timed(pair[1], 10.6e-3, 0.5e-3)]
    (table,) = totals_tables(close)
    assert cell(table, "Inference latency", "resnext50_32x4d ratio") == "none"
    assert cell(table, "Samples a second", "resnext50_32x4d ratio") == "none"
    assert best(table, "Inference latency") == frozenset()
    assert table.notes[0].startswith("none: the 95 % intervals of the two medians overlap")
    note = stride_tables(close)[-1].notes[0]
    assert note == "Difference in total inference time: none, the intervals overlap."


def test_times_of_different_gpus_are_said_to_be_so(pair: tuple[Contender, ...]) -> None:
    def measured(contender: Contender, name: str) -> Contender:
        profile = timed(contender, 10e-3, 0.1e-3).profile
        assert profile is not None
        there = Environment("cuda:0", (("device name", name),))
        return replace(contender, profile=replace(profile, environment=there))

    both = [measured(pair[0], "NVIDIA A100"), measured(pair[1], "NVIDIA T4")]
    (table,) = totals_tables(both)
    assert "Measured on different devices: NVIDIA A100, NVIDIA T4." in table.notes
    (table,) = totals_tables([both[0], measured(pair[1], "NVIDIA A100")])
    assert not any("different devices" in note for note in table.notes)


def test_the_settings_that_differ_are_told_in_a_table(pair: tuple[Contender, ...]) -> None:
    adam = {"date": "today", "threads": "2", "dtype": "default", "optimizer": "adam"}
    amp = {"date": "yesterday", "threads": "2", "dtype": "default", "optimizer": "sgd"}
    one, two = (timed(contender, 10e-3, 0.1e-3) for contender in pair)

    def measured(contender: Contender, facts: dict[str, str]) -> Contender:
        assert contender.profile is not None
        environment = Environment("cpu", tuple(facts.items()))
        return replace(contender, profile=replace(contender.profile, environment=environment))

    chosen = [measured(one, adam), measured(two, {**amp, "autocast": "on"})]
    table = next(t for t in compare_report(chosen).tables if "settings" in t.title)
    assert [row.cells for row in table.rows] == [
        ("autocast", "off", "on"),
        ("optimizer", "adam", "sgd"),
    ]
    assert not settings_tables([measured(one, adam), measured(two, {**adam, "date": "later"})])
    assert not settings_tables([measured(one, adam), pair[1]])


def test_totals_of_layer_times_differ_from_the_medians(pair: tuple[Contender, ...]) -> None:
    apart = [timed(pair[0], 10e-3, 0.1e-3), timed(pair[1], 12e-3, 0.1e-3)]
    assert any("differ from the medians" in note for note in stride_tables(apart)[-1].notes)
    assert not any("overlap" in note for note in totals_tables(apart)[0].notes)


def test_too_few_runs_have_neither_interval_nor_winner(pair: tuple[Contender, ...]) -> None:
    (table,) = totals_tables([timed(pair[0], 10e-3, 0, runs=2), timed(pair[1], 12e-3, 0, runs=2)])
    assert cell(table, "± of it (95 %)", pair[0].label) is None
    assert best(table, "Inference latency") == frozenset()


def test_a_median_without_an_interval_has_no_ratio(pair: tuple[Contender, ...]) -> None:
    """Twice the time, and still nobody knows whether that is a difference."""
    few = [timed(pair[0], 10e-3, 0.1e-3), timed(pair[1], 20e-3, 0, runs=5)]
    (table,) = totals_tables(few)
    for quantity in ("Inference latency", "Samples a second"):
        assert cell(table, quantity, f"{pair[1].label} ratio") is None
    assert table.notes[0] == NO_INTERVAL_NOTE
    note = stride_tables(few)[-1].notes[0]
    assert note == "Difference in total inference time: unknown, too few runs for an interval."


@pytest.mark.parametrize(
    ("ratios", "sentence"),
    [
        ((1.7, 1.6), "Which of {} and {} is faster in inference at batch 1 is unknown: 2 rounds"),
        ((0.8, 1.0, 1.1, 1.3, 1.6, 1.9, 2.6), "unknown: their ratio is anywhere from 0.80 to 2.60"),
        ((0.99, 1.0, 1.01) * 3, "equally fast in inference at batch 1, within their spread"),
        ((1.69, 1.7, 1.71) * 3, "{} is 1.70 ± 0.01 times faster than {} in inference at batch 1."),
    ],
)
def test_turns_have_a_winner_only_where_their_ratio_is_known(
    pair: tuple[Contender, ...], ratios: tuple[float, ...], sentence: str
) -> None:
    """Medians that lie far apart are no evidence against the rounds, in sentence and table."""
    first = replace(timed(pair[0], 10e-3, 0.1e-3), rounds={"inference": (0.01,) * len(ratios)})
    rounds = {"inference": tuple(0.01 * ratio for ratio in ratios)}
    second = replace(timed(pair[1], 17e-3, 0.1e-3), rounds=rounds)
    said = answer((first, second)).split("resnext50_32x4d takes")[0]
    assert sentence.format(pair[0].label, pair[1].label) in said
    assert ("times faster" in said) is ("times faster" in sentence)
    (table,) = totals_tables([first, second])
    assert bool(best(table, "Inference latency")) is ("times faster" in sentence)
    assert (FEW_ROUNDS_NOTE in table.notes) is (len(ratios) < 6)
    assert NO_INTERVAL_NOTE not in table.notes


def test_an_interval_wider_than_its_median_is_none(pair: tuple[Contender, ...]) -> None:
    """Half of 0 to 0.1 s is ten times the median of 5 ms."""
    wide = replace_interval(timed(pair[0], 5e-3, 0), 0.0, 0.1)
    chosen = (wide, timed(pair[1], 17e-3, 0.1e-3))
    (table,) = totals_tables(chosen)
    assert cell(table, "± of it (95 %)", pair[0].label) is None
    assert table.notes[0] == NO_INTERVAL_NOTE
    assert "is unknown: an interval wider than the median." in answer(chosen)


def replace_interval(contender: Contender, low: float, high: float) -> Contender:
    assert contender.profile is not None
    found = contender.profile.phases["inference"]
    phases = {"inference": replace(found, median_low=low, median_high=high)}
    return replace(contender, profile=replace(contender.profile, phases=phases))


def test_what_a_profile_says_against_its_times_is_repeated(pair: tuple[Contender, ...]) -> None:
    cut = timed(pair[1], 12e-3, 0.1e-3)
    assert cut.profile is not None
    slow = replace(cut.profile.phases["inference"], warnings=("not converged: ±9 % in 2 s",))
    phases = {"inference": slow, "inference stream": slow}
    profile = replace(cut.profile, phases=phases, notes=(INTERRUPTED,))
    (table,) = totals_tables([timed(pair[0], 10e-3, 0.1e-3), replace(cut, profile=profile)])
    message = f"{cut.label}: {INTERRUPTED} Not converged: inference ±9 % in 2 s."
    assert message in table.notes


def test_a_measured_difference_outside_the_intervals_has_a_winner(
    pair: tuple[Contender, ...],
) -> None:
    apart = [timed(pair[0], 10e-3, 0.1e-3), timed(pair[1], 12e-3, 0.1e-3)]
    (table,) = totals_tables(apart)
    assert cell(table, "Inference latency", "resnext50_32x4d ratio") == pytest.approx(1.2)
    assert cell(table, "Samples a second", "resnet50") == pytest.approx(100)
    assert best(table, "Inference latency") == {"resnet50"}
    names = "resnet50 and resnext50_32x4d"
    charts = {chart.name: chart for chart in compare_report(apart).charts}
    title = f"Measured inference time of {names} by output stride, batch 1 on cpu"
    assert charts["inference_by_stride"].title == title
    assert charts["time"].title == f"Time of {names}, batch 1 on cpu"
    first, second = charts["time"].series
    assert (first.y, second.y) == ((10e-3,), (12e-3,))
    assert first.errors == ((pytest.approx(9.9e-3), pytest.approx(10.1e-3)),)
    times = stride_tables(apart)[-1]
    assert times.column("resnet50")[-1] == pytest.approx(10e-3)
    assert times.columns[1].unit == "seconds"


def test_intervals_are_never_tighter_than_two_thousandths() -> None:
    exact = Measurement((1.0,) * 6, 1.0, 1.0)
    assert exact.overlaps(Measurement((1.003,) * 6, 1.003, 1.003)) is True
    assert exact.overlaps(Measurement((1.005,) * 6, 1.005, 1.005)) is False


def test_a_solved_width_makes_the_later_model_equal() -> None:
    """Xie et al. 2017, Table 2: eight groups have the parameters of one at width 14."""
    grouped = target("resnet50", keywords={"groups": 8})
    (_, found), solved = matched([target("resnet50"), grouped], "params", None)
    assert found == network_target("resnet50", keywords={"groups": 8, "width_per_group": 14})
    (table,) = match_tables(solved)
    assert table.column("keyword") == ["width_per_group"]
    assert table.column("target") == [25557032]
    assert table.column("difference") == [25603016 - 25557032]


def test_a_saved_record_cannot_be_solved_for() -> None:
    with pytest.raises(ArchscopeError, match="cannot be built again"):
        matched([target("lenet"), target(analyse(target("lenet")))], "params", None)


def test_charts_show_every_model_by_stride_and_accuracy_against_cost() -> None:
    chosen = contenders([target("resnet18"), target("resnet50"), target("vgg16")])
    macs, params, activations, by_macs, by_params = compare_report(chosen).charts
    assert [chart.kind for chart in (macs, params, activations)] == ["bars"] * 3
    assert (macs.y.title, macs.y.unit) == ("MACs", "macs")
    assert activations.y.unit == "bytes"
    for chart, figure in ((macs, "macs"), (params, "params")):
        for series, contender in zip(chart.series, chosen, strict=True):
            assert series.name == contender.label
            heights = [value for value in series.y if value is not None]
            assert sum(heights) == getattr(contender.analysis.total, figure)
    # A series a network, in the same order: what is blue in one chart is blue in all.
    assert [series.name for series in by_macs.series] == [series.name for series in macs.series]
    assert all(series.labels == (series.name,) for series in by_macs.series)
    assert by_macs.notes == (recipes(chosen),) and "IMAGENET1K_V1" in by_macs.notes[0]
    assert by_macs.frontier == ("resnet18", "resnet50")
    assert (by_macs.x.unit, by_macs.y.unit, by_macs.x.log) == ("macs", "percent", True)
    assert by_params.frontier == ("resnet18", "resnet50")


def test_the_pareto_front_keeps_what_no_other_beats() -> None:
    points = [(1.0, 0.7, "a"), (2.0, 0.6, "b"), (2.0, 0.8, "c"), (3.0, 0.8, "d"), (4.0, 0.9, "e")]
    assert pareto_front(points) == ("a", "c", "e")
    assert pareto_front([(1.0, 0.9, "best of all"), *points[1:]]) == ()
    assert pareto_front(points[:1] + points[2:3]) == ()  # two networks make no front


def test_the_layout_of_the_papers_is_one_table(pair: tuple[Contender, ...]) -> None:
    (table,) = compare_report(pair, layout="paper").tables
    assert [column.title for column in table.columns[2:]] == ["resnet50", "resnext50_32x4d"]


def test_accuracies_are_of_one_recipe_and_differ_in_points() -> None:
    """Published of ResNet-50: 76.13 (V1), 80.858 (V2); of ResNeXt-50: 77.618, 81.198."""
    targets = [target("resnet50"), target("resnext50_32x4d")]
    found = {recipe: contenders(targets, (), recipe) for recipe in ("V1", "V2")}
    assert [c.top1 for c in found["V1"]] == pytest.approx([0.7613, 0.77618])
    assert [c.top1 for c in found["V2"]] == pytest.approx([0.80858, 0.81198])
    report = compare_report(found["V1"])
    (row,) = (row for row in report.tables[0].rows if row.cells[0] == "ImageNet top-1")
    assert row.cells[-1] == "+1.5 points"
    assert any("IMAGENET1K_V1, not measured" in note for note in report.tables[0].notes)
    fronts = [c.frontier for c in report.charts if c.kind == "scatter"]
    assert fronts and not any(fronts)


def test_a_network_without_quantities_beside_one_that_has_some() -> None:
    found = str(archscope.compare(nn.Identity(), nn.Linear(4, 4), input="4x4"))
    assert found.startswith("Identity and Linear have no quantity in common.")
