"""The pages on what others count and on what can be counted say what their data say."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from archscope.ask.count import analyse
from archscope.ask.target import target
from archscope.ask.verify.figures import TITLES
from archscope.errors import ArchscopeError
from archscope.table import Table
from reports.articles import coverage, verification
from reports.data import COVERAGE, VERIFIED, VERIFIED_TIMM, Data

DATA = Path(__file__).parents[2] / "reports" / "data"


@pytest.fixture(scope="module")
def data() -> Data:
    return Data.load(DATA)


def tables(page: object) -> list[Table]:
    return [block for block in page.blocks if isinstance(block, Table)]  # type: ignore[attr-defined]


def test_every_figure_of_a_tool_is_equal_over_under_or_failed(data: Data) -> None:
    page = tables(verification.page(data))
    by_tool = [table for table in page if "over" in {column.key for column in table.columns}]
    assert len(by_tool) == 2
    for record in [record for table in by_tool for record in table.records()]:
        parts = (record.get(key, 0) for key in ("equal", "over", "under", "fails"))
        assert sum(parts) == record["networks"]  # type: ignore[arg-type]


def test_the_sample_of_timm_says_which_networks_it_holds_and_which_it_leaves_out(
    data: Data,
) -> None:
    assert data.timm_verifications is not None
    title, found, left_out = data.timm_verifications
    assert re.fullmatch(r"One of every \d+ names of timm [\d.]+", title)
    assert len(found) > 60 and all(v.model.startswith("timm:") for v in found)
    assert all(why for why in left_out.values())
    overview, others = tables(verification.page(data))[-2:]
    assert overview.column("model") == [v.model for v in found]
    assert [tuple(record.values()) for record in others.records()] == [*left_out.items()]
    without = {name: text for name, text in data.texts.items() if name != VERIFIED_TIMM}
    page = verification.page(dataclasses.replace(data, texts=without))
    assert len(tables(page)) == 3


def test_coverage_tells_timm_s_networks_apart(data: Data) -> None:
    vision, timm = tables(coverage.page(data))
    assert all(str(name).startswith("timm:") for name in timm.column("model"))
    assert len(vision.rows) == len(data.coverage["networks"])
    assert len(timm.rows) == len(data.coverage["timm"]) > 160
    other = json.dumps({**data.coverage, "timm_step": 5})
    titles = [
        t.title for t in tables(coverage.page(dataclasses.replace(data, texts={COVERAGE: other})))
    ]
    assert timm.title.startswith("One of every 8 names of timm") and "every 5 names" in titles[1]


def test_the_rows_of_a_tool_count_its_figures(data: Data) -> None:
    found, _ = data.verifications
    by_tool, by_reason = tables(verification.page(data))[:2]
    for record in by_tool.records():
        figures = [
            f
            for v in found
            for f in v.figures
            if f.tool == record["tool"] and TITLES[f.quantity] == record["quantity"]
        ]
        told = [f for f in figures if f.theirs is not None and not f.agrees]
        assert record["networks"] == len(figures)
        assert record["over"] == sum(f.theirs > f.ours for f in told)  # type: ignore[operator]
        assert record["under"] == sum(f.theirs < f.ours for f in told)  # type: ignore[operator]
        unexplained = sum(not f.reasons for f in told if not f.passed)
        assert record.get("unexplained", 0) == unexplained
        for reason in by_reason.records():
            if (reason["tool"], reason["quantity"]) == (record["tool"], record["quantity"]):
                assert reason["networks"] == sum(reason["reason"] in f.reasons for f in told)
    assert any(record["over"] != record["under"] for record in by_tool.records())


def test_a_network_s_letters_are_its_reasons(data: Data) -> None:
    _, by_reason, by_network = tables(verification.page(data))[:3]
    reasons = {str(record["mark"]): record["reason"] for record in by_reason.records()}
    (row,) = [r for r in by_network.records() if r["model"] == "resnext50_32x4d"]
    off, *letters = str(row["torch.utils.flop_counter MACs with backward"]).split()
    # 31 times the 231,211,008 grouped MACs (see below) over 12.57 G, forward and backward.
    assert off.startswith("+57.") and off.endswith("%")
    assert [reasons[letter] for letter in letters] == ["ignores groups in the weight gradient"]
    (plain,) = [r for r in by_network.records() if r["model"] == "alexnet"]
    assert plain["torch.utils.flop_counter MACs with backward"] == "equal"


def test_published_parameters_agree_for_every_network(data: Data) -> None:
    found, _ = data.verifications
    stated = [f for v in found for f in v.figures if f.source.startswith("torchvision")]
    assert all(f.agrees for f in stated if f.quantity == "params" and "rcnn" not in f.source)
    assert len(stated) > 160


def test_grouped_networks_part_from_pytorch_s_counter_in_training(data: Data) -> None:
    found, _ = data.verifications
    (resnext,) = [v for v in found if v.model == "resnext50_32x4d"]
    (training,) = [f for f in resnext.figures if f.quantity == "macs_training"]
    assert training.reasons == ("ignores groups in the weight gradient",)
    # (forward + backward) / forward is G + 2 = 34 for its grouped convolutions, where it is 3.
    grouped = 231_211_008
    assert training.theirs - training.ours == (34 - 3) * grouped  # type: ignore[operator]


def test_pages_say_why_they_have_other_numbers_of_networks(data: Data) -> None:
    whole, compared = len(data.coverage["networks"]), len(data.verifications[0])
    others = f"compares the {compared} others"
    assert compared < whole and any(others in line for line in coverage.page(data).findings)
    said = verification.page(data).findings
    assert any(f"has {whole} of torchvision: {whole - compared} quantised" in line for line in said)


def test_an_untested_reason_is_said_only_of_the_networks_that_have_it(data: Data) -> None:
    known = [line for line in verification.page(data).findings if "a reason is known" in line]
    assert ["all but one" in line for line in known] == [True, False]  # detectors, then timm's


def test_coverage_holds_today_s_counts(data: Data) -> None:
    networks = {network["model"]: network for network in data.coverage["networks"]}
    for name in ("resnet18", "squeezenet1_0"):
        total = analyse(target(name)).total
        assert (networks[name]["macs"], networks[name]["params"]) == (total.macs, total.params)


def test_every_network_s_row_holds_its_own_figures(data: Data) -> None:
    (vision, *_) = tables(coverage.page(data))
    networks = {network["model"]: network for network in data.coverage["networks"]}
    assert [column.title for column in vision.columns[:3]] == ["Network", "Params", "MACs"]
    assert len(vision.rows) == len(networks)
    for row in vision.rows:
        network = networks[row.cells[0]]
        assert row.cells[1:4] == (network["params"], network["macs"], network["executed_on"])


def test_a_network_that_cannot_be_counted_says_why(data: Data) -> None:
    changed = json.loads(data.texts[COVERAGE])
    changed["networks"][0].update(failure="it sulks", macs=None, params=None, executed_on=None)
    page = coverage.page(dataclasses.replace(data, texts={COVERAGE: json.dumps(changed)}))
    assert "it sulks" in [row.cells[-1] for row in tables(page)[0].rows]
    whole = len(changed["networks"])
    name = changed["networks"][0]["model"]
    told = f"{whole - 1} of {whole} networks of torchvision are counted; not {name}."
    assert told in page.findings


@pytest.mark.parametrize(("page", "file"), [(coverage, COVERAGE), (verification, VERIFIED)])
def test_missing_data_are_named(data: Data, page: object, file: str) -> None:
    with pytest.raises(ArchscopeError, match=f"{file}: is missing; save it with"):
        page.page(dataclasses.replace(data, texts={}))  # type: ignore[attr-defined]
