"""The report on signal propagation tells what its saved runs hold."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from archscope.errors import ArchscopeError
from reports.articles import signal_propagation
from reports.data import Data

FOLDER = Path(__file__).parents[2] / "reports" / "data"


@pytest.fixture(scope="module")
def data():
    return Data.load(FOLDER)


def blocks(record, name):
    (network,) = [network for network in record.networks if network.model == name]
    return [point for point in network.points if point.role == "block"]


def test_the_saved_runs_follow_the_published_laws(data):
    bare = blocks(data.signal(signal_propagation.BARE), "resnet34_a")
    rate = (bare[-1].mean_square / bare[1].mean_square) ** (1 / (len(bare) - 2))
    assert rate == pytest.approx(2, rel=0.05)  # De and Smith 2020: doubles at each block
    normalised = data.signal(signal_propagation.NORMALISED)
    stage = [p.variance for p in blocks(normalised, "resnet34") if p.name.startswith("layer3.")]
    # Brock et al. 2021: 1 − 1/π after a transition, then linear.
    assert stage[0] == pytest.approx(0.6817, rel=0.02)
    steps = [after - before for before, after in itertools.pairwise(stage)]
    assert all(0.3 < step < 0.4 for step in steps)


def test_the_growth_a_block_is_that_of_the_table(data):
    page = signal_propagation.page(data)
    bare = next(block for block in page.blocks if getattr(block, "title", "").startswith("Without"))
    for row, words in zip(bare.records(), ("({:.2f} a block)", "by {:.2f} a block"), strict=True):
        rate = (row["mean_square_last"] / row["mean_square_first"]) ** (1 / (row["blocks"] - 1))
        assert words.format(rate) in page.findings[-1]


def test_sentences_change_with_the_numbers(data):
    normalised = data.signal(signal_propagation.NORMALISED)
    plain, *others = normalised.networks
    louder = replace(
        plain, points=tuple(replace(p, mean_square=7 * p.mean_square) for p in plain.points)
    )
    changed = {**data.signals, signal_propagation.NORMALISED: replace(
        normalised, networks=(louder, *others)
    )}  # fmt: skip
    before = signal_propagation.page(data).findings
    after = signal_propagation.page(replace(data, signals=changed)).findings
    assert before[1] != after[1]
    assert (before[0], *before[2:]) == (after[0], *after[2:])


def test_a_missing_run_is_named(data):
    with pytest.raises(ArchscopeError, match=r"signal-normalised.json: is missing"):
        signal_propagation.page(replace(data, signals={}))
