"""Installed libraries that a network may be built of, and which of their names decide it unseen.

Their versions and files are part of what an answer is saved under.
What a file does with any other package cannot be read from its text: that may open files, read
variables of the environment, or ask a clock.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

LIBRARIES = frozenset({
    "diffusers", "efficientnet_pytorch", "einops", "fvcore", "huggingface_hub", "lightning",
    "monai", "numpy", "opt_einsum", "packaging", "pytorch_lightning", "pytorchcv",
    "segmentation_models_pytorch", "timm", "torch_geometric", "transformers", "typing_extensions",
    "vit_pytorch", "x_transformers",
})  # fmt: skip
"""Libraries of layers and of arithmetic."""

READS = (
    "cached", "dict_from", "download", "fetch", "from_json", "from_pretrained", "from_yaml",
    "getenv", "get_file", "list_repo", "load", "merge_from", "open", "read", "snapshot",
)  # fmt: skip
"""Beginnings of the names by which they read files."""

WEIGHTS = frozenset({"load_state_dict", "load_pretrained"})
"""Names that begin so and decide values alone."""

PLACES = ("hf-hub:", "hf_hub:", "local-dir:")
"""Beginnings of timm's names for a configuration in a file."""

ARITHMETIC = frozenset({
    "abs", "absolute", "all", "any", "arange", "argmax", "argmin", "argsort", "around", "array",
    "asarray", "bool_", "broadcast_to", "ceil", "clip", "concatenate", "cos", "cumprod", "cumsum",
    "diff", "divide", "dot", "dtype", "e", "einsum", "equal", "exp", "exp2", "expand_dims", "eye",
    "flip", "float16", "float32", "float64", "floor", "floor_divide", "full", "full_like", "gcd",
    "geomspace", "hstack", "identity", "inf", "int16", "int32", "int64", "int8", "integer", "isinf",
    "isnan", "lcm", "linspace", "log", "log10", "log1p", "log2", "logspace", "max", "maximum",
    "mean", "median", "meshgrid", "min", "minimum", "mod", "multiply", "nan", "ndarray", "newaxis",
    "nonzero", "number", "ones", "ones_like", "outer", "pi", "power", "prod", "ravel",
    "remainder", "repeat", "reshape", "rint", "roll", "round", "searchsorted", "sign", "sin",
    "sort", "split", "sqrt", "square", "squeeze", "stack", "std", "subtract", "sum", "tan", "tanh",
    "tile", "transpose", "tril", "triu", "uint8", "unique", "var", "vstack", "where", "zeros",
    "zeros_like",
})  # fmt: skip
"""What of numpy decides nothing but by its arguments."""


def may_read(tree: ast.AST) -> bool:
    """Whether a file may read another one, or a clock, through a library that it imports."""
    arrays = _names_of_numpy(tree)
    owners = {
        id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    return any(
        _reads(node)
        or (isinstance(node, ast.Name) and node.id in arrays
            and owners.get(id(node)) not in ARITHMETIC)
        for node in ast.walk(tree)
    )  # fmt: skip


def _reads(node: ast.AST) -> bool:
    """Whether a name, an import or a text leads to a file."""
    if isinstance(node, ast.Attribute):
        return _is_reader(node.attr)
    if isinstance(node, ast.Constant):
        return isinstance(node.value, str) and node.value.startswith(PLACES)
    if isinstance(node, ast.Import):
        return any(alias.name.startswith("numpy.") for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or node.level:
        return False
    library, *inner = (node.module or "").split(".")
    names = [alias.name for alias in node.names]
    if library == "numpy":
        return bool(inner) or not ARITHMETIC.issuperset(names)
    return library in LIBRARIES and any(map(_is_reader, names))


def _is_reader(name: str) -> bool:
    return name.lstrip("_").startswith(READS) and name not in WEIGHTS


def _names_of_numpy(tree: ast.AST) -> set[str]:
    """The names by which a file knows numpy."""
    return {name for node in ast.walk(tree) for name in _numpy_as(node)}


def _numpy_as(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.asname or "numpy" for alias in node.names if alias.name == "numpy")
