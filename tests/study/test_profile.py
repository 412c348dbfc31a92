"""Tables of a profile written by hand: they close, name what is doubtful, and group by stage."""

from dataclasses import replace

import pytest

from archscope import archive
from archscope.records import (
    Analysis,
    Cost,
    Environment,
    Factor,
    InputSpec,
    Layer,
    LayerTime,
    Measurement,
    Product,
    Profile,
    TensorSpec,
    Work,
)
from archscope.study.profile import (
    layer_table,
    profile_report,
    share_chart,
    stage_chart,
    stage_table,
    stage_times,
    throughput_chart,
    whole_step_table,
)


def seconds(*values, **changes):
    return Measurement(values, min(values), max(values), **changes)


def conv(name, macs):
    cost = Cost((Product((Factor("N", macs),)),))
    work = Work(cost, 0, 100, 100, 1)
    double = Work(cost + cost, 0, 200, 200, 2)
    return Layer(name, "Conv2d", depth=2, forward=work, backward=double)


SPEC = InputSpec((TensorSpec((8, 3, 32, 32)),))


def profile(batch=8):
    return Profile(
        model="net",
        input=InputSpec((TensorSpec((batch, 3, 32, 32)),)),
        environment=Environment("cuda:0", (("device name", "Test GPU"), ("dtype", "default"))),
        phases={
            "forward": seconds(0.010, 0.011, 0.012),
            "step": seconds(
                0.030, 0.031, 0.032, 0.032, 0.033, 0.034, warnings=("not converged: ±6 %",)
            ),
            "step stream": seconds(0.028),
            "inference": seconds(0.004),
        },
        layers=(
            LayerTime("features", "Sequential", 0, {"forward": 0.001}, 1),
            LayerTime("features.a.0", "Conv2d", 0, {"forward": 0.002, "backward": 0.004}, 3),
            LayerTime("features.a.1", "Conv2d", 0, {"forward": 0.004, "backward": 0.010}, 3),
            LayerTime("features.b", "Conv2d", 0, {"forward": 0.003, "backward": 0.004}, 3),
            LayerTime("head", "Linear", 0, {"forward": 0.0005, "backward": 0.0005}, 2),
            LayerTime("[loss]", "Loss", 0, {"forward": 0.0001, "backward": 0.0001}, 2),
            LayerTime("[optimizer]", "", 0, {"optimizer": 0.0008}, 1),
            LayerTime("[GPU idle / launch gap]", "latency − busy", 0, {"idle": 0.002}),
        ),
        attributed={"forward": 1.0, "backward": 0.995},
        peak_bytes={"parameters": 4000, "forward allocated": 10_000},
        peaks={"fp32": 1e9, "copy": 1e9},
        analysis=Analysis(
            "net", SPEC,
            (conv("features.a.0", 100), conv("features.a.1", 300), conv("features.b", 100)),
        ),
    )  # fmt: skip


STEP = 0.032


def test_every_layer_table_adds_up_to_the_step():
    assert sum(row.total_seconds for row in profile().layers) == pytest.approx(STEP)
    for table in (stage_table(profile()), layer_table(profile(), None), layer_table(profile(), 3)):
        *rows, total = table.rows
        assert total.kind == "total"
        index = [column.key for column in table.columns].index("total_seconds")
        assert sum(row.cells[index] for row in rows) == pytest.approx(total.cells[index])
        assert total.cells[index] == pytest.approx(STEP)
        assert sum(table.column("time_share")[:-1]) == pytest.approx(1)


def test_a_dominant_stage_is_told_by_its_children():
    names = [stage.name for stage in stage_times(profile())]
    assert names == [
        "features", "features.a", "features.b", "head",
        "[loss]", "[optimizer]", "[GPU idle / launch gap]",
    ]  # fmt: skip


def test_stages_carry_forward_and_backward_macs():
    macs = {stage.name: stage.macs for stage in stage_times(profile())}
    assert macs["features.a"] == 3 * 400
    assert macs["features.b"] == 3 * 100
    assert macs["[loss]"] is None
    shares = dict(zip(stage_table(profile()).column("stage"),
                      stage_table(profile()).column("mac_share"), strict=True))  # fmt: skip
    assert shares["features.a"] == 0.8
    assert shares["[GPU idle / launch gap]"] is None


def test_slowest_layers_stay_in_execution_order_and_the_rest_is_one_row():
    table = layer_table(profile(), 3)
    assert table.column("name") == [
        "features.a.0", "features.a.1", "features.b", "5 other rows", "step",
    ]  # fmt: skip


def test_a_containers_own_work_is_named_so():
    assert "features [own ops]" in layer_table(profile(), None).column("name")
    assert "features.b" in layer_table(profile(), None).column("name")


def test_whole_step_tells_throughput_interval_and_doubts():
    table = whole_step_table(profile())
    assert table.column("samples_per_second")[1] == pytest.approx(8 / 0.032)
    assert table.column("half_width")[1] == pytest.approx(0.002 / 0.032)
    assert table.column("half_width")[-1] is None, "one run has no interval"
    assert "step: not converged: ±6 %." in table.notes
    assert any(note.startswith("stream:") for note in table.notes)
    assert not any(note.startswith("graph:") for note in table.notes)


def test_report_has_every_figure_and_saves_the_profile():
    report = profile_report([profile()])
    kinds = [chart.kind for chart in report.charts]
    assert kinds == ["scatter", "stacked", "bars"]
    assert archive.loads(archive.dumps(report.record)) == profile()
    assert len(report.data.rows) == len(profile().layers) + 1


def test_several_batches_give_a_throughput_curve():
    report = profile_report([profile(1), profile(8)])
    curve = report.charts[-1]
    assert curve == throughput_chart([profile(1), profile(8)])
    assert curve.series[0].x == (1.0, 8.0)
    assert curve.series[0].y == pytest.approx((1 / 0.032, 8 / 0.032))
    assert report.record is None


def test_charts_show_what_the_table_says():
    chart = stage_chart(profile())
    whole = sum(sum(y for y in series.y) for series in chart.series)
    assert whole == pytest.approx(STEP)
    assert [series.name for series in chart.series] == [
        "forward", "backward", "optimizer", "other",
    ]  # fmt: skip
    time, macs = share_chart(profile()).series
    assert sum(macs.y) == pytest.approx(1) and sum(time.y) < 1


def test_a_profile_without_layers_or_counts_still_reports():
    bare = replace(profile(), layers=(), peak_bytes={}, analysis=None, peaks={})
    report = profile_report([bare])
    assert [table.title.split(":")[0] for table in report.tables] == [
        "Whole step", "Measured with",
    ]  # fmt: skip
    uncounted = replace(profile(), analysis=None)
    assert set(stage_table(uncounted).column("mac_share")) == {None}
