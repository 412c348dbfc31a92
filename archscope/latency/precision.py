"""In which dtype every operator reads and writes, and the casts that autocast adds.

A run is recorded in the dtype of the network's weights.
The rules of autocast on a GPU are PyTorch's own lists (torch.amp, "CUDA Ops that can autocast to
float16", "… to float32", and "… that promote to the widest input type").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archscope.records import Execution, Operand, OperatorRun

DTYPES = ("amp", "float16", "bfloat16", "float32", "tf32")
"""The precisions of a step.

`amp` is autocast to float16 with float32 weights; `tf32` is float32 whose products may be rounded.
"""

BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2}

TO_HALF = frozenset(
    (
        "_prelu_kernel",
        "_scaled_dot_product_cudnn_attention",
        "_scaled_dot_product_cudnn_attention_backward",
        "_scaled_dot_product_efficient_attention",
        "_scaled_dot_product_efficient_attention_backward",
        "_scaled_dot_product_flash_attention",
        "_scaled_dot_product_flash_attention_backward",
        "_scaled_dot_product_flash_attention_for_cpu",
        "_scaled_dot_product_flash_attention_for_cpu_backward",
        "_thnn_fused_gru_cell",
        "_thnn_fused_lstm_cell",
        "addbmm",
        "addmm",
        "addmv",
        "addr",
        "baddbmm",
        "bmm",
        "convolution",
        "convolution_backward",
        "linear",
        "mm",
        "mv",
    )
)
"""Operators that autocast runs in half precision."""

TO_FLOAT = frozenset(
    (
        "_cdist_forward",
        "_fft_c2c",
        "_fft_c2r",
        "_fft_r2c",
        "_log_softmax",
        "_log_softmax_backward_data",
        "_pdist_forward",
        "_safe_softmax",
        "_softmax",
        "_softmax_backward_data",
        "_upsample_nearest_exact2d",
        "acos",
        "asin",
        "cosh",
        "cumprod",
        "cumsum",
        "erfinv",
        "exp",
        "expm1",
        "linalg_vector_norm",
        "log",
        "log10",
        "log1p",
        "log2",
        "logsumexp",
        "mse_loss",
        "native_group_norm",
        "native_group_norm_backward",
        "native_layer_norm",
        "native_layer_norm_backward",
        "nll_loss_forward",
        "norm",
        "pow",
        "prod",
        "reciprocal",
        "renorm",
        "rsqrt",
        "sinh",
        "softplus",
        "sum",
        "tan",
        "torchvision::deform_conv2d",
        "torchvision::ps_roi_align",
        "torchvision::ps_roi_pool",
        "torchvision::roi_align",
        "torchvision::roi_pool",
        "upsample_bicubic2d",
        "upsample_bilinear2d",
        "upsample_linear1d",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_trilinear3d",
    )
)
"""Operators that autocast runs in float32; those of torchvision register that themselves."""


OF_FIRST = frozenset(
    (
        "_unsafe_index",
        "copy_",
        "cudnn_batch_norm",
        "embedding",
        "gather",
        "index",
        "index_select",
        "native_batch_norm",
        "native_batch_norm_backward",
    )
)
"""Operators whose result has the dtype of their first tensor, whatever the others have."""


@dataclass(frozen=True, slots=True)
class Typed:
    """One operator with the dtypes in which it runs.

    Args:
        run: what was recorded.
        dtype: in which it computes.
        inputs, outputs: the dtype of each tensor as the operator sees it.
        casts: tensors converted before it runs, each with its dtype before and after.
    """

    run: OperatorRun
    dtype: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    casts: tuple[tuple[Operand, str, str], ...] = ()


def typed(execution: Execution, precision: str) -> Iterator[Typed]:
    """Every operator of a run in the dtypes of a precision.

    Args:
        execution: recorded in float32.
        precision: one of `DTYPES`.
    """
    if precision == "amp":
        return _Autocast().typed(execution.runs)
    dtype = "float32" if precision == "tf32" else precision
    return (_uniform(run, dtype) for run in execution.runs)


def _uniform(run: OperatorRun, dtype: str) -> Typed:
    """As a network runs whose weights and inputs all have one dtype."""

    def of(operands: Iterable[Operand]) -> tuple[str, ...]:
        return tuple(dtype if operand.dtype in BYTES else operand.dtype for operand in operands)

    return Typed(run, dtype, of(run.inputs), of(run.outputs))


class _Autocast:
    """Follows every storage's dtype; parameters, buffers and inputs begin in float32.

    A parameter is converted once a forward pass (autocast keeps it), an activation before each
    operator that wants it otherwise; the backward pass finds the converted activations saved.
    """

    def __init__(self) -> None:
        self.dtypes: dict[int, str] = {}
        self.converted: set[int] = set()
        self.gradients: set[int] = set()

    def typed(self, runs: Iterable[OperatorRun]) -> Iterator[Typed]:
        for run in runs:
            yield self._typed(run)

    def _dtype(self, operand: Operand) -> str:
        if operand.dtype != "float32":
            return operand.dtype
        return self.dtypes.get(operand.storage, "float32")

    def _typed(self, run: OperatorRun) -> Typed:
        found = tuple(map(self._dtype, run.inputs))
        wanted = self._wanted(run)
        casts: list[tuple[Operand, str, str]] = []
        if wanted is None:
            inputs = found
            alone = run.name in OF_FIRST
            dtype = _widest(
                name
                for name, operand in zip(found[:1] if alone else found, run.inputs, strict=False)
                if alone or operand.shape
            )
        else:
            inputs = tuple(wanted if name in BYTES else name for name in found)
            dtype = wanted
            for operand, before in zip(run.inputs, found, strict=True):
                if before in BYTES and before != wanted and self._is_cast(operand, run):
                    casts.append((operand, before, wanted))
        before_outputs = {operand.storage for operand in run.inputs}
        outputs = []
        for operand in run.outputs:
            if operand.dtype == "float32" and operand.storage not in before_outputs:
                self.dtypes[operand.storage] = dtype
                if run.phase == "backward":
                    self.gradients.add(operand.storage)
            outputs.append(self._dtype(operand))
        return Typed(run, dtype, inputs, tuple(outputs), tuple(casts))

    def _wanted(self, run: OperatorRun) -> str | None:
        name = run.name
        if name in TO_HALF or name.removesuffix("_") in TO_HALF:
            return "float16"
        return "float32" if name in TO_FLOAT else None

    def _is_cast(self, operand: Operand, run: OperatorRun) -> bool:
        if operand.role == "parameter":
            if operand.storage in self.converted:
                return False
            self.converted.add(operand.storage)
            return True
        return run.phase == "forward" or operand.storage in self.gradients


def _widest(names: Iterable[str]) -> str:
    """The dtype that a mixture of dtypes promotes to."""
    found = [name for name in names if name in BYTES]
    return max(found, key=lambda name: BYTES[name], default="float32")
