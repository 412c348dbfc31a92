"""`archscope check` and `archscope diff` as continuous integration meets them."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from archscope.cli import run


@pytest.fixture
def budget(tmp_path: Path) -> Path:
    path = tmp_path / "budget.toml"
    path.write_text('[[budget]]\nmodel = "lenet"\nmax_params = 61706\nmax_macs = 416519\n')
    return path


def test_one_limit_over_is_exit_code_one(budget: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(budget)]) == 1
    printed = capsys.readouterr().out
    assert "416,520" in printed and "OVER" in printed and "1 of 2 limits exceeded" in printed


def test_a_terminal_shows_a_failure_in_red(
    budget: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    green, red = "\x1b[1;32m", "\x1b[1;31m"
    failed, table = _on_a_terminal(["check", str(budget)], monkeypatch)
    assert failed.startswith(red) and green not in failed + table
    over, met = (next(r for r in table.splitlines() if word in r) for word in ("OVER", "61,706"))
    assert f"{red}OVER" in over and f"{red}416,520" in over and "\x1b" not in met
    budget.write_text(budget.read_text().replace("416519", "416520"))
    met, table = _on_a_terminal(["check", str(budget)], monkeypatch)
    assert met.startswith(green) and red not in met + table


def _on_a_terminal(given: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """The first line and the rest that a terminal gets."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", Terminal())
    run(given)
    first, _, rest = sys.stdout.getvalue().partition("\n")  # type: ignore[attr-defined]
    return first, rest


def test_all_limits_kept_is_exit_code_zero(
    budget: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget.write_text(budget.read_text().replace("416519", "416520"))
    assert run(["check", str(budget)]) == 0
    assert "All 2 limits are met" in capsys.readouterr().out


def test_a_mistake_is_exit_code_two_and_one_line(
    budget: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    budget.write_text("[[budget]]\nmodel = 'lenet'\nmax_mac = 1\n")
    assert run(["check", str(budget)]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_machines_read_json_annotations_and_junit(
    budget: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit = tmp_path / "junit.xml"
    table = tmp_path / "budget.md"
    arguments = ["check", str(budget), "--json", "--github", "--junit", str(junit)]
    assert run([*arguments, "-o", str(table)]) == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)["outcomes"]
    assert [(row["quantity"], row["passed"]) for row in found] == [
        ("params", True),
        ("macs", False),
    ]
    assert "\n::error file=" in printed.err and "MACs 416,520, limit 416,519" in printed.err
    assert 'failures="1"' in junit.read_text()
    assert "416,520" in table.read_text()


def test_a_junit_file_that_cannot_be_written(
    budget: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", str(budget), "--junit", str(tmp_path / "no" / "junit.xml")]) == 2
    assert "--junit" in capsys.readouterr().err


def test_diff_of_two_saved_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = str(tmp_path / "old.json"), str(tmp_path / "new.json")
    assert run(["summary", "lenet", "-o", old]) == 0
    assert run(["summary", "lenet", "--set", "num_classes=20", "-o", new]) == 0
    capsys.readouterr()
    assert run(["diff", old, new]) == 0
    printed = capsys.readouterr().out
    assert "out_features 10 → 20" in printed and "61,706" in printed and "850" in printed
    assert run(["diff", old, old]) == 0
    assert "No total changed" in capsys.readouterr().out


def test_the_documented_budget_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    example = Path(__file__).parents[2] / "docs" / "examples" / "budget.toml"
    assert run(["check", str(example)]) == 0


def test_the_documented_workflow_installs_this_archscope() -> None:
    """A package index's archscope is another project."""
    workflow = Path(__file__).parents[2] / "docs" / "examples" / "archscope.yml"
    lines = workflow.read_text().splitlines()
    installed = [line.split("install ")[1] for line in lines if "pip install " in line]
    assert installed == ['"$ARCHSCOPE"'] * 2
    assert "  ARCHSCOPE: ${{ vars.ARCHSCOPE }}" in lines, "no address that is not there"


def test_diff_of_two_classes_on_an_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nets = tmp_path / "nets.py"
    nets.write_text(
        "from torch import nn\n"
        "def old(): return nn.Linear(4, 4)\n"
        "def new(): return nn.Linear(4, 5)\n"
    )
    assert run(["diff", f"{nets}:old", f"{nets}:new"]) == 2
    assert "--input: is needed" in capsys.readouterr().err
    assert run(["diff", f"{nets}:old", f"{nets}:new", "--input", "4", "--batch", "3"]) == 0
    assert "out_features 4 → 5" in capsys.readouterr().out


def test_a_table_fits_a_narrow_terminal(
    budget: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    budget.write_text(
        '[[budget]]\nmodel = "resnet50"\nmax_params = "20M"\nmax_macs = "3G"\n'
        '[[budget.layers]]\nmatch = "layer4.*"\nmax_activations = "1MiB"\n'
    )
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["check", str(budget)]) == 1
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert "OVER" in printed and "layer4.0.conv2" in printed


def test_standard_output_has_one_format(budget: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", str(budget), "--json", "--format", "csv"]) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1) and "leave out --format" in said.err
