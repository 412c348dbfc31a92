"""Time by kind of layer, on times and roofs worked out by hand."""

from dataclasses import replace

import pytest
from torch import nn

from archscope.ask.contenders import Contender
from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.records import Environment, LayerTime, Measurement, Profile
from archscope.study.compare import compare_report
from archscope.study.compare.kinds import kind_of, kind_times, kinds_table
from reports.times import comparison, gap


class Net(nn.Module):
    """A 3×3 convolution of 16 → 16 channels in groups, a 1×1 one, and an activation."""

    def __init__(self, groups):
        super().__init__()
        self.conv = nn.Conv2d(16, 16, 3, padding=1, groups=groups, bias=False)
        self.point = nn.Conv2d(16, 16, 1, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.point(self.conv(x)))


def profile(groups, conv, point, relu=0.001, loss=0.0):
    """Seconds of a forward pass by layer, on roofs of 1 Gop/s and 1 MB/s."""
    rows = [
        LayerTime("conv", "Conv2d", 0, {"forward": conv}),
        LayerTime("point", "Conv2d", 0, {"forward": point}),
        LayerTime("relu", "ReLU", 0, {"forward": relu}),
        LayerTime("[loss]", "Loss", 0, {"forward": loss}, in_network=False),
        LayerTime("[profiler overhead]", "", 0, {"forward": 9.0}, in_network=False),
    ]
    analysis = analyse(target(Net(groups), input="16x8x8"))
    return Profile(
        "net", analysis.input, Environment("cpu"), layers=tuple(rows),
        peaks={"fp32": 1e9, "copy": 1e6}, analysis=analysis,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("module", "kind"),
    [
        (nn.Conv2d(4, 8, 3), "3×3 convolution"),
        (nn.Conv2d(4, 8, 3, groups=2), "3×3 convolution"),
        (nn.Conv2d(4, 8, (1, 7)), "1×7 convolution"),
        (nn.Conv2d(4, 4, 3, groups=4), "3×3 depthwise convolution"),
        (nn.ConvTranspose2d(4, 8, 2), "2×2 transposed convolution"),
        (nn.MaxPool2d(3), "MaxPool2d"),
    ],
)
def test_a_kind_is_what_two_networks_share(module, kind):
    (layer,) = analyse(target(module, input="4x8x8")).layers
    assert kind_of(layer) == kind


def test_each_kind_has_its_time_intensity_and_share_of_the_roof():
    conv = kind_times(profile(1, conv=0.1, point=0.01))["3×3 convolution"]
    # 8·8 positions, 16·16·9 products each; 4 bytes of input, output and weight once.
    operations, moved = 2 * 64 * 16 * 16 * 9, 4 * (2 * 16 * 64 + 16 * 16 * 9)
    assert conv.seconds == 0.1
    assert conv.operations_per_byte == pytest.approx(operations / moved)
    # The memory roof is the nearer one: 17,408 bytes take 17.4 ms at 1 MB/s.
    assert conv.roof_share == pytest.approx(moved / 1e6 / 0.1)


def test_the_table_adds_up_and_parts_the_difference():
    chosen = [
        Contender("one", found.analysis, found)
        for found in (profile(1, 0.1, 0.05, loss=0.02), profile(4, 0.04, 0.15, loss=0.02))
    ]
    table = kinds_table(chosen)
    assert table.column("kind") == [
        "3×3 convolution", "1×1 convolution", "other layers", "unattributed", "Total",
    ]  # fmt: skip
    chosen[1] = replace(chosen[1], label="two")
    table = kinds_table(chosen)
    assert table.column("two") == pytest.approx([0.04, 0.15, 0.001, 0.02, 0.211])
    assert table.column("two difference") == pytest.approx([-0.06, 0.1, 0.0, 0.0, 0.04])
    assert table.column("two share") == pytest.approx([-1.5, 2.5, 0.0, 0.0, 1.0])
    titles = [table.title for table in compare_report(chosen).tables]
    assert titles[-1] == "Measured time by kind of layer"


def test_without_measured_layers_there_is_no_such_table():
    found = profile(1, 0.1, 0.05)
    counted = Contender("counted", found.analysis)
    bare = Contender("bare", found.analysis, replace(found, layers=()))
    assert kinds_table([Contender("one", found.analysis, found), counted, bare]) is None


def test_the_sentences_of_the_gap():
    first, second = profile(1, 0.1, 0.05), profile(4, 0.04, 0.15)
    lines = list(gap("B", first, second, ("3×3 convolution", "5×5 convolution", "1×1 convolution")))
    assert len(lines) == 3
    assert lines[0].startswith(
        "Forward and backward, B's 3×3 convolutions take 40.0 ms instead of 100 ms, at "
    )
    assert lines[1].startswith("Its 1×1 convolutions take 150 ms instead of 50.0 ms, at ")
    assert "operations a byte" in lines[1] and "of the roof instead of" in lines[1]
    assert lines[2] == (
        "Of the 40.0 ms that all its layers take more, the largest part, 40.0 ms, is at output "
        "stride 1."
    )


def test_a_difference_within_the_intervals_is_none_in_words_too():
    one, near, far = (Measurement((t,) * 6, 0.99 * t, 1.01 * t) for t in (1.0, 1.01, 1.5))
    phases = {"forward time": (near, one), "backward time": (far, one)}
    assert comparison("B", "takes", "A", phases) == (
        "B takes 1.50× A's backward time; between the two no difference shows in the forward time "
        "(the 95 % intervals overlap)"
    )
    assert comparison("B", "takes", "A", {"forward time": (near, one)}) == (
        "between B and A no difference shows in the forward time (the 95 % intervals overlap)"
    )
    assert comparison("B", "takes", "A", {"forward time": (None, one)}) == ""
