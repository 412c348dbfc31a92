"""`archscope trace` and `archscope recorder` from the command line."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import archscope
from archscope import archive
from archscope.cli import run
from archscope.errors import ArchscopeError
from archscope.records import Profile
from tests.traces.writing import File, training_step

NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.stem = nn.Conv2d(4, width, 3, padding=1, bias=False)
        self.body = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.head = nn.Linear(width * 64, 10)

    def forward(self, x):
        x = self.stem(x)
        return self.head((self.body(x) + x).flatten(1))
"""


@pytest.fixture
def network(tmp_path: Path) -> str:
    path = tmp_path / "nets.py"
    path.write_text(NETWORK)
    return f"{path}:Net"


def several_steps(modules: bool = False, shapes: bool = True, **facts: object) -> File:
    file = File(members={"schemaVersion": 1, **facts})
    for step in range(3):
        training_step(modules, shapes, at=5000 * step, seq=10 * step, file=file, step=step)
    return file


V100 = {"deviceProperties": [{"name": "Tesla V100-SXM2-32GB", "numSms": 80}]}


def test_the_first_line_is_the_answer(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = several_steps(**V100).write(tmp_path / "a.json")
    assert run(["trace", path, "--model", network, "--input", "4x8x8"]) == 0
    out = capsys.readouterr().out
    # A step begins every 5 ms, but ends when its kernels have: 1636 µs after it began. Of the
    # 636 µs of kernels 377 are of the backward pass: 60 + 210 + 90 + 6 + 3 + 4 + 8, less 4.
    first = " ".join(out.partition("\n\n")[0].split())
    assert first.endswith("of the step the GPU waits.")
    assert first.startswith("1.64 ms a step on Tesla V100-SXM2-32GB, 2 images: backward 59.9 %")
    assert "Attributed: forward 100 %, backward 100 %" in " ".join(out.split())
    assert "body" in out and "[optimizer]" in out


def test_stages_that_are_layers_are_shown_once(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = several_steps(**V100).write(tmp_path / "a.json")
    assert run(["trace", path, "--model", network, "--input", "4x8x8"]) == 0
    out = capsys.readouterr().out
    assert "Stages of" not in out and "Layers of" in out and "Attributed: " in out


@pytest.mark.parametrize(
    ("recorded", "note"),
    [
        (0.025, "A step took 20 ms without recording, and 25 % longer with it."),
        (0.01, "A step took 20 ms without recording and 10 ms with it: recording costs less than"),
    ],
)
def test_the_cost_of_recording_is_noted(
    recorded: float, note: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    costs = {"step seconds": 0.02, "recorded step seconds": recorded}
    path = several_steps(modules=True, archscope=costs).write(tmp_path / "a.json")
    assert run(["trace", path]) == 0
    assert note in " ".join(capsys.readouterr().out.replace(".0 ", " ").split())


@pytest.mark.parametrize(("before", "noted"), [(0, False), (70, True)])
def test_kernels_before_the_first_step_are_noted(
    before: int, noted: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those that bring a network's weights to the device: 70 µs."""
    file = several_steps(modules=True, **V100)
    if before:
        file.kernel(-200, before, -300, cat="gpu_memcpy", launch="cudaMemcpyAsync")
    assert run(["trace", file.write(tmp_path / "a.json")]) == 0
    note = "Kernels of 70.0 µs in the file are in no step, and in no row."
    assert (note in " ".join(capsys.readouterr().out.split())) == noted


@pytest.mark.parametrize(("behind", "noted"), [("", 0), (" \n\n", 0), ('\n}{"a"', 1), ("\0", 1)])
def test_what_follows_a_trace_in_its_file_is_noted(
    behind: str, noted: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path(several_steps(modules=True).write(tmp_path / "a.json"))
    path.write_text(path.read_text() + behind)
    assert run(["trace", str(path)]) == 0
    assert capsys.readouterr().out.count("follows the end of the trace") == noted


def test_samples_are_not_counted_where_the_batch_is_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, saved = several_steps(modules=True).write(tmp_path / "a.json"), str(tmp_path / "run.json")
    page = str(tmp_path / "run.html")
    assert run(["trace", path, "-o", saved]) == 0
    capsys.readouterr()
    assert run(["profile", saved, "-o", page]) == 0
    out = capsys.readouterr().out
    assert "samples/s" not in out and "batch 1" not in out and "input ," not in out
    assert "training 1.64 ms" in out
    assert run(["summary", saved]) == 2
    assert "holds no count; trace it again with --model" in capsys.readouterr().err


def test_a_saved_trace_is_a_profile_that_other_commands_take(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, saved = several_steps(**V100).write(tmp_path / "a.json"), str(tmp_path / "run.json")
    assert run(["trace", path, "--model", network, "--input", "4x8x8", "-o", saved]) == 0
    record = archive.load(saved)
    assert isinstance(record, Profile)
    rows = {row.name: row for row in record.layers if row.in_network}
    assert rows["body"].seconds == {
        "forward": pytest.approx(100e-6), "backward": pytest.approx(210e-6),
        "accumulation": pytest.approx(3e-6),
    }  # fmt: skip
    assert rows["stem"].seconds["accumulation"] == pytest.approx(8e-6)
    assert rows[""].seconds == {"forward": pytest.approx(10e-6)}
    assert record.peaks["copy"] == 900e9 and record.input.batch == 2
    # From the stem's kernel at 1000 to the loss's backward one at 1235, and to the last at 1616.
    assert record.phases["forward"].median == pytest.approx(235e-6)
    assert record.phases["backward"].median == pytest.approx(381e-6)
    capsys.readouterr()
    assert run(["compare", saved, saved]) == 0
    assert run(["profile", saved]) == 0
    assert run(["summary", saved]) == 0
    assert "Conv2d" in capsys.readouterr().out


def test_passes_that_alternate_in_a_step_have_no_time_of_their_own(
    network: str, tmp_path: Path
) -> None:
    """Two forward and backward passes whose gradients are accumulated."""
    file = File()
    training_step(False, file=file, step=None)
    training_step(False, at=5000, seq=10, file=file, step=None)
    file.host("ProfilerStep#0", 0, 6000, cat="user_annotation")
    path, saved = file.write(tmp_path / "a.json"), str(tmp_path / "run.json")
    assert run(["trace", path, "--model", network, "--input", "4x8x8", "-o", saved]) == 0
    record = archive.load(saved)
    assert isinstance(record, Profile) and list(record.phases) == ["step"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "width=8"], "operator 1 (stem): the trace has conv2d 4×4×3×3"),
        (["--batch", "3"], "the trace has conv2d on 2×4×8×8"),
        (["--input", "4x4x16"], "the trace has --input 4x8x8 and --batch 2"),
    ],
)
def test_another_network_is_refused_in_one_line(
    options: list[str], message: str, network: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = several_steps().write(tmp_path / "a.json")
    image = [] if "--input" in options else ["--input", "4x8x8"]
    assert run(["trace", path, "--model", network, *image, *options]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "2"], "--batch: goes with --model"),
        (["--input", "3x8x8"], "--input: goes with --model"),
        (["--peaks", "fp99=1T"], "--peaks: unknown roof 'fp99'; use one of "),
        (["--peaks", "fp32"], "'fp32' has no rate"),
    ],
)
def test_options_that_decide_nothing_are_refused(
    options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = several_steps().write(tmp_path / "a.json")
    assert run(["trace", path, *options]) == 2
    assert message in capsys.readouterr().err


def test_peaks_that_are_given_go_before_the_data_sheet(network: str, tmp_path: Path) -> None:
    path, saved = several_steps(**V100).write(tmp_path / "a.json"), str(tmp_path / "run.json")
    options = ["--model", network, "--input", "4x8x8", "--peaks", "fp32=10T,copy=800G"]
    assert run(["trace", path, *options, "-o", saved]) == 0
    record = archive.load(saved)
    assert isinstance(record, Profile)
    assert (record.peaks["fp32"], record.peaks["copy"]) == (10e12, 800e9)
    assert record.peaks["fp16"] == 125e12


def test_two_traces_are_compared_layer_by_layer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slow = several_steps(modules=True)
    for event in slow.events:
        if event["cat"] == "kernel":
            event["dur"] *= 2
    paths = [several_steps(modules=True).write(tmp_path / "a.json"),
             slow.write(tmp_path / "b.json")]  # fmt: skip
    saved = tmp_path / "both.csv"
    assert run(["trace", *paths, "-o", str(saved)]) == 0
    assert "b takes" in capsys.readouterr().out.splitlines()[0]
    lines = [line.split(",") for line in saved.read_text().splitlines()]
    (body,) = [line for line in lines if line[0] == "Conv2d_1"]
    assert float(body[3]) == pytest.approx(2.0)
    assert float(body[4]) == pytest.approx(313e-6)


@pytest.mark.parametrize(
    ("folders", "labels"),
    [
        (("old", "new"), ("old/trace", "new/trace")),
        (("old/runs", "new/runs"), ("old/…/trace", "new/…/trace")),
        (("same", "same"), ("first", "second")),
    ],
)
def test_two_traces_of_one_name_are_named_by_what_differs(
    folders: tuple[str, str], labels: tuple[str, str], tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("COLUMNS", "80")
    paths = []
    for folder in folders:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        paths.append(several_steps(modules=True).write(tmp_path / folder / "trace.json"))
    assert run(["trace", *paths]) == 0
    answer, _, table = capsys.readouterr().out.partition("\n\n")
    heading = next(line for line in table.splitlines() if line.startswith("Stage "))
    said = " ".join(answer.split())
    assert said.endswith(f"{labels[1]} takes 1 times as long as {labels[0]}.")
    assert heading.split()[:4] == ["Stage", *labels, "Ratio"]


def test_files_of_several_ranks_are_shown_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for rank in (0, 1, 2):
        file = several_steps(modules=True, distributedInfo={"rank": rank, "world_size": 3})
        if rank == 1:  # its collective keeps the device for longer
            for step in range(3):
                file.kernel(5000 * step + 1700, 200, 5000 * step + 360, "ncclDevKernel_AllReduce",
                            stream=9)  # fmt: skip
        paths.append(file.write(tmp_path / f"rank{rank}.json"))
    assert run(["trace", *paths]) == 0
    out = capsys.readouterr().out
    assert out.startswith("3 ranks; rank 1 is the slowest")
    assert "[communication]" in out


def test_three_files_of_one_rank_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = several_steps(modules=True).write(tmp_path / "a.json")
    assert run(["trace", path, path, path]) == 2
    assert "neither two traces to compare nor" in capsys.readouterr().err


def test_a_file_that_names_no_modules_asks_for_the_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["trace", several_steps().write(tmp_path / "a.json")]) == 0
    assert "add --model" in capsys.readouterr().out


def test_a_record_of_archscope_is_no_trace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"archscope": 1, "kind": "Profile"}))
    assert run(["trace", str(path)]) == 2
    assert "holds no operators or kernels" in capsys.readouterr().err


def test_the_recorder_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recorder"]) == 0
    source = capsys.readouterr().out
    compile(source, "record.py", "exec")
    assert "import archscope" not in source and "from archscope" not in source


def test_a_trace_is_exported_for_other_programs(tmp_path: Path) -> None:
    path = several_steps(modules=True).write(tmp_path / "a.json")
    flames, tracks = tmp_path / "x.speedscope.json", tmp_path / "x.perfetto.json"
    assert run(["trace", path, "-o", str(flames), "-o", str(tracks)]) == 0
    assert len(json.loads(flames.read_text())["profiles"]) == 3
    assert json.loads(tracks.read_text())["traceEvents"][0]["args"] == {"name": "kernels"}


def test_only_one_trace_is_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, flames = several_steps().write(tmp_path / "a.json"), tmp_path / "x.speedscope.json"
    for command in (["trace", path, path], ["summary", "lenet"]):
        assert run([*command, "-o", str(flames)]) == 2
        assert "archscope trace FILE" in capsys.readouterr().err
    assert not flames.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peaks": {"float32": 0}}, "peaks: the rate of float32 is 0; give a positive number"),
        ({"peaks": {"copy": float("nan")}}, "peaks: the rate of copy is nan"),
        ({"peaks": {"float32": "15.7T"}}, "peaks: the rate of float32 is '15.7T'"),
        ({"peaks": 5}, "peaks: not a dictionary"),
        ({"peaks": {"float31": 1e12}}, "peaks: unknown roof 'float31'"),
        ({"input": "4x8x8"}, "input: goes with model"),
        ({"batch": 2}, "batch: goes with model"),
        ({"width": 8}, "width: goes with model"),
        ({"path": None}, "path: None is not a path"),
        ({"path": ["a.json", 5]}, "path: 5 is not a path"),
        ({"path": []}, "path: an empty list"),
        ({"model": "lenet", "batch": "n"}, "batch='n': is not a number"),
    ],
)
def test_what_python_hands_over_wrongly_is_refused(
    options: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = several_steps(modules=True).write(tmp_path / "a.json")
    with pytest.raises(ArchscopeError, match=re.escape(message)):
        archscope.trace(**{"path": path, **options})  # type: ignore[call-overload]


def test_several_traces_in_python(tmp_path: Path) -> None:
    paths = [several_steps(modules=True, distributedInfo={"rank": rank, "world_size": 2})
             .write(tmp_path / f"{rank}.json") for rank in range(2)]  # fmt: skip
    assert archscope.trace(paths).report.answer.startswith("2 ranks")
    compared = archscope.trace([paths[0], Path(paths[0])])
    assert len(compared.record) == 2
    assert "takes 1 times as long" in " ".join(str(compared).split())
    with pytest.raises(ArchscopeError, match="an empty list"):
        archscope.trace([])
