"""The pages on what others count and on what can be counted say what their data say."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from archscope.errors import ArchscopeError
from archscope.report import coverage, verification
from archscope.report.data import COVERAGE, VERIFIED, Data
from archscope.study.analyse import analyse
from archscope.table import Table

DATA = Path(__file__).parents[1] / "reports" / "data"


@pytest.fixture(scope="module")
def data() -> Data:
    return Data.load(DATA)


def tables(page: object) -> list[Table]:
    return [block for block in page.blocks if isinstance(block, Table)]  # type: ignore[attr-defined]


def test_every_figure_of_a_tool_is_equal_over_under_or_failed(data: Data) -> None:
    by_tool = tables(verification.page(data))[0]
    for record in by_tool.records():
        parts = (record[key] for key in ("equal", "over", "under", "fails"))
        assert sum(parts) == record["networks"]  # type: ignore[arg-type]


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


def test_coverage_holds_today_s_counts(data: Data) -> None:
    networks = {network["model"]: network for network in data.coverage["networks"]}
    for name in ("resnet18", "squeezenet1_0"):
        total = analyse(name).total
        assert (networks[name]["macs"], networks[name]["params"]) == (total.macs, total.params)


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
