"""The architecture tables of the papers, derived from the modules alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.render.text import terminal
from archscope.study.architecture import architecture_table
from archscope.table import Table
from archscope.units import si

TESTS = Path(__file__).parents[2]
PUBLISHED = json.loads((TESTS / "references" / "paper_tables.json").read_text(encoding="utf-8"))


def table_of(*names: str) -> Table:
    return architecture_table([(name, analyse(target(name))) for name in names])


def lines(table: Table, name: str) -> list[str]:
    return [str(cell) for cell in table.column(name) if cell]


@pytest.mark.parametrize("depth", ["18", "34", "50", "101", "152"])
def test_resnet_reads_as_table_1_of_its_paper(depth: str) -> None:
    published = PUBLISHED["resnet_table1"]
    name = f"resnet{depth}"
    table = table_of(name)
    expected = ["7×7, 64, stride 2", "3×3 max pool, stride 2"]
    for width, times in zip((64, 128, 256, 512), published["blocks"][depth], strict=True):
        plain = f"[3×3, {width}; 3×3, {width}]"
        bottleneck = f"[1×1, {width}; 3×3, {width}; 1×1, {4 * width}]"
        expected.append(f"{plain if int(depth) < 50 else bottleneck} ×{times}")
    expected += ["7×7 global average pool", "1000-d fc", si(published["params"][depth])]
    assert lines(table, name)[:-1] == expected
    assert [cell for cell in table.column("output_size") if cell] == [
        "112×112", "56×56", "28×28", "14×14", "7×7", "1×1"
    ]  # fmt: skip
    assert [cell for cell in table.column("stage") if cell] == [
        "conv1", "conv2_x", "conv3_x", "conv4_x", "conv5_x", "head", "# params", "MACs"
    ]  # fmt: skip


def test_resnet50_with_its_stride_in_the_first_convolution_has_the_macs_of_the_paper() -> None:
    exact = PUBLISHED["resnet_table1"]["exact_macs"]["50_v1_stride_in_1x1"]
    assert lines(table_of("resnet50_v1"), "resnet50_v1")[-1] == si(exact) == "3.86 G"


def test_resnext_reads_as_table_1_of_its_paper() -> None:
    table = table_of("resnet50", "resnext50_32x4d")
    assert lines(table, "resnext50_32x4d") == [
        "7×7, 64, stride 2",
        "3×3 max pool, stride 2",
        "[1×1, 128; 3×3, 128, C=32; 1×1, 256] ×3",
        "[1×1, 256; 3×3, 256, C=32; 1×1, 512] ×4",
        "[1×1, 512; 3×3, 512, C=32; 1×1, 1024] ×6",
        "[1×1, 1024; 3×3, 1024, C=32; 1×1, 2048] ×3",
        "7×7 global average pool",
        "1000-d fc",
        *(si(PUBLISHED["resnext"]["table1"]["resnext50_32x4d"][key])
          for key in ("exact_params", "exact_macs")),
    ]  # fmt: skip


@pytest.mark.parametrize("depth", ["121", "169", "201", "264"])
def test_densenet_reads_as_table_1_of_its_paper(depth: str) -> None:
    published = PUBLISHED["densenet"]
    name = f"densenet{depth}"
    table = table_of(name)
    expected: list[tuple[str, str, str]] = [
        ("Convolution", "112×112", "7×7 conv, stride 2"),
        ("Pooling", "56×56", "3×3 max pool, stride 2"),
    ]
    for number, (side, times) in enumerate(
        zip((56, 28, 14, 7), published["blocks"][depth], strict=True), 1
    ):
        block = f"[1×1 conv; 3×3 conv] ×{times}"
        expected.append((f"Dense Block ({number})", f"{side}×{side}", block))
        if number < 4:
            half = f"{side // 2}×{side // 2}"
            expected.append((f"Transition Layer ({number})", f"{side}×{side}", "1×1 conv"))
            expected.append(("", half, "2×2 average pool, stride 2"))
    body = list(zip(*(table.column(key) for key in ("stage", "output_size", name)), strict=True))
    assert body[: len(expected)] == expected
    assert body[len(expected) : -2] == [
        ("Classification Layer", "1×1", "7×7 global average pool"),
        ("", "", "1000-d fc"),
    ]
    assert body[-2][2] == si(published["exact_params"][depth])
    assert body[-1][2] == si(published["exact_macs_224"][depth])
    assert "k = 32" in table.notes[0]


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("compare_paper_resnet.txt", tuple(f"resnet{depth}" for depth in (18, 34, 50, 101, 152))),
        ("compare_paper_resnext.txt", ("resnet50", "resnext50_32x4d")),
        ("compare_paper_densenet.txt", tuple(f"densenet{depth}" for depth in (121, 169, 201, 264))),
        ("compare_paper_mixed.txt", ("vit_b_16", "lenet", "mobilenet_v2")),
    ],
)  # fmt: skip
def test_the_printed_table_is_the_golden_one(file: str, names: tuple[str, ...]) -> None:
    expected = (TESTS / "golden" / file).read_text(encoding="utf-8")
    assert terminal(table_of(*names), 140) == expected


def test_all_forms_of_one_resnext_fold_their_paths() -> None:
    """Xie et al. 2017, figure 3: (a) split-transform-merge, (b) concatenation."""
    assert "[(1×1, 4; 3×3, 4; 1×1, 256) ×32] ×3" in lines(
        table_of("resnext50_32x4d_split"), "resnext50_32x4d_split"
    )
    assert "[(1×1, 4; 3×3, 4) ×32; 1×1, 256] ×3" in lines(
        table_of("resnext50_32x4d_concat"), "resnext50_32x4d_concat"
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (
            "vit_b_16",
            "[attention, 768, heads=12; fc 3072; fc 768] ×12",
        ),  # Dosovitskiy 2021, Table 1
        ("mobilenet_v2", "[3×3, 32, C=32; 1×1, 16] ×1"),  # Sandler 2018, Table 2: t = 1, c = 16
        ("efficientnet_b0", "[3×3, 32, C=32; SE, 8; 1×1, 16] ×1"),  # Tan 2019, Table 1: MBConv1
        ("vgg16", "[3×3, 512] ×3"),  # Simonyan 2015, Table 1, D
        ("lenet", "2×2 average pool, stride 2"),
        ("googlenet", "[1×1, 64; 1×1, 96; 3×3, 128; 1×1, 16; 3×3, 32; 1×1, 32] ×1"),
        ("densenet40_k12_cifar", "[3×3 conv] ×12"),  # Huang 2017, section 4.2: (40 − 4) / 3 layers
    ],
)
def test_other_networks_keep_their_blocks(name: str, line: str) -> None:
    assert line in lines(table_of(name), name)


class Unfamiliar(nn.Module):
    """A network that calls nothing of the usual kind in the usual order."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(28, 32, batch_first=True)
        self.out = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Any:
        return self.out(self.rnn(x)[0][:, -1])


def test_a_network_without_stages_still_gets_a_table() -> None:
    table = architecture_table([("rnn", analyse(target(Unfamiliar, input="28x28")))])
    assert lines(table, "rnn")[-3] == "10-d fc"
    assert "LSTM, 32" in lines(table, "rnn")


def test_a_projection_shortcut_is_no_part_of_a_block_whatever_its_name() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(8, 16, 3, stride=2, padding=1)
            self.b = nn.Conv2d(16, 16, 3, padding=1)
            self.way = nn.Conv2d(8, 16, 1, stride=2)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.b(self.a(x)) + self.way(x)
            return out

    network = nn.Sequential(Block(), nn.Flatten(), nn.Linear(16 * 16 * 16, 2))
    table = architecture_table([("net", analyse(target(network, input="8x32x32")))])
    assert lines(table, "net")[0] == "[3×3, 16; 3×3, 16] ×1"
