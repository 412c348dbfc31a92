"""`archscope sweep` and `archscope sweep-groups` as commands."""

import json
import signal
import subprocess
import sys
import time

import pytest

from archscope import archive
from archscope.ask.count import analyse
from archscope.ask.groups import times
from archscope.ask.target import target
from archscope.cli import run
from archscope.records import Environment, Measurement, Profile
from archscope.records.measured import INTERRUPTED
from archscope.saved import cache

SWEEP = [sys.executable, "-m", "archscope", "sweep", "lenet"]


def test_a_sweep_prints_a_row_a_point_and_writes_plain_numbers(tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    journal = tmp_path / "journal.jsonl"
    assert run(["sweep", "lenet", "batch=1,2", "--journal", str(journal), "-o", str(rows)]) == 0
    printed = capsys.readouterr()
    assert "lenet over batch" in printed.out and printed.err.count("\n") == 1
    assert len(rows.read_text().splitlines()) == 3
    assert len(journal.read_text().splitlines()) == 3


def test_a_sweep_of_nothing_but_failures_exits_with_2(tmp_path, capsys):
    journal = str(tmp_path / "journal.jsonl")
    assert run(["sweep", "lenet", "wdth=1,2", "--journal", journal]) == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    ("axis", "first"),
    [
        # MACs of LeNet at a batch of 1 by hand: 416,520, of which every sample takes as many.
        ("batch=2", "The only point, batch=2, takes 833 k MACs."),
        ("batch=1,1", "The only point, batch=1, takes 417 k MACs."),
        ("input=1x28x28,3x28x28", "1 of 2 points could not be counted: input=3x28x28: "),
        ("input=3x28x28,3x2x2,1x28x28", "2 of 3 points could not be counted: such as input=3x28"),
    ],
)
def test_the_first_line_says_what_was_counted_and_what_not(axis, first, capsys):
    assert run(["sweep", "lenet", axis]) == 0
    line, _, _ = capsys.readouterr().out.partition("\n\n")
    assert line.startswith(first)
    assert ("input" not in axis) or "The other point, input=1x28x28, takes 417 k MACs." in " ".join(
        line.split()
    )


def test_a_fault_of_archscope_is_no_failed_point(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("archscope.ask.count.analyse", None)  # so that archscope's own line fails
    journal = str(tmp_path / "journal.jsonl")
    assert run(["--debug", "sweep", "lenet", "batch=1,2", "--journal", journal]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and "Traceback" in printed.err
    assert "archscope: internal error (TypeError: 'NoneType' object is not callable)" in printed.err


def test_without_a_name_the_journal_lies_in_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "archscope.saved.journal_folder.default_folder", lambda: tmp_path / "journals"
    )
    assert run(["sweep", "lenet", "batch=1,2"]) == 0
    (journal,) = (tmp_path / "journals").iterdir()
    before = journal.read_text()
    assert run(["sweep", "lenet", "batch=1,2", "--resume"]) == 0
    assert journal.read_text() == before


@pytest.fixture(params=["a file in its place", "none"])
def no_journals(request, tmp_path, monkeypatch):
    """No folder to keep journals in."""
    (tmp_path / "file").write_text("")
    place = None if request.param == "none" else tmp_path / "file" / "journals"
    monkeypatch.setattr("archscope.saved.journal_folder.default_folder", lambda: place)


def test_where_no_journal_can_be_kept_a_sweep_runs_without(no_journals, capsys):
    assert run(["sweep", "lenet", "batch=1,2"]) == 0
    printed = capsys.readouterr()
    assert "lenet over batch" in printed.out
    assert printed.err.startswith("no journal is written, so this run cannot be resumed: ")
    assert printed.err.count("\n") == 1
    assert run(["sweep", "lenet", "batch=1,2", "--resume"]) == 0
    resumed = capsys.readouterr()
    assert resumed.out == printed.out
    assert resumed.err.startswith("nothing is resumed, and no journal is written: ")
    assert resumed.err.count("\n") == 1


def test_journals_are_shown_and_cleared(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    assert run(["sweep", "lenet", "batch=1,2"]) == 0
    (journal,) = (tmp_path / "journals").iterdir()
    capsys.readouterr()
    assert run(["cache", "info", "-o", str(tmp_path / "info.csv")]) == 0
    assert f"journals,1,{journal.stat().st_size}" in (tmp_path / "info.csv").read_text()
    assert run(["cache", "clear"]) == 0
    assert "1 journal, " in capsys.readouterr().out
    assert not journal.exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_sweep_leaves_no_worker_and_resumes(tmp_path):
    journal = tmp_path / "journal.jsonl"
    batches = ",".join(map(str, range(1, 61)))
    command = [*SWEEP, f"batch={batches}", "--jobs", "2", "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.stderr.read()  # ends when the last worker has closed it
    kept = journal.read_bytes().count(b"\n") - 1
    assert 4 <= kept < 60
    rows = tmp_path / "rows.json"
    done = subprocess.run(
        [*command, "--resume", "-o", str(rows)], check=True, capture_output=True, text=True
    )
    assert done.stderr.startswith("wrote ") and done.stderr.count("\n") == 1
    entries = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert sorted(int(entry["point"]["batch"]) for entry in entries) == list(range(1, 61))


def test_sweep_groups_prints_three_views_as_one_report(tmp_path, capsys):
    page = tmp_path / "groups.md"
    assert run(["sweep-groups", "2,1", "--set", "num_classes=10", "-o", str(page)]) == 0
    text = page.read_text()
    assert [text.count(held) for held in ("equal width", "equal MACs,", "equal parameters,")]
    assert text.startswith("# Group counts of resnet50")
    assert capsys.readouterr().out.count("by group count") == 3


def test_one_view_alone(capsys):
    assert run(["sweep-groups", "1,2", "--equal", "none"]) == 0
    assert capsys.readouterr().out.count("by group count") == 1


def test_a_record_without_times_is_no_profile(tmp_path, capsys):
    record = tmp_path / "lenet.json"
    assert run(["summary", "lenet", "-o", str(record)]) == 0
    capsys.readouterr()
    assert run(["sweep-groups", "1,2", "--profile", str(record)]) == 2
    assert "holds no times" in capsys.readouterr().err


def measured(path, model, phases=("forward", "backward"), **asked):
    """A file of times of a network, as `profile -o` writes it."""
    analysis = analyse(target(model, **asked), backward=True)
    times = {phase: Measurement((0.25,), 0.2, 0.3) for phase in phases}
    profile = Profile(
        model, analysis.input, Environment("cpu"), times, keywords=analysis.keywords,
        analysis=analysis,
    )  # fmt: skip
    path.write_text(archive.dumps(profile))
    return str(path)


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"input": "3x160x160"}, "it is measured on 1×3×160×160, and the rows count 1×3×224×224"),
        ({"keywords": {"groups": 2}}, "no row has its {params:,} parameters and"),
        ({"phases": ("inference",)}, "it holds no forward or backward time"),
    ],
    ids=["input", "width", "phases"],
)
def test_sweep_groups_says_why_a_file_of_times_is_in_no_row(tmp_path, capsys, asked, reason):
    path = measured(tmp_path / "run.json", "resnet50", **asked)
    assert run(["sweep-groups", "1,2", "--equal", "none", "--profile", path]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    params = archive.load(path).analysis.total.params
    assert f"Times of {path} are not used: {reason.format(params=params)}" in printed


def test_of_two_files_of_one_row_the_later_is_named(tmp_path, capsys):
    files = [measured(tmp_path / f"{name}.json", "resnet50") for name in ("one", "two")]
    given = [argument for path in files for argument in ("--profile", path)]
    assert run(["sweep-groups", "1,2", "--equal", "none", *given]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "one.json are not used" not in printed
    assert f"Times of {files[1]} are not used: its rows already have the times" in printed


def test_sweep_groups_refuses_the_times_of_another_network(tmp_path, capsys):
    path = measured(tmp_path / "lenet.json", "lenet")
    assert run(["sweep-groups", "1,2", "--equal", "none", "--profile", path]) == 2
    assert "measured lenet, which is not a row of resnet50's (it is" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sweep", "check"])
def test_the_example_of_a_help_keeps_its_lines(command, capsys):
    assert run([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    example = {"sweep": "archscope sweep densenet growth_rate=12,24,32,40", "check": "[[budget]]"}
    assert example[command] in [line.strip() for line in lines]


def test_sweep_groups_measures_now_at_a_batch_of_eight(capsys, monkeypatch):
    def at_once(family, members, plan, progress):
        member = members[0]
        assert plan.modes == ("training",) and plan.settings.device == "cpu"
        times = {phase: Measurement((0.25,) * 6, 0.2, 0.3) for phase in ("forward", "backward")}
        return [
            Profile("resnet50", member.analysis.input, Environment("cpu"), times,
                    analysis=member.analysis, notes=(INTERRUPTED,))
        ]  # fmt: skip

    monkeypatch.setattr(times, "measured", at_once)
    command = ["sweep-groups", "1,2", "--equal", "none", "--time", "--device", "cpu"]
    assert run(command) == 130, "what Ctrl-C left is shown, and said to be a part"
    printed = " ".join(capsys.readouterr().out.split())
    assert "250 ms" in printed and "measured at batch 8 on cpu" in printed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "cpu"), "--device: goes with --time; add --time"),
        (("--time", "--device", "abacus"), "--device abacus: unknown device"),
        (("--time", "--batch", "N"), "--batch N: is not a batch size to measure at; give"),
    ],
)
def test_sweep_groups_says_what_it_cannot_measure(options, message, capsys):
    assert run(["sweep-groups", "1,2", "--equal", "none", *options]) == 2
    assert message in capsys.readouterr().err
