"""`archscope sweep` and `archscope sweep-groups` as commands."""

import json
import signal
import subprocess
import sys
import time

import pytest

from archscope.cli import run

SWEEP = [sys.executable, "-m", "archscope", "sweep", "lenet"]


def test_a_sweep_prints_a_row_a_point_and_writes_plain_numbers(tmp_path, capsys):
    rows = tmp_path / "rows.csv"
    journal = tmp_path / "journal.jsonl"
    assert run(["sweep", "lenet", "batch=1,2", "--journal", str(journal), "-o", str(rows)]) == 0
    printed = capsys.readouterr()
    assert "lenet over batch" in printed.out and printed.err == ""
    assert len(rows.read_text().splitlines()) == 3
    assert len(journal.read_text().splitlines()) == 3


def test_a_sweep_of_nothing_but_failures_exits_with_2(tmp_path, capsys):
    journal = str(tmp_path / "journal.jsonl")
    assert run(["sweep", "lenet", "wdth=1,2", "--journal", journal]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_a_name_the_journal_lies_in_the_cache(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("archscope.study.journal.default_folder", lambda: tmp_path / "sweeps")
    assert run(["sweep", "lenet", "batch=1,2"]) == 0
    (journal,) = (tmp_path / "sweeps").iterdir()
    before = journal.read_text()
    assert run(["sweep", "lenet", "batch=1,2", "--resume"]) == 0
    assert journal.read_text() == before


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
    assert done.stderr == ""
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


@pytest.mark.parametrize("command", ["sweep", "check"])
def test_the_example_of_a_help_keeps_its_lines(command, capsys):
    assert run([command, "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    example = {"sweep": "archscope sweep densenet growth_rate=12,24,32,40", "check": "[[budget]]"}
    assert f"  {example[command]}" in lines
