"""A predicted time: what must hold of it whatever the coefficients are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import archscope
from archscope.errors import ArchscopeError
from archscope.parameters import on_command_line

TRACE = Path(__file__).parents[3] / "shared" / "traces" / "alexnet-forward-a100.json.gz"

V100 = Path(__file__).parents[2] / "reports" / "data" / "traced-resnet50-v100.json"


def test_seconds_lie_in_their_interval_and_add_up_over_layers() -> None:
    predicted = archscope.predict("resnet18", device="rtx4090", batch=64, layout="nhwc")
    low, high = predicted.interval
    assert low < predicted.seconds < high
    kernels = sum(layer.seconds for layer in predicted.record.layers)
    host = predicted.record.host_seconds
    assert max(kernels, host) <= predicted.seconds <= kernels + host


def test_a_larger_batch_takes_longer_and_serves_more_samples_a_second() -> None:
    small, large = (archscope.predict("resnet18", device="rtx3090", batch=n) for n in (8, 64))
    assert small.seconds < large.seconds < 8.01 * small.seconds
    assert large.samples_per_second > small.samples_per_second


def test_resnext_is_predicted_slower_than_resnet_at_equal_macs() -> None:
    """As measured in every cell of the public tables (1.11 to 1.66 times)."""
    for layout in ("nchw", "nhwc"):
        times = [
            archscope.predict(name, device="rtx3090", batch=256, layout=layout).seconds
            for name in ("resnet50", "resnext50_32x4d")
        ]
        assert 1.05 < times[1] / times[0] < 1.8


def test_an_unknown_device_is_one_line() -> None:
    with pytest.raises(ArchscopeError, match="unknown device 'rtx4091'; did you mean rtx4090"):
        archscope.predict("resnet18", device="rtx4091")


@pytest.mark.parametrize(
    ("peak", "bandwidth", "message"),
    [
        (989, 4.8, "--peak 989: is the rate of no GPU in flop/s; write --peak 989e12"),
        (
            "989T",
            4.8,
            "--bandwidth 4.8: is the rate of no GPU in bytes/s; write --bandwidth 4.8e12",
        ),
        (float("inf"), 1e12, "--peak inf: is the rate of no GPU"),
        ("fast", 1e12, "--peak: 'fast' is not a quantity; write it like 989e12, 989T"),
        (-1.0, 1e12, "--peak -1: is not above 0; write --peak 989e12"),
    ],
)
def test_rates_that_no_gpu_has_are_refused(peak: Any, bandwidth: Any, message: str) -> None:
    with pytest.raises(ArchscopeError) as caught:
        archscope.predict("lenet", peak=peak, bandwidth=bandwidth)
    assert message in caught.value.worded(on_command_line)


def test_rates_may_have_units() -> None:
    written = archscope.predict("lenet", peak="989 TFLOP/s", bandwidth="4.8TB/s").record
    assert written == archscope.predict("lenet", peak=989e12, bandwidth=4.8e12).record


def test_lists_are_predicted_network_by_network() -> None:
    found = archscope.predict(
        ["lenet", "lenet5"], device=["t4", "h100"], batch=64, own_hosts=True
    ).record
    assert [one.model for one in found] == ["lenet", "lenet", "lenet5", "lenet5"]
    assert found[0] == archscope.predict("lenet", device="t4", batch=64).record


def test_a_gpu_of_two_rates_reaches_no_more_than_they_allow() -> None:
    """416,520 multiply-accumulates an image of LeNet, two operations each."""
    found = archscope.predict("lenet", peak=1e12, bandwidth=1e15, dtype="float32", batch=4096)
    assert found.seconds > 2 * 416_520 * 4096 / 1e12
    with pytest.raises(ArchscopeError, match="bandwidth: is needed with the other rate"):
        archscope.predict("lenet", peak=1e12)
    with pytest.raises(ArchscopeError, match=r"device='t4': is not the GPU .* device=\['t4'\]"):
        archscope.predict("lenet", device="t4", peak=1e12, bandwidth=1e15)


def test_the_arithmetic_of_layers_is_printed_beside_the_prediction() -> None:
    """2·(64 images·28·28 positions)·6 filters·(5·5) = 15.1 MFLOP."""
    found = archscope.predict("lenet", device="a100", batch=64, explain="conv1")
    assert "2·1·50,176·6·25 = 15.1 MFLOP" in str(found)
    assert found.seconds == archscope.predict("lenet", device="a100", batch=64).seconds
    with pytest.raises(ArchscopeError, match="explain: takes one network and one GPU"):
        archscope.predict("lenet", device=["a100", "t4"], explain="conv1")


class Sorts(nn.Module):
    """A convolution, and what has a formula of its count but no kind of work."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.rfft2(F.conv2d(x, x.new_empty(8, 3, 3, 3)).sort(-1)[0]).abs()


class Activations(nn.Module):
    """Operators that PyTorch does not call pointwise, and which are."""

    def forward(self, x: Tensor) -> Tensor:
        y = F.glu(F.leaky_relu(F.hardtanh(F.hardsigmoid(F.logsigmoid(x)))), -1)
        return torch.zeros_like(y) + F.rms_norm(y, y.shape[-1:]) + y.any()


def test_an_operator_without_a_kind_makes_a_lower_bound() -> None:
    found = archscope.predict(Sorts(), "3x32x32", device="t4", batch=4)
    assert found.record.unknown == ("sort",)
    assert "at least" in str(found)
    assert "≥" in str(found)
    several = str(archscope.predict([Sorts(), Activations()], "3x32x32", device="t4", batch=4))
    assert "Sorts may take longer." in " ".join(several.split())


def test_simple_work_has_a_kind_in_both_passes() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 1), Activations())
    for mode in ("inference", "training"):
        found = archscope.predict(network, "3x32x32", device="t4", batch=4, mode=mode).record
        assert found.unknown == ()


@pytest.mark.skipif(not TRACE.exists(), reason="the traces are not beside the checkout")
def test_a_trace_calibrates_as_the_profile_made_of_it(tmp_path: Path) -> None:
    given: Any = {"device": "a100", "batch": 1}
    before = archscope.predict("alexnet", **given).seconds
    by_trace = archscope.predict("alexnet", **given, calibrate=[TRACE]).seconds
    profile = archscope.trace(TRACE, "alexnet").record
    assert by_trace == archscope.predict("alexnet", **given, calibrate=[profile]).seconds
    assert by_trace != before
    with pytest.raises(ArchscopeError, match=r"is not a trace of lenet: .*; trace it with"):
        archscope.predict("lenet", device="a100", calibrate=[TRACE])


def test_a_profile_of_another_gpu_corrects_nothing() -> None:
    """The saved trace names a Tesla V100-DGXS-32GB, an SXM2 card."""
    given: Any = {"batch": 32, "dtype": "float32", "mode": "training", "calibrate": [V100]}
    problem = "was measured on Tesla V100-DGXS-32GB, not on NVIDIA H100 SXM5 80 GB; name v100-sxm"
    with pytest.raises(ArchscopeError, match=problem):
        archscope.predict("resnet18", device="h100", **given)
    corrected = archscope.predict("resnet18", device="v100-sxm", **given).record
    assert "resnet50, time in which the GPU waits left out" in corrected.fitted_on
    assert archscope.predict("resnet18", peak=125e12, bandwidth=9e11, **given).seconds > 0


def test_a_profile_of_an_unknown_gpu_corrects_the_one_that_is_named() -> None:
    profile = archscope.load(V100).record
    facts = {**dict(profile.environment.facts), "device name": "Engineering sample"}
    del facts["data sheet"]
    environment = replace(profile.environment, facts=tuple(facts.items()))
    unnamed = replace(profile, environment=environment)
    assert archscope.predict("resnet18", device="h100", calibrate=[unnamed]).seconds > 0


def test_a_calibration_needs_one_gpu_and_profiles(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match="calibrate: corrects one GPU by name"):
        archscope.predict("lenet", device=["a100", "t4"], calibrate=["run.json"])
    with pytest.raises(ArchscopeError, match=r"run\.txt: is not a saved profile"):
        archscope.predict("lenet", device="a100", calibrate=["run.txt"])
    budget = tmp_path / "budget.toml"
    budget.write_text('[[budget]]\nmodel = "lenet"\n')
    with pytest.raises(ArchscopeError, match=r"budget\.toml: is not a saved profile or a trace"):
        archscope.predict("lenet", device="a100", calibrate=[budget])


def test_a_network_that_starts_no_kernel_takes_no_time() -> None:
    with pytest.raises(ArchscopeError, match="Identity: starts no kernel"):
        archscope.predict(nn.Identity(), "4", device="a100")


def test_gpus_are_compared_on_one_host() -> None:
    """On one host, launch-bound steps take alike: 12.96 ms on a T4, 12.78 ms on a V100 (NVIDIA)."""
    names = ["a100", "h100", "t4", "rtx3090", "rtx4090"]
    found = archscope.predict("resnet50", device=names, batch=1).record
    assert all(one.launch_bound for one in found)
    longest = max(one.seconds for one in found)
    assert longest == pytest.approx(min(one.seconds for one in found), rel=0.05)
    newest = archscope.predict("resnet50", device="rtx4090", batch=1).record
    assert {one.host_seconds for one in found} == {newest.host_seconds}
    (said,) = {note for one in found for note in one.notes if "on one host" in note}
    assert "GeForce RTX 4090" in said
    assert found[-1].seconds == newest.seconds  # whose host it is
    assert all(one.high / one.low > newest.high / newest.low for one in found[:-1])


def test_a_time_does_not_depend_on_which_gpus_it_is_compared_with() -> None:
    """No network was measured on an MI300X, and those on T4 and V100 have hosts of their own."""
    old = archscope.predict("resnet50", device=["t4", "v100", "mi300x"], batch=4).record
    new = archscope.predict("resnet50", device=["t4", "v100", "mi300x", "h100"], batch=4).record
    assert [one.seconds for one in old] == [one.seconds for one in new[:3]]


def test_each_gpu_may_keep_the_host_that_it_was_measured_on() -> None:
    names = ["a100", "h100", "t4"]
    found = archscope.predict("resnet50", device=names, batch=1, own_hosts=True).record
    alone = [archscope.predict("resnet50", device=name, batch=1).record for name in names]
    assert [one.seconds for one in found] == [one.seconds for one in alone]
    assert not any("on one host" in note for one in found for note in one.notes)


def test_work_that_fills_the_gpu_does_not_depend_on_the_host() -> None:
    names = ["a100", "h100", "rtx3090"]
    one, own = (
        archscope.predict("resnet50", device=names, batch=512, own_hosts=own).record
        for own in (False, True)
    )
    for shared, alone in zip(one, own, strict=True):
        assert shared.seconds == pytest.approx(alone.seconds, rel=0.02)


@pytest.mark.parametrize("setting", [{"layout": "nhwc"}, {"compiled": True}], ids=["nhwc", "fused"])
def test_one_image_takes_no_longer_than_two(setting: dict[str, Any]) -> None:
    """The order of a batch of one image is that of its channels; no convolution copies it."""
    one, two = (
        archscope.predict("resnet18", device="a100", batch=batch, **setting).record
        for batch in (1, 2)
    )
    assert one.seconds <= two.seconds
    launches = [sum(layer.launches for layer in found.layers) for found in (one, two)]
    assert launches[0] == launches[1]
