"""What users write: inputs such as `3x224x224`, keywords such as `num_classes=2`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archscope.errors import ArchscopeError
from archscope.records import InputSpec, TensorSpec
from archscope.resolve import parse_input, parse_settings
from archscope.resolve.inputs import setting_text


def test_a_shape_gets_the_batch_in_front() -> None:
    assert parse_input("3x224x224", batch=8) == InputSpec((TensorSpec((8, 3, 224, 224)),))
    assert parse_input("1x28x28") == InputSpec((TensorSpec((1, 1, 28, 28)),))


def test_one_side_is_enough() -> None:
    assert parse_input("784").tensors[0].shape == (1, 784)


def test_sides_and_batch_may_be_symbols() -> None:
    assert parse_input("3xHxW", batch="N").tensors[0].shape == ("N", 3, "H", "W")


def test_the_batch_may_come_as_text() -> None:
    assert parse_input("3x8x8", batch="16").batch == 16


def test_inputs_have_names_and_dtypes() -> None:
    spec = parse_input("ids=128:int64, mask=128:bool")
    assert spec.tensors == (
        TensorSpec((1, 128), "int64", "ids"),
        TensorSpec((1, 128), "bool", "mask"),
    )


def test_several_inputs_come_by_commas_or_as_a_sequence() -> None:
    assert parse_input("3x8x8,10") == parse_input(["3x8x8", "10"])


def test_the_multiplication_sign_separates_too() -> None:
    assert parse_input("3×8×8") == parse_input("3x8x8")


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=5))
def test_any_positive_sides_are_read_back(sides: list[int]) -> None:
    assert parse_input("x".join(map(str, sides))).tensors[0].shape == (1, *sides)


@pytest.mark.parametrize(
    "text",
    ["", "3x", "x3", "0x3", "3x-1x2", "3x2.5", "3 x 4", "3,,4", "=3", "a=", "1a=3", "3:int7", "3:"],
)
def test_a_malformed_input_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ArchscopeError, match="input") as error:
        parse_input(text)
    assert error.value.remedy
    assert "\n" not in str(error.value)


def test_an_unnamed_input_cannot_follow_a_named_one() -> None:
    with pytest.raises(ArchscopeError, match="unnamed inputs first"):
        parse_input("ids=4,3x8x8")


def test_a_name_comes_once() -> None:
    with pytest.raises(ArchscopeError, match="repeats the input 'ids'"):
        parse_input("ids=4,ids=5")


@pytest.mark.parametrize("batch", [0, -1, "0", "1.5", "", "a b"])
def test_a_malformed_batch_is_refused(batch: int | str) -> None:
    with pytest.raises(ArchscopeError, match=r"^batch="):
        parse_input("3x8x8", batch=batch)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("-3", -3),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("True", True),
        ("false", False),
        ("None", None),
        ("3,4,6,3", (3, 4, 6, 3)),
        ("(3, 4)", (3, 4)),
        ("[3, 4]", (3, 4)),
        ("3,", (3,)),
        ("group", "group"),
        ("none", "none"),
        ("a=b", "a=b"),
        ("{1: 2}", "{1: 2}"),
    ],
)
def test_values_get_their_type(text: str, value: object) -> None:
    read = parse_settings([f"key={text}"])["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("value", [2, 0.5, True, None, (3, 4, 6, 3), (3,), "group"])
def test_values_are_written_as_they_are_read(value: object) -> None:
    assert parse_settings([f"key={setting_text(value)}"]) == {"key": value}


@pytest.mark.parametrize("pair", ["num_classes", "=2", "num_classes=", "2x=3", "num classes=2"])
def test_a_malformed_pair_is_refused(pair: str) -> None:
    with pytest.raises(ArchscopeError, match=r"^.*: is not of the form key=value"):
        parse_settings([pair])


def test_a_keyword_comes_once() -> None:
    with pytest.raises(ArchscopeError, match="groups a second time"):
        parse_settings(["groups=2", "groups=4"])


@pytest.mark.parametrize("text", ["t=:int64", "t=[]:int64"])
def test_a_scalar_is_read_as_it_is_printed(text: str) -> None:
    (tensor,) = parse_input(text, 8).tensors
    assert (tensor.shape, tensor.dtype, tensor.batched) == ((), "int64", False)
    assert str(parse_input(text)) == "t=[]:int64"


@pytest.mark.parametrize("number", ["3.0", ".5", "1e-3", "-2.5"])
def test_a_number_with_a_point_is_a_scalar(number: str) -> None:
    (tensor,) = parse_input(f"t={number}").tensors
    assert (tensor.shape, tensor.dtype) == ((), "float32")
    assert parse_input("t=3").tensors[0].shape == (1, 3)  # a whole number is a size


def test_nothing_beside_edges_has_a_batch() -> None:
    x, edges = parse_input("x=20x8,edge_index=2x1000").tensors
    assert (x.shape, x.batched) == ((20, 8), False)
    assert (edges.shape, edges.dtype, edges.batched) == ((2, 1000), "int64", False)
