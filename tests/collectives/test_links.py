"""The time of a collective from two numbers."""

import csv
import re
from pathlib import Path
from statistics import median

import pytest

from archscope.collectives.links import Line, Links, systems
from archscope.records import Collective

TABLE = Path(__file__).parents[3] / "shared" / "latency" / "aiconfigurator"
KINDS = ("all_gather", "all_reduce", "reduce_scatter")


def links(**changes):
    given = {
        "key": "plain", "name": "Plain", "devices": ("plain",),
        "lines": {kind: {2: Line(1e-5, 1e9), 8: Line(2e-5, 4e9)} for kind in KINDS},
        "median_error": 0.1, "most_error": 0.2, "measurements": 4, "gpus_per_node": 8,
        "node_bytes_per_second": 1e8, "hop_seconds": 1e-6, "source": "a test",
    }  # fmt: skip
    return Links(**{**given, **changes})


def collective(kind, size, group):
    return Collective(kind, "backward", "fc", "gradients", size, group)


def test_latency_and_what_is_sent_over_the_bandwidth():
    gather = collective("all_gather", 8_000_000, 8)  # each GPU sends 7/8 of it
    assert links().seconds(gather, 8) == pytest.approx(2e-5 + 7_000_000 / 4e9)
    reduce = collective("all_reduce", 8_000_000, 2)  # twice one half
    assert links().seconds(reduce, 2) == pytest.approx(1e-5 + 8_000_000 / 1e9)


def test_a_group_between_two_measured_sizes_takes_the_larger_one_s_line():
    assert links().seconds(collective("all_gather", 0, 4), 4) == pytest.approx(2e-5)


def test_across_nodes_the_links_between_them_bound_the_group():
    """64 GPUs on 8 nodes: 3 doublings, there and back; 8 links of 0.1 GB/s each leave a node."""
    reduce = collective("all_reduce", 6_400_000, 64)
    sent = 2 * 63 / 64 * 6_400_000
    assert links().seconds(reduce, 8) == pytest.approx(2e-5 + 6 * 1e-6 + sent / 8e8)
    alone = links().seconds(collective("all_gather", 6_400_000, 8), 1)
    assert alone == pytest.approx(2e-5 + 3 * 1e-6 + 5_600_000 / 1e8)


def test_every_system_has_the_data_sheets_that_predict_knows():
    from archscope.latency.devices import devices

    assert set(systems()) <= set(devices())


@pytest.mark.skipif(not TABLE.exists(), reason="the public tables are not beside the project")
@pytest.mark.parametrize("key", ["h100-sxm", "a100-sxm-80gb"])
def test_the_stated_errors_are_those_of_the_published_table(key):
    """Of the sizes that were not fitted: odd powers of two."""
    system = systems()[key]
    misses = []
    with (TABLE / "collectives.csv").open() as file:
        for row in csv.DictReader(file):
            size = int(row["message_elements"]) * {"half": 2, "int8": 1}[row["dtype"]]
            held_out = round(size).bit_length() % 2 == 0  # 2ᵏ has k + 1 bits
            if row["system"] == system.key and row["op"] in KINDS and held_out:
                gpus = int(row["num_gpus"])
                seconds = system.seconds(collective(row["op"], size, gpus), gpus)
                misses.append(abs(seconds / (float(row["latency_ms"]) / 1e3) - 1))
    assert median(misses) == pytest.approx(system.median_error, abs=0.001)
    assert sorted(misses)[int(0.9 * len(misses))] == pytest.approx(system.most_error, abs=0.01)


@pytest.mark.skipif(not TABLE.exists(), reason="the public tables are not beside the project")
def test_the_links_between_nodes_are_those_of_the_description():
    text = (TABLE / "systems" / "h100_sxm.yaml").read_text()
    (stated,) = re.findall(r"inter_node_bw: (\d+)", text)
    assert systems()["h100-sxm"].node_bytes_per_second == float(stated)
