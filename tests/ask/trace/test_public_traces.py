"""Traces of real GPUs, each with its sum of raw kernels, which this file takes from the JSON."""

from __future__ import annotations

import gzip
import json
from functools import cache
from pathlib import Path

import pytest

from archscope.ask.target import network_target
from archscope.ask.trace.profile import Traced, traced
from archscope.errors import ArchscopeError
from archscope.traces.events import COPIES, CRITERION, ELSEWHERE, OPTIMIZER

FOLDER = Path(__file__).parents[4] / "shared" / "traces"

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the public traces are not beside this checkout"
)

MODELS = {
    "resnet50-train-b32-v100": "resnet50",
    "resnet50-train-ddp-v100": "resnet50",
    "alexnet-forward-a100": "alexnet",
    "vit-base-inference-h100": None,
    "qwen1.5-0.5b-inference-h100": None,
    "normalisation-train-mi300x": None,
}


def path_of(name: str) -> str:
    return str(FOLDER / f"{name}.json.gz")


@cache
def attributed(name: str) -> Traced:
    model = MODELS[name]
    return traced(path_of(name), None if model is None else network_target(model))


def raw_nanoseconds(name: str) -> int:
    """Sum of all kernels, copies and fills of a file."""
    with gzip.open(path_of(name)) as file:
        events = json.load(file, parse_float=str)["traceEvents"]
    kinds = {"kernel", "gpu_memcpy", "gpu_memset", "memcpy", "memset"}
    return sum(
        round(1000 * float(event["dur"]))
        for event in events
        if event.get("ph") == "X" and str(event.get("cat")).lower() in kinds
    )


@pytest.mark.parametrize("name", MODELS)
def test_nearly_all_time_finds_its_layer_and_no_kernel_is_lost(name: str) -> None:
    found = attributed(name)
    steps = [(step.start, step.end) for step in found.attribution.steps.steps]
    credits = found.attribution.credits
    known = sum(c.nanoseconds for c in credits if c.call is not None and c.call.in_network)
    lost = sum(c.nanoseconds for c in credits if c.call is None)
    elsewhere = sum(c.nanoseconds for c in credits if c.call in ELSEWHERE)
    assert known / (known + lost) >= 0.98
    assert known + lost + elsewhere <= raw_nanoseconds(name)
    if len(steps) > 2:  # the steps of the others leave out what came before them
        assert known + lost + elsewhere == raw_nanoseconds(name)
    assert min(found.profile.attributed.values()) >= 0.98


def test_what_is_no_layers_has_its_row_on_a_v100() -> None:
    """The images and labels are copied once a step; of all six steps the file has 12 copies."""
    credits = attributed("resnet50-train-b32-v100").attribution.credits
    copied = [c.nanoseconds for c in credits if c.call is COPIES]
    with gzip.open(path_of("resnet50-train-b32-v100")) as file:
        events = json.load(file)["traceEvents"]
    raw = [1000 * event["dur"] for event in events if event.get("cat") == "Memcpy"]
    assert sorted(copied) == sorted(raw) and len(raw) == 12
    # Six losses of two kernels forward and two backward, one of them filled by a memset.
    assert sum(c.call is CRITERION for c in credits) % 6 == 0
    assert any(c.call is OPTIMIZER for c in credits)


@pytest.mark.parametrize("name", MODELS)
def test_rows_add_up_to_the_step_to_the_nanosecond(name: str) -> None:
    found = attributed(name)
    table = found.attribution.times()
    steps = sorted(table.steps)
    quarter = len(steps) // 4
    middle = steps[quarter : len(steps) - quarter]
    assert table.step_seconds == pytest.approx(sum(middle) / len(middle) / 1e9, abs=0.5e-9)


@pytest.mark.parametrize("name", ["resnet50-train-b32-v100", "resnet50-train-ddp-v100"])
def test_resnet50_is_known_with_its_batch(name: str) -> None:
    profile = attributed(name).profile
    assert profile.input.batch == 32
    weighted = [row for row in profile.layers if row.kind in ("Conv2d", "BatchNorm2d", "Linear")]
    assert len(weighted) == 53 + 53 + 1
    assert all({"forward", "backward"} <= set(row.seconds) for row in weighted)
    # Two gradients meet at the input of a block: its convolution's and its projection's.
    (pooling,) = [row for row in profile.layers if row.name == "maxpool"]
    assert pooling.seconds["accumulation"] > 0


@pytest.mark.parametrize(
    ("name", "model", "options", "place"),
    [
        (
            "resnet50-train-b32-v100", "resnext50_32x4d", {},
            r"operator 6 \(layer1.0.conv1\): the trace has conv2d 64×64×1×1, resnext50_32x4d has "
            r"conv2d 128×64×1×1",
        ),
        (
            "resnet50-train-b32-v100", "resnet50", {"batch": 16},
            r"operator 1 \(conv1\): the trace has conv2d on 32×3×224×224, resnet50 has conv2d on "
            r"16×3×224×224; the trace has .*3x224x224.* and .*32",
        ),
        ("resnet50-train-b32-v100", "resnet101", {}, r"operator 184 \(layer3.6.conv1\)"),
        # This file has no shapes: the kernels' blocks tell sizes.
        ("resnet50-train-ddp-v100", "resnext50_32x4d", {}, r"operator 9 \(layer1.0.relu\)"),
        ("resnet50-train-ddp-v100", "resnet50", {"batch": 16}, r"operator 4 \(relu\)"),
        # A block of two convolutions adds where one of three goes on.
        ("resnet50-train-ddp-v100", "resnet34", {},
         r"operator 13 \(layer1.0\): the trace has relu_, resnet34 has add_"),
    ],
)  # fmt: skip
def test_another_network_or_batch_is_refused_with_the_place(
    name: str, model: str, options: dict[str, int], place: str
) -> None:
    with pytest.raises(ArchscopeError, match=place):
        traced(path_of(name), network_target(model, **options))


def test_a_device_without_a_name_may_have_either_of_two_data_sheets() -> None:
    """Of 104 units and 64 GiB AMD made MI210 and a die of MI250, with the same rates."""
    environment = traced(path_of("minitoy-train-mi250")).profile.environment
    sheet = environment.fact("data sheet")
    assert sheet == "AMD Instinct MI210 or AMD Instinct MI250 (one of its two dies)"
