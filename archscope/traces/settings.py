"""What decides an operator's work beside the shapes of its inputs: its stride, dilation, groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from archscope.traces.families import base

# Place of the first setting, and the names of all from there to the last input.
_CONVOLUTION = (3, "stride", "padding", "dilation", "groups")
_ANY_CONVOLUTION = (3, "stride", "padding", "dilation", "transposed", "output_padding", "groups")
_TRANSPOSED = (3, "stride", "padding", "output_padding", "groups", "dilation")
_MAX_POOL = (1, "kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVG_POOL = (
    1, "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
)  # fmt: skip


def _of_all_sides() -> Iterator[tuple[str, tuple[int | str, ...]]]:
    for sides in (1, 2, 3):
        yield f"conv{sides}d", _CONVOLUTION
        yield f"conv_transpose{sides}d", _TRANSPOSED
        yield f"max_pool{sides}d", _MAX_POOL
        yield f"avg_pool{sides}d", _AVG_POOL
    yield "convolution", _ANY_CONVOLUTION


_PLACES: Mapping[str, Mapping[str, int]] = {
    name: {str(setting): int(first) + k for k, setting in enumerate(names)}
    for name, (first, *names) in _of_all_sides()
}
"""Which input of an operator is which setting."""

Settings = tuple[tuple[str, str], ...]
"""Names and values."""


def settings(name: str, inputs: Sequence[object]) -> Settings:
    """The settings of a convolution or pooling that are known; none of other operators.

    Args:
        name: of the operator, `aten::conv2d`.
        inputs: the values of those that are no tensors, as a profiler records them beside shapes.

    Examples:
        >>> settings("aten::conv2d", ["", "", "", "[1, 1]", "[2, 2]", "[2, 2]", "1"])
        (('stride', '[1, 1]'), ('padding', '[2, 2]'), ('dilation', '[2, 2]'), ('groups', '1'))
    """
    places = _PLACES.get(base(name), {})
    # TorchScript's interpreter records all that its stack holds, the operator's inputs last.
    beneath = len(inputs) - 1 - max(places.values(), default=0)
    return tuple(
        (setting, text)
        for setting, place in places.items()
        if beneath >= 0 and (text := _text(inputs[beneath + place]))
    )


def _text(value: object) -> str:
    """Lists, numbers and truth values; an empty list may be recorded as nothing."""
    text = str(value)
    is_known = text[:1].isdigit() or text in ("True", "False") or text[:1] == "["
    return text if is_known and text != "[]" else ""


def unlike_setting(theirs: Settings, ours: Settings) -> tuple[str, str, str] | None:
    """The first setting that two operators do not share, and both its values."""
    known = dict(ours)
    return next(
        ((name, value, known[name]) for name, value in theirs if known.get(name, value) != value),
        None,
    )
