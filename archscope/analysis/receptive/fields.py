"""Facts that need the edges between operators: what every layer sees of the input image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook

from archscope.analysis import dispatch, rules
from archscope.analysis.calls import Call, CallLog
from archscope.analysis.observed import observed, unfused_attention
from archscope.analysis.observer import Observer
from archscope.analysis.operator import Operator, is_pointwise
from archscope.analysis.receptive import layout, reach
from archscope.analysis.receptive.reach import Factor, Reach, Rule, Span
from archscope.process import interruptible
from archscope.records import Shape


@dataclass(frozen=True, slots=True)
class Field:
    """The receptive field along one axis.

    Args:
        size: pixels that one position depends on; `None` for the whole axis.
        stride: pixels between the fields of neighbouring positions.
        padding: effective padding: pixels by which the first field begins before the image.
    """

    size: int | float | None
    stride: int | float
    padding: int | float

    @property
    def center(self) -> float | None:
        """Pixel (0 is the first one's middle) at the centre of the first position's field."""
        return None if self.size is None else (self.size - 1) / 2 - self.padding


@dataclass(frozen=True, slots=True)
class LayerField:
    """The receptive field of one module call's (first) output.

    Args:
        name: dotted path of the module, empty for the network itself.
        kind: class name.
        call: 0 for the first call of this module.
        children: how many calls it makes directly.
        output_shape: of the tensor whose positions have this field.
        fields: along each axis of the image (height, width); `None` where it is unknown.
        changes: whether its first input has other fields.
    """

    name: str
    kind: str
    call: int
    children: int
    output_shape: Shape
    fields: tuple[Field | None, ...]
    changes: bool


@dataclass(frozen=True, slots=True)
class ReceptiveFields:
    """The receptive fields of a network.

    Args:
        image: sides of the input image: height and width, or one side, or three.
        layers: every module call whose output depends on the image, in execution order.
        unknown: operators without a rule that met the image.
    """

    image: tuple[int, ...]
    layers: tuple[LayerField, ...]
    unknown: tuple[str, ...] = ()


class NoImageError(Exception):
    """No input has a spatial axis."""


def receptive_fields(
    module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], *, on_meta: bool
) -> ReceptiveFields:
    """Follow what each tensor sees of the image through one run of a borrowed module.

    The image is the first floating input with at least three dimensions (C×H×W within a list,
    N×C×… otherwise); its axes are those behind the channels.

    Args:
        module: its tensors are stand-ins (see `borrow`), in evaluation mode.
        args: positional arguments of `forward`.
        kwargs: keyword arguments of `forward`.
        on_meta: whether shape rules may answer for the kernels.

    Raises:
        NoImageError: no input has a spatial axis.
        Exception: whatever the module raises.
    """
    image = _image((args, kwargs))
    log = CallLog(module, torch._C._autograd._get_sequence_nr)
    viewer = _Viewer(log, on_meta)
    with (
        torch.set_grad_enabled(dispatch.run.gradients),
        unfused_attention(),
        _seen(viewer),
        observed(log),
        viewer,
        interruptible(),
    ):
        module(*args, **kwargs)
    layers = (_layer(call, viewer.outputs[call]) for call in log.calls if call in viewer.outputs)
    return ReceptiveFields(image, tuple(layers), tuple(viewer.unknown))


def _image(inputs: Any) -> tuple[int, ...]:
    """Mark the image among the inputs; its sides."""
    for tensor, channels in _candidates(inputs, 1):
        has_sides = tensor.layout is torch.strided and tensor.dim() > channels + 1
        if tensor.is_floating_point() and has_sides:
            axes = range(tensor.dim() - channels - 1)
            sides = tuple(tensor.shape[channels + 1 :])
            dims = (
                *reach.anonymous(tensor.shape[: channels + 1]),
                *((Factor(side, (axis,)),) for axis, side in zip(axes, sides, strict=True)),
            )
            _see(tensor, Reach(tuple(dims), (Span(),) * len(sides)))
            return sides
    raise NoImageError("no input has a height or width")


def _candidates(value: Any, channels: int) -> Iterator[tuple[Tensor, int]]:
    """Every input tensor with the place of its channels: 0 in a list of images, 1 in a batch."""
    if isinstance(value, Tensor):
        yield value, channels
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _candidates(item, channels)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _candidates(item, 0 if isinstance(value, list) else channels)


def _see(tensor: Tensor, seen: Reach | None) -> None:
    tensor.archscope_reach = seen  # type: ignore[attr-defined]


def _reach(tensor: Tensor) -> Reach | None:
    return getattr(tensor, "archscope_reach", None)


@contextmanager
def _seen(viewer: _Viewer) -> Iterator[None]:
    """Tell the viewer what each module returns."""

    def returned(module: nn.Module, args: Any, output: Any) -> None:
        tensor = next((t for t, _ in _candidates(output, 1) if _reach(t) is not None), None)
        taken = next((t for t, _ in _candidates(args, 1) if _reach(t) is not None), None)
        if tensor is not None:
            before = None if taken is None else _reach(taken)
            viewer.outputs[viewer.log.current] = (tuple(tensor.shape), _reach(tensor), before)

    handle = register_module_forward_hook(returned)
    try:
        yield
    finally:
        handle.remove()


class _Viewer(Observer):  # type: ignore[no-untyped-call]
    """Gives every tensor that depends on the image its `Reach`."""

    def __init__(self, log: CallLog, on_meta: bool) -> None:
        super().__init__(log, on_meta)
        self.outputs: dict[Call, tuple[Shape, Reach | None, Reach | None]] = {}
        self.unknown: dict[str, None] = {}

    def _observe(
        self, operator: Operator, args: Any, kwargs: Mapping[str, Any], result: Any
    ) -> None:
        tensors = (*_operands(args), *_operands(kwargs.values()))
        reaches = [_reach(tensor) for tensor in tensors]
        if any(seen is not None for seen in reaches):
            rule = self._rule(operator)
            for tensor in result if isinstance(result, (list, tuple)) else (result,):
                if isinstance(tensor, Tensor):
                    _see(tensor, rule(reaches, args, tensor.shape))

    def _rule(self, operator: Operator) -> Rule:
        name = operator.name
        rule = RULES.get(name, RULES.get(rules.functional(name)))
        if rule is not None:
            return rule
        if is_pointwise(operator.overload):
            return reach.pointwise
        self.unknown.setdefault(name)
        return reach.unknown


def _operands(args: Iterable[Any]) -> Iterator[Tensor]:
    """The tensor arguments, those in lists included, as the rules expect them."""
    for value in args:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from (item for item in value if isinstance(item, Tensor))


def _layer(call: Call, seen: tuple[Shape, Reach | None, Reach | None]) -> LayerField:
    shape, found, taken = seen
    fields = _fields(found)
    return LayerField(
        call.name,
        type(call.module).__name__,
        call.index,
        call.children,
        shape,
        fields,
        fields != _fields(taken),
    )


def _fields(found: Reach | None) -> tuple[Field | None, ...]:
    spans = () if found is None else _through_channels(found).spans
    return tuple(None if span is None else _field(span) for span in spans)


def _through_channels(found: Reach) -> Reach:
    """What all channels of a position see, where parts of an axis have become channels."""
    if len(found.dims) != len(found.spans) + 2:
        return found
    along = {axis for dim in range(2, len(found.dims)) for axis in found.axes(dim)}
    divided = along.intersection(found.axes(1))
    spans = [None if axis in divided else span for axis, span in enumerate(found.spans)]
    return replace(found, spans=tuple(spans))


def _field(span: Span) -> Field:
    size = None if span.size is None else _number(span.size)
    return Field(size, _number(span.stride), _number(-span.start))


def _number(value: int | Fraction) -> int | float:
    return value if isinstance(value, int) else float(value)


def _rules(names: str, rule: Rule) -> dict[str, Rule]:
    return {f"aten::{name}": rule for name in names.split()}


def _constant(reaches: Any, args: Any, shape: Any) -> Reach | None:
    """The result does not depend on the values of the operands."""
    return None


RULES: dict[str, Rule] = {
    **_rules("convolution _convolution convolution_overrideable", reach.convolution),
    **_rules("max_pool1d", reach.pooling(1, True)),
    **_rules("max_pool2d_with_indices max_pool2d mkldnn_max_pool2d", reach.pooling(2, True)),
    **_rules("max_pool3d_with_indices max_pool3d", reach.pooling(3, True)),
    **_rules("avg_pool1d", reach.pooling(1, False)),
    **_rules("avg_pool2d", reach.pooling(2, False)),
    **_rules("avg_pool3d", reach.pooling(3, False)),
    **_rules("_adaptive_avg_pool1d", reach.adaptive_pooling(1)),
    **_rules("_adaptive_avg_pool2d adaptive_max_pool2d", reach.adaptive_pooling(2)),
    **_rules("_adaptive_avg_pool3d adaptive_max_pool3d", reach.adaptive_pooling(3)),
    **_rules("upsample_nearest1d _upsample_nearest_exact1d", reach.interpolation(1, 1)),
    **_rules("upsample_nearest2d _upsample_nearest_exact2d", reach.interpolation(2, 1)),
    **_rules("upsample_nearest3d _upsample_nearest_exact3d", reach.interpolation(3, 1)),
    **_rules("upsample_linear1d", reach.interpolation(1, 2)),
    **_rules("upsample_bilinear2d", reach.interpolation(2, 2)),
    **_rules("upsample_trilinear3d", reach.interpolation(3, 2)),
    **_rules("upsample_bicubic2d", reach.interpolation(2, 4)),
    **_rules(
        "mean sum prod amax amin max min var var_mean std std_mean argmax argmin logsumexp all any",
        reach.reduction,
    ),
    **_rules("norm linalg_vector_norm", reach.norm),
    **_rules("_softmax _log_softmax _safe_softmax cumsum cumprod logcumsumexp", reach.along),
    **_rules("native_layer_norm _fused_rms_norm", reach.layer_norm),
    **_rules("native_group_norm", reach.group_norm),
    **_rules("native_batch_norm _native_batch_norm_legit", reach.batch_norm),
    **_rules("_native_batch_norm_legit_no_training", reach.first_only),
    **_rules("mm bmm mv dot", reach.product),
    **_rules("addmm baddbmm addmv", reach.added_product),
    **_rules(
        "_scaled_dot_product_flash_attention _scaled_dot_product_flash_attention_for_cpu "
        "_scaled_dot_product_efficient_attention",
        reach.attention,
    ),
    **_rules("embedding", reach.embedding),
    **_rules(
        "clone contiguous _to_copy copy_ detach alias lift_fresh dropout native_dropout where "
        "masked_fill _prelu_kernel hardswish leaky_relu",
        reach.pointwise,
    ),
    **_rules("view _unsafe_view reshape _reshape_alias _reshape_copy", layout.regroup),
    **_rules("permute", layout.permute),
    **_rules("transpose t", layout.transpose),
    **_rules("squeeze", layout.squeeze),
    **_rules("unsqueeze", layout.unsqueeze),
    **_rules("expand", layout.resized),
    **_rules("select", layout.select),
    **_rules("slice", layout.slice_),
    **_rules("split split_with_sizes unbind chunk", layout.split),
    **_rules("cat", layout.concatenate),
    **_rules("stack", layout.stack),
    **_rules(
        "constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d replication_pad1d "
        "replication_pad2d replication_pad3d",
        layout.pad,
    ),
    **_rules("as_strided", layout.restrided),
    **_rules("roll", layout.roll),
    **_rules("flip", layout.flip),
    **_rules("index", layout.index),
    **_rules("pixel_shuffle", layout.pixel_shuffle),
    **_rules("pixel_unshuffle", reach.pixel_unshuffle),
    **_rules(
        "empty empty_like zeros_like ones_like full_like new_empty new_zeros new_ones new_full "
        "new_empty_strided rand_like randn_like",
        _constant,
    ),
}
"""What each operator does to what its operands see."""
