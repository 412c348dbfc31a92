"""What `archscope profile` refuses, in one line that names the argument and the remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from archscope import archive
from archscope.cli import run
from archscope.records import (
    BatchSweep,
    Environment,
    InputSpec,
    Measurement,
    Profile,
    TensorSpec,
)

SMALL = ("--input", "3x8x8", "--device", "cpu", "--threads", "1")
QUICK = (*SMALL, "--max-seconds", "0.02")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Net", "--device", "cuda:77"), "--device cuda:77: this machine has"),
        (("Net", "--device", "abacus"), "--device abacus: unknown device"),
        (("Net", "--batch", "0"), "--batch 0: is not a batch size"),
        (("Net", "--batch", "4,x"), "--batch 4,x: is not a batch size"),
        (
            ("Frozen", "--train"),
            "nets.py:Frozen: returns nothing that depends on a trainable parameter",
        ),
        (("Net", "--input", "4x8x8"), "fails in forward"),
        (("Net", "-o", "run.xyz"), "unknown suffix"),
        (("Net", "--train", "--eval"), "--train --eval: exclude each other; leave out both"),
        (("Net", "--eval", "--train"), "--train --eval: exclude each other; leave out both"),
        (("Net", "--cuda-graph"), "--cuda-graph: needs --device cuda"),
        (("Net", "--dtype", "tf32"), "--dtype tf32: needs --device cuda"),
        (("Net", "--threads", "9999"), "--threads 9999: this process may use"),
        (("Net", "--amp", "--dtype", "fp32"), "--amp --dtype float32: contradict each other"),
        (("Net", "--amp", "--dtype", "tf32"), "--amp --dtype tf32: contradict each other"),
        (("Net", "--max-seconds", "nan"), "--max-seconds nan: is out of range; give a number"),
        (("Net", "--max-seconds", "inf"), "--max-seconds inf: is out of range; give a number"),
        (("Net", "--max-seconds", "0"), "--max-seconds 0: is out of range; give a number"),
        (("Net", "--precision", "nan"), "--precision nan: is out of range; give a number"),
        (("Net", "--precision", "inf"), "--precision inf: is out of range; give a number"),
        (("Net", "--precision", "1e9"), "--precision 1e+09: is out of range; give a number"),
        (("Net", "--device", ""), "--device '': unknown device"),
        (("Net", "--eval", "--optimizer", "adam"), "--optimizer: updates nothing with --eval"),
        (("Net", "--compile=fast"), "--compile fast: is not a mode of torch.compile; use one of"),
    ],
)
def test_mistakes_are_one_line(
    network: str, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *rest = arguments
    assert run(["profile", f"{network}:{name}", *QUICK, *rest]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def taken(batch: int) -> Profile:
    """A profile of one number."""
    spec = InputSpec((TensorSpec((batch, 3, 8, 8)),))
    samples = Measurement((0.25,) * 8, 0.25, 0.25)
    return Profile("net", spec, Environment("cpu"), {"step": samples})


def test_of_a_saved_profile_a_batch_is_chosen_and_never_measured_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    for record in (taken(4), BatchSweep((taken(2), taken(4)))):
        saved.write_text(archive.dumps(record))
        assert run(["profile", str(saved), "--batch", "4"]) == 0
        printed = capsys.readouterr().out
        assert "input 4×3×8×8" in printed and "2×3×8×8" not in printed
        assert run(["profile", str(saved), "--batch", "3"]) == 2
        assert "not 3; choose one of these" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ("--input", "3x9x9"), ("--set", "width=2"), ("--max-batch",),
        ("--device", "cuda"), ("--threads", "1"), ("--dtype", "bf16"), ("--eval",), ("--amp",),
        ("--max-seconds", "10"), ("--compile",),
    ],
)  # fmt: skip
def test_a_saved_profile_takes_no_options_of_measuring(
    tmp_path: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    saved = tmp_path / "run.json"
    saved.write_text(archive.dumps(taken(4)))
    assert run(["profile", str(saved), *options]) == 2
    error = capsys.readouterr().err
    assert f"{options[0]}: does not go with {saved}" in error and error.count("\n") == 1
    assert run(["profile", str(saved), "--every-layer"]) == 0


@pytest.mark.parametrize(
    ("arguments", "unheard"),
    [
        (("Net", "--max-batch"), ("--batch", "4")),
        (("Net", "--max-batch"), ("--precision", "1")),
        (("Net", "--max-batch"), ("--every-layer",)),
    ],
)
def test_no_option_goes_unheard(
    network: str,
    arguments: tuple[str, ...],
    unheard: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = [f"{network}:{part}" if part == "Net" else part for part in arguments]
    assert run(["profile", *given, *unheard]) == 2
    error = capsys.readouterr().err
    assert "does not go with" in error and error.count("\n") == 1
    assert error.startswith(f"archscope: {unheard[0]}")


def test_a_model_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["profile"]) == 2
    assert "MODEL: is missing" in capsys.readouterr().err
    assert run(["profile", "--compile", "lenet"]) == 2, "it takes the network for its mode"
    assert "or write --compile=MODE lenet" in capsys.readouterr().err
