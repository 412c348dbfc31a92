"""Damaged files and senseless arguments: one line, a clean exit code, nothing half-written."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import nn

import archscope
from archscope import archive
from archscope.ask.signal import signal
from archscope.ask.target import target
from archscope.cli import run
from archscope.errors import ArchscopeError
from archscope.records import (
    BatchSweep,
    Environment,
    InputSpec,
    Measurement,
    Profile,
    TensorSpec,
)
from tests.fuzz.networks import many


@cache
def saved() -> dict[str, str]:
    """A record of each kind."""
    network = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2))
    x = torch.zeros(1, 2, 4, 4)
    analysis = archscope.summary(network, x, backward=True).analysis
    samples = Measurement((0.25,) * 8, 0.25, 0.25)
    spec = InputSpec((TensorSpec((4, 1, 28, 28)),))
    profile = Profile("lenet", spec, Environment("cpu"), {"forward": samples}, analysis=analysis)
    records = {
        "analysis": analysis,
        "named": archscope.summary("lenet").analysis,
        "profile": profile,
        "batch sweep": BatchSweep((profile, profile)),
        "memory": archscope.memory("lenet").record,
        "signal": signal([target("lenet")]),
    }
    return {kind: archive.dumps(record) for kind, record in records.items()}


# What is read


def is_refused(text: str) -> bool:
    """Whether a text is not a record; otherwise it must be one that is written and read again."""
    try:
        record = archive.loads(text)
    except ArchscopeError as error:
        assert len(str(error).splitlines()) == 1
        return True
    again = archive.dumps(record)
    assert archive.dumps(archive.loads(again)) == again
    return False


@many
@given(st.text())
@example("[" * 100_000)  # deeper than Python's own stack
@example("null")
def test_random_text_is_no_record(text: str) -> None:
    assert is_refused(text)


@many
@given(st.integers(0, 10**6), st.sampled_from(["analysis", "batch sweep", "memory", "signal"]))
def test_a_record_cut_short_is_refused(length: int, kind: str) -> None:
    text = saved()[kind].rstrip()
    with pytest.raises(ArchscopeError):
        archive.loads(text[: length % len(text)])


# The command line


SHOWS = [
    ["summary", "FILE"], ["summary", "FILE", "--all"], ["summary", "FILE", "--sort", "params"],
    ["summary", "FILE", "--strict"], ["explain", "FILE"], ["compare", "FILE", "lenet"],
    ["compare", "FILE", "FILE"], ["diff", "FILE", "FILE"], ["diff", "lenet", "FILE"],
    ["memory", "FILE"], ["profile", "FILE"], ["signal", "FILE"], ["formula", "FILE"],
    ["receptive-field", "FILE"], ["check", "FILE"],
]  # fmt: skip
"""Every command that takes a saved record."""

OUTPUTS = ["out.md", "out.csv", "out.json", "out.html", "out.tex"]


class Open(HTMLParser):
    """The tags of a page that are still open at its end."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: Any) -> None:
        if tag not in ("meta", "img", "br", "source"):
            self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.tags.pop() == tag


def require_whole(file: Path) -> None:
    """Refuse a file that is not all there."""
    if file.suffix in (".png", ".pdf"):
        end = {".png": b"IEND\xaeB`\x82", ".pdf": b"%%EOF\n"}[file.suffix]
        assert file.read_bytes().endswith(end)
        return
    text = file.read_text(encoding="utf-8")
    assert text.endswith("\n") or file.suffix == ".svg"
    if file.suffix == ".json":
        json.loads(text)
    elif file.suffix == ".csv":
        list(csv.reader(text.splitlines(), strict=True))
    elif file.suffix == ".html":
        assert not Open(text).tags


def ends_cleanly(
    arguments: list[str], folder: Path, capsys: pytest.CaptureFixture[str], inputs: set[Path],
    damaged: bool = False,
) -> int:  # fmt: skip
    """Run a command in a folder that holds `inputs` alone, and leave it so.

    Only a damaged file may turn out on the way to hold numbers that contradict each other.
    """
    capsys.readouterr()
    code = run(arguments)
    complaint = capsys.readouterr().err
    assert code in (0, 1, 2), arguments
    assert "Traceback" not in complaint, arguments
    assert "internal error" not in complaint, (arguments, complaint)
    assert damaged or "cannot be shown" not in complaint, (arguments, complaint)
    written = set(folder.iterdir()) - inputs
    if code == 2:
        assert len(complaint.strip().split("\n")) == 1, complaint
        assert not written, arguments
    for file in written:
        require_whole(file)
        file.unlink()
    return code


@many
@given(st.binary(max_size=200), st.sampled_from(SHOWS))
def test_random_bytes_are_no_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes, command: list[str]
) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(data)
    arguments = [str(file) if word == "FILE" else word for word in command]
    assert ends_cleanly(arguments, tmp_path, capsys, {file}) == 2


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container of a parsed file with each of its keys."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], (dict, list)):
            found += places(value[key])
    return found


@dataclass(frozen=True)
class Damage:
    """A record with one value left out, doubled or replaced.

    Args:
        kind: of the record.
        text: what is left of it.
        certain: whether no record can hold such a value in this place.
    """

    kind: str
    text: str
    certain: bool


@st.composite
def damaged(draw: Any) -> Damage:
    kind = draw(st.sampled_from(list(saved())))
    content = json.loads(saved()[kind])
    container, key = draw(st.sampled_from(places(content)))
    value = container[key]
    if isinstance(container, dict) and draw(st.integers(0, 3)) == 0:
        del container[key]
        return Damage(kind, json.dumps(content), certain=False)
    if isinstance(value, list) and draw(st.booleans()):
        changed = value[:-1] if draw(st.booleans()) else value * 2
    elif isinstance(value, (int, float)) and draw(st.booleans()):
        changed = draw(st.integers(-2, 2) | st.floats())
    else:
        changed = draw(VALUES)
    container[key] = changed
    # Objects are records, and a whole number under a name is one; lists hold what they like.
    another = isinstance(value, dict) != isinstance(changed, dict) and changed is not None
    no_number = isinstance(key, str) and type(value) is int and isinstance(changed, (str, list))
    return Damage(kind, json.dumps(content), another or no_number)


@many
@given(damaged(), st.data())
def test_a_record_with_one_value_changed_is_refused_or_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Damage, data: st.DataObject
) -> None:
    refused = is_refused(damage.text)
    assert refused or not damage.certain
    file = tmp_path / "run.json"
    file.write_text(damage.text)
    own = [words for words in SHOWS if words[0] == damage.kind]
    command = data.draw(st.sampled_from(own or SHOWS) | st.sampled_from(SHOWS))
    outputs = data.draw(st.lists(st.sampled_from(OUTPUTS), max_size=1))
    arguments = [str(file) if word == "FILE" else word for word in command]
    arguments += [word for name in outputs for word in ("-o", str(tmp_path / name))]
    code = ends_cleanly(arguments, tmp_path, capsys, {file}, damaged=True)
    assert code == 2 or not refused


COMMANDS = (
    "summary", "models", "compare", "sweep-groups", "sweep", "explain", "formula",
    "receptive-field", "memory", "signal", "profile", "check", "diff", "cache",
)  # fmt: skip
WORDS = st.sampled_from(
    [
        *(command for command in COMMANDS if command != "profile"),
        "lenet", "resnet_block", "--input", "1x28x28", "0x0", "3xHxW", "ids=3:int64",
        "--batch", "-1", "2", "N", "--set", "k=v", "num_classes=2", "num_classes=2,3", "=", "-o",
        *OUTPUTS, "out.png", "nowhere/out.csv", "out.xyz", ".", "--depth", "--sort", "macs",
        "--columns", "--backward", "--train-only", "*", "[", "--strict", "--all", "--help",
        "--debugx", "-", "--", "nets.py:Net", "nets.py:Exits", "nets.py:", "timm:", ":", "a:b",
        "run.json", "bad.json", "a.json", "budget.toml", "1,2", "--fit", "1GiB", "--layers", "",
        "\x00", "🙂", "\n",
    ]
)  # fmt: skip
BUDGET = """
[[budget]]
model = "lenet"
max_macs = "1M"
[[budget]]
model = "run.json"
max_params = "1k"
"""
NETS = """
import sys
from torch import nn
class Net(nn.Linear):
    def __init__(self): super().__init__(28, 2)
class Exits(Net):
    def forward(self, x): sys.exit("bye")
"""


def sensible(command: str) -> Any:
    """A command with arguments that make sense more often than random words do."""
    models = ["lenet", "nets.py:Net", "run.json", "bad.json", "nets.py:Exits"]
    if command in ("check", "sweep-groups"):
        models = ["budget.toml"] if command == "check" else ["1,2", "4", "0", "lenet"]
    model = st.sampled_from(models)
    short = ["--max-seconds", "0.001"] if command == "profile" else []
    option = st.sampled_from(
        [[], [], ["-o", "out.html"], ["-o", "out.md"], ["-o", "out.json"], ["-o", "out.csv"],
         ["--input", "1x28x28"], ["--batch", "2"], ["--set", "num_classes=2"], ["--backward"]]
    )  # fmt: skip
    return st.tuples(model, model, option, option, st.lists(WORDS, max_size=2)).map(
        lambda parts: (
            [command, *short, *parts[:1], *parts[2], *parts[3], *parts[4]]
            if command not in ("compare", "diff")
            else [command, *parts[:2], *parts[2], *parts[3], *parts[4]]
        )
    )


@many
@given(
    st.lists(WORDS | st.text(max_size=6), max_size=6) | st.sampled_from(COMMANDS).flatmap(sensible)
)
@example(["summary", "lenet", "--input", "1x28x28", "-o", "out.xyz"])
@example(["summary", "lenet", "-o", "nowhere/out.csv"])
@example(["summary", "lenet", "-o", "out.md", "-o", "out.png"])
@example(["compare", "lenet", "lenet5", *(word for name in OUTPUTS for word in ("-o", name))])
@example(["explain", "lenet", *(word for name in OUTPUTS for word in ("-o", name))])
def test_random_arguments_end_cleanly(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = {"nets.py": NETS, "budget.toml": BUDGET}
    inputs |= {"run.json": saved()["named"], "bad.json": saved()["memory"][:-9]}
    for name, text in inputs.items():
        (tmp_path / name).write_text(text)
    words = [word for word in arguments if word != "--debug"]
    ends_cleanly(words, tmp_path, capsys, {tmp_path / name for name in inputs})
