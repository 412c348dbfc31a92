"""Sweeps on a cluster: the same rows as here, faults in theirs, and runs that go on elsewhere."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from importlib import metadata

import pytest

pytestmark = pytest.mark.slow

SLOW = """
from torch import nn
from widths import SIDE


class Net(nn.Sequential):
    def __init__(self, width=4):
        for _ in range(10**7):  # about half a second
            pass
        super().__init__(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(SIDE * width, 10))
"""

FAULTY = """
import os
from torch import nn
from widths import SIDE


class Net(nn.Sequential):
    def __init__(self, width=4, fault="none"):
        if fault == "raise":
            raise ValueError("no such width")
        if fault == "memory":
            raise MemoryError
        if fault == "die":
            os._exit(7)
        super().__init__(nn.Conv2d(3, width, 3), nn.Flatten(), nn.Linear(SIDE * width, 10))
"""


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "widths.py").write_text("SIDE = 36\n")
    (tmp_path / "slow.py").write_text(SLOW)
    return f"{tmp_path / 'slow.py'}:Net"


@pytest.fixture
def faulty(tmp_path):
    (tmp_path / "widths.py").write_text("SIDE = 36\n")
    (tmp_path / "faulty.py").write_text(FAULTY)
    return f"{tmp_path / 'faulty.py'}:Net"


def test_a_cluster_counts_what_this_machine_counts_byte_for_byte(archscope, tmp_path):
    sweep = ["sweep", "lenet", "num_classes=2,3", "batch=1,2", "--backward"]
    here = archscope(*sweep, "-o", str(tmp_path / "here.json"))
    there = archscope(*sweep, "--on", "ray", "-o", str(tmp_path / "there.json"))
    assert there.returncode == 0 and there.stdout == here.stdout
    assert there.stderr.splitlines()[:2] == ["0/4 points, 1 node", "4/4 points, 1 node"]
    assert (tmp_path / "there.json").read_bytes() == (tmp_path / "here.json").read_bytes()


def test_a_users_file_travels_and_a_fault_is_its_row(archscope, faulty, tmp_path):
    sweep = ["sweep", faulty, "fault=none,raise,memory,die", "width=4,5", "--input", "3x8x8"]
    rows = {}
    for name, options in {"here": ["--jobs", "2"], "there": ["--on", "ray"]}.items():
        ran = archscope(*sweep, *options, "-o", str(tmp_path / f"{name}.csv"))
        assert ran.returncode == 0, ran.stderr
        with (tmp_path / f"{name}.csv").open() as file:
            rows[name] = list(csv.DictReader(file))
    assert rows["there"][:6] == rows["here"][:6]
    assert [row["params"] for row in rows["there"][:2]] == ["1562", "1950"]  # 28w + 361·10w + 10
    assert [row["problem"] for row in rows["there"][6:]] == ["its process ended on its node"] * 2


def test_what_no_node_can_serve_is_refused_before_anything_runs(archscope):
    ran = archscope("compare", "lenet", "alexnet", "--time", "--on", "ray", "--gpu", "H100")
    assert ran.returncode == 2 and ran.stdout == ""
    assert "no node has H100 GPU (no node has a label gpu)" in ran.stderr


def test_group_counts_on_a_cluster_are_those_counted_here(archscope, tmp_path):
    (tmp_path / "plain.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Sequential):\n    def __init__(self, width=8):\n"
        "        super().__init__(nn.Conv2d(3, width, 3), nn.Conv2d(width, width, 3))\n"
    )
    sweep = ["sweep-groups", "1,2,4", "--base", f"{tmp_path / 'plain.py'}:Net", "--input", "3x8x8"]
    here, there = archscope(*sweep), archscope(*sweep, "--on", "ray")
    assert there.returncode == 0 and there.stdout == here.stdout


@pytest.fixture
def invented(cluster):
    """A node with a GPU that is not there, by its label."""
    added = cluster.add_node(
        num_cpus=1, num_gpus=1, labels={"gpu": "A100"}, object_store_memory=2**27
    )
    yield added
    cluster.remove_node(added)


def test_measurements_go_to_a_labelled_gpu_and_on_under_the_other_engine(
    archscope, invented, tmp_path
):
    journal = str(tmp_path / "j.jsonl")
    compare = ["compare", "lenet", "lenet5_1998", "--time", "--batch", "1", "--eval"]
    compare += ["--max-seconds", "0.01", "--journal", journal]
    there = archscope(*compare, "--on", "ray")
    assert there.returncode == 0, there.stderr
    assert "in turns on one of 1 node" in there.stderr
    here = archscope(*compare, "--resume")
    assert here.stdout == there.stdout and "measuring" not in here.stderr
    refused = archscope(*compare[:-2], "--on", "ray", "--gpu", "H100")
    assert refused.returncode == 2
    assert "no node has H100 GPU (it has A100)" in refused.stderr


def test_a_node_with_another_torch_is_named_and_not_used(archscope, cluster, tmp_path):
    other = tmp_path / "torch-2.11.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.11.0\n")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    added = cluster.add_node(num_cpus=2, object_store_memory=2**27, env_vars={"PYTHONPATH": path})
    try:
        ran = archscope("sweep", "lenet", "num_classes=2,3", "--on", "ray")
    finally:
        cluster.remove_node(added)
    assert ran.returncode == 0 and "2/2 points, 1 node" in ran.stderr
    here = metadata.version("torch")
    assert f"is not used: it has torch 2.11.0, here {here}" in ran.stderr


def test_group_counts_and_verification_go_on_under_the_other_engine(archscope, tmp_path):
    journal = str(tmp_path / "j.jsonl")
    sweep = ["sweep-groups", "1,2", "--base", "densenet", "--by", "growth_rate"]
    sweep += ["--input", "3x32x32", "--journal", journal]
    there = archscope(*sweep, "--on", "ray")
    assert there.returncode == 0 and "6/6 points, 1 node" in there.stderr
    here = archscope(*sweep, "--resume")
    assert here.stdout == there.stdout and here.stderr == ""


def test_a_node_that_dies_leaves_its_points_to_the_others(
    archscope, cluster, slow, environment, tmp_path
):
    added = cluster.add_node(num_cpus=2, object_store_memory=2**27)
    widths = ",".join(map(str, range(1, 21)))
    command = [sys.executable, "-m", "archscope", "sweep", slow, f"width={widths}"]
    command += ["--input", "3x8x8", "--on", "ray", "-o", str(tmp_path / "rows.csv")]
    command += ["--journal", str(tmp_path / "j.jsonl")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        wait_for_entries(tmp_path / "j.jsonl", 2)
        cluster.remove_node(added, allow_graceful=False)
        _, told = running.communicate(timeout=200)
    assert running.returncode == 0, told
    assert told.count("is gone; its tasks run elsewhere") == 1
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    # 3·w·9 + w of the convolution, 36·w·10 + 10 of the linear layer
    assert [int(row["params"]) for row in rows] == [388 * w + 10 for w in range(1, 21)]
    assert len(widths_in(tmp_path / "j.jsonl")) == 20


@pytest.mark.parametrize(("first", "then"), [("ray", "local"), ("local", "ray")])
@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT], ids=["killed", "ctrl-c"])
def test_a_run_goes_on_under_the_other_engine(
    archscope, cluster, slow, environment, tmp_path, first, then, blow
):
    journal = tmp_path / "j.jsonl"
    sweep = ["sweep", slow, "width=1,2,3,4,5,6", "--input", "3x8x8"]
    sweep += ["--journal", str(journal)]
    command = [sys.executable, "-m", "archscope", *sweep, "--on", first]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as running:
        wait_for_entries(journal, 2)
        running.send_signal(blow)
        _, told = running.communicate(timeout=60)
    if blow == signal.SIGINT:
        assert running.returncode == 130 and "of 6 points are saved; " in told
    before = widths_in(journal)
    assert 2 <= len(before) < 6
    after = archscope(*sweep, "--on", then, "--resume", "-o", str(tmp_path / "rows.csv"))
    assert after.returncode == 0, after.stderr
    taken = widths_in(journal)
    assert taken[: len(before)] == before and sorted(taken) == ["1", "2", "3", "4", "5", "6"]
    with (tmp_path / "rows.csv").open() as file:
        assert [int(row["params"]) for row in csv.DictReader(file)] == [
            388 * width + 10 for width in range(1, 7)
        ]


def wait_for_entries(journal, count):
    until = time.monotonic() + 120
    while time.monotonic() < until:
        if journal.exists() and len(journal.read_bytes().splitlines()) > count:
            return
        time.sleep(0.05)
    raise AssertionError("no point was finished in two minutes")


def widths_in(journal):
    """The points that were finished, in their order, each line one."""
    lines = journal.read_bytes().split(b"\n")[1:-1]
    return [json.loads(line)["point"]["width"] for line in lines]


def test_a_head_that_dies_leaves_what_was_counted(slow, tmp_path):
    """On a cluster of its own, which it ends."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": 2**27}
    made = Cluster(initialize_head=True, head_node_args=head)
    made.add_node(num_cpus=1, object_store_memory=2**27)
    environment = {
        **os.environ, "RAY_ADDRESS": made.address, "ARCHSCOPE_CACHE_DIR": str(tmp_path / "cache"),
    }  # fmt: skip
    journal = tmp_path / "j.jsonl"
    command = [sys.executable, "-m", "archscope", "sweep", slow]
    widths = [str(width) for width in range(1, 61)]  # half a minute, a head is silent for 20 s
    command += [f"width={','.join(widths)}", "--input", "3x8x8", "--journal", str(journal)]
    try:
        with subprocess.Popen(
            [*command, "--on", "ray"], env=environment, stderr=subprocess.PIPE, text=True
        ) as running:
            wait_for_entries(journal, 2)
            made.head_node.kill_gcs_server()
            _, told = running.communicate(timeout=120)
    finally:
        made.shutdown()
    assert running.returncode == 2 and "head no longer answers" in told
    before = widths_in(journal)
    assert 2 <= len(before) < len(widths)
    subprocess.run([*command, "--resume"], env=environment, check=True)
    taken = widths_in(journal)
    assert taken[: len(before)] == before and sorted(taken) == sorted(widths)
