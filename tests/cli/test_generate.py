"""`archscope generate` from the command line."""

from __future__ import annotations

import pytest
import torch

import archscope
from archscope import archive
from archscope.cli import run
from archscope.records import Generation

pytest.importorskip("transformers")

SMALL = [
    "--set", "hidden_size=32", "--set", "intermediate_size=48", "--set", "num_attention_heads=4",
    "--set", "num_hidden_layers=2", "--set", "vocab_size=96",
]  # fmt: skip


def test_the_answer_comes_first_and_the_record_is_saved(tmp_path, capsys):
    file = tmp_path / "run.json"
    asked = ["generate", "hf:llama", *SMALL, "--prompt", "16", "--tokens", "4"]
    assert run([*asked, "-o", str(file)]) == 0
    first = capsys.readouterr().out.split("Quantity")[0]
    assert "16 tokens read, 4 generated, float32" in " ".join(first.split())
    assert isinstance(archive.load(file), Generation)


def test_the_dtype_decides_the_bytes(tmp_path, capsys):
    # Keys and values of 2 layers, 16 + 4 − 1 positions and 32 features, 2 bytes each.
    expected = 2 * 2 * 19 * 32 * 2
    file, small = tmp_path / "run.json", dict(setting.split("=") for setting in SMALL[1::2])
    asked = ["generate", "hf:llama", *SMALL, "--prompt", "16", "--tokens", "4"]
    assert run([*asked, "--dtype", "bfloat16", "-o", str(file)]) == 0
    saved = archive.load(file)
    assert saved.cache_bytes == expected and saved.dtype == "bfloat16"
    sizes = {name: int(value) for name, value in small.items()}
    given = archscope.generate("hf:llama", 16, 4, dtype=torch.bfloat16, **sizes).record
    assert given.cache_bytes == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--prompt", "0"], "--prompt 0: is too few"),
        (["--fit", "much"], "--fit: 'much' is not a quantity"),
        (["--on", "h1000"], "unknown device"),
        (["--dtype", "int8"], "dtype=int8: is not a floating dtype"),
    ],
)
def test_mistakes_are_one_line(capsys, options, message):
    assert run(["generate", "hf:llama", *SMALL, *options]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert len(told.splitlines()) == 1
