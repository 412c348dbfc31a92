"""Files are there whole or not at all, whoever writes them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import reports
from archscope import archive
from archscope.errors import ArchscopeError
from archscope.files import read_text, replace_file
from archscope.parameters import parameter
from archscope.records import Analysis, InputSpec
from archscope.saved.cache import Store
from reports import count
from reports.data import Data


def rebuilt(folder: Path) -> None:
    reports.rebuild(folder)


def recounted(folder: Path) -> None:
    count.recount(folder)


def kept(folder: Path) -> None:
    Store(folder).put("question", "answer")


def written(folder: Path) -> None:
    replace_file(folder / "run.md", b"new")


def half_written(self: Path, content: bytes) -> int:
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError(28, "No space left on device")


def not_renamed(self: Path, target: Path) -> None:
    raise OSError(13, "Permission denied")


@pytest.fixture
def no_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and counts that take no time."""
    monkeypatch.setattr(Data, "load", lambda folder: None)
    monkeypatch.setattr(reports, "files", lambda data: {"README.md": b"new page"})
    monkeypatch.setattr(
        count, "_analyses", lambda: ({"net": Analysis("net", InputSpec(()), ())}, {})
    )
    for facts in ("_published", "_training_tensors"):
        monkeypatch.setattr(count, facts, dict)
    monkeypatch.setattr(count, "depth", lambda name: 1)


@pytest.mark.usefixtures("no_counting")
@pytest.mark.parametrize("write", [written, rebuilt, recounted, kept])
@pytest.mark.parametrize("step", [("write_bytes", half_written), ("replace", not_renamed)])
def test_a_write_that_fails_leaves_nothing_behind(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: Callable[[Path], None],
    step: tuple[str, Callable[..., object]],
) -> None:
    with monkeypatch.context() as patch, suppress(ArchscopeError):
        patch.setattr(Path, *step)
        write(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_message_names_the_file_and_the_option_that_gave_it(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "run.md"
    with pytest.raises(ArchscopeError, match=f"^save='{path}': cannot be written"):
        replace_file(path, b"", parameter("save", path))
    with pytest.raises(ArchscopeError, match=f"^{path}: cannot be written"):
        replace_file(path, b"")


@pytest.mark.parametrize("read", [read_text, archive.load])
def test_what_cannot_be_read_is_told_in_one_line(
    tmp_path: Path, read: Callable[[Path], object]
) -> None:
    with pytest.raises(ArchscopeError, match=r"cannot be read \(No such file"):
        read(tmp_path / "run.json")
    (tmp_path / "run.json").write_bytes(b"\xff")
    with pytest.raises(ArchscopeError, match=r"cannot be read \(is not text\)"):
        read(tmp_path / "run.json")
