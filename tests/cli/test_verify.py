"""`archscope verify` and `archscope cache` as a user meets them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archscope.ask.verify import figures, verify
from archscope.cli import run
from archscope.peers import runs
from archscope.peers.runs import Peer
from archscope.peers.tools import Counted
from archscope.saved import cache


@pytest.fixture(autouse=True)
def one_tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PyTorch's own counter alone, whatever is installed, and nothing kept."""
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path / "kept"))
    own = tuple(peer for peer in runs.PEERS if peer.package == "torch")
    monkeypatch.setattr(verify.verify, "__kwdefaults__", {**DEFAULTS, "peers": own})


DEFAULTS = dict(verify.verify.__kwdefaults__ or {})


def test_agreement_is_exit_code_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "lenet"]) == 0
    printed = capsys.readouterr().out
    assert "416,520" in printed and "equal" in printed


def test_a_difference_of_no_known_reason_is_exit_code_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = Peer("fvcore", "torch", lambda network, arguments: Counted(416_521))
    monkeypatch.setattr(verify.verify, "__kwdefaults__", {**DEFAULTS, "peers": (wrong,)})
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert run(["verify", "lenet"]) == 1
    printed = capsys.readouterr().out
    red = "\x1b[1;31m"
    assert printed.startswith(red) and f"{red}{figures.UNKNOWN}" in printed
    assert "\x1b[1;32m" not in printed  # green


def test_all_networks_in_one_table(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from archscope.resolve import vision

    monkeypatch.setattr(vision, "names", lambda: ["resnet18", "quantized_resnet18", "alexnet"])
    find = verify.util.find_spec
    monkeypatch.setattr(
        verify.util, "find_spec", lambda name, *a: None if name == "timm" else find(name, *a)
    )
    saved = tmp_path / "verify.json"
    assert run(["verify", "--all", "--save", str(saved)]) == 0
    printed = capsys.readouterr()
    assert "resnet18" in printed.out and "2/2 alexnet: explained" in printed.err
    found, failures = figures.loads(saved.read_text())
    assert [v.model for v in found] == ["resnet18", "alexnet"] and failures == {}


def test_an_interrupted_run_resumes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "all_names", lambda: ["lenet", "alexnet_d2l"])
    whole = verify.verify_named

    def interrupted(name: str) -> figures.Verification:
        if name == "alexnet_d2l":
            raise KeyboardInterrupt
        return whole(name)

    command = ["verify", "--all", "--journal", str(tmp_path / "journal")]
    monkeypatch.setattr(verify, "verify_named", interrupted)
    assert run(command) == 130
    assert "1 of 2 networks are saved; --resume runs the others" in capsys.readouterr().err
    asked = list[str]()
    monkeypatch.setattr(verify, "verify_named", lambda name: asked.append(name) or whole(name))
    assert run([*command, "--resume"]) == 0
    printed = capsys.readouterr()
    assert asked == ["alexnet_d2l"] and "lenet" in printed.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify"],
        ["verify", "lenet", "--resume"],
        ["verify", "lenet", "--journal", "kept.jsonl"],
        ["verify", "lenet", "--all"],
        ["verify", "--all", "--batch", "2"],
        ["verify", "lenet", "--save", "figures.csv"],
        ["verify", "nothing_like_it"],
        ["cache", "burn"],
    ],
)
def test_a_mistake_is_exit_code_two_and_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1 and printed.out == ""


def test_the_cache_tells_what_it_holds_and_forgets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(cache.FOLDER_VARIABLE, str(tmp_path))
    cache.Store(tmp_path / "counts").put("a", "1")
    assert run(["cache", "info"]) == 0
    assert str(tmp_path) in capsys.readouterr().out.replace("\n", "")
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "Removed 1 answer, 33 B.\n"
    assert run(["cache", "clear"]) == 0
    assert capsys.readouterr().out == "Nothing was saved.\n"


def test_all_and_named_networks_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["verify", "lenet", "--all"]) == 2
    assert "--all: excludes named networks; leave out lenet" in capsys.readouterr().err
