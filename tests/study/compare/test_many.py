"""Many networks: a row a network, by the commands and from Python."""

from __future__ import annotations

import csv
import io

import pytest

import archscope
from archscope.cli import run
from archscope.errors import ArchscopeError

LENETS = ("lenet", "lenet5", "lenet_bn", "lenet5_1998", "alexnet")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def asked(capsysbinary: pytest.CaptureFixture[bytes], *argv: str) -> list[dict[str, str]]:
    assert run([*argv, "--format", "csv"]) == 0
    return rows(capsysbinary.readouterr().out.decode())


def test_more_than_four_networks_are_rows_of_one_table() -> None:
    (table,) = archscope.compare(*LENETS).report.tables
    assert table.column("name") == list(LENETS)
    (sorted_table,) = archscope.compare(*LENETS, sort="params", top=2).report.tables
    assert sorted_table.column("name")[0] == "alexnet" and len(sorted_table.rows) == 2
    (rising,) = archscope.compare("alexnet", "lenet", sort="-macs").report.tables
    assert rising.column("name") == ["lenet", "alexnet"]


def test_a_pattern_names_networks(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = asked(capsysbinary, "summary", "lenet*", "alexnet", "--sort", "macs")
    names = [row["name"] for row in found]
    assert names[0] == "alexnet" and {"lenet", "lenet5"} < set(names)
    macs = [int(row["macs"]) for row in found]
    assert macs == sorted(macs, reverse=True)
    one = {row["name"]: row for row in found}["lenet"]
    assert (one["params"], one["macs"]) == ("61706", "416520")


def test_what_fails_is_left_out_and_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["summary", "lenet", "alexnet", "--input", "1x28x28"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 of 2 networks could not be counted: --input 1x28x28: alex")
    assert "Left out: " in out and out.count("lenet") >= 1
    assert run(["summary", "alexnet", "vgg11", "--input", "1x28x28"]) == 2


@pytest.mark.parametrize("slip", ["nope", "nope.py:Net", "nope.json", "torch.nn:Nope"])
def test_a_slip_in_one_of_several_names_is_refused(
    slip: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", "lenet", slip]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith(f"archscope: {slip.partition('.py')[0]}")
    with pytest.raises(ArchscopeError, match=r"nope|Nope"):
        archscope.summary(["lenet", slip])


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["summary", "lenit*"], "no network has such a name; did you mean lenet"),
        (["summary", "lenet*", "--depth", "2"], "--depth: does not go with several networks"),
        (["summary", "lenet*", "--sort", "mac"], "--sort mac: unknown order; did you mean macs?"),
        (["compare", "lenet", "lenet5", "--top", "1"], "--top: takes the first of sorted"),
    ],
)
def test_what_does_not_go_with_many_is_refused(
    argv: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv) == 2
    assert error in capsys.readouterr().err


def test_no_networks_are_refused() -> None:
    with pytest.raises(ArchscopeError, match=r"^model: is an empty list; name a network$"):
        archscope.summary([])


def test_the_csv_of_a_comparison_is_one_frame(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    found = asked(capsysbinary, "compare", "lenet", "lenet5")
    assert [row["name"] for row in found] == ["lenet", "lenet5"]
    frame = archscope.compare("lenet", "lenet5").to_frame()
    assert list(frame["macs"]) == [416520, 416520]


def test_an_order_that_no_network_has_is_refused() -> None:
    with pytest.raises(ArchscopeError, match="unknown order"):
        _ = archscope.compare("lenet", "lenet5", sort="step_seconds").report


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        # Parameters by hand: LeNet has 61,706; AlexNet 61,100,840 as torchvision publishes it.
        ("params", "Params, 2 networks: from alexnet (61.1 M) to lenet (61.7 k)."),
        ("-params", "Params, 2 networks: from lenet (61.7 k) to alexnet (61.1 M)."),
        ("name", "2 networks by name, from alexnet to lenet."),
    ],
)
def test_the_first_line_answers_the_order(
    sort: str, first: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["summary", "lenet", "alexnet", "--sort", sort, "--top", "1"]) == 0
    assert capsys.readouterr().out.startswith(first)
