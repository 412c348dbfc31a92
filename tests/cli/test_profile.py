"""`archscope profile` as a user meets it, on networks that take milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from archscope import archive
from archscope.ask.profile import measured
from archscope.ask.target import network_target
from archscope.cli import main, run
from archscope.errors import ArchscopeError
from archscope.measure import device as devices
from archscope.measure import session
from archscope.measure.step import Settings
from archscope.records import (
    BatchSweep,
    Profile,
)
from archscope.saved import answers, cache
from archscope.study.profile.layers import layer_table
from reports import jobs

SMALL = ("--input", "3x8x8", "--device", "cpu", "--threads", "1")
QUICK = (*SMALL, "--max-seconds", "0.02")


def test_a_network_is_measured_whole_by_layer_and_saved(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / f"run.{suffix}" for suffix in ("json", "csv", "svg")]
    outputs = [part for file in files for part in ("-o", str(file))]
    command = ["profile", f"{network}:Net", *QUICK, "--batch", "4", "--set", "width=6", *outputs]
    assert run(command) == 0
    out = capsys.readouterr().out
    for title in ("Whole step", "Layers of", "Roofline of", "Memory of"):
        assert title in out
    profile = archive.load(files[0])
    assert isinstance(profile, session.Profile)
    assert profile.input.batch == 4
    assert profile.keywords == (("width", "6"),)
    assert {"forward", "backward", "optimizer", "step", "inference"} == set(profile.phases)
    assert profile.environment.fact("threads") == "1"
    assert min(profile.attributed[phase] for phase in ("forward", "backward")) >= 0.98
    # Conv 6×6×6 outputs × 27 weights each, and the classifier, for four samples.
    assert profile.analysis is not None
    assert profile.analysis.total.macs == 4 * (6 * 36 * 27 + 216 * 5)
    assert "0,Conv2d," in files[1].read_text()
    assert files[2].read_text().startswith("<?xml")


def test_roofs_are_kept_shown_and_cleared_and_no_cache_measures_them_anew(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(answers._Process, "policy", "before torch")
    rates = iter([1e11, 2e11, 3e11])
    monkeypatch.setattr(
        devices, "measure_peaks", lambda device: {"fp32": next(rates), "copy": 1e10}
    )

    def peak(*options: str) -> float:
        saved = tmp_path / "run.json"
        command = [*options, "profile", f"{network}:Net", *QUICK, "--eval", "-o", str(saved)]
        with pytest.raises(SystemExit, match="0"):
            main(command)
        profile = archive.load(saved)
        assert isinstance(profile, session.Profile)
        assert (profile.environment.fact("roofs") or "").startswith("measured 20")
        return profile.peaks["fp32"]

    assert peak() == 1e11
    assert peak("--no-cache") == 2e11
    assert peak() == 1e11
    capsys.readouterr()
    assert run(["cache", "info"]) == 0
    assert "roofs of devices" in capsys.readouterr().out
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {cache.TAG, "roofs"}
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out.startswith("Removed 1 answer")
    assert peak() == 3e11


def test_a_layer_above_its_roof_has_the_roofs_measured_once_more(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    # A busy machine's first roofs: one operation a second.
    rates = iter([1.0, 1e14, 1.0, 2.0])
    monkeypatch.setattr(
        devices, "measure_peaks", lambda device: {"fp32": next(rates), "copy": 1e14}
    )
    command = ["profile", f"{network}:Net", *QUICK, "--eval"]
    assert run(command) == 0
    assert "Rates above the compute roof" not in capsys.readouterr().out
    assert run(command) == 0  # kept, so not measured again
    capsys.readouterr()
    assert run(["cache", "clear"]) == 0
    assert run(command) == 0
    assert "Rates above the compute roof mean" in " ".join(capsys.readouterr().out.split())
    assert next(rates, None) is None


def test_layers_named_like_other_rows_are_layers(network: str, tmp_path: Path) -> None:
    saved = tmp_path / "run.json"
    assert run(["profile", f"{network}:Bracketed", *QUICK, "--train", "-o", str(saved)]) == 0
    profile = archive.load(saved)
    assert isinstance(profile, session.Profile)
    layers = [row.name for row in profile.layers if row.in_network]
    others = [row.name for row in profile.layers if not row.in_network]
    assert layers[-2:] == ["[loss]", "[optimizer]"]
    assert {"[loss]", "[optimizer]", "[profiler overhead]"} <= set(others)
    # Three products each, forward and for both gradients; the first layer's input needs none.
    table = layer_table(profile, None)
    shares = list(zip(table.column("name"), table.column("macs_share"), strict=True))
    assert ("[loss]", 2 / 5) in shares and ("[optimizer]", 3 / 5) in shares
    assert ("[loss]", None) in shares and ("[optimizer]", None) in shares


def test_a_saved_profile_is_a_model_for_other_commands(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    assert run(["profile", f"{network}:Net", *QUICK, "--train", "-o", str(saved)]) == 0
    assert run(["summary", str(saved)]) == 0
    assert "Conv2d" in capsys.readouterr().out


def test_a_batch_that_does_not_fit_ends_the_sweep_and_is_named(
    network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["profile", f"{network}:Greedy", *QUICK, "--eval", "--batch", "8,2,4"]) == 0
    out = capsys.readouterr().out
    assert "batch 8 runs out of memory on cpu in inference; the largest that ran is 4." in out
    assert run(["profile", f"{network}:Greedy", *QUICK, "--eval", "--batch", "8"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("archscope: batch 8: runs out of memory") and error.count("\n") == 1


def test_interruption_reports_what_is_known_and_leaves_with_130(
    network: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Session, "_detail", stopped)
    assert run(["profile", f"{network}:Net", *QUICK]) == 130
    out = capsys.readouterr().out
    assert "Interrupted: what is missing was not measured." in out
    assert "backward" in out and "inference" not in out.partition("Measured with")[0]


def test_interruption_before_anything_is_known_leaves_files_as_they_were(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session.Session, "clocks", stopped)
    file = tmp_path / "run.json"
    file.write_text("of last week")
    assert run(["profile", f"{network}:Net", *QUICK, "-o", str(file)]) == 130
    assert capsys.readouterr().out == ""
    assert file.read_text() == "of last week"


@pytest.mark.parametrize("options", [(), ("--dtype", "bf16")])
def test_autocast_names_its_dtype(
    network: str, tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    command = ["profile", f"{network}:Net", *QUICK, "--eval", "--amp", *options, "-o", str(saved)]
    assert run(command) == 0
    assert "autocast to bfloat16" in " ".join(capsys.readouterr().out.split())
    profile = archive.load(saved)
    assert isinstance(profile, Profile)
    assert profile.environment.fact("autocast") == "bfloat16"


def test_the_largest_batch_is_printed_and_saved(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(
        measured,
        "largest_batch",
        lambda *a, **k: measured.LargestBatch(96, 3 << 30, 4 << 30, 5 << 30),
    )
    table = tmp_path / "batch.csv"
    command = ["profile", f"{network}:Net", *SMALL, "--max-batch", "--train", "-o", str(table)]
    assert run(command) == 0
    assert (
        "training on cpu: batch 96 runs, with a peak of 3.00 GiB; the bound was 4.00 GiB, 80 % of "
        "the 5.00 GiB available."
    ) in " ".join(capsys.readouterr().out.split())
    assert table.read_text().splitlines()[1].endswith(f",96,{3 << 30},{4 << 30},{5 << 30}")


@pytest.mark.parametrize(
    ("flags", "phases"),
    [
        (("--train",), {"forward", "backward", "optimizer", "step"}),
        (("--eval",), {"inference"}),
    ],
)
def test_train_and_eval_choose_what_is_timed(
    network: str, tmp_path: Path, flags: tuple[str, ...], phases: set[str]
) -> None:
    saved = tmp_path / "run.json"
    assert run(["profile", f"{network}:Net", *QUICK, *flags, "-o", str(saved)]) == 0
    profile = archive.load(saved)
    assert isinstance(profile, session.Profile)
    assert set(profile.phases) == phases


def test_several_batches_are_one_file_that_other_commands_choose_from(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, other = str(tmp_path / "run.json"), str(tmp_path / "other.json")
    sizes = (*QUICK, "--batch", "4,2")
    assert run(["profile", f"{network}:Net", *sizes, "-o", saved]) == 0
    first = capsys.readouterr().out
    held = archive.load(saved)
    assert isinstance(held, BatchSweep)
    assert [profile.input.batch for profile in held.profiles] == [2, 4]
    # Shown again, as it was.
    assert run(["profile", saved]) == 0
    assert capsys.readouterr().out == first
    # Compared at one of its batches, with a file of one.
    single = (*QUICK, "--batch", "2", "--set", "width=6", "-o", other)
    assert run(["profile", f"{network}:Net", *single]) == 0
    capsys.readouterr()
    assert run(["compare", saved, other, "--batch", "2"]) == 0
    assert "Training step" in capsys.readouterr().out
    assert run(["compare", saved, other]) == 2
    assert f"{saved}: holds batches 2, 4; choose one with --batch" in capsys.readouterr().err
    assert run(["compare", saved, other, "--batch", "16"]) == 2
    assert "holds batches 2, 4, not 16; choose one of these, such as" in capsys.readouterr().err
    # Counted, where the batch is named; asked about its network, whatever the batch.
    assert run(["summary", saved, "--batch", "4"]) == 0
    assert run(["memory", saved, "--model", f"{network}:Net"]) == 0


def test_sweep_groups_takes_the_batch_it_counts_at(
    network: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from archscope.ask.groups.times import measured_before

    saved = str(tmp_path / "run.json")
    assert run(["profile", f"{network}:Net", *QUICK, "--eval", "--batch", "2,4", "-o", saved]) == 0
    assert measured_before(saved, 4).input.batch == 4
    with pytest.raises(ArchscopeError, match="holds batches 2, 4; choose one with batch=2"):
        measured_before(saved, None)


def test_not_even_one_sample_may_run(
    network: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        measured, "largest_batch", lambda *a, **k: measured.LargestBatch(0, 0, 4 << 30, 5 << 30)
    )
    assert run(["profile", f"{network}:Net", *SMALL, "--max-batch", "--eval"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "inference on cpu: even one sample does not fit; the bound was" in printed


def test_the_largest_batch_is_predicted_tried_and_confirmed(
    network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sample takes 3·8·8 floats of input and 4·6·6 of each of three outputs: some 2 kB."""
    tried: list[int] = []

    def trial(model: str, plan: session.Plan, spec: Any, *rest: object) -> int | None:
        tried.append(spec.batch)
        return 10_000 + 4_000 * spec.batch if spec.batch < 200 else None

    monkeypatch.setattr(measured, "_trial", trial)
    told: list[str] = []
    found = measured.largest_batch(
        network_target(f"{network}:Net", input="3x8x8"),
        session.Plan(Settings(threads=1), modes=("inference",)),
        available_bytes=1_000_000,
        progress=lambda label, share: told.append(label),
    )
    assert found.bound_bytes == 800_000
    assert found.batch == tried[-1] < 200
    assert found.peak_bytes == 10_000 + 4_000 * found.batch <= 800_000
    assert told == [
        "the largest batch within 781 KiB", "memory at batch 2", "memory at batch 4",
        *(f"batch {batch} in a process of its own" for batch in tried),
    ]  # fmt: skip
    with pytest.raises(ArchscopeError, match="fails in inference"):
        measured.largest_batch(
            network_target(f"{network}:Net", input="4x8x8"), session.Plan(modes=("inference",))
        )


def test_the_largest_batch_tells_its_tries_where_there_is_no_terminal(
    network: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "_trial", lambda *rest: 1000)
    assert run(["profile", f"{network}:Greedy", *SMALL, "--max-batch", "--eval"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("measuring the largest batch within ") and "iB" in lines[0]
    assert lines[1] == "measuring memory at batch 2"


def test_jobs_of_the_reports_write_a_file_each(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "model_name", lambda device: "Test CPU (R) 3.0")
    job = jobs.Job("tiny", f"{network}:Net", 64, 2, "3x8x8", (("width", 3),))
    hungry = jobs.Job("hungry", f"{network}:Greedy", 64, 8, "3x8x8")
    rule = session.StoppingRule(max_seconds=0.02)
    monkeypatch.setattr(jobs, "ON_CPU", rule)
    written = list(jobs.measure_reports("cpu", 1, folder=tmp_path, jobs=(hungry, job)))
    assert written == [tmp_path / "test-cpu-r-3-0-tiny.json"]
    profile = archive.load(written[0])
    assert profile.input.batch == 2
    assert not list(tmp_path.glob(".*"))


def test_reports_need_their_folder(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match="is not a folder"):
        list(jobs.measure_reports("cpu", folder=tmp_path / "nowhere"))


def test_reports_cover_the_book_at_its_batch_sizes() -> None:
    """Dive into Deep Learning trains LeNet, ResNet-18 and DenseNet at 256, the others at 128."""
    batches = {job.model: job.batch for job in jobs.JOBS if job.input is not None}
    assert batches == {
        "lenet": 256, "alexnet_d2l": 128, "vgg11_quarter_d2l": 128, "nin_d2l": 128,
        "googlenet_d2l": 128, "resnet18_d2l": 256, "densenet_d2l": 256,
    }  # fmt: skip
    groups = [dict(job.keywords)["groups"] for job in jobs.JOBS if job.keywords]
    assert groups == [1, 2, 4, 8, 32]
