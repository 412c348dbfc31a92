"""Tasks spread over processes: a fault of the function itself ends the run, and is shown."""

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
