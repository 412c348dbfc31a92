"""Other tools' figures stand beside archscope's, and every difference is proved or fails."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import archscope
from archscope.ask.target import network_target
from archscope.ask.verify import verify as module
from archscope.ask.verify.figures import UNKNOWN, Figure, Verification, dumps, loads
from archscope.ask.verify.verify import identity, verify, verify_each
from archscope.engines.engine import Lost
from archscope.peers.reasons import Operator
from archscope.peers.runs import PEERS, Peer
from archscope.peers.tools import Counted
from archscope.saved.journal import Journal
from archscope.study.verify import overview_report, verify_report

TORCH = tuple(peer for peer in PEERS if peer.package == "torch")
FVCORE = tuple(peer for peer in PEERS if peer.package == "fvcore")

needs_fvcore = pytest.mark.skipif(not FVCORE[0].installed, reason="fvcore is not installed")


def figure(found: Verification, tool: str, quantity: str = "macs") -> Figure:
    return next(f for f in found.figures if f.source.startswith(tool) and f.quantity == quantity)


def test_the_counter_of_torch_agrees_forward_and_ignores_groups_backward() -> None:
    """(forward + backward) / forward is g + 2 in place of 3 for a grouped convolution."""
    groups = 4
    network = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3, groups=groups, bias=False))
    found = verify(network_target(network, input="8x6x6"), peers=TORCH)
    assert figure(found, "torch").agrees
    training = figure(found, "torch", "macs_training")
    grouped = 8 * 4 * 4 * (8 // groups) * 9
    assert training.theirs is not None
    assert training.theirs - training.ours == (groups - 1) * grouped
    assert training.reasons == ("ignores groups in the weight gradient",)
    assert found.passed


@needs_fvcore
def test_fvcore_counts_two_operations_per_batch_norm_element() -> None:
    """Two for each normalised element of ResNet-18, and the 512·7·7 that are pooled."""
    found = verify(network_target("resnet18"), peers=FVCORE)
    theirs = figure(found, "fvcore")
    elements = 64 * 112**2 + 4 * 64 * 56**2 + 5 * 128 * 28**2 + 5 * 256 * 14**2 + 5 * 512 * 7**2
    assert theirs.theirs == theirs.ours + 2 * elements + 512 * 7 * 7
    assert len(theirs.disagreements) == 20 + 1
    assert set(theirs.reasons) == {
        "counts two operations per BatchNorm element",
        "counts adaptive average pooling",
    }
    published = [f for f in found.figures if "metadata" in f.source]
    assert [f.quantity for f in published] == ["params", "macs"]
    assert all(f.agrees for f in published)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(12, 3, batch_first=True)
        self.norm = nn.LayerNorm(12)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return mixed + self.norm(x)


@needs_fvcore
def test_fvcore_misses_attention() -> None:
    """Two products of heads·L·L·(E/heads) each: 2·7·7·12; five per element of LayerNorm."""
    found = verify(network_target(Attention(), input="7x12"), peers=FVCORE)
    theirs = figure(found, "fvcore")
    assert theirs.theirs == theirs.ours - 2 * 7 * 7 * 12 + 5 * 7 * 12
    assert {p.reason for p in theirs.disagreements} == {
        "misses attention",
        "counts five operations per element of other normalisations",
    }


@needs_fvcore
def test_fvcore_skips_string_padding() -> None:
    found = verify(
        network_target(nn.Sequential(nn.Conv2d(3, 4, 3, padding="same")), input="3x8x8"),
        peers=FVCORE,
    )
    theirs = figure(found, "fvcore")
    assert (theirs.theirs, theirs.reasons) == (0, ("skips string padding",))


@needs_fvcore
def test_pooling_by_a_function_is_found_in_its_container() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.adaptive_avg_pool2d(self.conv(x).relu(), 1)

    theirs = figure(verify(network_target(Pooled(), input="3x8x8"), peers=FVCORE), "fvcore")
    assert theirs.theirs == theirs.ours + 4 * 6 * 6
    assert theirs.reasons == ("counts adaptive average pooling",)


class Resized(nn.Module):
    """Resizes and samples by functions, whose sizes no layer records."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.interpolate(self.conv(x).sigmoid(), size=(10, 6), mode="bilinear")
        x = nn.functional.interpolate(x, scale_factor=2)
        grid = torch.zeros(x.shape[0], 3, 5, 2, device=x.device)
        sampled: Tensor = nn.functional.grid_sample(x, grid, align_corners=False)
        return sampled


@needs_fvcore
def test_resizing_by_a_function_is_told_by_the_elements_that_it_writes() -> None:
    """Four for each of 4·10·6 elements, one for each of 4·20·12, four for each of 4·3·5."""
    theirs = figure(verify(network_target(Resized(), input="3x8x8"), peers=FVCORE), "fvcore")
    assert theirs.theirs == theirs.ours + 4 * 4 * 10 * 6 + 4 * 20 * 12 + 4 * 4 * 3 * 5
    assert theirs.reasons == (
        "counts four operations per bilinearly resized element",
        "counts one operation per copied element of nearest resizing",
        "counts four operations per grid-sampled element",
    )


def test_the_network_runs_once_more_only_where_a_figure_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from archscope.ask.verify import operators

    ran = list[str]()

    def nothing(subject: object, call: object) -> dict[str, list[Operator]]:
        ran.append("once")
        return {}

    monkeypatch.setattr(operators, "operators", nothing)
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    verify(network_target(network, input="4"), peers=[saying(12, {"0": 12})])
    assert ran == []
    verify(
        network_target(network, input="4"),
        peers=[saying(18, {"0": 12, "1": 6}), saying(14, {"1": 14})],
    )
    assert ran == ["once"]


def test_a_tool_that_fails_leaves_no_function_of_pytorch_replaced() -> None:
    relu, matmul = nn.functional.relu, torch.Tensor.matmul

    def patches(network: nn.Module, arguments: object) -> Counted:
        nn.functional.relu = None  # type: ignore[assignment]
        torch.Tensor.matmul = None  # type: ignore[assignment,method-assign]
        raise ValueError("stops half-way")

    verify(network_target(nn.Linear(4, 3), input="4"), peers=[Peer("some", "torch", patches)])
    assert nn.functional.relu is relu and torch.Tensor.matmul is matmul


def saying(macs: int, own: dict[str, int] | None = None, tool: str = "fvcore") -> Peer:
    """A tool that says a number."""
    return Peer(tool, "torch", lambda network, arguments: Counted(macs, own))


def test_a_difference_without_a_reason_fails() -> None:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    right = verify(network_target(network, input="4"), peers=[saying(12, {"0": 12})])
    by_layer = verify(network_target(network, input="4"), peers=[saying(18, {"0": 12, "1": 6})])
    wrong_layer = verify(network_target(network, input="4"), peers=[saying(18, {"0": 18})])
    nearly = verify(network_target(network, input="4"), peers=[saying(17, {"0": 12, "1": 5})])
    partly_told = verify(network_target(network, input="4"), peers=[saying(19, {"0": 12, "1": 6})])
    unknown_tool = verify(network_target(network, input="4"), peers=[saying(18, None, "sometool")])
    passed = [v.passed for v in (right, by_layer, wrong_layer, nearly, partly_told, unknown_tool)]
    assert passed == [True, True, False, False, False, False]
    assert nearly.figures[0].verdict == UNKNOWN


def test_a_tool_that_fails_says_nothing_against_the_count() -> None:
    def broken(network: nn.Module, arguments: object) -> Counted:
        raise ValueError("no such\noperator")

    found = verify(
        network_target(nn.Linear(4, 3), input="4"), peers=[Peer("some", "torch", broken)]
    )
    assert found.passed
    assert found.figures[0].verdict == "fails: ValueError: no such"


def test_tools_that_need_weights_get_them() -> None:
    seen: list[bool] = []

    def look(network: nn.Module, arguments: object) -> Counted:
        seen.append(next(network.parameters()).is_meta)
        return Counted(12)

    peers = [Peer("a", "torch", look), Peer("b", "torch", look, weights=True)]
    assert verify(network_target(nn.Linear(4, 3), input="4"), peers=peers).passed
    assert seen == [True, False]


def test_what_is_not_installed_is_left_out() -> None:
    absent = Peer("none", "archscope_has_no_such_package", lambda network, arguments: Counted(0))
    assert verify(network_target(nn.Linear(4, 3), input="4"), peers=[absent]).figures == ()


def test_the_network_is_left_as_it_was() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    verify(network_target(network, input="3x8x8"))
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_papers_are_read_to_their_last_digit() -> None:
    found = verify(network_target("resnet50_v1"), peers=[])
    macs = figure(found, "paper")
    assert (macs.theirs, macs.tolerance, macs.agrees) == (3_800_000_000, 1e8, True)


def test_a_network_without_a_backward_pass_is_verified_forward() -> None:
    found = verify(network_target(nn.Sequential(nn.Flatten(), nn.ReLU()), input="4"), peers=TORCH)
    assert [(f.quantity, f.theirs, f.ours) for f in found.figures] == [("macs", 0, 0)]
    (table,) = verify_report(loads(dumps([found], {}))[0]).tables
    told = "No backward pass is counted: it has no output that needs a gradient."
    assert told in table.notes


# A run over many networks


def test_a_killed_run_resumes(tmp_path: Path) -> None:
    names = ["lenet", "no_such_network", "alexnet_d2l"]
    asked = list[str]()

    def one(name: str) -> Verification:
        asked.append(name)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return verify(network_target(name), peers=[saying(1, None, "sometool")])

    path, kind = tmp_path / "journal", identity(names)
    told = list[str]()
    with Journal(path, kind, resume=False) as journal, pytest.raises(KeyboardInterrupt):
        verify_each(names, one, told.append, journal)
    assert len(told) == 2 and "no known reason" in told[0] and "unknown network" in told[1]
    with Journal(path, kind, resume=True) as journal:
        found, failures = verify_each(names, one, told.append, journal)
    assert asked == [*names, "alexnet_d2l"]
    assert [v.model for v in found] == ["lenet", "alexnet_d2l"]
    assert list(failures) == ["no_such_network"]
    assert found[0] == one("lenet")


def test_a_network_whose_process_ends_is_a_failure_that_a_resumed_run_asks_again(
    tmp_path: Path,
) -> None:
    class Dying:
        place = ""

        def completed(self, function: Any, tasks: Sequence[str]) -> Iterator[tuple[int, Any]]:
            yield 1, Lost("its process ended on its node")
            yield 0, function(tasks[0])

    def one(name: str) -> Verification:
        return verify(network_target(name), peers=[saying(1, None, "sometool")])

    names, engine = ["lenet", "alexnet_d2l"], cast(Any, Dying())
    with Journal(tmp_path / "journal", identity(names), resume=False) as journal:
        found, failures = verify_each(names, one, lambda line: None, journal, engine)
    assert [v.model for v in found] == ["lenet"]
    assert failures == {"alexnet_d2l": "its process ended on its node"}
    with Journal(tmp_path / "journal", identity(names), resume=True) as journal:
        assert [entry["name"] for entry in journal.entries] == ["lenet"]


# Tables and JSON


@pytest.fixture(scope="module")
def found() -> Verification:
    network = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.BatchNorm1d(3))
    return verify(
        network_target(network, input="4"), peers=[saying(24, {"0": 12, "1": 6, "2": 6}), *TORCH]
    )


def test_layers_that_part_for_one_reason_share_a_row(found: Verification) -> None:
    totals, layers = verify_report([found]).tables
    assert totals.column("difference") == [12, 0, 0]
    assert all(figure.agrees for figure in found.figures[1:])
    (row,) = layers.records()
    assert (row["count"], row["difference"]) == (2, 12)
    data = verify_report([found]).data
    assert data is not None and data.column("layer") == [None, "1", "2", None, None]


def test_the_overview_has_a_row_for_every_network(found: Verification) -> None:
    (table,) = overview_report([found], {"broken": "cannot be built"}).tables
    assert table.column("model") == ["Sequential", "broken"]
    assert "+100.00%" in str(table.rows[0].cells) and "1 not" in table.notes[0]


def test_figures_survive_json(found: Verification) -> None:
    text = dumps([found], {"broken": "why"}, step=16)
    assert loads(text) == ([found], {"broken": "why"})
    assert json.loads(text)["step"] == 16


def test_python_verifies_all_of_them_in_shards(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "all_names", lambda: ["lenet", "lenet5"])
    journals = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, journal in enumerate(journals, 1):
        found = archscope.verify(all=True, shard=f"{number}/2", journal=journal)
        assert found and len(found.record) == 1
    assert [one.model for one in archscope.merge(*journals).record] == ["lenet", "lenet5"]
    for wrong, message in (
        (lambda: archscope.verify("lenet", all=True), "all=True: excludes named networks"),
        (lambda: archscope.verify(), "verify: needs networks or all=True"),
        (lambda: archscope.verify("lenet", resume=True), "resume: goes with all=True"),
        (
            lambda: archscope.verify(all=True, batch=2),
            "all=True: takes every network with its defaults",
        ),
    ):
        with pytest.raises(archscope.ArchscopeError, match=message):
            wrong()
