"""One step in the dialects of several releases and vendors: always the same rows."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archscope.errors import ArchscopeError
from archscope.traces import chrome
from archscope.traces.attribution import attribute
from archscope.traces.rows import DEVICE_GAP, OVERLAP
from tests.traces.writing import ENGINE, EXPECTED, MAIN, NODE, File, training_step


def microseconds(path: str) -> dict[tuple[str, str], float]:
    """The rows of a file, without what leads from the kernels to the step."""
    return {
        (row.name, phase): round(1e6 * seconds, 3)
        for row in attribute(chrome.read(path)).times().rows
        for phase, seconds in row.seconds.items()
        if row.name not in (DEVICE_GAP, OVERLAP)
    }


def of_2024(file: File) -> None:
    """As it is."""


def of_2021(file: File) -> None:
    """PyTorch 1.9: other categories, thread ids as text, ids of kernels in small letters."""
    names = {"cpu_op": "Operator", "user_annotation": "Operator", "cuda_runtime": "Runtime",
             "kernel": "Kernel"}  # fmt: skip
    for event in file.events:
        if event["cat"] in ("Runtime", "Kernel", "cuda_runtime", "kernel"):
            event["args"]["external id"] = event["args"].pop("External id")
        if event["cat"] != "python_function":
            event["cat"] = names[event["cat"]]
        event["tid"] = f"stream {event['tid']}" if event["pid"] == 0 else str(event["tid"])


def without_engine_events(file: File) -> None:
    """PyTorch 1.9 has no event of the engine's around a node and its sums."""
    file.events = [event for event in file.events if not event["name"].startswith(NODE)]


def of_amd(file: File) -> None:
    """Kernels carry no operator's id, only the correlation of a launch by HIP."""
    for event in file.events:
        if event["cat"] in ("kernel", "cuda_runtime"):
            event["args"].pop("External id")
        event["name"] = event["name"].replace("cudaLaunchKernel", "hipExtModuleLaunchKernel")


def with_wrong_ids(file: File) -> None:
    """External ids that repeat the correlation, as in files that a converter wrote."""
    for event in file.events:
        if event["cat"] in ("kernel", "cuda_runtime"):
            event["args"]["External id"] = event["args"]["correlation"]


def in_nanoseconds(file: File) -> None:
    """Three decimals and a base, as since PyTorch 2.2; the numbers no longer fit a float."""
    file.members |= {"displayTimeUnit": "ns", "baseTimeNanoseconds": 1735632360000000000}
    for event in file.events:
        event["ts"] += 1712195495501000


def with_sequences_missing(file: File) -> None:
    """Neither numbers nor links: nodes run in reverse and are named after their operators."""
    for event in file.events:
        event["args"].pop("Sequence number", None)
        event["args"].pop("Fwd thread id", None)


def with_links_alone(file: File) -> None:
    """Links between forward operators and nodes in place of numbers, threads as text or not."""
    forward = {}
    for event in list(file.events):
        number = event["args"].pop("Sequence number", None)
        is_node = event["args"].pop("Fwd thread id", 0) > 0
        if number is None or event["name"].startswith(NODE) or event["name"] == "aten::addmm":
            continue
        event["name"] = event["name"].replace("Backward0", "Gradient0Backward0")  # no help by name
        link = {"cat": "fwdbwd", "name": "fwdbwd", "pid": 1, "id": number, "ts": event["ts"]}
        if is_node:
            file.events.append({**link, "ph": "f", "bp": "e", "tid": ENGINE})
        else:
            forward[number] = {**link, "ph": "s", "tid": str(MAIN)}
    file.events += forward.values()


def with_node_threads(file: File) -> None:
    """Another forward thread gave out the same numbers, as DataParallel's do."""
    for seq in range(5):
        file.op("aten::mul", 5 + seq, 1, seq, tid=30)
    file.op("aten::mul", 11, 1, 77, tid=30)
    file.op(NODE + "MulBackward0", 400, 5, 77, 2, tid=ENGINE)


DIALECTS = [
    of_2024, of_2021, of_amd, with_wrong_ids, in_nanoseconds, with_sequences_missing,
    with_links_alone, with_node_threads,
]  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("shapes", [True, False])
def test_every_dialect_gives_the_same_rows(
    dialect: Callable[[File], None], shapes: bool, tmp_path: Path
) -> None:
    file = training_step(shapes=shapes)
    dialect(file)
    assert microseconds(file.write(tmp_path / "trace.json")) == EXPECTED


def test_a_file_without_events_of_the_engine_gives_the_same_rows(tmp_path: Path) -> None:
    file = training_step()
    without_engine_events(file)
    of_2021(file)
    assert microseconds(file.write(tmp_path / "trace.json")) == EXPECTED


def test_a_backward_pass_on_the_thread_of_the_forward_pass(tmp_path: Path) -> None:
    file = training_step()
    for event in file.events:
        event["tid"] = MAIN if event["tid"] == ENGINE else event["tid"]
    assert microseconds(file.write(tmp_path / "trace.json")) == EXPECTED


def test_times_are_exact_to_the_nanosecond() -> None:
    assert chrome.nanoseconds("1712195495501688.456") == 1712195495501688456
    assert chrome.nanoseconds("5.5") == 5500
    assert chrome.nanoseconds(7) == 7000
    assert chrome.nanoseconds("1.5e3") == 1500000
    assert chrome.nanoseconds("-2.25") == -2250
    assert chrome.nanoseconds("0.0004") == 0


@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_file_is_read_alike_in_pieces_of_any_size(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = training_step()
    file.events[0]["name"] = "ProfilerStep#1 äöü – 音"  # several bytes a letter
    path = tmp_path / "trace.json"
    path.write_text(
        json.dumps({"traceEvents": file.events, "later": 12.5}, ensure_ascii=False), "utf-8"
    )
    monkeypatch.setattr(chrome, "CHUNK", chunk)
    trace = chrome.read(str(path))
    assert len(trace.device) == sum(event["cat"] == "kernel" for event in file.events)
    assert trace.host[0].name == "ProfilerStep#1 äöü – 音"


def test_a_packed_file_and_a_bare_list_of_events(tmp_path: Path) -> None:
    file = training_step()
    packed, bare = tmp_path / "a.pt.trace.json.gz", tmp_path / "b.json"
    packed.write_bytes(gzip.compress(Path(file.write(tmp_path / "a.json")).read_bytes()))
    bare.write_text(json.dumps(file.events))
    assert microseconds(str(packed)) == microseconds(str(bare)) == EXPECTED
    bare.write_text(json.dumps(file.events), "utf-8-sig")
    assert microseconds(str(bare)) == EXPECTED


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="pipes have no paths")
@pytest.mark.parametrize("packed", [False, True])
def test_a_pipe_is_read_once(tmp_path: Path, packed: bool) -> None:
    content = Path(training_step().write(tmp_path / "a.json")).read_bytes()
    content = gzip.compress(content) if packed else content
    assert len(content) < 1 << 16  # what a pipe holds without a reader
    reads, writes = os.pipe()
    try:
        os.write(writes, content)
        os.close(writes)
        shares: list[float] = []
        assert chrome.read(f"/dev/fd/{reads}", shares.append).device
        assert shares == []
    finally:
        os.close(reads)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b'{"traceEvents": [{"ph": "X", "cat": "cpu_op", "na', "is cut off"),
        (
            gzip.compress(b'{"traceEvents": []}' + bytes(range(256)) * 99, mtime=0)[:60],
            "is cut off",
        ),
        (b"PK\x03\x04 not a trace", "is not JSON"),
        (b"", "is not JSON|is cut off"),
        (b'{"model": "resnet50"}', "holds no operators or kernels"),
        (b'{"traceEvents": []}', "holds no operators or kernels"),
        (b'{"traceEvents": 5}', "holds no operators or kernels"),
        (b'[1, "x", null, {"ph": "X"}]', "holds no operators or kernels"),
        (b'[{"ph": "X", "cat": "kernel", "ts": 1, "dur": -5}]', "a length is negative"),
        (b'[{"ph": "X", "cat": "kernel", "ts": "now"}]', "a time is not a number"),
        (b'[{"ph": "X", "cat": "kernel", "ts": NaN}]', "is damaged"),
    ],
)
def test_what_is_no_trace_is_refused_in_one_line(
    content: bytes, problem: str, tmp_path: Path
) -> None:
    path = tmp_path / "trace.json"
    path.write_bytes(content)
    with pytest.raises(ArchscopeError, match=problem) as refused:
        chrome.read(str(path))
    assert "\n" not in str(refused.value) and str(path) in str(refused.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match="cannot be read"):
        chrome.read(str(tmp_path / "nothing.json"))
    with pytest.raises(ArchscopeError, match="cannot be read"):
        chrome.read(str(tmp_path))


@pytest.mark.parametrize("huge", [[[1, 2, 3]] * 100_000, "x" * 3_000_000], ids=["list", "text"])
def test_an_event_of_many_chunks_is_read_about_twice(
    huge: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = training_step()
    file.events[3]["args"]["note"] = huge
    path = file.write(tmp_path / "trace.json")
    read: list[int] = []

    class Decoder(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            read.append(len(s) - idx)
            return super().raw_decode(s, idx)

    monkeypatch.setattr(chrome, "CHUNK", 1 << 12)
    monkeypatch.setattr(json, "JSONDecoder", Decoder)
    assert len(chrome.read(path).host) > 10
    # Each attempt at the event sees twice as much as the one before; the others are small.
    assert sum(length for length in read if length > 1 << 16) < 8 * Path(path).stat().st_size


def test_a_text_without_an_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{"traceEvents": [{"name": "' + 3_000_000 * "x")
    with pytest.raises(ArchscopeError, match="is cut off"):
        chrome.read(str(path))
