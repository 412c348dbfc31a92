"""Only a fault of archscope's own is called one."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from archscope.cli import cli, run
from tests.attack.figures import noted

NETS = """
from torch import nn

class Odd(BaseException): pass

def raised(error):
    class Net(nn.Linear):
        def __init__(self): super().__init__(2, 2)
        def forward(self, x): raise error
    return Net

Memory, Disk = raised(MemoryError()), raised(OSError(28, "No space left on device"))
Base, Plain = raised(Odd("odd")), raised(RuntimeError("plain"))

class Repr(nn.Linear):
    def __init__(self): super().__init__(2, 2)
    def extra_repr(self): raise ZeroDivisionError("repr")

class Attribute(nn.Linear):
    def __init__(self): super().__init__(2, 2)
    def __getattr__(self, name): raise ZeroDivisionError("attribute")

class Built(nn.Module):
    def __init__(self): raise KeyError("built")
"""


@pytest.mark.parametrize("name", ["Memory", "Disk", "Base", "Plain", "Attribute", "Built"])
@pytest.mark.parametrize(
    "command", [["summary"], ["memory"], ["signal"], ["predict", "--on", "a100"]]
)
def test_a_network_that_fails_is_not_archscope_s_fault(
    command: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nets.py"
    file.write_text(NETS, encoding="utf-8")
    assert run([*command, f"{file}:{name}", "--input", "2"]) == 2
    told = capsys.readouterr().err
    noted("failing networks", 1, tracebacks="Traceback" in told)
    assert "archscope's fault" not in told and told.count("\n") == 1


OURS = str(Path(str(cli.callback and cli.callback.__code__.co_filename)))


@pytest.mark.parametrize(
    ("error", "file", "words"),
    [
        (MemoryError(), OURS, "out of memory"),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), OURS, "free some space"),
        (OSError(errno.EIO, "Input/output error"), OURS, "the operating system refuses"),
        (GeneratorExit("odd"), OURS, "the network's code fails"),
        (ValueError("theirs"), "/home/me/nets.py", "/home/me/nets.py:1: the network's code fails"),
        (ValueError("ours"), OURS, "this is archscope's fault"),
    ],
)
def test_an_unexpected_exception_has_an_owner(
    error: BaseException,
    file: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*_: object, **__: object) -> None:
        exec(compile("raise error", file, "exec"), {"error": error})

    monkeypatch.setattr(cli, "main", fail)
    assert run(["summary", "lenet"]) == 2
    assert words in capsys.readouterr().err
