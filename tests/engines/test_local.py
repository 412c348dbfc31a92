"""Tasks spread over processes: a fault of the function itself ends the run, and is shown."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archscope.engines.engine import WorkerError
from archscope.engines.local import Local


def test_what_the_function_raises_here_is_raised():
    with pytest.raises(ValueError, match="no number"):
        dict(Local().completed(int, ["1", "no number"]))


@pytest.mark.parametrize(
    ("function", "task", "reason"),
    [
        (int, "no number", "ValueError: invalid literal"),
        (open, "no such file", "FileNotFoundError: "),
        (memoryview, b"", "TypeError: cannot pickle"),
    ],
    ids=["raises", "raises OSError", "result cannot be sent"],
)
def test_what_it_raises_in_a_worker_is_raised_here_with_its_traceback(function, task, reason):
    with pytest.raises(WorkerError, match=reason) as raised:
        list(Local(2).completed(function, [task]))
    assert "Traceback (most recent call last)" in str(raised.value)


SCRIPT = """
from archscope.engines.local import Local

if __name__ == "__main__":
    asked = "(__import__('queue').Queue.__module__, __import__('os').environ.get('PYTHONSAFEPATH'))"
    print(list(Local(2, ["queue"]).completed(eval, [asked])))
"""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python cannot keep the folder out")
def test_a_file_in_the_current_folder_hides_no_module_of_python_from_a_worker(tmp_path):
    """A folder of the user may hold a `queue.py`, which torch would import."""
    (tmp_path / "here").mkdir()
    for name in ("queue", "copy", "selectors", "signal"):
        (tmp_path / "here" / f"{name}.py").touch()
    (tmp_path / "start.py").write_text(SCRIPT, encoding="utf-8")
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    environment.pop("PYTHONSAFEPATH", None)
    command = [sys.executable, str(tmp_path / "start.py")]
    ended = subprocess.run(
        command, cwd=tmp_path / "here", env=environment, capture_output=True, text=True, timeout=60
    )
    assert ended.stdout.strip() == "[(0, ('queue', None))]", ended.stderr
