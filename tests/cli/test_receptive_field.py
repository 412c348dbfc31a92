"""`archscope receptive-field`, and the column of `archscope summary`."""

import pytest

from archscope.cli import run


def test_it_prints_a_table_and_draws_the_image(tmp_path, capsys):
    figure = tmp_path / "field.svg"
    assert run(["receptive-field", "resnet18", "--layers", "layer?", "-o", str(figure)]) == 0
    assert "435" in capsys.readouterr().out
    assert "input image" in figure.read_text()


def test_the_summary_takes_it_as_a_column(capsys):
    given = ["summary", "resnet18", "--columns", "params,receptive_field", "--depth", "1"]
    assert run(given) == 0
    printed = capsys.readouterr().out
    assert "Receptive field" in printed and "435" in printed


@pytest.mark.parametrize(
    "given", [["lenet5", "--layers", "layer9"], ["lenet5", "--input", "28"], ["lenet55"]]
)
def test_a_mistake_is_one_line_and_exit_code_2(given, capsys):
    assert run(["receptive-field", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("network", "said"),
    [
        # Two convolutions of 3 see 5 pixels, though the shortcut that runs last sees 1.
        ("Block()", "5×5 pixels of the 8×6 input, with a stride of 1."),
        ("nn.Conv2d(3, 4, 3)", "3×3 pixels of the 8×6 input, with a stride of 1."),
    ],
)
def test_the_answer_is_of_the_output_where_that_is_local(
    network, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\n"
        "class Block(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.convs = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(2)))\n"
        "        self.short = nn.Conv2d(3, 3, 1)\n\n"
        "    def forward(self, x):\n"
        "        return self.convs(x) + self.short(x)\n\n"
        f"def net():\n    return {network}\n"
    )
    assert run(["receptive-field", "nets.py:net", "--input", "3x8x6"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"One position of the output of nets.py:net sees {said}"


@pytest.mark.parametrize(
    ("layer", "input", "said"),
    [
        ("Conv1d(2, 4, 64, stride=4)", "2x1000", "sees 64 positions of 1000, with a stride of 4."),
        ("Conv1d(2, 4, 1)", "2x1000", "sees 1 position of 1000, with a stride of 1."),
        ("Conv3d(2, 4, 3)", "2x8x8x6", "sees 3×3×3 positions of 8×8×6, with a stride of 1."),
    ],
)
def test_a_sequence_and_a_volume_have_positions(layer, input, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)  # a long path would wrap the line
    (tmp_path / "nets.py").write_text(
        f"from torch import nn\n\ndef net():\n    return nn.{layer}\n"
    )
    assert run(["receptive-field", "nets.py:net", "--input", input]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(said)


@pytest.mark.parametrize("layer", ["AdaptiveAvgPool2d(1)", "InstanceNorm2d(3)", "Softmax(-1)"])
def test_a_network_that_sees_everything_says_that_no_field_is_local(layer, tmp_path, capsys):
    file = tmp_path / "nets.py"
    file.write_text(f"from torch import nn\n\ndef net():\n    return nn.{layer}\n")
    assert run(["receptive-field", f"{file}:net", "--input", "3x8x6"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    # A softmax over the width leaves every row its own: local along one axis only.
    assert first == "No layer has a known local receptive field on the 8×6 input."


def test_a_layer_that_runs_again_is_named_with_its_call(capsys, monkeypatch, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Twice(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.conv = nn.Conv2d(3, 3, 3)\n"
        "    def forward(self, x):\n"
        "        return self.conv(self.conv(x)).mean()\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(["receptive-field", "nets.py:Twice", "--input", "3x32x32"]) == 0
    assert capsys.readouterr().out.startswith("conv (call 2), the last layer")  # sees 5×5


def test_branches_with_equal_fields_are_all_listed(capsys, monkeypatch, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n"
        "class Heads(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.stem = nn.Conv2d(3, 4, 3)\n"
        "        self.classes, self.boxes = nn.Conv2d(4, 2, 3), nn.Conv2d(4, 4, 3)\n"
        "    def forward(self, x):\n"
        "        x = self.stem(x)\n"
        "        return {'classes': self.classes(x), 'boxes': self.boxes(x)}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(["receptive-field", "nets.py:Heads", "--input", "3x8x8"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    # 3 + (3 − 1)·1 pixels behind the second convolution of 3, in both branches
    sizes = {row[0]: row[3] for row in rows if len(row) == 7 and row[1] == "Conv2d"}
    assert sizes == {"stem": "3", "classes": "5", "boxes": "5"}


def test_the_answer_has_the_stride_along_every_axis(capsys, monkeypatch, tmp_path):
    (tmp_path / "nets.py").write_text(
        "from torch import nn\n\ndef net():\n    return nn.Conv3d(1, 1, 2, stride=(1, 2, 2))\n"
    )
    monkeypatch.chdir(tmp_path)
    assert run(["receptive-field", "nets.py:net", "--input", "1x4x4x4"]) == 0
    assert "with a stride of 1×2×2." in " ".join(capsys.readouterr().out.splitlines()[:2])
