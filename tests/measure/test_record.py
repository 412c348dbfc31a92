"""The file that records a trace where archscope is not: PyTorch alone, and nothing left behind."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import threading
from importlib import resources
from pathlib import Path

import pytest
import torch
from torch import nn

from archscope.measure.record import record
from archscope.traces import chrome
from archscope.traces.attribution import attribute
from archscope.traces.events import Trace

SCRIPT = """
import sys, torch
from torch import nn
from record import record

net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5))
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
with record(net, "trace.json.gz", steps=2, before=2) as step:
    for _ in range(7):
        net(torch.randn(2, 3, 8, 8)).sum().backward()
        optimizer.step(), optimizer.zero_grad(), step()
assert "archscope" not in sys.modules
"""


def test_it_needs_pytorch_alone_and_prints_what_recording_costs(tmp_path: Path) -> None:
    source = resources.files("archscope.measure").joinpath("record.py").read_text("utf-8")
    (tmp_path / "record.py").write_text(source)
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "trace.json.gz: 2 steps of" in done.stderr and "without recording" in done.stderr
    trace = chrome.read(str(tmp_path / "trace.json.gz"))
    assert float(trace.facts["recorded step seconds"]) > 0
    found = attribute(trace)
    assert len(found.steps.steps) == 2
    rows = {(row.name, row.kind): row.seconds for row in found.times().rows if row.in_network}
    assert {"forward", "backward"} <= set(rows["0", "Conv2d"]) & set(rows["2", "Linear"])


class Wrapper(nn.Module):
    """Calls what it wraps, as DistributedDataParallel does."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)


def networks() -> list[nn.Module]:
    inner = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    return [inner, Wrapper(nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)))]


@pytest.mark.parametrize("network", networks(), ids=["bare", "wrapped"])
def test_hooks_are_gone_and_a_wrapper_has_no_place_in_a_name(
    network: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.json"
    with record(network, str(path), steps=1, before=1) as step:
        for _ in range(5):
            network(torch.randn(2, 3)).sum().backward()
            step()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    names = {row.name for row in attribute(chrome.read(str(path))).times().rows if row.in_network}
    assert {"0", "2"} <= names
    assert str(path) in capsys.readouterr().err


def run_steps(network: nn.Module, path: Path, count: int, **options: int) -> None:
    with record(network, str(path), **options) as step:
        for _ in range(count):
            network(torch.randn(2, 3)).sum().backward()
            step()


def steps_in(trace: Trace) -> int:
    """Steps with operators; the profiler marks one more than it records."""
    return len({credit.step for credit in attribute(trace).credits if credit.operator})


def test_a_loop_that_fails_leaves_the_network_as_it_was(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 4))
    with (
        pytest.raises(ValueError, match="no"),
        record(network, str(tmp_path / "a.json"), 5, 1) as step,
    ):
        for _ in range(4):
            network(torch.randn(2, 3))
            step()
        raise ValueError("no")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


@pytest.mark.parametrize("count", [2, 4, 5, 7])
def test_a_loop_that_is_too_short_says_what_records_it(
    count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, path = nn.Sequential(nn.Linear(3, 4)), tmp_path / "a.json"
    run_steps(network, path, count)
    # Six run untouched, one warms the profiler up, and one is recorded.
    error = capsys.readouterr().err
    assert not path.exists() and f"ended after {count} of the 8 steps" in error
    found = re.search(r"before=(\d+), steps=(\d+)", error)
    assert found is not None
    run_steps(network, path, count, before=int(found[1]), steps=int(found[2]))
    assert f"{path}: {found[2]} step" in capsys.readouterr().err
    assert steps_in(chrome.read(str(path))) == int(found[2])


def test_a_loop_that_ends_early_has_the_steps_that_it_ran(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.json"
    run_steps(nn.Sequential(nn.Linear(3, 4)), path, 10)
    assert f"{path}: 3 steps of" in capsys.readouterr().err
    found = chrome.read(str(path))
    assert steps_in(found) == 3 and "step seconds" in found.facts


def test_a_loop_without_steps_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_steps(nn.Sequential(nn.Linear(3, 4)), tmp_path / "a.json", 0)
    assert "no step ended; call what record yields" in capsys.readouterr().err


def test_replicas_and_copies_of_a_module_open_its_range(tmp_path: Path) -> None:
    """DataParallel runs replicas that share the hooks, each on a thread of its own."""
    network = nn.Sequential(nn.Linear(3, 4))
    path = tmp_path / "a.json"

    def run_replica() -> None:
        replica = network[0]._replicate_for_data_parallel()
        replica.weight, replica.bias = network[0].weight, network[0].bias
        for _ in range(20):
            replica(torch.randn(2, 3))

    with record(network, str(path), steps=1, before=0) as step:
        for _ in range(2):
            threads = [threading.Thread(target=run_replica) for _ in range(2)]
            for thread in threads:
                thread.start()
            copy.deepcopy(network)(torch.randn(2, 3)).sum().backward()
            for thread in threads:
                thread.join()
            step()
    (linear,) = [r for r in attribute(chrome.read(str(path))).times().rows if r.name == "0"]
    assert linear.kind == "Linear" and {"forward", "backward"} <= set(linear.seconds)
