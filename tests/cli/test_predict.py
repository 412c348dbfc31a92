"""`archscope predict`: the answer is the first line, mistakes are one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from torch import nn

import archscope
from archscope.cli import run


def test_gpus_tie_where_the_host_bounds_every_step() -> None:
    from dataclasses import replace

    import archscope
    from archscope.study.predict.answer import answer

    bound = archscope.predict("lenet", device="h100").record
    assert bound.launch_bound
    other = replace(bound, device="NVIDIA H200")
    assert answer([bound, other]).startswith("The 2 GPUs tie for lenet: ")
    assert "launch-bound in each step" in answer([bound, other])
    slower = replace(other, seconds=1.1 * bound.seconds)
    assert " is predicted fastest for lenet: " in answer([bound, slower])


def test_the_first_line_compares_two_networks(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["resnet18", "resnet34", "--on", "rtx4090", "--batch", "64", "--layout", "nhwc"]
    assert run(["predict", *arguments]) == 0
    first = " ".join(capsys.readouterr().out.partition("\n\n")[0].split())
    found = re.fullmatch(
        r"resnet34 takes (.*)× \((.*)–(.*)×\) the time of resnet18 on an RTX 4090, "
        r"inference, AMP, channels last, batch 64, predicted\.",
        first,
    )
    assert found is not None
    ratio, low, high = map(float, found.groups())
    assert low < ratio < high
    assert 1.3 < ratio < 2.1  # 3.66 G over 1.81 G multiply-accumulates, the same stem


@pytest.mark.parametrize("networks", [["lenet"], ["lenet", "lenet5"]])
def test_predictions_have_a_figure(networks: list[str], tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    assert run(["predict", *networks, "--on", "t4,h100", "-o", str(path)]) == 0
    drawn = path.read_text()
    assert all(text in drawn for text in ("T4", "H100", "80 % interval", *networks))


def test_the_heading_of_a_page_names_networks_and_devices_once(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    assert run(["predict", "lenet", "lenet5", "--on", "h100,a100-sxm-80gb", "-o", str(path)]) == 0
    heading = path.read_text().partition("<h1>")[2].partition("</h1>")[0]
    assert heading == "lenet · lenet5 on H100 SXM5 80 GB, A100 SXM4 80 GB"


def test_a_single_prediction_is_drawn_by_stage(tmp_path: Path) -> None:
    path = tmp_path / "x.svg"
    assert run(["predict", "lenet", "--on", "t4", "-o", str(path)]) == 0
    assert all(stage in path.read_text() for stage in ("conv1", "pool2", "fc3"))


def test_several_devices_stand_side_by_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    assert run(["predict", "resnet18", "--on", "t4,h100", "--batch", "64"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("An H100 SXM5 80 GB is predicted fastest for resnet18: ")
    assert first.endswith(" a step, inference, AMP, batch 64.")
    assert run(["predict", "resnet18", "lenet", "--on", "t4,h100", "--batch", "64"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert " is predicted fastest: " in first and first.startswith("lenet on a")
    assert " a step, inference, AMP, batch 64; launch-bound in 2 of 4 steps: " in first


def test_eighty_columns_keep_the_interval(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["predict", "lenet", "lenet5", "--on", "h100"]) == 0
    printed = capsys.readouterr().out
    left_out = next(line for line in printed.splitlines() if line.startswith("Left out"))
    assert "80 % from" not in left_out and "Samples/s" in left_out
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet18"], "--on: is needed; name a GPU such as --on rtx4090"),
        (["resnet18", "--on", "rtx409"], "unknown device 'rtx409'; did you mean rtx4090"),
        (["resnet18", "--on", "t4", "--dtype", "fp8"], "unknown 'fp8'; use one of amp"),
        (["resnet18", "--on", "t4", "--layout", "nhcw"], "unknown 'nhcw'; use one of nchw, nhwc"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["predict", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_the_arithmetic_of_a_layer_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """2·(64 images·56·56 positions)·64·(64·3·3) = 14.8 G: the numbers stand in place."""
    arguments = ["resnet18", "--on", "a100", "--batch", "64", "--explain", "layer1.0.conv1"]
    assert run(["predict", *arguments]) == 0
    text = capsys.readouterr().out
    assert "layer1.0.conv1 · forward" in text
    assert "2·1·200,704·64·576 = 14.8 GFLOP" in text
    assert "312 TFLOP/s on tensor cores" in text


def test_a_gpu_may_be_given_by_its_rates(capsys: pytest.CaptureFixture[str]) -> None:
    rates = ["--peak", "312e12", "--bandwidth", "1.555e12"]
    assert run(["predict", "resnet18", "--batch", "64", *rates]) == 0
    assert "on a GPU of 312 TFLOP/s and 1.55 TB/s" in capsys.readouterr().out
    assert run(["predict", "resnet18", "--peak", "312e12"]) == 2
    assert "--bandwidth: is needed with the other rate" in capsys.readouterr().err


def test_a_comparison_takes_predictions_beside_its_counts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["--batch", "32", "--predict", "rtx4090:nhwc,t4:float32:training"]
    assert run(["compare", "resnet18", "resnet34", *arguments]) == 0
    text = capsys.readouterr().out
    assert "Predicted on an RTX 4090, AMP, channels last" in text
    assert "Predicted on a T4, training, float32" in text
    assert "Predicted, not measured" in " ".join(text.split())
    assert run(["compare", "resnet18", "resnet34", "--predict", "t4:fp8"]) == 2
    assert "--predict t4:fp8: unknown 'fp8'; use inference" in capsys.readouterr().err


def test_a_sweep_predicts_every_point(capsys: pytest.CaptureFixture[str]) -> None:
    """Twice the images take twice the time of a network that fills the GPU, 90 % at least."""
    found = archscope.sweep("resnet18", {"batch": [128, 256]}, predict="rtx4090:nhwc").record
    (one,), (other,) = (outcome.predicted for outcome in found)
    assert one.place == "RTX 4090, AMP, channels last"
    assert one.low < one.seconds < one.high
    assert 1.8 < other.seconds / one.seconds < 2.05
    journal = [outcome.entry() for outcome in found]
    assert [type(found[0]).from_entry(entry) for entry in journal] == list(found)


def test_group_counts_are_predicted_beside_the_base(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["1,2", "--equal", "none", "--predict", "a100"]
    assert run(["sweep-groups", *arguments]) == 0
    text = capsys.readouterr().out
    assert "Predicted, A100" in text
    assert "Predicted, not measured" in text


def test_a_budget_limits_a_predicted_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget = tmp_path / "budget.toml"
    text = '[[budget]]\nmodel = "resnet18"\nmax_predicted_latency = "{}"\n'
    budget.write_text(text.format("1ms") + 'batch = 256\ngpu = "t4"\n')
    assert run(["check", str(budget)]) == 1
    assert "T4, AMP: predicted, not measured, 80 % interval" in capsys.readouterr().out
    budget.write_text(text.format("1s") + 'gpu = "t4"\n')
    assert run(["check", str(budget)]) == 0
    budget.write_text(text.format("1ms"))
    assert run(["check", str(budget)]) == 2
    assert "max_predicted_latency: names no GPU" in capsys.readouterr().err


def test_training_shows_its_passes_apart(capsys: pytest.CaptureFixture[str]) -> None:
    """Each of the three products of a convolution multiplies equally much, so takes alike."""
    found = archscope.predict(
        "resnet18", device="rtx3090", batch=64, mode="training", dtype="amp"
    ).record
    sums: dict[str, float] = {}
    for layer in found.layers:
        if layer.kind == "Conv2d":
            sums[layer.phase] = sums.get(layer.phase, 0.0) + layer.flops
    assert sums["weight gradient"] == pytest.approx(sums["forward"], rel=0.01)
    assert sums["input gradient"] < sums["forward"]  # the first layer needs none
    assert sum(layer.seconds for layer in found.layers) <= found.seconds
    assert run(["predict", "resnet18", "--on", "rtx3090", "--mode", "training"]) == 0
    assert "Gradients of weights" in capsys.readouterr().out


def test_a_dtype_that_a_device_lacks_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Turing's tensor cores know no bfloat16."""
    assert run(["predict", "resnet18", "--on", "t4", "--dtype", "bfloat16"]) == 2
    assert "NVIDIA T4 has no rate for it; use one of" in capsys.readouterr().err


def test_work_far_from_what_was_measured_is_named() -> None:
    volume = nn.Sequential(nn.Conv3d(3, 8, 3), nn.ReLU())
    found = archscope.predict(volume, "3x8x8x8", device="a100", batch=1).record
    notes = " ".join(found.notes)
    assert "3-D convolutions were not measured" in notes
    assert "this one is far outside" in notes
    assert archscope.predict("resnet18", device="rtx4090", batch=256).record.notes == ()


def test_the_first_line_names_the_host_where_its_launches_bound_the_step(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """By the definition: starting the kernels takes longer than running them."""
    small = archscope.predict("lenet", device="h100", batch=1)
    assert small.record.launch_bound
    assert small.record.host_seconds > sum(layer.seconds for layer in small.record.layers)
    assert "launch-bound: the host needs " in small.report.answer
    large = archscope.predict("resnet18", device="h100", batch=512)
    assert not large.record.launch_bound
    assert "launch-bound" not in large.report.answer
    assert run(["predict", "lenet", "lenet5", "--on", "h100"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "launch-bound in each step: the host needs " in shown
    assert "lenet5 on an H100 SXM5 80 GB: its kernels take " in shown
    both = archscope.predict(["lenet", "resnet18"], device="h100", batch=512)
    assert "launch-bound in 1 of 2 steps" in both.report.answer


def test_the_constant_time_of_a_step_is_named() -> None:
    """coefficients.json: `step_seconds` 0.005169 on a V100 and 0.004506 on a T4."""
    found = archscope.predict("lenet", device=["v100", "t4", "rtx4090"], own_hosts=True)
    notes = found.report.tables[0].notes
    assert [note.split(":")[0] for note in notes if "is constant" in note] == [
        "NVIDIA V100 SXM2", "NVIDIA T4",
    ]  # fmt: skip
    for one in found.record:
        longest = max(one.kernel_seconds, one.host_seconds)
        assert one.seconds >= longest + one.constant_seconds


def test_a_step_just_outside_is_not_far_outside() -> None:
    """Measured steps take 1 ms at least."""
    found = archscope.predict("resnet18", device="h100", dtype="float16").record
    assert 0.5e-3 < found.seconds < 1e-3
    assert any("this one is outside" in note for note in found.notes)


def test_a_doubt_names_the_steps_that_it_is_about() -> None:
    found = archscope.predict(["resnet18", "lenet"], device="rtx4090", batch=256)
    notes = found.report.tables[0].notes
    # LeNet's step takes under a millisecond, the shortest that was measured; ResNet-18's does not.
    assert any(note.startswith("lenet on an RTX 4090: The steps of measured") for note in notes)
