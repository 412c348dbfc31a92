"""A predicted time: what must hold of it whatever the coefficients are."""

from __future__ import annotations

import pytest

import archscope
from archscope.errors import ArchscopeError


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
