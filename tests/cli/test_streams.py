"""What a command does whose standard streams are closed, full, or read by nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="descriptors are those of POSIX")

HELP = [sys.executable, "-m", "archscope", "--help"]
UNKNOWN = [sys.executable, "-m", "archscope", "nonsense"]


def ended(command, *, closed=(), **streams):
    """Exit code, and what the streams got that are not given."""
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    done = subprocess.run(
        command, text=True, check=False, preexec_fn=lambda: [os.close(fd) for fd in closed], **given
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def unread():
    """A pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("command", [HELP, UNKNOWN])
def test_a_stderr_that_takes_nothing_changes_no_answer(command, unread):
    code, answer, _ = ended(command)
    assert (code, bool(answer)) == ((0, True) if command is HELP else (2, False))
    with Path("/dev/full").open("w") as full:
        assert ended(command, stderr=full)[:2] == (code, answer)
    assert ended(command, stderr=unread)[:2] == (code, answer)
    assert ended(command, closed=[2])[:2] == (code, answer)


def test_a_reader_that_left_is_no_mistake(unread):
    assert ended(HELP, stdout=unread) == (0, None, "")


def test_an_answer_that_goes_nowhere_is_one_line():
    code, _, told = ended(HELP, closed=[1])
    assert (code, told.count("\n")) == (2, 1)
    assert told.startswith("archscope: standard output: cannot be written (Bad file descriptor)")


def test_no_file_gets_what_was_meant_for_a_closed_stream(tmp_path):
    table = str(tmp_path / "devices.csv")
    command = [sys.executable, "-m", "archscope", "devices", "-o", table]
    assert ended(command)[0] == 0
    expected = (tmp_path / "devices.csv").read_bytes()
    assert ended(command, closed=[0, 1, 2])[0] == 2
    assert (tmp_path / "devices.csv").read_bytes() == expected
