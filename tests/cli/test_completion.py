"""What Tab completes, asked of a real bash and of the function behind it."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from archscope.cli import cli, shells
from archscope.latency.devices import devices

TAB = """
source <(_ARCHSCOPE_COMPLETE=bash_source archscope)
COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
read -r -a COMP_WORDS <<< "$1"
[[ $1 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_archscope_completion archscope "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
"""Presses Tab behind a line, whose words Bash has split at `:` and `=`, each a word of its own."""


@pytest.fixture
def archscope_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command on the path, as its installation puts it there."""
    script = tmp_path / "archscope"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -m archscope "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


def press_tab(line: str) -> list[str]:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    result = subprocess.run(
        [bash, "-c", TAB, "tab", line], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert result.stderr == ""
    return result.stdout.split()


@pytest.mark.usefixtures("archscope_command")
def test_tab_in_a_real_bash() -> None:
    assert {"resnet50_v1", "resnet50"} <= set(press_tab("archscope summary resnet50"))
    assert press_tab("archscope summary lenet --set num_c") == ["num_classes="]
    assert press_tab("archscope summary lenet --columns params,buf") == ["params,buffers"]


LINES = {
    "archscope summary lenet --columns params,buf": "params,buffers",
    "archscope predict lenet --on=rtx409": "--on=rtx4090",
    "archscope summary lenet --format cs": "csv",
}
"""What is typed before a Tab, and how the last word then reads."""


@pytest.mark.parametrize("line", LINES)
@pytest.mark.usefixtures("archscope_command")
def test_tab_in_a_real_fish(line: str) -> None:
    fish = shutil.which("fish")
    if fish is None:
        pytest.skip("there is no fish")
    script = f"_ARCHSCOPE_COMPLETE=fish_source archscope | source; complete -C '{line}'"
    result = subprocess.run([fish, "--no-config", "-c", script], capture_output=True, text=True)
    assert (result.stdout.split(), result.stderr) == ([LINES[line]], "")


@pytest.mark.parametrize("line", LINES)
@pytest.mark.usefixtures("archscope_command")
def test_tab_in_a_real_zsh(line: str) -> None:
    """The line is typed into a terminal; Ctrl-A and `print` in front show what Tab made of it."""
    zsh = shutil.which("zsh")
    if zsh is None:
        pytest.skip("there is no zsh")
    setup = (
        "autoload -Uz compinit && compinit -u -D; unsetopt zle_bracketed_paste; "
        'eval "$(_ARCHSCOPE_COMPLETE=zsh_source archscope)"; echo be""gin\n'
    )
    child, terminal = pty.fork()
    if child == 0:
        os.execv(zsh, [zsh, "-f", "-i"])
    try:
        os.write(terminal, setup.encode())
        _read_until(terminal, "begin\r\n")
        os.write(terminal, f"{line}\t\x01print -r -- '<\x05>'\n".encode())
        shown = _read_until(terminal, ">\r\n")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)
    assert re.findall(r"(\S+)\s*>\r\n", shown)[-1] == LINES[line]


def _read_until(terminal: int, end: str) -> str:
    """What the terminal shows, up to `end`, for at most a minute."""
    shown = ""
    until = time.monotonic() + 60
    while end not in shown and time.monotonic() < until:
        if select.select([terminal], [], [], 1)[0]:
            shown += os.read(terminal, 65536).decode(errors="replace")
    assert end in shown, shown
    return shown


@pytest.mark.usefixtures("archscope_command")
def test_tab_behind_a_colon() -> None:
    """Bash replaces only what follows the colon."""
    pytest.importorskip("timm")
    assert "convnext_tiny" in press_tab("archscope summary timm : convnext_t")


def complete(words: str, incomplete: str) -> list[str]:
    asked = shells.Bash(cli, {}, "archscope", "")
    return [str(item.value) for item in asked.get_completions(words.split(), incomplete)]


def test_names_keys_and_devices() -> None:
    assert complete("compare lenet", "lenet5_19") == ["lenet5_1998"]
    assert complete("summary lenet --sort", "act") == ["activation_bytes"]
    assert complete("summary lenet --set", "num_c") == ["num_classes="]
    assert complete("summary nets.py:Net --set", "num_c") == [], "no file is imported for a Tab"
    first = sorted(devices())[0]
    assert first in complete("predict lenet --on", first[:3])


def test_files_where_no_network_has_the_name() -> None:
    for words in ("summary", "summary lenet -o"):
        items = shells.Bash(cli, {}, "archscope", "").get_completions(words.split(), "nets")
        assert [item.type for item in items] == ["file"]


@pytest.mark.parametrize("command", sorted(cli.list_commands(click.Context(cli))))
def test_no_command_fails_under_a_tab(command: str) -> None:
    complete(command, "")
    complete(f"{command} lenet", "--")
