"""GPT-2's `Conv1D` written as the linear layer that it is, which tensor parallelism can divide.

transformers stores the weight of that layer transposed, inputs by outputs, and `parallelize_module`
has no style for its class.
"""

from __future__ import annotations

from torch import nn

from archscope.analysis.borrow import members


class Conv1D(nn.Linear):
    """A linear layer with the weight and bias of one of transformers.

    Args:
        whole: whose parameters it takes.
    """

    def __init__(self, whole: nn.Module) -> None:
        weight = whole._parameters["weight"]
        assert weight is not None
        inputs, outputs = weight.shape
        super().__init__(inputs, outputs, device="meta")
        self.weight = nn.Parameter(weight.detach().t(), requires_grad=weight.requires_grad)
        self.register_parameter("bias", whole._parameters["bias"])
        self.train(whole.training)


def write_linear(network: nn.Module) -> None:
    """Write every such layer of a network's copy as a linear layer."""
    for name, module in list(members(network).items()):
        if name and _is_transposed(module):
            network.set_submodule(name, Conv1D(module))


def _is_transposed(module: nn.Module) -> bool:
    weight = module._parameters.get("weight")
    sides = getattr(module, "nx", None), getattr(module, "nf", None)
    named = type(module).__name__ == "Conv1D" and module._parameters.get("bias") is not None
    return named and weight is not None and tuple(weight.shape) == sides
