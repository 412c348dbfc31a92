"""The effect of the group count: widths, exact costs, views and refusals."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from archscope.ask.groups import times
from archscope.ask.groups.family import Family
from archscope.ask.groups.sweep import sweep_groups, swept
from archscope.ask.groups.views import EQUALS, parse_groups
from archscope.ask.target import network_target
from archscope.errors import ArchscopeError
from archscope.measure.session import Plan, silent
from archscope.records import Environment, LayerTime, Measurement, Profile
from archscope.records.measured import INTERRUPTED
from archscope.study.compare.tables import NONE_NOTE
from archscope.study.groups import group_report

REFERENCES = Path(__file__).parents[2] / "references"


@pytest.fixture(scope="module")
def sweep():
    return sweep_groups((1, 2, 4, 8, 32))


@pytest.fixture(scope="module")
def report(sweep):
    return group_report(sweep)


def published():
    """ResNet-50 with every (C, d) of Xie et al. 2017, Table 2."""
    with (REFERENCES / "resnext_cardinality_resnet50.csv").open() as file:
        return list(csv.DictReader(file))


def test_equal_parameters_give_the_widths_of_table_2(sweep):
    assert [m.width for m in sweep.views["params"]] == [int(row["d"]) for row in published()]


def test_equal_macs_part_from_them_at_eight_groups(sweep):
    assert [m.width for m in sweep.views["macs"]] == [64, 40, 24, 13, 4]


@pytest.mark.parametrize("row", published(), ids=lambda row: f"{row['C']}x{row['d']}d")
def test_every_network_of_table_2_costs_what_is_published(sweep, row):
    member = next(m for m in sweep.views["params"] if m.groups == int(row["C"]))
    assert member.analysis.total.params == int(row["params"])
    assert member.analysis.total.macs == int(row["conv_fc_macs"])
    grouped = sweep.grouped_layers(member.analysis)
    assert sum(layer.macs for layer in grouped) == int(row["group_conv_macs"])
    widths = [layer.setting("out_channels") for layer in grouped]
    assert [str(width) for width in dict.fromkeys(widths)] == row["bn_stage_widths"].split("/")


def test_at_fixed_width_the_grouped_convolutions_fall_to_exactly_one_over_g(sweep, report):
    table = report.tables[0]
    assert table.column("group_conv_params_ratio") == ["1", "1/2", "1/4", "1/8", "1/32"]
    assert table.column("group_conv_macs_ratio") == ["1", "1/2", "1/4", "1/8", "1/32"]
    assert table.column("width") == [64, 32, 16, 8, 2]
    assert set(table.column("group_conv_width")) == {64}
    whole = sum(layer.params for layer in sweep.grouped_layers(sweep.base.analysis))
    for member in sweep.views["none"]:
        own = sum(layer.params for layer in sweep.grouped_layers(member.analysis))
        assert own * member.groups == whole
    assert any("exactly 1/groups" in note for note in table.notes)


def test_the_network_does_not_fall_to_one_over_g(sweep):
    total = {m.groups: m.analysis.total for m in sweep.views["none"]}
    untouched = total[1].params - sum(
        layer.params for layer in sweep.grouped_layers(sweep.base.analysis)
    )
    assert all(total[groups].params > untouched for groups in (2, 4, 8, 32))


def test_the_papers_errors_stand_where_its_networks_stand(report):
    fixed, macs, params = (table.column("top1_error") for table in report.tables)
    # Xie et al. 2017, Table 3: 23.9, 23.0, 22.6, 22.3 and 22.2 percent
    assert params == pytest.approx([0.239, 0.230, 0.226, 0.223, 0.222])
    assert fixed == [pytest.approx(0.239), None, None, None, None]
    assert macs[3] is None
    assert all(any("Table 3" in note for note in table.notes) for table in report.tables)


def test_no_paper_error_for_a_network_that_is_not_the_papers():
    altered = sweep_groups(
        (1, 32), base=network_target("resnet50", keywords={"num_classes": 10}), equal=("params",)
    )
    columns = [column.key for column in group_report(altered).tables[0].columns]
    assert "top1_error" not in columns


def test_the_report_says_why_the_widths_differ_at_eight_groups(report):
    notes = " ".join(report.tables[1].notes)
    assert "At 8 groups the two differ: width_per_group 14" in notes
    assert "At 2 groups" not in notes


def test_backward_costs_twice_the_forward_but_for_the_first_convolution(sweep):
    for member in sweep.views["none"]:
        total = member.analysis.total
        stem = next(layer for layer in member.analysis.layers if layer.name == "conv1")
        assert total.macs_backward == 2 * total.macs - stem.macs


def test_charts_draw_each_view_over_the_groups(report):
    assert [chart.y.unit for chart in report.charts] == ["count", "macs", "bytes"]
    for chart in report.charts:
        assert chart.x.log
        assert [line.name for line in chart.series] == [
            "equal width", "equal MACs", "equal parameters",
        ]  # fmt: skip
        assert all(line.x == (1, 2, 4, 8, 32) for line in chart.series)
    activations = report.charts[2].series
    assert len(set(activations[0].y)) == 1  # as wide, hence as many
    assert list(activations[2].y) == sorted(activations[2].y)


def test_counts_with_symbols_say_at_which_sizes():
    sweep = sweep_groups((1, 2), base=network_target("resnet50", input="3xHxW"), equal=("none",))
    (table,) = group_report(sweep).tables
    assert any("Counts are those at H = 224, W = 224" in note for note in table.notes)


def test_measured_times_join_the_rows_that_they_belong_to(sweep):
    member = sweep.views["params"][4]
    profile = Profile(
        "resnext50_32x4d",
        member.analysis.input,
        Environment("a device"),
        {"forward": Measurement((0.25,), 0.2, 0.3), "backward": Measurement((0.5,), 0.4, 0.6)},
        analysis=member.analysis,
    )
    report = group_report(sweep, [profile])
    assert report.tables[2].column("forward_seconds") == [None, None, None, None, 0.25]
    assert report.tables[2].column("backward_seconds")[4] == 0.5
    assert any("a device" in note for note in report.tables[2].notes)
    assert [chart.y.unit for chart in report.charts].count("seconds") == 0  # one point is no line


def timed(member, seconds, layers=()):
    """A profile of a member: six steps of almost the same time."""
    taken = Measurement((seconds,) * 6, 0.99 * seconds, 1.01 * seconds)
    return Profile(
        "resnet50", member.analysis.input, Environment("cpu"),
        {"forward": taken, "backward": taken}, layers=layers, analysis=member.analysis,
    )  # fmt: skip


def test_times_have_intervals_and_ratios_and_within_the_intervals_no_difference(sweep):
    one, two, _, _, last = sweep.counted("macs")
    profiles = [timed(one, 1.0), timed(two, 1.015), timed(last, 1.5)]
    table = group_report(sweep, profiles).tables[1]
    assert table.column("forward_ratio") == ["1.000×", "none", None, None, "1.500×"]
    assert table.column("backward_half_width")[0] == pytest.approx(0.01)
    assert NONE_NOTE in table.notes
    charts = group_report(sweep, profiles).charts
    assert len({tuple(line.name for line in chart.series) for chart in charts}) == 1, "one colour"
    without = group_report(sweep, profiles[::2]).tables[1]
    assert NONE_NOTE not in without.notes


def test_charts_of_times_say_where_they_were_measured(sweep):
    one, *_, last = sweep.counted("macs")
    charts = group_report(sweep, [timed(one, 1.0), timed(last, 1.5)]).charts
    assert [chart.title for chart in charts[-2:]] == [
        f"{phase} time of resnet50 by group count, batch 1 on cpu"
        for phase in ("Forward", "Backward")
    ]


def test_a_median_without_an_interval_has_no_ratio_and_doubts_are_repeated(sweep):
    one, *_, last = sweep.counted("macs")
    few = Measurement((1.5,) * 5, 1.5, 1.5, warnings=("interrupted: after 5 samples",))
    phases = {"forward": few, "backward": few}
    cut = replace(timed(last, 1.5), phases=phases, notes=(INTERRUPTED,))
    report = group_report(sweep, [timed(one, 1.0), cut])
    assert report.tables[1].column("forward_ratio") == ["1.000×", None, None, None, None]
    notes = report.tables[len(sweep.views) - 1].notes
    told = f"32 × 4: {INTERRUPTED} Interrupted: forward, backward after 5 samples."
    assert told in notes


def test_measured_layers_tell_in_which_stage_the_time_goes(sweep):
    def layers(first, last):
        return (
            LayerTime("conv1", "Conv2d", 0, {"forward": first, "backward": 2 * first}),
            LayerTime("layer4.2.conv3", "Conv2d", 0, {"forward": last, "backward": 2 * last}),
        )

    one, *_, last = sweep.counted("macs")
    profiles = [timed(one, 1.0, layers(0.3, 0.7)), timed(last, 1.5, layers(0.3, 1.2))]
    report = group_report(sweep, profiles)
    macs, forward, backward = report.tables[3:]
    assert [column.title for column in forward.columns[1:]] == ["1 × 64", "32 × 4"]
    assert macs.column("32 × 4")[-1] == last.analysis.total.macs
    strides = forward.column("output_stride")
    assert forward.column("32 × 4")[strides.index("32")] == 1.2
    assert backward.column("1 × 64")[strides.index("2")] == 0.6
    assert forward.column("1 × 64")[-1] == pytest.approx(1.0)
    # One measured network leaves nothing to compare.
    assert len(group_report(sweep, profiles[:1]).tables) == 3


@pytest.mark.parametrize(
    ("base", "by", "groups"), [("resnext", None, (1, 32)), ("densenet", "growth_rate", (1, 4))]
)
def test_every_network_is_measured_once_as_it_was_counted(monkeypatch, base, by, groups):
    """With groups as a constructor's keyword, and set in convolutions that are there."""
    seen = []

    def profile(target, plan, *, progress):
        seen.append((target.model, target.input, target.batch))
        return Profile("a module", target.input, Environment("cpu"))

    monkeypatch.setattr(times, "profile", profile)
    family = Family(network_target(base, input="3x32x32", batch=2), by)
    sweep = swept(family, groups, ("none", "macs"))
    found = list(times.measured(family, times.distinct(sweep), Plan(), silent))
    distinct = {(m.groups, m.width): m for view in sweep.views for m in sweep.counted(view)}
    assert len(found) == len(seen) == len(distinct) > 2
    for (network, spec, batch), measured, member in zip(
        seen, found, distinct.values(), strict=True
    ):
        assert (measured.model, measured.analysis) == (base, member.analysis)
        assert (spec, batch) == (member.analysis.input, 2)
        parameters = list(network.parameters())
        assert not any(parameter.is_meta for parameter in parameters)
        assert sum(p.numel() for p in parameters) == member.analysis.total.params


def test_an_interruption_keeps_what_was_measured(monkeypatch):
    def profile(target, plan, *, progress):
        return Profile("a module", target.input, Environment("cpu"), notes=(INTERRUPTED,))

    monkeypatch.setattr(times, "profile", profile)
    family = Family(network_target("resnet50", input="3x32x32", batch=2), None)
    sweep = swept(family, (1, 32), ("none",))
    assert len(list(times.measured(family, times.distinct(sweep), Plan(), silent))) == 1


def test_plain_rows_have_numbers_in_place_of_fractions(report):
    assert report.data.column("group_conv_params_ratio")[4] == 1 / 32
    assert len(report.data.rows) == 15


def test_another_base_starts_from_its_own_groups():
    sweep = sweep_groups((1, 2, 32), base=network_target("resnext"), equal=("none",))
    assert (sweep.base.groups, sweep.base.width) == (32, 4)
    assert [m.width for m in sweep.views["none"]] == [128, 64, 4]
    (table,) = group_report(sweep).tables
    assert table.column("group_conv_params_ratio") == ["1", "1/2", "1/32"]
    assert table.column("params_ratio")[2] == 1


def test_a_base_without_groups_gets_them_in_its_large_kernels():
    sweep = sweep_groups((1, 4), base=network_target("densenet"), by="growth_rate")
    assert len(sweep.grouped) == 58  # one 3×3 convolution in each dense layer of DenseNet-121
    fixed = group_report(sweep).tables[0]
    assert fixed.column("width") == [32, 32]
    assert fixed.column("group_conv_macs_ratio") == ["1", "1/4"]


def test_a_count_that_does_not_divide_is_told_in_its_row():
    (table,) = group_report(sweep_groups((1, 2, 3), equal=("none",))).tables
    assert table.column("problem") == [None, None, "3 groups do not divide 64 channels"]
    assert table.column("params")[2] is None


def test_no_count_that_divides_is_an_error_with_the_divisors():
    with pytest.raises(ArchscopeError, match="1, 2, 4, 8, 16, 32, 64"):
        sweep_groups((3, 5), equal=("none",))


def test_a_network_that_fixes_its_groups_is_no_base():
    with pytest.raises(ArchscopeError, match="presets groups"):
        sweep_groups((1, 2), base=network_target("resnext50_32x4d"))
    for view in EQUALS:
        with pytest.raises(ArchscopeError, match=r"^base='resnet18': .*groups=1.*such as resnet50"):
            sweep_groups((1, 2), base=network_target("resnet18"), equal=(view,))


def test_an_unknown_width_keyword_is_refused():
    with pytest.raises(ArchscopeError, match="no integer keyword of this name"):
        sweep_groups((1, 2), by="girth")


def test_counts_come_in_ascending_order_each_once():
    assert parse_groups("32, 1,2,2,8") == (1, 2, 8, 32)


@pytest.mark.parametrize("text", ["0", "-2,4", "1,,2", "two", "1.5", "", "²"])
def test_what_is_no_group_count_is_refused(text):
    with pytest.raises(ArchscopeError, match="whole numbers from 1"):
        parse_groups(text)
