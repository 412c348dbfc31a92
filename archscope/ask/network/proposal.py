"""What a network's input may be, read off its first layer and its `forward`."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archscope.ask.network.sizes import fitting_image
from archscope.parameters import parameter
from archscope.records import InputSpec, TensorSpec
from archscope.resolve.inputs import input_text
from archscope.units import plural

if TYPE_CHECKING:
    from torch import nn

_IMAGES = {
    "Conv1d": ("channel", "128"),
    "Conv2d": ("channel", "224x224"),
    "Conv3d": ("channel", "16x112x112"),
}
"""By class: what a convolution takes, and sides to try."""


def proposal(module: nn.Module) -> tuple[str, str]:
    """What is known of a network's input, and a specification to try.

    Returns:
        `its first layer fc takes 8 features`, and `8`; empty texts where nothing is known.
    """
    if entries := _entries(module):
        return "its forward takes a dictionary", ",".join(f"{name}=…" for name in entries)
    first = next(_readings(module), None)
    names = _parameters(module)
    called = f"forward takes {' and '.join(names)}" if len(names) > 1 else ""
    if len(names) == 1 and _by_name_alone(module):
        called = f"forward takes {names[0]} by name"
    if first is None:
        return called, ",".join(f"{name}=…" for name in names) if called else ""
    said, spec = first
    if not called:
        return said, spec
    return f"{called}, and {said}", ",".join(
        f"{name}={spec if place == 0 else '…'}" for place, name in enumerate(names)
    )


def _readings(module: nn.Module) -> Iterator[tuple[str, str]]:
    """Layers that fix a side of their input, in the order of their definition."""
    from torch import nn

    for name, layer in module.named_modules():
        takes = f"its first layer {name} takes" if name else "it takes"
        if isinstance(layer, nn.Linear) and layer.in_features:
            yield f"{takes} {plural(layer.in_features, 'feature')}", str(layer.in_features)
        elif isinstance(layer, nn.Embedding):
            yield f"{takes} indices below {layer.num_embeddings:,}", "128:int64"
        elif isinstance(layer, nn.RNNBase):
            amount = plural(layer.input_size, "feature")
            yield f"{takes} sequences of {amount}", f"16x{layer.input_size}"
        else:
            for kind, (noun, sides) in _IMAGES.items():
                if isinstance(layer, getattr(nn, kind)) and layer.in_channels:
                    amount = plural(layer.in_channels, noun)
                    yield f"{takes} {amount}", f"{layer.in_channels}x{sides}"


def _by_name_alone(module: nn.Module) -> bool:
    """Whether `forward` takes nothing by place."""
    kinds = {each.kind for each in inspect.signature(module.forward).parameters.values()}
    return not kinds & {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


def _parameters(module: nn.Module) -> list[str]:
    """What `forward` needs; nothing where it cannot be read."""
    try:
        found = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        each.name
        for each in found
        if each.default is each.empty
        and each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]


def meant(given: InputSpec, default: InputSpec | None, error: BaseException) -> str:
    """A specification that the user may have meant; empty where none suggests itself.

    Args:
        given: what the network failed on.
        default: what it takes by default, where that is known.
        error: what it raised, with the call that failed.
    """
    shapes = given.sample_shapes
    if len(shapes) > 1 and all(len(shape) == 1 for shape in shapes):
        return _tried("x".join(str(shape[0]) for shape in shapes))
    if len(shapes) != 1:
        return ""
    if "scalar types: Long, Int" in str(error) and given.tensors[0].dtype == "float32":
        return _tried(f"{_text(shapes[0])}:int64")
    sides, known = shapes[0], default.sample_shapes[0] if default is not None else None
    if known is not None and len(known) + 1 == len(sides) and sides[1:] == known:
        return f"{_tried(_text(known))} {parameter('batch', sides[0])}"
    if known is not None and sides != known and sorted(map(str, sides)) == sorted(map(str, known)):
        return _tried(_text(known))
    layer: Any = getattr(getattr(error, "archscope_call", None), "module", None)
    if known is not None and len(known) == 3 and len(sides) == 1:  # the side of a square image
        return _tried(_text((known[0], sides[0], sides[0])))
    unbatched = (given.batch, *sides)  # a shape whose first side was meant for the channels
    if (known is not None and len(known) == len(unbatched) and known[0] == unbatched[0]) or (
        type(layer).__name__.endswith(f"Norm{len(sides)}d")
    ):
        return _tried(_text(unbatched))
    channels = getattr(layer, "in_channels", None)
    if not isinstance(channels, int) or not isinstance(getattr(layer, "kernel_size", None), tuple):
        return ""
    rank = len(layer.kernel_size)
    if len(sides) == rank + 2 and sides[1] == channels:
        return f"{_tried(_text(sides[1:]))} {parameter('batch', sides[0])}"
    if len(sides) == rank + 1 and sides[-1] == channels:
        return _tried(_text((channels, *sides[:-1])))
    return ""


def lacking_arguments(given: InputSpec, error: BaseException) -> str:
    """A specification with the arguments that `forward` lacked; empty where it lacked none."""
    call: Any = getattr(error, "archscope_call", None)
    if call is None or call.name or not _LACKS.search(str(error)):
        return ""
    said = {tensor.name: shape for tensor, shape in _shapes(given) if tensor.name}
    unnamed = iter([_text(shape) for tensor, shape in _shapes(given) if not tensor.name])
    spec = ",".join(
        f"{name}={_text(said[name]) if name in said else next(unnamed, '…')}"
        for name in _parameters(call.module)
    )
    return parameter("input", spec)


_LACKS = re.compile(r"forward\(\) missing \d+ required")


def _shapes(given: InputSpec) -> list[tuple[TensorSpec, tuple[int | str, ...]]]:
    return list(zip(given.tensors, given.sample_shapes, strict=True))


def dictionary(given: InputSpec, error: BaseException) -> str:
    """A specification where `forward` reads an argument by keys: `batch.x=3x8x8,batch.y=…`."""
    call: Any = getattr(error, "archscope_call", None)
    if call is None or call.name:
        return ""
    said = {tensor.name: tensor for tensor in given.tensors if tensor.name}
    return ",".join(
        f"{name}={_written(said.get(name.split('.')[-1]))}" for name in _entries(call.module)
    )


def _entries(module: nn.Module) -> list[str]:
    """What `forward` reads of its arguments by keys: `batch.x`, `batch.y`."""
    try:
        code = ast.parse(textwrap.dedent(inspect.getsource(module.forward)))
    except (OSError, TypeError, SyntaxError):
        return []
    names, found = _parameters(module), dict[str, None]()
    for node in ast.walk(code):
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name)):
            continue
        name, key = node.value.id, node.slice
        if name in names and isinstance(key, ast.Constant) and isinstance(key.value, str):
            found[f"{name}.{key.value}"] = None
    return list(found)


def _written(tensor: TensorSpec | None) -> str:
    """A tensor as it was given without its name; `…` for one that was not."""
    return "…" if tensor is None else input_text(InputSpec((replace(tensor, name=""),)))


def _text(sides: tuple[int | str, ...]) -> str:
    return "x".join(map(str, sides))


def _tried(spec: str) -> str:
    return f"did you mean {parameter('input', spec)}"


_IMAGE = re.compile(r"(\d+)x224x224")


def wanted(module: nn.Module, name: str) -> tuple[str, str]:
    """Why an input is needed, and what to give."""
    said, spec = proposal(module)
    image = _IMAGE.fullmatch(spec)
    if image:
        spec = fitting_image(module, int(image[1])) or spec
    why = f"is needed: {name} has no default" + (f"; {said}" if said else "")
    return why, f"give one like {parameter('input', spec or '3x224x224')}"
