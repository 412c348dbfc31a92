"""`archscope signal` as a command."""

import pytest

from archscope.cli import run


def test_networks_side_by_side_and_again_from_the_file(tmp_path, capsys):
    record, figure = tmp_path / "signal.json", tmp_path / "signal.svg"
    given = ["signal", "lenet", "lenet_bn", "--batch", "2"]
    assert run([*given, "-o", str(record), "-o", str(figure)]) == 0
    first = capsys.readouterr().out
    assert "Mean square" in first and figure.read_text().startswith("<?xml")
    assert run(["signal", str(record)]) == 0
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    "given", [[], ["lenet5", "--batch", "N"], ["lenet55"], ["lenet5", "--layers", "block*"]]
)
def test_a_mistake_is_one_line_and_exit_code_2(given, capsys):
    assert run(["signal", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
