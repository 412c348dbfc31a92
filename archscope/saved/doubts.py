"""What reading a file leaves open: names by which it may ask the machine, the clock or chance.

What its tensors hold is followed while it runs (`resolve/watch.py`); this is for all else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator

from archscope.saved.libraries import may_read
from archscope.saved.reached import reaches_doubt
from archscope.saved.texts import show_an_address

HARMLESS = frozenset({
    "__future__", "abc", "bisect", "cmath", "collections", "contextlib", "copy", "dataclasses",
    "decimal", "enum", "fractions", "functools", "heapq", "itertools", "json", "math", "numbers",
    "operator", "re", "statistics", "string", "textwrap", "torch", "torchvision", "types", "typing",
    "warnings",
})  # fmt: skip
"""Modules that a network may import and still depend on nothing but sources and versions."""

DOUBTFUL_NAMES = frozenset({
    "open", "exec", "eval", "compile", "input", "setattr", "delattr", "globals", "locals", "vars",
    "breakpoint", "__import__", "__builtins__", "__file__", "__loader__", "__spec__",
    "hash", "id", "dir", "set", "frozenset",
})  # fmt: skip
DOUBTFUL_ATTRIBUTES = frozenset({
    "load", "load_inline", "load_library", "cpp_extension", "hub", "from_file", "fromfile",
    "datasets", "io", "_C", "register_model", "cuda", "mps", "xpu", "backends", "accelerator",
    "is_available", "device_count", "get_num_threads", "__dict__", "__setattr__", "__globals__",
    "__builtins__", "__subclasses__", "__hash__", "__repr__", "__str__", "__format__",
    "__reduce__", "__reduce_ex__", "__mro__", "__bases__", "__closure__", "__func__",
    "__array_interface__", "f_globals", "gi_frame", "tb_frame", "__code__", "__config__",
    "attrgetter",
    "methodcaller", "memmap", "loadtxt", "genfromtxt", "get_default_dtype", "get_default_device",
    "get_float32_matmul_precision", "get_num_interop_threads", "is_autocast_enabled",
    "are_deterministic_algorithms_enabled", "is_deterministic_algorithms_warn_only_enabled",
    "getwarnings", "filters", "data_ptr", "storage", "untyped_storage", "UntypedStorage",
    "TypedStorage", "cpu_count", "version", "Event", "Stream", "profiler", "jit",
    "CodeType", "FunctionType", "LambdaType", "get_type_hints", "redirect_stdout",
    "redirect_stderr", "chdir",
})  # fmt: skip
"""Ways to read files, ask the machine, run other code, or change what other networks share."""

DRAWS = frozenset({
    "rand", "randn", "randint", "randperm", "rand_like", "randn_like", "randint_like", "bernoulli",
    "multinomial", "normal", "poisson", "seed", "manual_seed", "initial_seed", "Generator",
    "default_generator", "get_rng_state", "set_rng_state", "random", "shuffle", "choice",
    "empty", "empty_like", "empty_strided", "samples", "kde_random",
})  # fmt: skip
"""What differs from run to run: random numbers, and memory that nobody wrote."""

IN_PLACE = frozenset({
    "uniform_", "normal_", "exponential_", "cauchy_", "random_", "geometric_", "log_normal_",
    "bernoulli_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_normal_",
    "xavier_uniform_", "orthogonal_", "sparse_",
})  # fmt: skip
"""The same into a tensor, which is no doubt where that is a weight: `init.normal_(self.weight)`."""

HOLDERS = frozenset({"Parameter", "Buffer", "register_buffer", "register_parameter"})
"""What takes a drawn tensor for a weight, whose values decide no count."""

SYSTEM = frozenset(sys.stdlib_module_names) - HARMLESS - {"select", "trace", "token", "types"}
"""Modules that hang on others, such as `torch.os`; not what is a method of tensors."""


def doubtful(tree: ast.AST) -> bool:
    """Whether a file may do what its text does not show, or change what it imports."""
    return (
        reaches_doubt(tree, HARMLESS)
        or show_an_address(tree)
        or may_read(tree)
        or next(_doubts(tree), None) is not None
    )


def line_in_doubt(tree: ast.AST) -> int | None:
    """The first line that leaves something open; `None` where it is not one line that does."""
    lines = [getattr(node, "lineno", None) for node in _doubts(tree)]
    return min((line for line in lines if line is not None), default=None)


def _doubts(tree: ast.AST) -> Iterator[ast.AST]:
    """Names, attributes, imports, calls and sets that leave something open."""
    nodes = list(ast.walk(tree))
    weights = {id(drawn) for node in nodes for drawn in _held(node)}
    searched = {id(place) for node in nodes for place in _searched(node)}
    return (
        node
        for node in nodes
        if (isinstance(node, ast.Name) and node.id in DOUBTFUL_NAMES)
        or (isinstance(node, ast.Attribute) and _is_doubtful(node, id(node) in weights))
        or (isinstance(node, (ast.Import, ast.ImportFrom)) and _imports_doubt(node))
        or (isinstance(node, ast.Call) and _asks_by_text(node))
        # A set has another order in each run, and none where something is only looked for in it.
        or (isinstance(node, (ast.Set, ast.SetComp)) and id(node) not in searched)
    )


def _searched(node: ast.AST) -> list[ast.expr]:
    """What stands behind `in`."""
    if not isinstance(node, ast.Compare):
        return []
    pairs = zip(node.ops, node.comparators, strict=True)
    return [place for how, place in pairs if isinstance(how, (ast.In, ast.NotIn))]


def _held(node: ast.AST) -> Iterator[ast.expr]:
    """The functions whose draws become a weight at once: `nn.Parameter(torch.randn(8))`."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        call = node.value
        if getattr(call.func, "attr", "") in IN_PLACE and _is_weight(call):
            yield call.func
    if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in HOLDERS:
        for argument in node.args:
            while isinstance(argument, ast.BinOp):  # 0.02 * torch.randn(8)
                argument = argument.right if isinstance(argument.right, ast.Call) else argument.left
            if isinstance(argument, ast.Call):
                yield argument.func


def _is_weight(call: ast.Call) -> bool:
    """Whether a draw goes into an attribute, as of `init.normal_(m.weight)`."""
    assert isinstance(call.func, ast.Attribute)
    owner = call.func.value
    if getattr(owner, "attr", getattr(owner, "id", "")) == "init":
        return bool(call.args) and isinstance(call.args[0], ast.Attribute)
    return isinstance(owner, ast.Attribute)


def _is_doubtful(node: ast.Attribute, is_weight: bool) -> bool:
    """Whether an attribute asks the machine or a dice, or changes what is not the network's."""
    name = node.attr
    if isinstance(node.value, ast.Name) and node.value.id == "self":
        return name.startswith("__") and name in DOUBTFUL_ATTRIBUTES
    root: ast.expr = node
    while isinstance(root, (ast.Attribute, ast.Subscript)):
        root = root.value
    own = isinstance(root, ast.Name) and root.id == "self"
    changes = not own and not isinstance(node.ctx, ast.Load)
    return (
        changes
        or name in DOUBTFUL_ATTRIBUTES | SYSTEM
        or (name in DRAWS | IN_PLACE and not is_weight)
    )


def _asks_by_text(node: ast.Call) -> bool:
    """Whether `getattr` may lead anywhere: `getattr(torch, name)`, unlike one of `self`."""
    if not (isinstance(node.func, ast.Name) and node.func.id == "getattr" and len(node.args) > 1):
        return False
    owner, name = node.args[:2]
    if isinstance(owner, ast.Name) and owner.id == "self":
        return False
    if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
        return True
    return name.value.startswith("_") or name.value in DOUBTFUL_ATTRIBUTES | DRAWS | SYSTEM


def _imports_doubt(node: ast.Import | ast.ImportFrom) -> bool:
    names = {part for alias in node.names for part in alias.name.split(".")[1:]}
    parts = {part for alias in node.names for part in alias.name.split(".")}
    if isinstance(node, ast.ImportFrom):
        names = parts
        parts = parts | set((node.module or "").split("."))
        if node.level or (node.module or "").partition(".")[0] not in HARMLESS:
            names = set()  # a local module may be called like one of the system
    return bool(parts & (DOUBTFUL_ATTRIBUTES | {"*"}) or names & (DRAWS | SYSTEM))
