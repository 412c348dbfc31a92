"""Sweeps: the grid, failures in their rows, journals, and kills at random moments."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from archscope.ask.sweep import grid as grids
from archscope.ask.sweep.grid import Grid, Outcome, count_point, parse_axes, run
from archscope.engines.local import Local
from archscope.errors import ArchscopeError
from archscope.records import Totals
from archscope.saved.journal import Journal
from archscope.study.sweep import sweep_report

NETS = """
import os
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self, width=4, fault=""):
        if fault == "raise":
            raise ValueError("no such width")
        if fault == "die":
            os._exit(7)
        if fault == "no memory to build":
            raise MemoryError
        super().__init__(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(36 * width, 10))
        self.fault = fault

    def forward(self, x):
        if self.fault == "no memory to run":
            raise MemoryError
        if self.fault == "tensor too large":
            torch.UntypedStorage(2**60)
        return super().forward(x)
"""


def totals(params):
    return Totals(params, params, 0, 10 * params, None, 5, 8, 8, None, 4, 3)


def outcome(**point):
    texts = tuple((key, str(value)) for key, value in point.items())
    return Outcome(texts, totals(100 + sum(value for value in point.values())))


@pytest.fixture
def nets(tmp_path):
    file = tmp_path / "nets.py"
    file.write_text(NETS)
    return f"{file}:Net"


def test_axes_are_crossed_and_the_last_varies_fastest():
    axes = parse_axes(["depth=50,101", "norm_layer=batch,group"])
    assert [tuple(dict(point).values()) for point in Grid("resnet", axes).points] == [
        (50, "batch"), (50, "group"), (101, "batch"), (101, "group"),
    ]  # fmt: skip


def test_brackets_hold_values_with_commas():
    axes = parse_axes(["blocks=(2,2),(3,4,6)", "input=3x8x8,(ids=8:int64,mask=8)"])
    assert dict(axes) == {
        "blocks": ((2, 2), (3, 4, 6)),
        "input": ("3x8x8", "ids=8:int64,mask=8"),
    }


def test_a_value_given_twice_is_one_point():
    assert parse_axes(["batch=4,1,4"]) == (("batch", (4, 1)),)


@pytest.mark.parametrize(
    ("axis", "problem"),
    [
        ("growth_rate", "not of the form key=v1,v2"),
        ("growth_rate=", "not of the form key=v1,v2"),
        ("growth_rate=12,,24", "empty value"),
        ("blocks=(3,4", "open bracket"),
        ("batch=0", "not a batch size"),
        (
            "input=[3x160x160,3x224x224]",
            r"input=\[3x160x160,3x224x224\]: .* write it like input=3x160x160,3x224x224",
        ),
        ("batch=two", "not a batch size"),
        ("input=3x-1", "not a size"),
    ],
)
def test_a_malformed_axis_is_refused(axis, problem):
    with pytest.raises(ArchscopeError, match=problem):
        parse_axes([axis])


def test_a_key_given_twice_is_refused():
    with pytest.raises(ArchscopeError, match="second time"):
        parse_axes(["batch=1", "batch=2"])


def test_growth_rates_of_densenet_cost_what_is_published():
    # Huang et al. 2017, Table 1: 32 is DenseNet-121 as counted in tests/references
    paper = json.loads(
        (Path(__file__).parents[2] / "references" / "paper_tables.json").read_text()
    )["densenet"]
    grid = Grid("densenet", (("growth_rate", (12, 32)),))
    small, usual = run(grid)
    assert usual.total.params == paper["exact_params"]["121"]
    assert usual.total.macs == paper["exact_macs_224"]["121"]
    assert small.total.params < usual.total.params


def test_input_and_batch_are_swept_like_keywords(nets):
    outcomes = run(Grid(nets, (("batch", (1, 3)),), input="3x8x8"))
    assert outcomes[1].total.macs == 3 * outcomes[0].total.macs
    assert outcomes[1].total.params == outcomes[0].total.params


def test_a_failing_point_is_told_in_its_row_and_the_others_are_counted(nets):
    grid = Grid(nets, (("fault", ("", "raise")), ("width", (4, 5))), input="3x8x8")
    outcomes = run(grid)
    assert [o.total is not None for o in outcomes] == [True, True, False, False]
    (table,) = sweep_report("nets", outcomes).tables
    assert table.column("params")[:2] == [4 * 28 + 144 * 10 + 10, 5 * 28 + 180 * 10 + 10]
    assert "no such width" in table.column("problem")[3]


def test_a_worker_that_dies_loses_its_point_alone_and_is_counted_again_on_resume(nets, tmp_path):
    grid = Grid(nets, (("fault", ("", "die")), ("width", (4, 5, 6))), input="3x8x8")
    with Journal(tmp_path / "j.jsonl", grid.identity, resume=False) as journal:
        outcomes = run(grid, engine=Local(2), journal=journal)
        assert len(journal.entries) == 3
    assert [o.total is not None for o in outcomes] == [True] * 3 + [False] * 3
    assert all("exit code 7" in o.problem for o in outcomes[3:])
    assert outcomes[:3] == run(Grid(nets, (("fault", ("",)), ("width", (4, 5, 6))), (), "3x8x8"))


@pytest.mark.parametrize("fault", ["no memory to build", "no memory to run", "tensor too large"])
def test_a_point_that_ran_out_of_memory_is_counted_again_on_resume(nets, tmp_path, fault):
    grid = Grid(nets, (("fault", (fault, "raise")),), input="3x8x8")
    with Journal(tmp_path / "j.jsonl", grid.identity, resume=False) as journal:
        assert all(o.total is None and o.problem for o in run(grid, journal=journal))
        assert [entry["point"] for entry in journal.entries] == [{"fault": "raise"}]


def test_what_a_layer_type_means_is_told_once():
    outcomes = run(Grid("resnet18", (("norm_layer", ("batch", "layer")), ("num_classes", (2, 3)))))
    (table,) = sweep_report("resnet18", outcomes).tables
    assert [note for note in table.notes if "GroupNorm with one group" in note] == [
        outcomes[2].notes[0]
    ]
    assert Outcome.from_entry(json.loads(json.dumps(outcomes[2].entry()))) == outcomes[2]


def test_a_sweep_without_any_point_is_an_error():
    failed = [Outcome((("width", "0"),), None, "width: must be positive")]
    with pytest.raises(ArchscopeError, match="must be positive"):
        sweep_report("nets", failed)


def test_ratios_are_to_the_first_point_and_charts_carry_the_axis():
    report = sweep_report("nets over width", [outcome(width=w) for w in (4, 104)])
    assert report.tables[0].column("params_ratio") == [1.0, 204 / 104]
    params, macs, activations = report.charts
    assert params.kind == "line" and params.x.title == "width"
    assert params.series[0].x == (4, 104) and params.series[0].y == (104.0, 204.0)
    assert (macs.y.unit, activations.y.unit) == ("macs", "bytes")


def test_the_longest_numeric_axis_becomes_x_and_others_become_series():
    outcomes = [outcome(batch=b, width=w) for b in (1, 2) for w in (4, 8, 16)]
    chart = sweep_report("nets", outcomes).charts[0]
    assert [series.name for series in chart.series] == ["batch=1", "batch=2"]
    assert chart.series[0].x == (4, 8, 16)


# Journals


IDENTITY = {"grid": "a", "versions": {"torch": "2.15"}}


def test_a_journal_gives_back_what_was_added(tmp_path):
    path = tmp_path / "deep" / "j.jsonl"
    with Journal(path, IDENTITY, resume=False) as journal:
        journal.add({"point": {"width": "4"}})
    with Journal(path, IDENTITY, resume=True) as journal:
        assert journal.entries == [{"point": {"width": "4"}}]
        journal.add({"point": {"width": "8"}})
    with Journal(path, IDENTITY, resume=True) as journal:
        assert [e["point"]["width"] for e in journal.entries] == ["4", "8"]


def test_a_journal_with_finished_points_is_never_emptied(tmp_path):
    """Nor is it where the grid is another one, which `--resume` does not take either."""
    path = tmp_path / "j.jsonl"
    with Journal(path, IDENTITY, resume=False) as journal:
        journal.note({"point": {}})
    with Journal(path, IDENTITY, resume=False) as journal:
        assert path.read_text().count("\n") == 1, "nothing was finished"
        journal.add({"point": {}})
    kept = path.read_bytes()
    longer = {**IDENTITY, "grid": "longer"}
    for identity, resume, remedy in (
        (IDENTITY, False, "holds 1 finished part; add resume to take it, or name another"),
        (longer, False, "holds 1 finished part of another run; name another"),
        (longer, True, "another version; name another, this"),
    ):
        with pytest.raises(ArchscopeError, match=remedy):
            Journal(path, identity, resume=resume)
        assert path.read_bytes() == kept


def test_a_journal_of_the_cache_folder_starts_anew(tmp_path):
    """The user named none, and the last run was not to be resumed."""
    path = tmp_path / "j.jsonl"
    with Journal(path, IDENTITY, resume=False, trusted=False) as journal:
        journal.add({"point": {}})
    with Journal(path, IDENTITY, resume=False, trusted=False) as journal:
        assert journal.entries == []


def test_a_journal_cut_anywhere_gives_back_its_whole_entries(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, IDENTITY, resume=False) as journal:
        for width in range(3):
            journal.add({"width": width})
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        entries_kept = max(0, whole[:length].count(b"\n") - 1)
        with Journal(path, IDENTITY, resume=True) as journal:
            assert journal.entries == [{"width": width} for width in range(entries_kept)]
            journal.add({})  # shorter than what the cut left over
        lines = path.read_text().splitlines()
        assert json.loads(lines[-1]) == {} and len(lines) == entries_kept + 2


def test_a_journal_of_another_run_is_refused(tmp_path):
    path = tmp_path / "j.jsonl"
    with Journal(path, IDENTITY, resume=False) as journal:
        journal.add({"point": {}})
    with pytest.raises(ArchscopeError, match="another run"):
        Journal(path, {**IDENTITY, "versions": {"torch": "2.16"}}, resume=True)


@pytest.mark.skipif(os.name == "nt", reason="no flock")
def test_two_processes_cannot_write_one_journal(tmp_path):
    with (
        Journal(tmp_path / "j.jsonl", IDENTITY, resume=False),
        pytest.raises(ArchscopeError, match="another process is writing"),
    ):
        Journal(tmp_path / "j.jsonl", IDENTITY, resume=True)


def test_what_is_on_the_disk_when_ctrl_c_comes_is_said_to_be_saved(tmp_path, monkeypatch):
    append, over = Journal._append, threading.Event()
    thread = threading.Thread(target=over.wait)  # one that the system may hand the signal to

    def interrupted(journal, line):
        append(journal, line)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.05)  # so that another thread has time to take it

    thread.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Journal(tmp_path / "j.jsonl", IDENTITY, resume=False) as journal:
            monkeypatch.setattr(Journal, "_append", interrupted)
            with pytest.raises(KeyboardInterrupt):
                journal.add({"point": {}})
            assert journal.entries == [{"point": {}}]
    finally:
        signal.signal(signal.SIGINT, before)
        over.set()
        thread.join()


def test_a_changed_file_is_another_key(nets):
    file, sweep = Path(nets.rpartition(":")[0]), Grid(nets, (("width", (4,)),))
    assert sweep.key()() is None, "it imports os, with which it may do anything"
    file.write_text("from torch.nn import Linear as Net\n")
    before = sweep.key()()
    file.write_text("from torch.nn import Linear as Net\n# changed\n")
    assert None is not sweep.key()() != before


def test_finished_points_are_not_counted_again(tmp_path, monkeypatch):
    grid = Grid("lenet", (("batch", (1, 2, 3)),))
    counted = []

    def stub(grid, point):
        counted.append(dict(point)["batch"])
        return outcome(**dict(point))

    monkeypatch.setattr(grids, "count_point", stub)
    with Journal(tmp_path / "j.jsonl", grid.identity, resume=False) as journal:
        journal.add(outcome(batch=2).entry())
        seen = []
        outcomes = run(grid, journal=journal, progress=lambda *state: seen.append(state))
    assert counted == [1, 3]
    assert outcomes == [outcome(batch=b) for b in (1, 2, 3)]
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_a_resumed_sweep_has_its_columns_in_the_order_that_was_given(tmp_path):
    grid = Grid("lenet", (("num_classes", (2, 3)), ("batch", (1, 2))))
    with Journal(tmp_path / "j.jsonl", grid.identity, resume=False) as journal:
        once = run(grid, journal=journal)
    whole = (tmp_path / "j.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "j.jsonl").write_bytes(b"".join(whole[:3]))
    with Journal(tmp_path / "j.jsonl", grid.identity, resume=True) as journal:
        assert run(grid, journal=journal) == once


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_grid import outcome
from archscope.ask.sweep import grid as grids
from archscope.ask.sweep.grid import Grid, run
from archscope.saved.journal import Journal

folder = Path(sys.argv[1])
grid = Grid("lenet", (("batch", tuple(range(1, 41))),))


def stub(grid, point):
    with (folder / "counted").open("a") as log:
        log.write(f"{dict(point)['batch']}\\n")
    time.sleep(0.005)
    return outcome(**dict(point))


grids.count_point = stub
with Journal(folder / "j.jsonl", {}, resume=True) as journal:
    print("open", flush=True)
    outcomes = run(grid, journal=journal)
assert outcomes == [outcome(batch=b) for b in range(1, 41)]
"""


def journalled(folder):
    """The points whose entries stand whole in the journal."""
    lines = (folder / "j.jsonl").read_bytes().split(b"\n")[1:-1]
    return [int(json.loads(line)["point"]["batch"]) for line in lines]


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_killed_at_random_moments_no_point_is_repeated_and_none_is_lost(tmp_path):
    moments = random.Random()
    command = [sys.executable, "-c", KILLED, str(tmp_path), str(Path(__file__).parent)]
    before = []
    for _ in range(5):
        (tmp_path / "counted").write_text("")
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(moments.uniform(0, 0.2))
            process.send_signal(signal.SIGKILL)
        counted = [int(line) for line in (tmp_path / "counted").read_text().splitlines()]
        after = journalled(tmp_path)
        assert after[: len(before)] == before
        assert not set(counted) & set(before)
        assert set(counted) - set(after) <= set(counted[-1:])  # only the one under way
        before = after
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert sorted(journalled(tmp_path)) == list(range(1, 41))


def test_count_point_tells_a_failure_instead_of_raising():
    told = count_point(Grid("lenet", ()), (("no_such_keyword", 1),))
    assert told.total is None and "no_such_keyword" in told.problem and told.finished
