"""Records survive a round trip through JSON, and damaged files are refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archscope import archive
from archscope.errors import ArchscopeError
from archscope.records import (
    Analysis,
    Cost,
    Coverage,
    Environment,
    Factor,
    InputSpec,
    Layer,
    LayerTime,
    Measurement,
    Product,
    Profile,
    TensorSpec,
    Work,
)
from archscope.render.plain import table_json
from archscope.table import Table

INPUT = InputSpec((TensorSpec((2, 3, "H", "W")), TensorSpec((2, 7), "int64", "ids")))
LAYER = Layer(
    name="conv1",
    kind="Conv2d",
    depth=1,
    input_shapes=((2, 3, "H", "W"),),
    output_shapes=((2, 4, "H", "W"), ()),
    params=112,
    trainable_params=112,
    forward=Work(Cost((Product((Factor("N", 2), Factor("K", 3)), "x"),)), 5, 6, 7, 1),
    backward=Work(elementwise=3, operators=2),
    settings=(("kernel_size", (3, 3)), ("bias", True), ("eps", 1e-5), ("padding", "same")),
)
ANALYSIS = Analysis(
    "net",
    INPUT,
    (Layer("", "Net", children=1), LAYER),
    Coverage({"aten::convolution": 1}, unknown={"lib::op": 2}, unknown_layers=("conv1",)),
    keywords=(("groups", "2"),),
    executed_on="cpu",
    versions=(("torch", "2.15"),),
    notes=("one",),
)
PROFILE = Profile(
    "net",
    INPUT,
    Environment("cpu", (("threads", "1"),)),
    {"forward": Measurement((0.1, 0.2, 0.3), 0.1, 0.3, 1.0, 2, False, ("drift",))},
    (LayerTime("conv1", "Conv2d", 0, {"forward": 0.1}, 3),),
    {"forward": 0.99},
    {"parameters": 448},
    analysis=ANALYSIS,
)


@pytest.mark.parametrize("record", [ANALYSIS, PROFILE], ids=["analysis", "profile"])
def test_a_record_survives_the_round_trip(record: Analysis | Profile) -> None:
    assert archive.loads(archive.dumps(record)) == record


def test_a_record_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(archive.dumps(ANALYSIS))
    assert archive.load(path) == ANALYSIS


def changed(**fields: Any) -> str:
    return json.dumps({**json.loads(archive.dumps(ANALYSIS)), **fields})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "not an archscope record"),
        ('{"archscope": "cake"}', "not an archscope record"),
        ('{"model_type": "llama"}', "write hf:run.json"),
        ('{"archscope": []}', "not an archscope record"),
        (table_json(Table("t", (), ())), "holds tables, not the record of a network"),
        (changed(schema=99), "schema 99, this archscope reads"),
        (changed(schema=None), "schema None"),
        (changed(model=3), "expected str, found 3"),
        (changed(calls=[{"name": "a"}]), "damaged Analysis"),
        (changed(calls={}), "expected a list"),
        (changed(colour="red"), "unknown field 'colour'"),
        (changed(executed_on="mars"), "is not one of"),
        (changed(calls=[{"name": "a", "kind": "b", "params": True}]), "expected int"),
        (changed(input=None), "expected an object"),
        (changed(keywords=[["a", "b", "c"]]), "expected 2 items"),
    ],
)
def test_a_damaged_record_is_told_in_one_line(text: str, problem: str) -> None:
    with pytest.raises(ArchscopeError, match=r"^run\.json: ") as raised:
        archive.loads(text, "run.json")
    assert problem in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_binary_one(tmp_path: Path) -> None:
    with pytest.raises(ArchscopeError, match="cannot be read"):
        archive.load(tmp_path / "none.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ArchscopeError, match="is not text"):
        archive.load(tmp_path / "binary.json")
