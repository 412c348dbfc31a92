"""Flame graphs and timelines of a hand-made step, and times that add up to the nanosecond."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from archscope.traces import chrome, steps
from archscope.traces.attribution import Attribution, attribute
from archscope.traces.perfetto import timeline
from archscope.traces.speedscope import flame_graph
from archscope.traces.stretches import by_step, waits
from tests.traces.writing import EXPECTED, File, training_step


def attributed(file: File, tmp_path: Path) -> Attribution:
    return attribute(chrome.read(file.write(tmp_path / "a.json")))


def test_a_flame_graph_is_in_the_documented_format(tmp_path: Path) -> None:
    found = flame_graph(attributed(training_step(), tmp_path), "net")
    # What speedscope's schema requires of a file and of a sampled profile.
    assert found["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert all(isinstance(frame["name"], str) for frame in found["shared"]["frames"])
    (profile,) = found["profiles"]
    assert profile["type"] == "sampled" and profile["unit"] == "nanoseconds"
    assert len(profile["samples"]) == len(profile["weights"])
    used = {index for sample in profile["samples"] for index in sample}
    assert used == set(range(len(found["shared"]["frames"])))
    # 1000 µs of waiting come before the first kernel, and 636 µs of kernels follow.
    assert profile["endValue"] - profile["startValue"] == sum(profile["weights"]) == 1_636_000


def check_flame_graph(found: dict[str, Any]) -> None:
    """What https://www.speedscope.app/file-format-schema.json requires, and its importer."""
    assert found.keys() >= {"$schema", "profiles", "shared"}
    frames = found["shared"]["frames"]
    assert all(frame.keys() == {"name"} and isinstance(frame["name"], str) for frame in frames)
    assert 0 <= found["activeProfileIndex"] < len(found["profiles"])
    for profile in found["profiles"]:
        required = {"endValue", "name", "samples", "startValue", "type", "unit", "weights"}
        assert profile.keys() == required and profile["type"] == "sampled"
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= i < len(frames) for sample in profile["samples"] for i in sample)
        assert all(type(weight) is int and weight >= 0 for weight in profile["weights"])
        assert profile["endValue"] - profile["startValue"] == sum(profile["weights"])


def check_timeline(events: Sequence[dict[str, Any]]) -> None:
    """What ui.perfetto.dev wants of Chrome's format: named tracks whose slices hold or follow."""
    named = {(e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    groups = {e["pid"] for e in events if e["name"] == "process_name"}
    tracks: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for event in events:
        assert event["ph"] in ("X", "M")
        if event["ph"] == "X":
            assert event["ts"] >= 0 and event["dur"] >= 0
            start = round(1000 * event["ts"])
            slices = tracks.setdefault((event["pid"], event["tid"]), [])
            slices.append((start, start + round(1000 * event["dur"])))
    assert tracks.keys() == named and {process for process, _ in named} == groups
    for slices in tracks.values():
        opened: list[int] = []
        for start, end in sorted(slices, key=lambda slice: (slice[0], -slice[1])):
            while opened and opened[-1] <= start:
                opened.pop()
            assert not opened or end <= opened[-1]
            opened.append(end)


@pytest.mark.parametrize("seed", range(5))
def test_exports_keep_the_rules_of_their_formats_whatever_overlaps(
    seed: int, tmp_path: Path
) -> None:
    """Kernels of a stream overlap where times are rounded; a host's operators hold one another."""
    random_ = random.Random(seed)
    file = training_step()
    for _ in range(30):
        start, length = random_.randrange(1000, 1600), random_.randrange(1, 90)
        file.kernel(start, length, random_.randrange(15, 110), stream=random_.choice([7, 8]))
    on_device = attributed(file, tmp_path)
    file.events = [event for event in file.events if event["cat"] != "kernel"]
    for found in (on_device, attributed(file, tmp_path)):
        check_flame_graph(flame_graph(found, "net"))
        check_timeline(timeline(found, "net")["traceEvents"])


def test_a_flame_graph_has_the_time_of_each_layer(tmp_path: Path) -> None:
    found = flame_graph(attributed(training_step(), tmp_path), "net")
    names = [frame["name"] for frame in found["shared"]["frames"]]
    (profile,) = found["profiles"]
    sums: Counter[tuple[str, str]] = Counter()
    for sample, weight in zip(profile["samples"], profile["weights"], strict=True):
        stack = [names[index] for index in sample]
        layer = stack[1] if stack[0] == "net" and stack[1].startswith(("Conv", "Lin")) else ""
        if stack[0] == "net":
            sums[layer, stack[2 if layer else 1]] += weight
        elif not stack[0].startswith("[GPU"):
            sums[stack[0], stack[1]] += weight
    assert sums == {key: 1000 * length for key, length in EXPECTED.items()}


def test_a_timeline_has_a_track_per_module_beside_the_kernels(tmp_path: Path) -> None:
    file = training_step()
    events = timeline(attributed(file, tmp_path), "net")["traceEvents"]
    tracks = {
        (event["pid"], event["tid"]): event["args"]["name"]
        for event in events
        if event["name"] == "thread_name"
    }
    lengths: Counter[str] = Counter()
    for event in events:
        if event["ph"] == "X":
            lengths[tracks[event["pid"], event["tid"]]] += round(1000 * event["dur"])
    assert lengths.pop("GPU 0, stream 7") == 636_000
    wanted: Counter[str] = Counter()
    for (name, _), length in EXPECTED.items():
        wanted[name or "net"] += 1000 * length
    assert lengths == wanted


@pytest.mark.parametrize("seed", range(20))
def test_overlapping_streams_and_idle_time_add_up_to_the_nanosecond(
    seed: int, tmp_path: Path
) -> None:
    random_ = random.Random(seed)
    file = File()
    covered: dict[int, set[int]] = {}
    for step in range(3):
        at = 3000 * step
        file.host(f"ProfilerStep#{step}", at, 400, cat="user_annotation")
        file.host("nn.Module: Net_0", at + 5, 300, cat="python_function")
        covered[step] = set()
        for index in range(random_.randrange(1, 12)):
            op = file.op("aten::relu", at + 10 + 20 * index, 10, index)
            begin, length = random_.randrange(500, 900), random_.randrange(1, 200)
            file.kernel(
                at + begin, length, at + 11 + 20 * index, stream=random_.randrange(3), external=op
            )
            covered[step] |= set(range(begin, begin + length))
    found = attributed(file, tmp_path)
    windows = steps.windows(found.trace, found.steps)
    for step, stretches in by_step(found.credits, windows).items():
        begin, end = windows[step]
        assert sum(stretch.nanoseconds for stretch in stretches) == end - begin
        busy = sum(stretch.nanoseconds for stretch in stretches if not stretch.is_idle)
        assert busy == 1000 * len(covered[step])
    table = found.times()
    assert 1e9 * table.step_seconds == pytest.approx(sum(table.steps) / len(table.steps), abs=0.01)
    idle = table.rows[-1].seconds["idle"]
    assert sum(row.waiting_seconds for row in table.rows) == pytest.approx(idle, abs=1e-12)


def test_a_layer_waits_for_what_the_device_waits_before_its_kernels(tmp_path: Path) -> None:
    file = training_step()
    for event in file.events:
        if event["cat"] == "kernel" and event["ts"] >= 1180:  # head's forward kernel and later
            event["ts"] += 40
    found = attributed(file, tmp_path)
    (stretches,) = by_step(found.credits, steps.windows(found.trace, found.steps)).values()
    named = {call.name: length for call, length in waits(stretches).items() if call is not None}
    assert named == {"Conv2d_0": 1_000_000, "Linear_0": 40_000}
