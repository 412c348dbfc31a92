"""Files named like Python's own modules, beside the user or on the way to the modules."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing import util
from pathlib import Path
from types import ModuleType

import pytest

from archscope.cli.fault import of_others
from archscope.engines.local import _isolated
from archscope.hiding import hidden

DEVICES = [sys.executable, "-m", "archscope", "devices", "rtx4090"]


def ended(folder: Path, *places: str) -> subprocess.CompletedProcess[str]:
    """A short command in a folder, with further places where Python searches first."""
    path = os.pathsep.join((*places, *(place for place in sys.path if place)))
    return subprocess.run(
        DEVICES, cwd=folder, env={**os.environ, "PYTHONPATH": path}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


def test_the_current_folder_hides_nothing(tmp_path: Path) -> None:
    for name in ("copy", "random", "dataclasses", "queue"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('hidden')")
    done = ended(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "RTX 4090" in done.stdout


@pytest.mark.parametrize("text", ["x = 1", "1 / 0"])
def test_a_hidden_module_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "dataclasses.py").write_text(text)
    done = ended(tmp_path, str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"archscope: {tmp_path / 'dataclasses.py'}: hides Python's own module dataclasses; "
        "rename the file\n"
    )


def test_what_is_due_to_a_hidden_module_is_not_archscope_s_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    error = ImportError("cannot import name 'deepcopy' from 'copy'")
    assert hidden(error) == "" == of_others(error)
    other = ModuleType("copy")
    other.__file__ = "/home/me/\x1b[2J/copy.py"
    monkeypatch.setitem(sys.modules, "copy", other)
    expected = "/home/me/?[2J/copy.py: hides Python's own module copy; rename the file"
    assert hidden(error) == expected
    assert of_others(error) == f"{expected} (ImportError: {error})"


def test_workers_of_an_older_python_do_not_search_the_current_folder() -> None:
    before = util._args_from_interpreter_flags()  # type: ignore[attr-defined]
    with _isolated():
        assert util._args_from_interpreter_flags() == [*before, "-I"]  # type: ignore[attr-defined]
    assert util._args_from_interpreter_flags() == before  # type: ignore[attr-defined]
