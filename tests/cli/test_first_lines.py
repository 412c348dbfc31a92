"""What a user meets first: help, the line that answers, files, standard output, a browser."""

from __future__ import annotations

import csv
import io
import shlex
import webbrowser
from pathlib import Path

import click
import pytest

from archscope import cli
from archscope.cli import help, run

CASES = [(name, line) for name, lines in help.EXAMPLES.items() for line in lines]


@pytest.mark.parametrize(("name", "line"), CASES)
def test_every_example_of_the_help_is_a_command_line(name: str, line: str) -> None:
    given = shlex.split(line)[1:]
    group = click.Context(cli.cli, info_name="archscope")
    command = cli.cli.get_command(group, name)
    assert command is not None
    context = command.make_context(name, given, parent=group)
    assert context.args == []


def test_help_groups_commands_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n{title}:") for title in ("Count", "Explain", "Measure", "Guard")]
    assert places == sorted(places)
    assert run(["compare", "--help"]) == 0
    text = capsys.readouterr().out
    places = [text.index(f"\n{title}:") for title in ("Examples", "Options", "Network", "Files")]
    assert places == sorted(places)
    assert text.index("\n  --match") < text.index("\nNetwork:") < text.index("\n  --input")


FIRST_LINES = {
    # 117,600 + 240,000 + 48,000 + 10,080 + 840 MACs, by hand in tests/analysis
    "summary lenet": "lenet has 61,706 parameters and takes 416,520 MACs (833,040 FLOPs)",
    "formula lenet": "lenet takes 416,520·N MACs, and has 61,706 parameters.",
    "memory lenet": "Training of lenet needs ",
    "diff lenet lenet": "Nothing changed.",
    "compare lenet lenet": "lenet #2 takes 1.000× the MACs",
    "sweep lenet batch=1,2": "MACs go from 417 k (batch=1) to 833 k (batch=2), 2.000× as many.",
    # conv1 of 5, pool of 2, conv2 of 5 (steps of 2), pool of 2: 5, 6, 14, 16; stride 4
    "receptive-field lenet": "pool2, the last layer with a local receptive field, sees 16×16 ",
    "summary lenet lenet5 --sort name --top 1": "2 networks by name, from lenet to lenet5.",
    "compare lenet lenet5 --predict rtx4090 --layout paper": "Predicted on RTX 4090",
    "summary lenet --train-only fc3": "850 of 61,706 parameters (1.4 %) are trained",
}


@pytest.mark.parametrize("line", FIRST_LINES)
def test_the_first_line_is_the_answer(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(shlex.split(line)) == 0
    assert capsys.readouterr().out.startswith(FIRST_LINES[line])


def test_standard_output_takes_any_format(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    assert run(["summary", "lenet", "-o", "-", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsysbinary.readouterr().out.decode())))
    assert sum(int(row["macs"]) for row in rows) == 416_520
    assert run(["summary", "lenet", "--format", "png"]) == 0
    assert capsysbinary.readouterr().out.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("-o -", "-o -: needs a format; add --format csv"),
        ("--format doc", "--format doc: unknown format; use one of md"),
    ],
)
def test_a_format_is_named_and_known(
    options: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", "lenet", *options.split()]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and said in printed.err


def test_a_line_says_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.csv"
    assert run(["summary", "lenet", "-o", str(path)]) == 0
    assert capsys.readouterr().err.startswith(f"wrote {path} (")


def test_a_browser_shows_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []

    def open_in_browser(address: str) -> bool:
        shown.append(address)
        return True

    monkeypatch.setenv("BROWSER", "one-with-windows")
    monkeypatch.setattr(webbrowser, "open", open_in_browser)
    monkeypatch.setattr("tempfile.mkdtemp", lambda prefix: str(tmp_path))
    path = tmp_path / "net.html"
    assert run(["summary", "lenet", "-o", str(path), "--open"]) == 0
    assert run(["summary", "lenet", "--open"]) == 0
    assert shown == [path.as_uri(), (tmp_path / "page.html").as_uri()]
    assert "61,706" in (tmp_path / "page.html").read_text()


def test_a_difference_sets_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", "lenet", "lenet", "--exit-code"]) == 0
    assert run(["diff", "lenet", "alexnet_d2l", "--input", "1x28x28"]) == 2
    capsys.readouterr()
    assert run(["diff", "resnet18", "resnet34", "--exit-code"]) == 1
    assert capsys.readouterr().out.splitlines()[0].startswith("+10.1 M parameters (+86.5 %)")


@pytest.mark.parametrize(
    ("argv", "first"),
    [
        (["explain", "lenet", "conv1"], "conv1 of lenet takes 117,600 MACs, 28.2 % of all, with "),
        (["explain", "lenet"], "lenet on 1×1×28×28 takes 416,520 MACs with 61,706 parameters."),
        (["graph", "lenet"], "lenet on 1×1×28×28: 8 nodes and 7 edges; the costliest node is 5×5 "),
        (["models", "lenet5*"], "2 networks: 2 of archscope zoo; from 60.0 k parameters (lenet5_"),
    ],
)
def test_the_answer_of_what_explains_and_lists(
    argv: list[str], first: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert run(argv) == 0
    assert capsys.readouterr().out.startswith(first)


def test_a_formula_by_module_or_by_layer(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["formula", "vit_b_16", "--depth", "2"]) == 0
    # A layer of ViT-B/16: attention's products and projections, and an MLP of 4 × 768.
    tokens, width = 197, 768
    layer = 12 * tokens * width**2 + 2 * tokens**2 * width
    text = capsys.readouterr().out
    assert f"encoder.layers        85,054,464  {12 * layer:,}·N" in text
    assert run(["formula", "lenet", "--layers", "--depth", "1"]) == 2
    assert "--layers: does not go with --depth" in capsys.readouterr().err


def test_predictions_stay_in_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    gpus = ("RTX 4090", "A100", "H100", "T4")
    for line in (
        "sweep lenet batch=1,2 --predict rtx4090,a100,h100,t4",
        "compare lenet lenet5 lenet5_1998 --sort macs --predict rtx4090,a100,h100,t4",
        "compare lenet lenet5 --predict rtx4090,a100,h100,t4 --layout paper",
    ):
        assert run(shlex.split(line)) == 0
        text = capsys.readouterr().out
        left_out = text[text.index("Left out") :] if "Left out" in text else ""
        assert all(gpu in text.removesuffix(left_out) for gpu in gpus)
        assert "Predicted, " not in left_out
        assert max(map(len, text.splitlines())) <= 80
