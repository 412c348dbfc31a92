"""What other tools call functions, arguments and results, for a remedy in their place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from inspect import signature
from typing import ParamSpec, TypeVar

from archscope.errors import ArchscopeError

Given = ParamSpec("Given")
Result = TypeVar("Result")

_SHAPE = "write the shape with its batch as input, such as input=(1, 3, 224, 224)"
_TENSORS = "give a tensor, a tuple or a dictionary of tensors as input"
_PRINTED = "leave it out: nothing is printed before the answer is"

SPELT_HERE: Mapping[str, str] = {
    # torchinfo
    "input_size": _SHAPE,
    "input_shape": _SHAPE,
    "batch_size": 'write batch beside input without it, as input="3x224x224", batch=8',
    "input_data": _TENSORS,
    "dtypes": 'write the dtype into input, such as input="128:int64"',
    "batch_dim": 'write input without the batch, such as "3x224x224", and batch=1',
    "col_names": 'choose columns, such as columns=["output_shape", "params", "macs"]',
    "col_width": "leave it out: columns are as wide as what they hold",
    "row_settings": "leave it out: depth chooses the levels, and every row has name and kind",
    "verbose": _PRINTED,
    "cache_forward_pass": "leave it out: the counts of named networks are saved between runs",
    "mode": "write train=True for the training mode",
    # ptflops
    "input_res": _SHAPE,
    "input_constructor": _TENSORS,
    "as_strings": "leave it out: an answer prints with units, and holds plain numbers",
    "print_per_layer_stat": _PRINTED,
    "custom_modules_hooks": "register a formula with archscope.register_formula",
    # thop
    "inputs": _TENSORS,
    "custom_ops": "register a formula with archscope.register_formula",
    "ret_layer_info": "leave it out: the layers of an answer hold their numbers",
    "report_missing": "write strict=True",
}
"""By their keyword: what to write in its place."""

FUNCTIONS_HERE: Mapping[str, str] = {
    # fvcore
    "FlopCountAnalysis": "archscope.summary(net, x).total.macs",
    "ActivationCountAnalysis": "archscope.summary(net, x).total.activation_bytes",
    "flop_count": "archscope.summary(net, x).total.macs",
    "flop_count_str": "print(archscope.summary(net, x))",
    "flop_count_table": "print(archscope.summary(net, x))",
    "parameter_count": "archscope.summary(net, x).total.params",
    "parameter_count_table": 'archscope.summary(net, x, columns=["params"])',
    # ptflops, calflops, torchprofile, PyTorch
    "get_model_complexity_info": "archscope.summary(net, x)",
    "calculate_flops": "archscope.summary(net, x).total.flops",
    "profile_macs": "archscope.summary(net, x).total.macs",
    "FlopCounterMode": "archscope.summary(net, x).total.flops",
    # what is asked for
    "count": "archscope.summary(net, x)",
    "count_parameters": "archscope.summary(net, x).total.params",
    "flops": "archscope.summary(net, x).total.flops",
    "macs": "archscope.summary(net, x).total.macs",
    "params": "archscope.summary(net, x).total.params",
    "rf": "archscope.receptive_field",
}
"""By their function: which one of archscope's has its answer."""

RESULTS_HERE: Mapping[str, str] = {
    # torchinfo
    "total_params": "total.params",
    "trainable_params": "total.trainable_params",
    "total_mult_adds": "total.macs",
    "total_param_bytes": "total.param_bytes",
    "total_output_bytes": "total.activation_bytes",
    "input_size": "analysis.input",
    "summary_list": "layers",
    # fvcore
    "by_module": "layers",
    "by_operator": "to_frame()",
    "by_module_and_operator": "to_frame()",
    "unsupported_ops": "coverage",
    # PyTorch
    "get_total_flops": "total.flops",
    "get_flop_counts": "layers",
}
"""By what their results are asked for: what of a `Summary` has it."""


def spelt(function: Callable[Given, Result]) -> Callable[Given, Result]:
    """Let a function answer a keyword of another tool that its network does not take."""

    @wraps(function)
    def called(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        try:
            return function(*args, **kwargs)
        except ArchscopeError as error:
            remedy = SPELT_HERE.get(error.argument)
            own = signature(function).parameters
            if remedy is None or error.argument not in kwargs or error.argument in own:
                raise
            problem = f"is not an argument of archscope.{function.__name__}"
            raise ArchscopeError(error.argument, problem, remedy) from error

    return called
