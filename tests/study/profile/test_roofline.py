"""Roofs, shares and classes, on numbers worked out by hand."""

from dataclasses import replace

import pytest

from archscope.ask.profile.roofline import (
    Arithmetic,
    Point,
    Roofs,
    arithmetic,
    idle_share,
    points,
    roofs,
    total_point,
)
from archscope.records import (
    Analysis,
    Cost,
    Coverage,
    Environment,
    Factor,
    InputSpec,
    Layer,
    LayerTime,
    Product,
    Profile,
    TensorSpec,
    Work,
)
from archscope.study.profile.layers import layer_table
from archscope.study.profile.roofline import (
    HOST_RULE,
    RULE,
    roofline_chart,
    roofline_note,
    roofline_table,
)

ROOFS = Roofs(convolutions=100e12, others=50e12, bytes_per_second=1e12)


def point(operations, moved_bytes, seconds, launches=1, convolutions=None):
    """A convolution's, unless it is said how many of the operations are."""
    slid = operations if convolutions is None else convolutions
    return Point("layer", "Conv2d", "forward", seconds, operations, slid, moved_bytes, launches)


def test_convolutions_and_other_work_have_roofs_of_their_own():
    assert ROOFS.compute_seconds(point(100e9, 0, 1)) == pytest.approx(1e-3)
    assert ROOFS.compute_seconds(point(100e9, 0, 1, convolutions=0)) == pytest.approx(2e-3)
    assert ROOFS.compute_seconds(point(100e9, 0, 1, convolutions=50e9)) == pytest.approx(1.5e-3)
    assert ROOFS.memory_seconds(point(0, 1e9, 1)) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("operations", "moved_bytes", "seconds", "bound"),
    [
        # 100 G operations need 1 ms, and 0.1 GB need 0.1 ms.
        (100e9, 0.1e9, 1.25e-3, "compute-bound"),
        (100e9, 0.1e9, 2.5e-3, "latency/occupancy-limited"),
        # 1 G operations need 0.01 ms, and 1 GB needs 1 ms.
        (1e9, 1e9, 1.25e-3, "memory-bound"),
        (1e9, 1e9, 2.0e-3, "latency/occupancy-limited"),
    ],
)
def test_the_nearer_roof_names_the_class(operations, moved_bytes, seconds, bound):
    assert point(operations, moved_bytes, seconds).bound(ROOFS) == bound


def test_share_of_the_roof_is_possible_over_actual_time():
    assert point(100e9, 0.1e9, 2e-3).roof_share(ROOFS) == pytest.approx(0.5)
    assert point(1e9, 1e9, 2e-3).roof_share(ROOFS) == pytest.approx(0.5)


def test_short_kernels_and_idle_devices_are_launch_bound():
    assert point(1e6, 1e6, 4e-6).bound(ROOFS) == "launch-bound"
    assert point(1e9, 1e9, 1.25e-3, launches=300).bound(ROOFS) == "launch-bound"
    assert point(1e9, 1e9, 1.25e-3).bound(ROOFS, idle=0.21) == "launch-bound"
    assert point(1e9, 1e9, 1.25e-3).bound(ROOFS, idle=0.19) == "memory-bound"
    # A host has no kernels to launch.
    assert point(1e6, 4e6, 4e-6, launches=0).bound(ROOFS) == "memory-bound"


def work(macs, elementwise, moved):
    cost = Cost((Product((Factor("N", macs), Factor("K_h", 1))),))
    return Work(cost, elementwise, bytes_read=moved - 10, bytes_written=10, operators=1)


def profile(device="cuda:0", facts=(), **changes):
    layers = (
        Layer("", "Net", children=2),
        Layer("conv", "Conv2d", forward=work(500, 0, 100), backward=work(1000, 0, 200), depth=1),
        Layer("relu", "ReLU", forward=work(0, 40, 80), depth=1),
    )
    spec = InputSpec((TensorSpec((2, 3, 8, 8)),))
    return Profile(
        "net",
        spec,
        Environment(device, (("device name", "Test"), *facts)),
        layers=(
            LayerTime("conv", "Conv2d", 0, {"forward": 1e-3, "backward": 3e-3}, launches=4),
            LayerTime("relu", "ReLU", 0, {"forward": 1e-3}, launches=1),
            LayerTime("[loss]", "Loss", 0, {"forward": 1e-3}, launches=1, in_network=False),
            LayerTime("[GPU idle / launch gap]", "", 0, {"idle": 2e-3}, in_network=False),
        ),
        peaks={"fp64": 1e6, "fp32": 2e6, "tf32": 4e6, "bf16": 8e6, "copy": 1e6},
        analysis=Analysis("net", spec, layers),
        **changes,
    )


def test_points_are_layers_that_were_timed_and_counted():
    found = {(p.name, p.phase): p for p in points(profile())}
    assert set(found) == {("conv", "forward"), ("conv", "backward"), ("relu", "forward")}
    conv = found["conv", "backward"]
    assert (conv.operations, conv.moved_bytes, conv.launches) == (2000, 200, 3)
    assert found["relu", "forward"].operations == 40
    assert conv.operations_per_second == pytest.approx(2000 / 3e-3)
    assert conv.operations_per_byte == 10


def test_total_is_all_work_over_the_whole_step():
    whole = total_point(profile())
    assert whole.operations == 2 * 500 + 2 * 1000 + 40
    assert whole.moved_bytes == 380
    assert whole.seconds == pytest.approx(8e-3)
    assert idle_share(profile()) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("facts", "dtype", "width"),
    [
        ((), "fp32", 1.0),
        ((("convolutions", "TF32"), ("matrix products", "TF32")), "tf32", 1.0),
        ((("dtype", "fp32"), ("convolutions", "no TF32")), "fp32", 1.0),
        ((("network dtype", "bfloat16"), ("converted from", "float32")), "bf16", 0.5),
        ((("dtype", "default"), ("autocast", "bfloat16")), "bf16", 0.5),
        # The count is in the network's own dtype: double where the network is.
        ((("dtype", "default"), ("network dtype", "float64")), "fp64", 1.0),
        ((("network dtype", "bfloat16"),), "bf16", 1.0),
        (
            (("dtype", "fp32"), ("network dtype", "float32"), ("converted from", "float64")),
            "fp32",
            0.5,
        ),
        ((("network dtype", "float64"), ("autocast", "bfloat16")), "bf16", 0.25),
        ((("network dtype", "float64"), ("convolutions", "TF32")), "fp64", 1.0),
    ],
)
def test_dtype_decides_the_roof_and_the_bytes(facts, dtype, width):
    measured = profile(facts=facts)
    assert arithmetic(measured) == Arithmetic(dtype, dtype)
    rate = measured.peaks[dtype]
    assert roofs(measured) == Roofs(rate, rate, measured.peaks["copy"])
    assert points(measured)[0].moved_bytes == 100 * width


TF32_IN_CONVOLUTIONS = (("convolutions", "TF32"), ("matrix products", "no TF32"))
"""What PyTorch allows by default on a GPU."""


def test_by_default_only_convolutions_are_held_against_the_roof_of_tf32():
    measured = profile(facts=TF32_IN_CONVOLUTIONS)
    assert arithmetic(measured) == Arithmetic("tf32", "fp32")
    limits = roofs(measured)
    assert limits == Roofs(convolutions=4e6, others=2e6, bytes_per_second=1e6)
    found = {(p.name, p.phase): p for p in points(measured)}
    assert limits.compute_seconds(found["conv", "backward"]) == 2000 / 4e6
    assert limits.compute_seconds(found["relu", "forward"]) == 40 / 2e6
    note = next(note for note in roofline_table(measured).notes if "Roofs" in note)
    assert "4.00 Mop/s in tf32 (convolutions) and 2.00 Mop/s in fp32 (all else), 1.00 MB/s" in note
    assert "they meet at 4 and 2 operations per byte." in note
    lines = {line.name: line.y[-1] for line in roofline_chart(measured).lines}
    assert lines == {"roof in tf32": 4e6, "roof in fp32": 2e6}


def test_a_network_without_convolutions_is_told_of_one_roof():
    linear = replace(work(500, 0, 100), cost=Cost((Product((Factor("D_in", 500),)),)))
    measured = profile(facts=TF32_IN_CONVOLUTIONS)
    layers = (replace(measured.analysis.calls[1], forward=linear, backward=None),)
    measured = replace(measured, analysis=replace(measured.analysis, calls=layers))
    (note,) = (note for note in roofline_table(measured).notes if "Roofs" in note)
    assert "2.00 Mop/s in fp32, 1.00 MB/s" in note and "tf32" not in note


@pytest.mark.parametrize("dtype", ["int8", "quantized"])
def test_whole_numbers_have_no_roof_and_this_is_said(dtype):
    measured = profile(facts=(("dtype", "default"), ("network dtype", dtype)))
    assert arithmetic(measured) is None
    assert roofs(measured) is None
    assert roofline_table(measured) is None
    note = f"No roofline: no roof is known for arithmetic in {dtype}."
    assert roofline_note(measured) == note
    assert note in layer_table(measured, None).notes
    assert roofline_note(profile()) is None


def test_a_dtype_without_a_roof_borrows_none():
    measured = replace(
        profile(facts=(("network dtype", "float64"),)), peaks={"fp32": 1.0, "copy": 1.0}
    )
    assert roofs(measured) is None


def test_a_host_has_no_kernels_to_tell_of():
    table = roofline_table(profile(device="cpu"))
    assert HOST_RULE in table.notes and RULE not in table.notes


def test_table_prints_its_rule_and_closes_with_the_step():
    table = roofline_table(profile(facts=(("roofs", "measured"),)))
    assert RULE in table.notes
    assert any("Roofs (measured)" in note for note in table.notes)
    assert table.rows[-1].kind == "total"
    assert table.column("seconds")[-1] == pytest.approx(8e-3)
    assert table.column("bound")[-1] == "launch-bound", "a quarter of the step is idle"
    assert table.column("seconds")[:-1] == sorted(table.column("seconds")[:-1], reverse=True)


def test_chart_holds_every_point_under_a_roof_with_its_ridge():
    chart = roofline_chart(profile())
    assert chart.x.log and chart.y.log
    assert {series.name: len(series.x) for series in chart.series} == {"forward": 2, "backward": 1}
    (roof,) = chart.lines
    assert roof.x[1] == 2.0 and roof.y[1:] == (2e6, 2e6)
    assert roof.y[0] == pytest.approx(roof.x[0] * 1e6)
    assert max(size for series in chart.series for size in series.sizes) == 1.0


@pytest.mark.parametrize(("source", "reason"), [("data sheet: x", "TF32"), ("measured", "busy")])
def test_the_figure_says_why_points_are_above_the_roof(source, reason):
    known = profile(facts=(("roofs", source),))
    low = replace(known, peaks={name: rate / 1000 for name, rate in known.peaks.items()})
    (why,) = (note for note in roofline_chart(low).notes if "Winograd" in note)
    assert reason in why
    assert not any("Winograd" in note for note in roofline_chart(known).notes)


def test_a_compiled_network_has_its_total_only():
    seconds = {"forward": 1e-3, "backward": 3e-3}
    rows = (LayerTime("compiled graph 0/0", "torch.compile", 0, seconds),)
    table = roofline_table(replace(profile(), layers=rows))
    assert table.column("name") == ["whole step"]
    assert table.column("operations_per_second") == [pytest.approx(3040 / 4e-3)]


def test_an_operator_without_a_formula_makes_the_step_a_lower_bound():
    measured = profile()
    assert not roofline_table(measured).rows[-1].lower_bound
    missing = Coverage(unknown={"mine::op": 1}, unknown_layers=("conv",))
    table = roofline_table(replace(measured, analysis=replace(measured.analysis, coverage=missing)))
    assert "operations_per_second" in table.rows[-1].lower_bound
    assert [row.cells[0] for row in table.rows[:-1] if row.lower_bound] == ["conv", "conv"]
    assert any("≥" in note and "mine::op in conv" in note for note in table.notes)


def test_inference_is_held_against_the_forward_work():
    rows = (LayerTime("conv", "Conv2d", 0, {"forward": 1e-3}),)
    assert total_point(replace(profile(), layers=rows)).operations == 1040


def test_nothing_is_claimed_without_roofs_or_counts():
    for poorer in (replace(profile(), peaks={}), replace(profile(), analysis=None)):
        assert roofline_table(poorer) is None
        assert roofline_chart(poorer) is None


def test_a_class_appears_only_where_it_tells_layers_apart():
    idle = profile(device="cpu")
    table = roofline_table(idle)
    assert set(table.column("bound")) == {"latency/occupancy-limited", "launch-bound"}
    assert not any("All of these" in note for note in table.notes)
    busy = replace(idle, layers=[row for row in idle.layers if "idle" not in row.seconds])
    table = roofline_table(busy)
    assert "bound" not in [column.key for column in table.columns]
    assert "All of these are latency/occupancy-limited." in table.notes
