"""Tables of a profile written by hand: they close, name what is doubtful, and group by stage."""

import re
from dataclasses import replace

import pytest

from archscope import archive
from archscope.records import (
    Analysis,
    Cost,
    Coverage,
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
from archscope.records.measured import PROFILER_OVERHEAD
from archscope.render.ticks import tick_texts
from archscope.study.profile import profile_report, throughput_chart, whole_step_table
from archscope.study.profile.launches import launch_bound_note
from archscope.study.profile.layers import layer_table
from archscope.study.profile.phases import DISTURBED
from archscope.study.profile.stages import (
    share_chart,
    shared_stage_times,
    stage_chart,
    stage_table,
    stage_times,
)
from archscope.study.stages import stage_seconds
from archscope.study.trace.compare import compare_report


def seconds(*values, **changes):
    return Measurement(values, min(values), max(values), **changes)


def conv(name, macs):
    cost = Cost((Product((Factor("N", macs),)),))
    work = Work(cost, 0, 100, 100, 1)
    double = Work(cost + cost, 0, 200, 200, 2)
    return Layer(name, "Conv2d", forward=work, backward=double)


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
            LayerTime("[loss]", "Loss", 0, {"forward": 0.0001, "backward": 0.0001}, 2, False),
            LayerTime("[optimizer]", "", 0, {"optimizer": 0.0008}, 1, False),
            LayerTime("[GPU idle / launch gap]", "latency − busy", 0, {"idle": 0.002}, 0, False),
        ),
        attributed={"forward": 1.0, "backward": 0.995},
        peak_bytes={"parameters": 4000, "forward allocated": 10_000},
        peaks={"fp32": 1e9, "copy": 1e9},
        analysis=Analysis(
            "net", SPEC,
            (conv("features.a.0", 100), conv("features.a.1", 300), conv("features.b", 100)),
            Coverage({"convolution": 3, "convolution_backward": 6}),
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


def test_every_row_adds_up_across_its_columns():
    """Waiting and a host's gaps are of no phase: they have a column too."""
    for measured in (profile(), on_a_host()):
        for table in (stage_table(measured), layer_table(measured, None), layer_table(measured, 3)):
            names = [column.key for column in table.columns]
            total = names.index("total_seconds")
            parts = [i for i, name in enumerate(names) if name.endswith("_seconds") and i != total]
            assert "other_seconds" in names
            for row in table.rows:
                across = sum(row.cells[i] or 0.0 for i in parts)
                assert across == pytest.approx(row.cells[total])


def test_what_the_device_waits_for_is_a_column_as_in_a_trace():
    """The head's kernels take 1 ms and are waited for half of that, more than a fifth of both."""
    measured = profile()
    rows = [replace(row, waiting_seconds=0.0005 * (row.name in ("head", "features.b")))
            for row in measured.layers]  # fmt: skip
    table = layer_table(replace(measured, layers=tuple(rows)), None)
    assert [column.title for column in table.columns][-1] == "Waits"
    assert table.rows[-1].cells[-1] == pytest.approx(0.001)
    assert any("Launch-bound" in note and ": head; 500 µs" in note for note in table.notes)
    assert any("Waits: the last row" in note for note in table.notes)
    assert not any("Waits" in note for note in layer_table(measured, None).notes)


def test_a_dominant_stage_is_told_by_its_children():
    names = [stage.name for stage in stage_times(profile())]
    assert names == [
        "features", "features.a", "features.b", "head",
        "[loss]", "[optimizer]", "[GPU idle / launch gap]",
    ]  # fmt: skip


def called_twice(measured):
    """Each layer's second call has a row of its own."""
    layers = measured.layers
    again = tuple(replace(row, call=1) for row in layers if row.in_network)
    return replace(measured, layers=(*layers, *again))


def test_calls_of_one_layer_are_one_stage_and_one_name():
    twice = called_twice(profile())
    assert [stage.name for stage in stage_times(twice)] == [
        stage.name for stage in stage_times(profile())
    ]
    waits = tuple(replace(row, waiting_seconds=row.total_seconds) for row in twice.layers)
    (note,) = launch_bound_note(replace(twice, layers=waits))
    assert "features.a.1, features.b, features.a.0, features [own ops] and 1 more;" in note


def test_stages_of_two_traces_are_split_up_alike():
    """Only in the first profile `features` takes most of the time."""
    layers = tuple(
        replace(row, seconds={"forward": 0.1}) if row.name == "head" else row
        for row in profile().layers
    )
    other = replace(profile(), layers=layers)
    alone = [[stage.name for stage in stage_times(each)] for each in (profile(), other)]
    assert alone[0] != alone[1]
    first, second = shared_stage_times([profile(), other])
    assert [stage.name for stage in first] == [stage.name for stage in second]
    stages = compare_report([profile(), other], ["one", "two"]).tables[0]
    ratios = dict(zip(stages.column("name"), stages.column("ratio"), strict=True))
    assert ratios["head"] == pytest.approx(0.1 / 0.001)
    assert all(ratio == 1 for name, ratio in ratios.items() if name not in ("head", "step"))


def test_stages_carry_forward_and_backward_macs():
    macs = {stage.name: stage.macs for stage in stage_times(profile())}
    assert macs["features.a"] == 3 * 400
    assert macs["features.b"] == 3 * 100
    assert macs["[loss]"] is None
    shares = dict(zip(stage_table(profile()).column("stage"),
                      stage_table(profile()).column("macs_share"), strict=True))  # fmt: skip
    assert shares["features.a"] == 0.8
    assert shares["[GPU idle / launch gap]"] is None


def test_the_slowest_layers_come_first_and_the_rest_is_one_row():
    table = layer_table(profile(), 3)
    names, totals = table.column("name"), table.column("total_seconds")
    assert set(names[:3]) == {"features.a.0", "features.a.1", "features.b"}
    assert names[3:] == ["5 other rows", "step"]
    assert totals[:3] == sorted(totals[:3], reverse=True)


def test_seconds_that_cancel_leave_no_residue():
    """0.1 + 0.2 is 5.6e-17 more than 0.3."""
    rows = (
        LayerTime("[a]", "idle", 0, {"waiting": 0.1}),
        LayerTime("[b]", "idle", 0, {"waiting": 0.2}),
        LayerTime("[c]", "idle", 0, {"waiting": -0.30000000000000004 + 1e-17}),
        LayerTime("fc", "Linear", 0, {"forward": 1.0}, in_network=True),
    )
    table = stage_table(replace(profile(), layers=rows))
    assert table.column("other_seconds")[-1] is None
    assert table.column("forward_seconds")[-1] == 1.0


def test_the_first_line_has_the_share_of_the_table_and_the_settings():
    found = replace(profile(), keywords=(("width", "2"),))
    table = stage_table(found)
    shares = dict(zip(table.column("stage"), table.column("time_share"), strict=True))
    answer = profile_report([found]).answer
    name, share = re.search(r"slowest: (.*) \(([\d.]+) % of the profiled step\)", answer).groups()
    assert float(share) == pytest.approx(100 * shares[name], abs=0.06)
    assert "(width=2), batch" in answer and "(width=2), batch" in table.title


def test_a_containers_own_work_is_named_so():
    assert "features [own ops]" in layer_table(profile(), None).column("name")
    assert "features.b" in layer_table(profile(), None).column("name")


def test_whole_step_tells_throughput_interval_and_doubts():
    table = whole_step_table(profile())
    assert table.column("samples_per_second")[1] == pytest.approx(8 / 0.032)
    assert table.column("half_width")[1] == pytest.approx(0.002 / 0.032)
    assert table.column("half_width")[-1] is None, "one run has no interval"
    assert "Not converged: step ±6 %." in table.notes
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
    assert archive.loads(archive.dumps(report.record)).profiles == (profile(1), profile(8))
    table = next(t for t in report.tables if t.title == "Throughput of net")
    assert table.column("batch") == [1, 8]
    assert table.column("step_samples_per_second") == pytest.approx([1 / 0.032, 8 / 0.032])
    # A file of plain rows holds every batch, and the tables of layers say whose they are.
    assert report.data.column("batch") == [1] * 4 + [8] * 4
    assert "Layers of net, batch 8" in [table.title for table in report.tables]


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
    assert set(stage_table(uncounted).column("macs_share")) == {None}


def test_warnings_of_one_kind_are_one_line():
    doubtful = seconds(0.1, warnings=("not converged: ±6 % in 1 s", "drift: +3.0 %"))
    phases = {"forward": doubtful, "step": doubtful, "inference": replace(doubtful, warnings=(
        "not steady when the warm-up ended", "not converged: ±9 % in 1 s"))}  # fmt: skip
    notes = whole_step_table(replace(profile(), phases=phases)).notes
    assert notes[1:] == (
        "Not converged: forward, step ±6 % in 1 s; inference ±9 % in 1 s.",
        "Drift (clocks, temperature, other load): forward, step +3.0 %.",
        "Not steady when the warm-up ended: inference.",
    )


def on_a_host():
    """The step takes 18 ms, and 30 ms under the profiler."""
    *rows, _ = profile().layers
    seconds = {"forward": -0.004, "backward": -0.0075, "other": -0.0005}
    cost = LayerTime(PROFILER_OVERHEAD, "", 0, seconds, in_network=False)
    return replace(profile(), layers=(*rows, cost), environment=Environment("cpu"))


def test_a_hosts_table_adds_up_to_the_step_without_profiler():
    for table in (stage_table(on_a_host()), layer_table(on_a_host(), 3)):
        *rows, total = table.rows
        names = [column.key for column in table.columns]
        seconds_at, share_at = names.index("total_seconds"), names.index("time_share")
        assert sum(row.cells[seconds_at] for row in rows) == pytest.approx(0.018)
        assert total.cells[seconds_at] == pytest.approx(0.018)
        cost = next(row for row in rows if row.cells[0] == PROFILER_OVERHEAD)
        assert cost.cells[seconds_at] == pytest.approx(-0.012)
        # Shares are of the profiled step, so they add up without the profiler's cost.
        assert cost.cells[share_at] is None
        assert sum(row.cells[share_at] or 0 for row in rows) == pytest.approx(1)
        assert "take 1.67 times as long" in table.notes[0]


def test_timed_steps_that_other_programs_slowed_are_named():
    *rows, cost = on_a_host().layers
    slow = replace(cost, seconds={"forward": 0.02})
    disturbed = replace(on_a_host(), layers=(*rows, slow))
    assert DISTURBED in stage_table(disturbed).notes[0]
    assert DISTURBED not in stage_table(on_a_host()).notes[0]


def test_the_cost_of_measuring_is_no_stage_of_a_chart_or_comparison():
    plain = replace(on_a_host(), layers=on_a_host().layers[:-1])
    assert stage_chart(on_a_host()).series == stage_chart(plain).series
    assert share_chart(on_a_host()).series == share_chart(plain).series
    assert stage_seconds(on_a_host()) == stage_seconds(plain)


def test_layers_that_are_their_own_stages_are_told_once():
    flat = replace(profile(), layers=profile().layers[4:])
    titles = [table.title for table in profile_report([flat]).tables]
    assert "Stages of net, batch 8" not in titles and "Layers of net, batch 8" in titles


def test_layers_carry_their_share_of_the_macs():
    table = layer_table(profile(), None)
    shares = dict(zip(table.column("name"), table.column("macs_share"), strict=True))
    assert shares["features.a.1"] == 900 / 1500 and shares["head"] is None
    assert shares["step"] == 1


def test_a_layer_whose_name_stands_in_brackets_keeps_its_share_of_the_macs():
    def renamed(record):
        return replace(record, name="[loss]") if record.name == "head" else record

    head = LayerTime("[loss]", "Linear", 0, {"forward": 0.0005, "backward": 0.0005}, 2)
    plain = profile()
    calls = tuple(map(renamed, plain.analysis.calls))
    named = replace(
        plain,
        layers=(*plain.layers[:4], head, *plain.layers[5:]),
        analysis=replace(plain.analysis, calls=calls),
    )
    for table in (layer_table, stage_table):
        arguments = (None,) if table is layer_table else ()
        before, after = table(plain, *arguments), table(named, *arguments)
        assert after.column("macs_share") == before.column("macs_share")
        assert after.column("total_seconds") == before.column("total_seconds")


def test_throughput_in_tens_of_thousands_has_readable_ticks():
    chart = throughput_chart([profile()])
    assert tick_texts([0, 20_000, 40_000], chart.y.unit) == ["0", "20 k", "40 k"]


@pytest.mark.parametrize(
    ("device", "threads", "widest", "told"),
    [
        ("cpu", "2", 1.6, True),
        ("cpu", "2", 1.4, False),
        ("cpu", "1", 1.6, False),
        ("cuda:0", "2", 1.6, False),
    ],
)
def test_a_wide_interval_on_several_threads_hints_at_other_processes(device, threads, widest, told):
    # The interval reaches from 1 to 1.6 around a median of 1: half of it is 30 %.
    phase = Measurement((1.0,) * 8, 1.0, widest)
    environment = Environment(device, (("threads", threads),))
    notes = whole_step_table(
        replace(profile(), phases={"step": phase}, environment=environment)
    ).notes
    assert any("one thread" in note for note in notes) is told


def test_the_heading_names_the_dtype_of_the_weights():
    facts = (("device name", "Test CPU"), ("network dtype", "float64"))
    double = replace(profile(), environment=Environment("cpu", facts))
    assert whole_step_table(double).title == (
        "Whole step: net, float64, input 8×3×32×32, on Test CPU"
    )
    cast = replace(profile(), environment=Environment("cpu", (*facts, ("autocast", "bfloat16"))))
    assert "float64, autocast to bfloat16, input" in whole_step_table(cast).title
