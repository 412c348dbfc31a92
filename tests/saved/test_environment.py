"""What decides an answer besides sources changes its key."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ASKED = "from archscope.saved.environment import environment; print(environment())"


def said(*flags: str, **variables: str) -> str:
    """The environment of a process that was started so."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", ASKED], env={**os.environ, **variables},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("flags", "variables"),
    [
        (["-O"], {}),
        (["-Wignore"], {}),
        ([], {"PYTHONOPTIMIZE": "1"}),
        ([], {"PYTHONHASHSEED": "7"}),
        ([], {"PYTHONWARNINGS": "ignore"}),
        ([], {"TIMM_FUSED_ATTN": "0"}),
        ([], {"PYTORCH_JIT": "0"}),
        ([], {"CUDA_VISIBLE_DEVICES": ""}),
    ],
    ids=str,
)
def test_another_start_is_another_environment(flags: list[str], variables: dict[str, str]) -> None:
    assert said(*flags, **variables) != said() == said(UNRELATED="1")
