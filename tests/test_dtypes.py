"""A dtype has one name, and its short name is accepted wherever one is given."""

from __future__ import annotations

import pytest
import torch

import archscope
from archscope.ask.memory.setting import Setting as MemorySetting
from archscope.ask.trace.device import roof_key
from archscope.cli import run
from archscope.latency.place import read_places
from archscope.latency.setting import Setting as PredictionSetting
from archscope.measure.step import Settings
from archscope.resolve.inputs import parse_input

NAMES = [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")]


@pytest.mark.parametrize(("short", "full"), NAMES)
def test_short_names_of_dtypes_are_accepted_everywhere(short: str, full: str) -> None:
    assert Settings(dtype=short) == Settings(dtype=full)
    assert MemorySetting(dtype=short) == MemorySetting(dtype=full)
    assert PredictionSetting(dtype=short) == PredictionSetting(dtype=full)
    assert parse_input(f"4:{short}") == parse_input(f"4:{full}")
    assert read_places(f"t4:{short}") == read_places(f"t4:{full}")
    assert roof_key(short) == roof_key(full)


@pytest.mark.parametrize(("short", "full"), NAMES)
def test_python_takes_pytorch_s_own_dtypes(short: str, full: str) -> None:
    dtype = getattr(torch, full)
    assert (
        archscope.memory("lenet", dtype=dtype).record
        == archscope.memory("lenet", dtype=short).record
    )
    assert archscope.predict("lenet", device="a100", dtype=dtype).record.dtype == full
    assert archscope.Settings(dtype=dtype) == archscope.Settings(dtype=full)  # type: ignore[arg-type]
    sharded = archscope.distribute("lenet", "fsdp", 2, dtype=dtype)
    assert sharded.record == archscope.distribute("lenet", "fsdp", 2, dtype=short).record


def test_a_transformer_takes_every_name_of_its_dtype() -> None:
    pytest.importorskip("transformers")
    small = {"n_embd": 8, "n_layer": 1, "n_head": 1, "vocab_size": 9}
    for dtype in ("bf16", "bfloat16", torch.bfloat16):
        found = archscope.summary("hf:gpt2", **small, dtype=dtype).total
        assert found.param_bytes == 2 * found.params


@pytest.mark.parametrize(("short", "full"), NAMES)
def test_the_commands_take_both(short: str, full: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for name in (short, full):
        assert run(["memory", "lenet", "--dtype", name]) == 0
        assert run(["predict", "lenet", "--on", "a100", "--dtype", name]) == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]


def test_an_unknown_dtype_is_refused_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["profile", "lenet", "--dtype", "fp12"]) == 2
    assert capsys.readouterr().err.startswith("archscope: --dtype fp12: unknown dtype; use one of ")
    with pytest.raises(archscope.ArchscopeError, match=r"dtype='fp12'.*unknown"):
        archscope.memory("lenet", dtype="fp12")
