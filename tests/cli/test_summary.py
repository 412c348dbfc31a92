"""`archscope summary` as a user meets it."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from archscope import archive
from archscope.cli import run

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("model", ["lenet", "resnet18"])
def test_what_is_printed(
    model: str, width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Golden files; their numbers are those of the published tables."""
    monkeypatch.setenv("COLUMNS", str(width))
    assert run(["summary", model]) == 0
    printed = capsys.readouterr().out
    assert printed == (GOLDEN / f"summary_{model}_{width}.txt").read_text()
    assert max(map(len, printed.splitlines())) <= width
    assert "\x1b" not in printed


def test_every_format_holds_the_same_totals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suffixes = ("md", "csv", "json", "html", "tex")
    files = [tmp_path / f"net.{suffix}" for suffix in suffixes]
    arguments = [piece for file in files for piece in ("-o", str(file))]
    assert run(["summary", "lenet", "--backward", *arguments]) == 0
    text = {file.suffix: file.read_text() for file in files}
    for suffix in (".md", ".html", ".tex"):
        assert "61,706" in text[suffix], suffix
        assert "416,520" in text[suffix], suffix
    rows = list(csv.DictReader(io.StringIO(text[".csv"])))
    assert sum(int(row["params"]) for row in rows) == 61_706
    assert sum(int(row["macs"]) for row in rows) == 416_520
    record = archive.loads(text[".json"])
    assert record.total.macs == 416_520  # type: ignore[union-attr]
    assert sorted(tmp_path.iterdir()) == sorted(files)


def test_a_saved_record_prints_like_its_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = str(tmp_path / "net.json")
    assert run(["summary", "lenet", "-o", saved]) == 0
    first = capsys.readouterr().out
    assert run(["summary", saved]) == 0
    assert capsys.readouterr().out == first


def test_freezing_shows_the_trainable_share_and_the_backward_cost(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["summary", "resnet18", "--set", "num_classes=2", "--train-only", "fc*"]
    assert run([*arguments, "--columns", "params,trainable_params,macs_backward"]) == 0
    total = capsys.readouterr().out.split("Total")[1].splitlines()[0].split()
    # 11,689,512 less the old head (513,000) plus the new one (1,026), of which the head trains.
    assert total[:2] == ["11,177,538", "1,026"]


STRANGE = """
import torch
from torch import nn

class Spectrum(nn.Module):
    def forward(self, x):
        return torch.ops.aten._test_autograd_multiple_dispatch(x)

class Broken(nn.Module):
    def __init__(self):
        raise ValueError("no such luck")

class Loud(nn.Module):
    def forward(self, x):
        raise KeyError("half-way\\nand more")
"""


@pytest.fixture
def strange(tmp_path: Path) -> str:
    file = tmp_path / "strange.py"
    file.write_text(STRANGE)
    return str(file)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["summary", "resnt50"], "resnt50: unknown network; did you mean resnet50"),
        (["summary", "lenet", "--input", "3x28x28"], "--input"),
        (["summary", "lenet", "--input", "28by28"], "--input 28by28"),
        (["summary", "lenet", "--batch", "0"], "--batch 0"),
        (["summary", "lenet", "--batch", "-1"], "--batch -1"),
        (["summary", "lenet", "--batch", "two"], "--batch two: is not a batch size; give a whole"),
        (["diff", "lenet", "lenet", "--batch", "two"], "--batch two: is not a batch size"),
        (["sweep-groups", "1,2", "--batch", "two"], "--batch two: is not a batch size"),
        (["summary", "lenet", "--set", "colour=red"], "colour"),
        (["summary", "lenet", "--set", "num_classes"], "--set num_classes"),
        (["summary", "lenet", "-o", "/no/such/folder/x.md"], "-o /no/such/folder/x.md"),
        (["summary", "lenet", "-o", "net.docx"], "-o net.docx: unknown suffix '.docx'; use one"),
        (["explain", "lenet", "-o", "net.png"], "-o net.png: this report has no figure"),
        (["summary", "lenet", "--columns", "cost"], "--columns cost"),
        (["summary", "lenet", "--sort", "cost"], "--sort cost"),
        (["summary", "lenet", "--depth", "-1"], "--depth"),
        (["summary", "lenet", "--train-only", "zzz"], "--train-only zzz"),
        (["summary", "nowhere.json"], "nowhere.json: cannot be read"),
        (["summary"], "MODEL"),
        (["summary", "lenet", "--colour"], "--colour"),
        (["summary", "lenet", "--json"], "No such option '--json'; see"),
        (["summary", "lenet", "--column"], "Did you mean '--columns'?"),
        (["sumary", "lenet"], "sumary: unknown command; did you mean summary?"),
        (["rf", "lenet"], "rf: unknown command; write archscope receptive-field"),
        (["explain", "lenet", "--backward"], "'--backward'; leave it out: the backward pass is"),
        (["predict", "lenet", "--training"], "'--training'; write --mode training"),
        (["memory", "lenet", "--device", "rtx4090"], "the memory of a GPU is --fit 24GiB"),
        (["lenet"], "lenet: unknown command; write archscope summary lenet"),
        (["compare", "lenet,vgg16"], "one after the other without commas: lenet vgg16"),
        (["summary", "lenet,vgg16", "lenet"], "one after the other without commas: lenet vgg16"),
        (["sweep-groups", "1,2", "--model", "resnet18"], "write --base resnet18"),
        (["explain", "lenet", ""], "layers: an empty name; name a layer"),
        (["distribute", "lenet", "--on", "h100,a100"], "--on h100,a100: is more than one GPU;"),
        (
            ["memory", "lenet", "vgg16"],
            "one network; ask about one after the other, or archscope compare lenet vgg16",
        ),
        (["diff", "lenet", "lenet5", "vgg16"], "archscope compare lenet lenet5 vgg16"),
        (["devices", "a100", "h100"], "h100: archscope devices takes [NAME]; see"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert words in output.err
    assert output.err.startswith("archscope: ")
    assert output.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_without_a_command_the_help_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    help_text = capsys.readouterr().out
    assert run([]) == 0
    bare = capsys.readouterr()
    assert bare.out == help_text and bare.err == ""
    assert "\n  summary " in bare.out


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Nothing", "Nothing"),
        ("Broken", "no such luck"),
        ("Loud", "half-way"),
        ("Spectrum", "is needed"),
    ],
)
def test_a_mistake_in_a_file_is_one_line(
    strange: str, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [] if name == "Spectrum" else ["--input", "4"]
    assert run(["summary", f"{strange}:{name}", *given]) == 2
    output = capsys.readouterr()
    assert words in output.err
    assert output.err.count("\n") == 1


def test_strict_prints_the_count_and_fails(
    strange: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["summary", f"{strange}:Spectrum", "--input", "4"]
    assert run(arguments) == 0
    assert "≥" in capsys.readouterr().out
    assert run([*arguments, "--strict"]) == 1
    output = capsys.readouterr()
    assert "Total" in output.out
    assert "aten::_test_autograd_multiple_dispatch" in output.err


def test_a_damaged_and_a_newer_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damaged, newer = tmp_path / "damaged.json", tmp_path / "newer.json"
    damaged.write_text('{"archscope": "analysis"')
    newer.write_text(json.dumps({"archscope": "analysis", "schema": archive.SCHEMA + 1}))
    for path, words in ((damaged, "is not JSON"), (newer, "upgrade archscope")):
        assert run(["summary", str(path)]) == 2
        assert words in capsys.readouterr().err


@pytest.mark.parametrize("mistake", [["summary", "resnt50"], ["summary", "--nonsense"]])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(
    mistake: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(mistake) == 2
    (told,) = capsys.readouterr().err.splitlines()
    assert run(["--debug", *mistake]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback") and lines[-1] == told


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    printed = capsys.readouterr().out
    assert "summary" in printed
    assert "sweep-groups" in printed
