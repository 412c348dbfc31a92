"""A journal costs its run nothing, and nothing that archscope did not begin is written."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import archscope
from archscope.cli import run
from archscope.saved import cache

SWEEP = ["sweep", "lenet", "batch=1,2,3"]
SHORT = ["sweep", "lenet", "batch=1"]
NETS = """
from torch import nn
from helper import WIDTH

def net(width=2):
    return nn.Linear(width, WIDTH)
"""


READ = "from pathlib import Path\nWIDTH = int(Path('w').read_text())"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.parametrize("resume", [[], ["--resume"]])
@pytest.mark.parametrize(
    "content",
    [
        b"The thesis.\n",
        b'{"archscope": "analysis", "schema": 1}\n',
        b'{"point": {"batch": "1"}}\n{"point": {"batch": "2"}}\n',
        b"\0" * 1000,
        b"no line end",
        b" {",
        b'{"archscope": "journal", by Darwin\n',
        b'{"archscope": "journal", "author": "Darwin"}\nOn the origin\n',
    ],
)
def test_a_file_that_is_no_journal_stays_as_it_is(
    content: bytes, resume: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = Path("thesis.txt")
    file.write_bytes(content)
    assert run([*SWEEP, "--journal", "thesis.txt", *resume]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert "is not a journal of archscope, so it is left as it is" in told.err
    assert file.read_bytes() == content


def test_a_journal_of_another_run_is_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SWEEP, "--journal", "j"]) == 0
    before = Path("j").read_bytes()
    assert run(["sweep", "lenet", "batch=1,2,3,4", "--journal", "j", "--resume"]) == 2
    assert "was written for another run" in capsys.readouterr().err
    assert Path("j").read_bytes() == before


def make_useless(kind: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    elif kind == "full":
        path.symlink_to("/dev/full")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "nowhere":
        path.symlink_to("/proc/nowhere")
    elif kind == "another user's":
        path.write_text("")
        try:
            os.chown(path, 12345, 12345)
        except PermissionError:
            pytest.skip("only root gives files away")


KINDS = ["pipe", "zeros", "full", "folder", "loop", "nowhere"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_useless_journal_costs_one_line(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    make_useless(kind, Path("j"))
    lost = {
        "": "no journal is written, so this run cannot be resumed",
        "--resume": "nothing is resumed, and no journal is written",
    }
    for resume, said in lost.items():
        assert run([*SHORT, "--journal", "j", *filter(None, [resume])]) == 0
        told = capsys.readouterr()
        assert told.err.count("\n") == 1 and told.err.startswith(f"{said}: j cannot be opened (")
        assert "61,706" in told.out or "61.71 k" in told.out
    with pytest.warns(UserWarning, match="no journal is written"):
        assert archscope.sweep("lenet", {"batch": [1]}, journal="j").record


def test_a_file_that_is_write_protected_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.md").write_text("precious")
    # As for any user but root, whom no mode of a file stops.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).is_dir())
    assert run(["summary", "lenet", "-o", "mine.md"]) == 2
    assert capsys.readouterr().err == "archscope: -o mine.md: is read-only; choose another\n"
    assert Path("mine.md").read_text() == "precious"


def test_no_file_is_written_over_a_journal(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SHORT, "--journal", "j.json"]) == 0
    capsys.readouterr()
    assert run([*SHORT, "--journal", "j.json", "--resume", "-o", "j.json"]) == 2
    before = Path("j.json").read_bytes()
    assert run(["summary", "lenet", "-o", "j.json"]) == 2
    assert capsys.readouterr().err == (
        "archscope: -o j.json: is the journal of a run; choose another\n" * 2
    )
    assert Path("j.json").read_bytes() == before
    assert run([*SHORT, "--journal", "j.json", "--resume", "-o", "rows.csv"]) == 0


@pytest.mark.parametrize("kind", [*KINDS, "another user's"])
def test_a_planted_journal_costs_one_line(
    kind: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(SHORT) == 0
    (journal,) = (here / "cache" / "journals").iterdir()
    journal.unlink()
    make_useless(kind, journal)
    capsys.readouterr()
    assert run(SHORT) == 0
    told = capsys.readouterr()
    assert told.err.startswith("no journal is written, so this run cannot be resumed: ")
    assert told.err.count("\n") == 1 and "lenet over batch" in told.out


def test_damaged_lines_are_counted_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*SWEEP, "--journal", "j", "-o", "whole.json"]) == 0
    head, one, two, three = Path("j").read_text().splitlines()
    (broken := json.loads(two))["total"]["macs"] = -1
    twisted = json.loads(three)
    twisted["total"]["trainable_params"] += 1
    Path("j").write_text(
        "\n".join([head, one, json.dumps(broken), json.dumps(twisted), "\x00{", ""])
    )
    capsys.readouterr()
    assert run([*SWEEP, "--journal", "j", "--resume", "-o", "again.json"]) == 0
    assert "3 of the journal's lines are damaged; they are counted again" in capsys.readouterr().err
    assert Path("again.json").read_text() == Path("whole.json").read_text()


def test_a_changed_helper_is_counted_again(capsys: pytest.CaptureFixture[str]) -> None:
    Path("nets.py").write_text(NETS)
    Path("helper.py").write_text("WIDTH = 3\n")
    sweep = ["sweep", "nets.py:net", "batch=1,2", "--input", "2", "--journal", "j"]
    assert run(sweep) == 0
    assert run([*sweep, "--resume"]) == 0
    capsys.readouterr()
    Path("helper.py").write_text("WIDTH = 5\n")
    assert run([*sweep, "--resume", "-o", "rows.csv"]) == 0
    told = capsys.readouterr().err
    assert told.startswith("2 of the journal's entries were counted by other sources")
    assert "sources changed" not in told
    rows = Path("rows.csv").read_text().splitlines()
    assert [row.split(",")[1] for row in rows[1:]] == ["15", "15"]  # 2·5 weights and 5 biases


def test_what_is_unknown_is_counted_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("nets.py").write_text(NETS.replace("from helper import WIDTH", READ))
    Path("w").write_text("3")
    sweep = ["sweep", "nets.py:net", "batch=1,2", "--input", "2", "--journal", "j"]
    assert run(sweep) == 0
    Path("w").write_text("5")
    monkeypatch.setattr("archscope.resolve.user_code._IMPORTED", {})  # as in a new process
    assert run([*sweep, "--resume", "-o", "rows.csv"]) == 0
    assert "cannot be trusted" in capsys.readouterr().err
    assert all(",15," in row for row in Path("rows.csv").read_text().splitlines()[1:])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import os\nNAME = os.name\n", "nets.py imports os, which may read anything"),
        ("\nREAD = open\n", "line 2 of nets.py may read files, ask the machine or draw numbers"),
    ],
)
def test_why_nothing_can_be_trusted_is_said(
    capsys: pytest.CaptureFixture[str], text: str, why: str
) -> None:
    """By the run that finds the journal, and by the one that is resumed."""
    Path("nets.py").write_text(text + NETS.replace("from helper import WIDTH", "WIDTH = 3"))
    sweep = ["sweep", "nets.py:net", "batch=1,2", "--input", "2", "--journal", "j"]
    assert run(sweep) == 0
    assert run(sweep) == 2
    assert f"add --resume to count them again ({why}), or name" in capsys.readouterr().err
    assert run([*sweep, "--resume"]) == 0
    assert f"cannot be trusted, since {why}; they are counted" in capsys.readouterr().err


def test_a_sweep_over_group_counts_says_why_too(capsys: pytest.CaptureFixture[str]) -> None:
    """As measurements do, whose journal asks the same object."""
    Path("nets.py").write_text(
        "import os\nfrom torch import nn\n\nNAME = os.name\n\n"
        "class Net(nn.Sequential):\n"
        "    def __init__(self, width=4, groups=1):\n"
        "        super().__init__(nn.Conv2d(4, width, 1, groups=groups))\n"
    )
    command = ["sweep-groups", "1", "--base", "nets.py:Net", "--input", "4x1x1", "--equal", "none"]
    assert run([*command, "--journal", "j"]) == 0
    capsys.readouterr()
    assert run([*command, "--journal", "j"]) == 2
    why = "add --resume to count them again (nets.py imports os, which may read anything), or name"
    assert why in capsys.readouterr().err


@contextmanager
def full_disk() -> Iterator[None]:
    """A limit on the size of files is how a disk is full for one process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_costs_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = ["sweep", "lenet", "batch=1,2,3,4,5", "-o"]
    with full_disk():
        assert run([*sweep, "first.csv", "--journal", "j"]) == 0
    wrote, ends = capsys.readouterr().err.splitlines()
    assert wrote.startswith("wrote first.csv")
    assert ends == "the journal ends early (File too large), but this run has every point"
    assert run([*sweep, "whole.csv"]) == 0
    lines = Path("j").read_text().splitlines(keepends=True)
    assert all(line.endswith("\n") and json.loads(line) for line in lines)
    capsys.readouterr()
    assert run([*sweep, "again.csv", "--journal", "j", "--resume"]) == 0
    assert capsys.readouterr().err.startswith("wrote again.csv")
    first, whole, last = (Path(f"{name}.csv").read_bytes() for name in ("first", "whole", "again"))
    assert first == whole == last


# The cache folder


def test_a_folder_of_other_files_is_left_alone(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("journals/mine.jsonl", "counts/mine.kept", "counts/mine.part"):
        file = here / "home" / place
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("precious")
    before = sorted((here / "home").rglob("*"))
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(here / "home"))
    assert run(["summary", "lenet"]) == 0
    assert run(SWEEP) == 0
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out.endswith("Nothing was saved.\n")
    assert sorted((here / "home").rglob("*")) == before


def test_an_empty_home_leads_nowhere(here: Path) -> None:
    for place in (".cache/archscope/journals/mine.jsonl", "archscope/journals/mine.jsonl"):
        file = here / place
        file.parent.mkdir(parents=True)
        file.write_text("precious")
    empty = {**os.environ, "HOME": "", "XDG_CACHE_HOME": ""}
    del empty[cache.FOLDER_VARIABLE]
    asked = "from archscope.saved import cache; print(cache.folder())"
    for environment in (empty, {**empty, "HOME": "."}, {**empty, "XDG_CACHE_HOME": "."}):
        done = subprocess.run(
            [sys.executable, "-c", asked],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        place = done.stdout.strip()
        assert place == "None" or not Path(place).is_relative_to(here)


@pytest.mark.parametrize("kind", ["pipe", "zeros", "another user's"])
def test_a_planted_answer_is_as_if_never_kept(kind: str, here: Path) -> None:
    store = cache.store(cache.COUNTS)
    assert store is not None
    store.put("a", "1")
    (entry,) = store.folder.iterdir()
    content = entry.read_bytes()
    entry.unlink()
    make_useless(kind, entry)
    if kind == "another user's":
        entry.write_bytes(content)
    assert store.get("a") is None
    entry.unlink(missing_ok=True)
    store.put("a", "1")
    assert store.get("a") == "1"


def test_a_folder_that_others_can_write_in_is_not_used(here: Path) -> None:
    folder = here / "cache"
    folder.mkdir(mode=0o700)
    folder.chmod(0o777)
    store = cache.store(cache.COUNTS)
    assert store is not None
    store.put("a", "1")
    assert store.get("a") is None and list(folder.iterdir()) == []


def test_the_mark_of_another_program_is_none(here: Path) -> None:
    place = here / "other"
    (place / "journals").mkdir(parents=True)
    (place / "journals" / "mine.jsonl").write_text("precious")
    (place / cache.TAG).write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    assert not cache.is_ours(place)


def test_a_user_without_a_home_loses_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pwd

    for variable in (cache.FOLDER_VARIABLE, "HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # nor an entry in /etc/passwd
    assert run(["summary", "lenet"]) == 0
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().err == ""
    assert run(SWEEP) == 0
    told = capsys.readouterr().err
    why = "there is no cache folder"
    assert told == f"no journal is written, so this run cannot be resumed: {why}\n"
    assert run(["summary", "hf:~nobody-of-that-name/bert"]) == 2
    assert "archscope's fault" not in capsys.readouterr().err


def test_what_another_user_planted_is_not_taken(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("shared", "private"):
        Path(folder).mkdir()
        assert run([*SHORT, "--journal", f"{folder}/j"]) == 0
    Path("shared").chmod(0o1777)
    assert run(SHORT) == 0
    capsys.readouterr()
    monkeypatch.setattr(os, "geteuid", lambda: 12345)  # all of that is another user's
    assert run(SHORT) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "cache belongs to another user" in told
    assert run([*SHORT, "--journal", "shared/j"]) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "in a folder where anyone can write" in told
    assert run([*SHORT, "--journal", "shared/j", "--resume"]) == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and told.startswith(
        "nothing is resumed, and no journal is written"
    )
    assert run([*SHORT, "--journal", "private/j", "--resume"]) == 0  # a colleague's
