"""The names of dtypes: PyTorch's own, and the short ones that are accepted in their place."""

from __future__ import annotations

SHORT = {"fp64": "float64", "fp32": "float32", "fp16": "float16", "bf16": "bfloat16"}
"""The field's short names of floating-point dtypes."""


def full_name(dtype: object) -> str:
    """PyTorch's name of a dtype, `float32` of `fp32` or `torch.float32`; any other as it is.

    Examples:
        >>> full_name("bf16"), full_name("amp-bf16"), full_name("int64")
        ('bfloat16', 'amp-bfloat16', 'int64')
    """
    prefix, dash, name = str(dtype).removeprefix("torch.").rpartition("-")
    return f"{prefix}{dash}{SHORT.get(name, name)}"
